/**
 * Series that only grow – pulses, energy, bytes sent – and start again at 0 after a reset. Their rate
 * is what a scorer should see; the reading after a reset has none.
 *
 * A series is *suspected* after twenty rises without one fall since its beginning: rates are scored
 * from then on, and a fall refutes it. It is believed to be a counter after a day and 200 rises
 * without a fall, at any age; and is none any more when it falls three times in about 300 rises.
 *
 * State: four numbers.
 */
export const COUNTER_SIZE = 4

const MODE = 0
/** Rises since the last fall, or the first reading. */
const RISES = 1
/** Event time of that, in minutes: single precision is exact to some of them. */
const SINCE = 2
/** Falls of late. */
const FALLS = 3

const GAUGE = 0
/** No fall since the first reading. */
const FRESH = 1
const SUSPECTED = 2
const COUNTER = 3
/** By the configuration; a fall is always a reset. */
const DECLARED = 4

const RISES_SUSPECTED = 20
const RISES_BELIEVED = 200
const MINUTES_BELIEVED = 24 * 60
const FALLS_MAX = 3
const FALL_FADES = 0.99
const RISES_MAX = 1e6

export function counterBegin(s: Float32Array, base: number, at: number, declared: boolean): void {
  s[base + MODE] = declared ? DECLARED : FRESH
  s[base + RISES] = 0
  s[base + SINCE] = at / 60_000
  s[base + FALLS] = 0
}

/** Its rate is what should be scored. */
export function isCounter(s: Float32Array, base: number): boolean {
  return s[base + MODE] >= SUSPECTED
}

/** @returns Whether it became, or ceased to be, a counter: what was learned of it is of no use then. */
export function counterLearn(
  s: Float32Array,
  base: number,
  at: number,
  value: number,
  last: number
): boolean {
  if (value === last) return false
  const before = isCounter(s, base)
  if (value < last) fall(s, base, at)
  else rise(s, base, at)
  return isCounter(s, base) !== before
}

function rise(s: Float32Array, base: number, at: number): void {
  const rises = Math.min(s[base + RISES] + 1, RISES_MAX)
  s[base + RISES] = rises
  s[base + FALLS] *= FALL_FADES
  if (s[base + MODE] === FRESH && rises >= RISES_SUSPECTED) s[base + MODE] = SUSPECTED
  const minutes = at / 60_000 - s[base + SINCE]
  if (s[base + MODE] < COUNTER && rises >= RISES_BELIEVED && minutes >= MINUTES_BELIEVED) {
    s[base + MODE] = COUNTER
    s[base + FALLS] = 0
  }
}

function fall(s: Float32Array, base: number, at: number): void {
  if (s[base + MODE] === DECLARED) return
  s[base + FALLS]++
  const reset = s[base + MODE] === COUNTER && s[base + FALLS] < FALLS_MAX
  if (reset) return
  s[base + MODE] = GAUGE
  s[base + RISES] = 0
  s[base + SINCE] = at / 60_000
}
