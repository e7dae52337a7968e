import path from 'node:path'
import { messageOf, OperationalError } from '../runtime/errors.ts'

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
