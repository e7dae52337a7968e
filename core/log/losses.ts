import path from 'node:path'
import { systemCode } from '../runtime/errors.ts'
import { readChecked, replaceChecked } from './checked-file.ts'
import type { Disk } from './disk.ts'

/** Offsets, half-open. */
export interface OffsetRange {
  first: number
  end: number
}

/**
 * Which records are known to be gone for good: written by a repair, so that a loss that a person
 * has seen is not told as a new one for ever. The log itself never reads it.
 *
 * `8 hex digits of CRC-32, space, JSON, newline`: `version` 1, `ranges` [{first, end}].
 */
export const LOSSES_NAME = 'losses'
export const LOSSES_ASIDE_NAME = 'losses.tmp'
const VERSION = 1
/** What does not fit is told as a loss again. */
const RANGES_MAX = 10_000
const BYTES_MAX = 1 << 20

/** @returns Ascending, disjoint; empty when there is no such file or it is damaged. */
export async function loadLosses(disk: Disk, directory: string): Promise<OffsetRange[]> {
  try {
    const text = await readChecked(disk, path.join(directory, LOSSES_NAME), BYTES_MAX)
    if (text === undefined) return []
    const { version, ranges } = JSON.parse(text) as { version: number; ranges: OffsetRange[] }
    return version === VERSION ? merge(ranges) : []
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}

/** Replaces the file whole; a crash leaves the old one or the new one. */
export async function saveLosses(
  disk: Disk,
  directory: string,
  ranges: readonly OffsetRange[]
): Promise<void> {
  const text = JSON.stringify({ version: VERSION, ranges: merge(ranges).slice(-RANGES_MAX) })
  await replaceChecked(disk, directory, { name: LOSSES_NAME, asideName: LOSSES_ASIDE_NAME, text })
}

/** What of the range is in none of the ranges. */
export function subtract(from: OffsetRange, ranges: readonly OffsetRange[]): OffsetRange[] {
  const left: OffsetRange[] = []
  let first = from.first
  for (const range of merge(ranges)) {
    if (range.end <= first || range.first >= from.end) continue
    if (range.first > first) left.push({ first, end: range.first })
    first = range.end
  }
  if (first < from.end) left.push({ first, end: from.end })
  return left
}

function merge(ranges: readonly OffsetRange[]): OffsetRange[] {
  const merged: OffsetRange[] = []
  for (const { first, end } of [...ranges].sort((a, b) => a.first - b.first)) {
    const last = merged.at(-1)
    if (last && first <= last.end) last.end = Math.max(last.end, end)
    else merged.push({ first, end })
  }
  return merged
}
