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

export function round2(value: number): number {
  return Math.round(value * 100) / 100
}

/** Of a part of each round, to two places. */
export function medianBy<T>(rounds: readonly T[], pick: (round: T) => number): number {
  return round2(medianOf(rounds.map(pick)))
}

/** The value that a share of them does not exceed. @param sorted Ascending. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  return round2(sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN)
}
