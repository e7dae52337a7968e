import type { Finding } from './finding.ts'
import type { Limit } from './quality-config.ts'

/**
 * A change faster than the configuration says of its metric.
 *
 * @param passedMs Event time since the reading before, above 0.
 * @param usualMs Usual time between two: readings much closer are of one instant, and their distance
 *   in time says nothing.
 */
export function tooFast(
  { ratePerSecondMax }: Limit,
  value: number,
  last: number,
  passedMs: number,
  usualMs: number
): Finding | undefined {
  if (ratePerSecondMax === Number.POSITIVE_INFINITY) return undefined
  const seconds = Math.max(passedMs, usualMs / 2) / 1000
  const rate = (value - last) / seconds
  if (Math.abs(rate) <= ratePerSecondMax) return undefined
  return {
    kind: 'rate',
    ratio: Math.abs(rate) / ratePerSecondMax,
    value,
    lower: last - ratePerSecondMax * seconds,
    upper: last + ratePerSecondMax * seconds,
    reason: `changed by ${Number(rate.toPrecision(3))} a second; ${ratePerSecondMax} is the most it can`
  }
}
