import type { Finding } from './finding.ts'

/**
 * Null, text, NaN where numbers were. One is a hiccup; three, or more than a third of the readings
 * for some time, are a fault.
 */
const LIMIT = 3
const COUNT_MAX = 6
/** A good reading weighs half of a bad one. */
const GOOD = 0.5

/** @returns The count after a bad reading. */
export function unusableMore(count: number): number {
  return Math.min(COUNT_MAX, count + 1)
}

export function unusableLess(count: number): number {
  return Math.max(0, count - GOOD)
}

export function tooManyUnusable(count: number): Finding | undefined {
  if (count < LIMIT) return undefined
  return {
    kind: 'data_quality',
    ratio: count / LIMIT,
    reason: 'gives null, text or what is no finite number where numbers were'
  }
}
