import { ewmaGain, ewmaStep } from '../stats/ewma.ts'
import { winsorize } from '../stats/winsorize.ts'
import type { Finding } from './finding.ts'

/**
 * Values that look like the usual ones in another unit: a new firmware, a replaced sensor.
 *
 * Only for signals that keep close to a level: five readings in a row lie where a common conversion
 * takes the level, as closely as the usual ones lie to it, and nowhere near the level itself.
 *
 * State: four numbers. Does not see units whose conversion is no more than the signal's own spread.
 */
export const UNIT_SIZE = 4

const LEVEL = 0
/** Mean absolute deviation. */
const DEVIATION = 1
/** Which conversion fits, from 1, and how many readings in a row; −1: strayed, without any. */
const CONVERSION = 2
const RUN = 3

const STRAYED = -1

const CONVERSIONS = [
  { factor: 1000, offset: 0, name: 'a thousand times' },
  { factor: 1 / 1000, offset: 0, name: 'a thousandth of' },
  { factor: 100, offset: 0, name: 'a hundred times' },
  { factor: 1 / 100, offset: 0, name: 'a hundredth of' },
  { factor: 1.8, offset: 32, name: 'in °F what was in °C:' },
  { factor: 1 / 1.8, offset: -32 / 1.8, name: 'in °C what was in °F:' },
  { factor: 1, offset: 273.15, name: 'in K what was in °C:' },
  { factor: 1, offset: -273.15, name: 'in °C what was in K:' },
  { factor: 14.5038, offset: 0, name: 'in psi what was in bar:' },
  { factor: 1 / 14.5038, offset: 0, name: 'in bar what was in psi:' }
] as const

const GAIN = 0.002
const READINGS_BELIEVED = 200
/** Usual readings lie within so many mean deviations of the level; what is odd lies farther. */
const NEAR = 5
/** The converted level must lie so many times farther away than what counts as near it. */
const APART = 3
const RUN_BELIEVED = 5
/** A unit that stays is the new one. */
const RUN_ACCEPTED = 1000

/** @param n Readings learned. */
export function otherUnit(
  s: Float32Array,
  base: number,
  value: number,
  n: number
): Finding | undefined {
  const which = n < READINGS_BELIEVED ? 0 : fitting(s, base, value)
  if (which === 0 || which !== s[base + CONVERSION]) return undefined
  const run = s[base + RUN] + 1
  if (run < RUN_BELIEVED || run >= RUN_ACCEPTED) return undefined
  const { factor, offset, name } = CONVERSIONS[which - 1]
  const reach = NEAR * s[base + DEVIATION]
  const level = s[base + LEVEL]
  return {
    kind: 'data_quality',
    ratio: 1,
    value,
    ...{ lower: level - reach, upper: level + reach },
    reason: `looks like ${name} the usual ${Number(((value - offset) / factor).toPrecision(4))}: another unit`
  }
}

export function unitLearn(s: Float32Array, base: number, value: number, n: number): void {
  const which = n < READINGS_BELIEVED ? 0 : fitting(s, base, value)
  if (which > 0) {
    s[base + RUN] = which === s[base + CONVERSION] ? s[base + RUN] + 1 : 1
    s[base + CONVERSION] = which
    if (s[base + RUN] < RUN_ACCEPTED) return
    s[base + LEVEL] = value
    s[base + DEVIATION] *= CONVERSIONS[which - 1].factor
  }
  const near = Math.abs(value - s[base + LEVEL]) <= NEAR * s[base + DEVIATION]
  s[base + RUN] = 0
  s[base + CONVERSION] = near || n < READINGS_BELIEVED ? 0 : STRAYED
  const gain = ewmaGain(n + 1, GAIN)
  const reach = n < READINGS_BELIEVED ? Number.POSITIVE_INFINITY : 8 * s[base + DEVIATION]
  const residual = winsorize(value - s[base + LEVEL], reach)
  s[base + LEVEL] += gain * residual
  s[base + DEVIATION] = ewmaStep(s[base + DEVIATION], Math.abs(residual), gain)
}

/** @returns The conversion that explains a value far from the level, from 1; 0: none. */
function fitting(s: Float32Array, base: number, value: number): number {
  const level = s[base + LEVEL]
  const near = NEAR * s[base + DEVIATION]
  // A new unit begins at once, from values as usual.
  if (s[base + CONVERSION] === STRAYED) return 0
  if (near === 0 || Math.abs(value - level) <= near) return 0
  for (const [i, { factor, offset }] of CONVERSIONS.entries()) {
    const converted = factor * level + offset
    if (Math.abs(value - converted) > factor * near) continue
    if (Math.abs(converted - level) >= APART * near * Math.max(1, factor)) return i + 1
  }
  return 0
}
