import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { Command } from 'commander'
import { hashPassword, PASSWORD_BYTES_MAX } from '../../agent/ingest/broker/password-hash.ts'
import {
  checkUserName,
  parseUsers,
  USERS_FILE_BYTES_MAX,
  withUser
} from '../../agent/ingest/broker/users-file.ts'
import { messageOf, OperationalError, systemCode } from '../../core/runtime/errors.ts'
import { readSmallFile } from '../../core/runtime/watched-files.ts'

const EXAMPLES = `
On a terminal the password is asked for twice, and not shown; else it is the first line of the input.
A running agent that is configured with this file (mqtt.users_file) reads it again within seconds.

Examples:
  $ fieldline passwd /etc/fieldline/users pump-3
  $ fieldline passwd /etc/fieldline/users pump-3 < pump-3.password
  $ fieldline passwd /etc/fieldline/users pump-3 --delete
`

/** Where the password comes from, and where is told what was done. */
export interface Terminal {
  input: Readable & { isTTY?: boolean; setRawMode?(raw: boolean): unknown }
  output: Writable
}

const STANDARD: Terminal = { input: process.stdin, output: process.stdout }

/** `fieldline passwd FILE USER`: users of the embedded broker and digests of their passwords. */
export function passwdCommand(terminal: Terminal = STANDARD): Command {
  return new Command('passwd')
    .description('set or delete the password of an MQTT user in a file')
    .argument('<file>', 'users file; made if it is not there')
    .argument('<user>', 'MQTT user name')
    .option('--delete', 'delete the user')
    .addHelpText('after', EXAMPLES)
    .action((file: string, user: string, flags: { delete?: boolean }) =>
      flags.delete ? deleteUser(file, user, terminal) : setPassword(file, user, terminal)
    )
}

async function setPassword(file: string, user: string, terminal: Terminal): Promise<void> {
  try {
    checkUserName(user)
  } catch (error) {
    throw new OperationalError('USAGE', `${messageOf(error)}.`)
  }
  // Before anybody types a password in vain.
  readUsers(file)
  const hash = await hashPassword(await readPassword(user, terminal))
  const text = readUsers(file)
  replace(file, withUser(text ?? '', user, hash))
  const hint = text === undefined ? ' The agent must be able to read it; nobody else can.' : ''
  terminal.output.write(`The password of '${user}' is set in ${file}.${hint}\n`)
}

async function deleteUser(file: string, user: string, { output }: Terminal): Promise<void> {
  const text = readUsers(file)
  if (text === undefined || !parseUsers(text).has(user)) {
    throw new OperationalError('USAGE', `There is no user '${user}' in ${file}.`)
  }
  replace(file, withUser(text, user, undefined))
  output.write(`'${user}' is deleted from ${file}.\n`)
}

/**
 * @returns undefined when the file is not there.
 * @throws {OperationalError} INPUT_UNREADABLE: what is no users' file is not written over.
 */
function readUsers(file: string): string | undefined {
  if (!fs.existsSync(file)) return undefined
  try {
    const text = readSmallFile(file, USERS_FILE_BYTES_MAX)
    parseUsers(text)
    return text
  } catch (error) {
    throw new OperationalError(
      'INPUT_UNREADABLE',
      `${file} is no users' file: ${messageOf(error)}. Nothing was changed.`
    )
  }
}

/** The old file or the new one, never half of it; its owner keeps it. */
function replace(file: string, text: string): void {
  let aside: string | undefined
  try {
    const target = fs.existsSync(file) ? fs.realpathSync(file) : path.resolve(file)
    const owner = fs.statSync(target, { throwIfNoEntry: false })
    aside = `${target}.${randomBytes(6).toString('hex')}`
    const fd = fs.openSync(aside, 'wx', 0o600)
    try {
      fs.writeSync(fd, text)
      if (owner && process.getuid?.() === 0) fs.fchownSync(fd, owner.uid, owner.gid)
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
    fs.renameSync(aside, target)
  } catch (error) {
    if (aside !== undefined) fs.rmSync(aside, { force: true })
    const why = systemCode(error) === 'EACCES' ? 'permission denied' : messageOf(error)
    throw new OperationalError('DIRECTORY_UNUSABLE', `${file} cannot be written: ${why}.`, {
      cause: error
    })
  }
}

async function readPassword(user: string, terminal: Terminal): Promise<string> {
  const { input } = terminal
  const password = input.isTTY ? await askTwice(user, terminal) : await firstLine(input)
  if (password === '') throw new OperationalError('USAGE', 'No password was given.')
  if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX) {
    const message = `MQTT knows no password of more than ${PASSWORD_BYTES_MAX} bytes.`
    throw new OperationalError('USAGE', message)
  }
  return password
}

async function firstLine(input: Readable): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of input) {
    chunks.push(Buffer.from(chunk))
    bytes += chunks[chunks.length - 1].length
    if (bytes > PASSWORD_BYTES_MAX + 2) break
  }
  return Buffer.concat(chunks).toString('utf8').split(/\r?\n/, 1)[0]
}

async function askTwice(user: string, terminal: Terminal): Promise<string> {
  const first = await askHidden(`Password of '${user}': `, terminal)
  const second = await askHidden('Again: ', terminal)
  if (first === second) return first
  throw new OperationalError('USAGE', 'The two are not the same; nothing changed.')
}

/** Enter; control C and control D. */
const END_KEYS: Readonly<Record<string, 'enter' | 'break'>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\u0003': 'break',
  '\u0004': 'break'
}

/** Reads a line from a terminal that shows nothing of it. */
function askHidden(prompt: string, { input, output }: Terminal): Promise<string> {
  output.write(prompt)
  return new Promise((resolve, reject) => {
    let typed = ''
    const done = (settle: () => void): void => {
      input.off('data', onData)
      input.setRawMode?.(false)
      input.pause()
      output.write('\n')
      settle()
    }
    const onData = (data: Buffer | string): void => {
      for (const character of data.toString()) {
        const end = END_KEYS[character]
        if (end === 'enter') {
          done(() => resolve(typed))
          return
        }
        if (end === 'break') {
          done(() => reject(new OperationalError('USAGE', 'Interrupted; nothing changed.')))
          return
        }
        const isErase = character === '\u007f' || character === '\b'
        typed = isErase ? [...typed].slice(0, -1).join('') : typed + character
      }
    }
    input.setRawMode?.(true)
    input.on('data', onData)
    input.resume()
  })
}
