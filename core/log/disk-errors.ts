import path from 'node:path'
import { messageOf, OperationalError, systemCode } from '../runtime/errors.ts'
import type { Disk } from './disk.ts'

/** What was tried cannot be undone or done again: the log must be opened anew. */
export function diskFailed(directory: string, cause: unknown): OperationalError {
  return new OperationalError(
    'DISK_FAILED',
    `The disk under ${path.resolve(directory)} refused: ${messageOf(cause)}.`,
    { cause }
  )
}

export function directoryUnusable(directory: string, cause: unknown): OperationalError {
  return new OperationalError(
    'DIRECTORY_UNUSABLE',
    `The log directory ${directory} cannot be used: ${messageOf(cause)}. Check that it exists on a writable disk and belongs to this user.`,
    { cause }
  )
}

/** A file that is gone already is no error. */
export async function unlinkIfPresent(disk: Disk, name: string): Promise<void> {
  try {
    await disk.unlink(name)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
}
