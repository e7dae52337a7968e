import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { messageOf, OperationalError, systemCode } from './errors.ts'
import { makeDirectory } from './make-directory.ts'

export interface DirectoryLock {
  /** Lets go of the directory. Safe to call twice. */
  release(): void
}

const LOCK_NAME = 'lock'

/**
 * Makes this process the only owner of a directory, until `release` or its death, however it dies.
 *
 * Node has no flock(2). The `flock` program locks the open file description that it inherits; the
 * lock stays with ours when the program has ended, and goes when our last descriptor is closed.
 * Descriptors are close-on-exec, so no child of ours keeps it.
 *
 * @param directory Made with its ancestors when missing.
 * @throws {OperationalError} DIRECTORY_LOCKED: another process (or another lock of this one) owns
 *   it. DIRECTORY_UNUSABLE: it cannot be made or written. TOOL_MISSING: there is no `flock`.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const file = path.join(directory, LOCK_NAME)
  let fd: number
  try {
    makeDirectory(directory)
    // Neither truncated nor replaced before it is ours: it names the owner.
    fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o640)
  } catch (error) {
    throw new OperationalError(
      'DIRECTORY_UNUSABLE',
      `The directory ${directory} cannot be used: ${messageOf(error)}. Check that it is on a writable disk and belongs to this user.`,
      { cause: error }
    )
  }
  try {
    takeLock(fd, file, directory)
    fs.ftruncateSync(fd, 0)
    fs.writeSync(fd, `${process.pid}\n`, 0)
  } catch (error) {
    // A full disk keeps nobody from owning the directory: the pid is for people alone.
    if (error instanceof OperationalError || systemCode(error) !== 'ENOSPC') {
      fs.closeSync(fd)
      throw error
    }
  }
  let held = true
  return {
    release() {
      if (held) fs.closeSync(fd)
      held = false
    }
  }
}

function takeLock(fd: number, file: string, directory: string): void {
  const { error, status, signal, stderr } = spawnSync('flock', ['-n', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    encoding: 'utf8'
  })
  if (status === 0) return
  if (status === 1) {
    const pid = ownerOf(file)
    const owner = pid === undefined ? 'another process' : `process ${pid}`
    throw new OperationalError(
      'DIRECTORY_LOCKED',
      `The directory ${directory} is in use by ${owner}. Stop that one, or choose another directory.`
    )
  }
  if (systemCode(error) === 'ENOENT') {
    throw new OperationalError(
      'TOOL_MISSING',
      `The directory ${directory} cannot be locked: the program "flock" is not installed. It is part of util-linux (and of BusyBox); install it and start again.`
    )
  }
  const why = error ? messageOf(error) : stderr.trim() || `flock ended with ${signal ?? status}`
  throw new OperationalError(
    'DIRECTORY_UNUSABLE',
    `The directory ${directory} cannot be locked: ${why}. Its file system may lack locks; choose a directory on a local disk.`
  )
}

function ownerOf(file: string): number | undefined {
  try {
    const pid = Number.parseInt(fs.readFileSync(file, 'utf8'), 10)
    return pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}
