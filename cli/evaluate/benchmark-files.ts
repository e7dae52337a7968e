import fs from 'node:fs'
import path from 'node:path'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'

/** @throws {OperationalError} INPUT_UNREADABLE */
export function entriesOf(directory: string): fs.Dirent[] {
  try {
    return fs.readdirSync(directory, { withFileTypes: true })
  } catch (error) {
    throw unreadable(`'${directory}' cannot be read: ${messageOf(error)}`, error)
  }
}

/** @throws {OperationalError} INPUT_UNREADABLE */
export function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    throw unreadable(`'${file}' cannot be read: ${messageOf(error)}`, error)
  }
}

/**
 * Writes a file of `--out`, and the directories that lead to it.
 *
 * @throws {OperationalError} DIRECTORY_UNUSABLE
 */
export function writeLines(file: string, lines: readonly string[]): void {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, `${lines.join('\n')}\n`)
  } catch (error) {
    const message = `'${file}' cannot be written: ${messageOf(error)}. Choose another --out.`
    throw new OperationalError('DIRECTORY_UNUSABLE', message, { cause: error })
  }
}

export function unreadable(message: string, cause?: unknown): OperationalError {
  return new OperationalError('INPUT_UNREADABLE', message, { cause })
}
