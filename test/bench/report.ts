import { execFileSync } from 'node:child_process'
import os from 'node:os'
import { median } from 'simple-statistics'

export function medianOf(values: number[]): number {
  return median(values)
}

/** Type of the file system below a path: disk figures mean nothing without it. */
export function fileSystemOf(directory: string): string {
  try {
    return execFileSync('stat', ['-f', '-c', '%T', directory], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

export function machine(): object {
  return { node: process.version, cpus: os.cpus().length, model: os.cpus()[0]?.model.trim() }
}
