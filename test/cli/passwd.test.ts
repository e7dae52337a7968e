import fs from 'node:fs'
import path from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { PasswordVerifier } from '../../agent/ingest/broker/password-hash.ts'
import { parseUsers } from '../../agent/ingest/broker/users-file.ts'
import { passwdCommand, type Terminal } from '../../cli/commands/passwd.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

async function passwd(args: string[], input: Terminal['input']): Promise<string> {
  const output = new PassThrough()
  await passwdCommand({ input, output }).parseAsync(args, { from: 'user' })
  return String(output.read() ?? '')
}

const piped = (text: string) => Readable.from([Buffer.from(text)])

async function verdict(file: string, user: string, password: string) {
  const users = parseUsers(fs.readFileSync(file, 'utf8'))
  return new PasswordVerifier().verify(Buffer.from(password), users.get(user), 'test')
}

test('a password is set, changed and deleted, and other lines stay as they were', async () => {
  const file = path.join(temporaryDirectory(), 'users')
  await passwd([file, 'pump-1'], piped('one\nignored\n'))
  await passwd([file, 'pump-2'], piped('two'))
  fs.appendFileSync(file, '# a note\n')
  await passwd([file, 'pump-1'], piped('other\r\n'))
  const lines = fs.readFileSync(file, 'utf8').split('\n')
  expect(lines.map(line => line.split(':')[0])).toEqual(['pump-1', 'pump-2', '# a note', ''])
  expect(await verdict(file, 'pump-1', 'other')).toBe('right')
  expect(await verdict(file, 'pump-1', 'one')).toBe('wrong')
  expect(await verdict(file, 'pump-2', 'two')).toBe('right')
  await passwd([file, 'pump-1', '--delete'], piped(''))
  expect([...parseUsers(fs.readFileSync(file, 'utf8')).keys()]).toEqual(['pump-2'])
  expect(fs.statSync(file).mode & 0o777).toBe(0o600)
  expect(fs.readdirSync(path.dirname(file))).toEqual(['users'])
})

test('one password twice gives two digests, and neither holds it', async () => {
  const file = path.join(temporaryDirectory(), 'users')
  await passwd([file, 'a'], piped('correct horse'))
  await passwd([file, 'b'], piped('correct horse'))
  const text = fs.readFileSync(file, 'utf8')
  const [a, b] = text.split('\n').map(line => line.slice(2))
  expect(a).toMatch(/^\$scrypt\$ln=14,r=8,p=1\$[\w+/]{22}\$[\w+/]{43}$/)
  expect(a).not.toBe(b)
  expect(text).not.toContain('horse')
})

test('on a terminal it is asked for twice, without an echo', async () => {
  const file = path.join(temporaryDirectory(), 'users')
  const raw: boolean[] = []
  const terminal = (typed: string[]): Terminal['input'] => {
    const input = new PassThrough()
    // A key for each prompt, as it comes.
    const setRawMode = (on: boolean) => {
      raw.push(on)
      if (on) setImmediate(() => input.write(typed.shift() ?? ''))
    }
    return Object.assign(input, { isTTY: true, setRawMode })
  }
  const told = await passwd([file, 'u'], terminal(['secrex\u007ft\r', 'secret\r']))
  expect(told).not.toContain('secre')
  expect(told).toContain("The password of 'u' is set")
  expect(await verdict(file, 'u', 'secret')).toBe('right')
  await expect(passwd([file, 'u'], terminal(['a\r', 'b\r']))).rejects.toThrow('not the same')
  await expect(passwd([file, 'u'], terminal(['\u0003']))).rejects.toThrow('Interrupted')
  expect(raw.at(-1)).toBe(false)
  expect(await verdict(file, 'u', 'secret')).toBe('right')
})

test.each([
  [['a:b'], 'holds no'],
  [['#a'], 'begins with no'],
  [[' a'], 'no space'],
  [[''], '1 to 256 bytes']
])('%j is refused as a user name', async ([user], message) => {
  const file = path.join(temporaryDirectory(), 'users')
  await expect(passwd([file, user], piped('p'))).rejects.toThrow(message)
  expect(fs.existsSync(file)).toBe(false)
})

test('an empty password, an unknown user and a file of something else change nothing', async () => {
  const file = path.join(temporaryDirectory(), 'fieldline.yaml')
  await expect(passwd([file, 'u'], piped('\n'))).rejects.toMatchObject({ code: 'USAGE' })
  expect(fs.existsSync(file)).toBe(false)
  await expect(passwd([file, 'u', '--delete'], piped(''))).rejects.toThrow("no user 'u'")
  fs.writeFileSync(file, 'mqtt:\n  listen: off\n')
  await expect(passwd([file, 'u'], piped('p'))).rejects.toMatchObject({ code: 'INPUT_UNREADABLE' })
  expect(fs.readFileSync(file, 'utf8')).toBe('mqtt:\n  listen: off\n')
})
