import fs from 'node:fs'
import path from 'node:path'
import { systemCode } from './errors.ts'

/**
 * Makes the directory and its missing ancestors, each synced into its parent: after a power loss
 * they are there.
 *
 * Node's own recursive mkdir loops for ever where a file system refuses with ENOENT, as /proc does.
 *
 * @throws The system's error of the directory that could not be made.
 */
export function makeDirectory(directory: string): void {
  const missing: string[] = []
  let at = path.resolve(directory)
  while (!fs.existsSync(at)) {
    missing.push(at)
    at = path.dirname(at)
  }
  for (const each of missing.reverse()) {
    try {
      fs.mkdirSync(each, 0o750)
    } catch (error) {
      // Another process was quicker.
      if (systemCode(error) !== 'EEXIST') throw error
    }
    const parent = fs.openSync(path.dirname(each), 'r')
    try {
      fs.fsyncSync(parent)
    } finally {
      fs.closeSync(parent)
    }
  }
}
