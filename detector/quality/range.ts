import type { Finding } from './finding.ts'
import type { Limit } from './quality-config.ts'

/** A value that cannot be: beyond what the configuration says of its metric. */
export function outOfRange({ min, max }: Limit, value: number): Finding | undefined {
  if (value >= min && value <= max) return undefined
  const low = value < min
  const bound = low ? min : max
  const span = max - min
  const unit = Number.isFinite(span) ? span : Math.max(Math.abs(bound), 1)
  return {
    kind: 'range',
    ratio: 1 + Math.abs(value - bound) / unit,
    value,
    ...(Number.isFinite(min) ? { lower: min } : {}),
    ...(Number.isFinite(max) ? { upper: max } : {}),
    reason: low ? `below ${min}, the least it can be` : `above ${max}, the greatest it can be`
  }
}
