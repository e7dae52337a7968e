/**
 * How far a number lies beyond its own usual extremes: its excess over a running high quantile, in
 * units of the usual excess. Whatever the numbers are, the answer means the same: with an exponential
 * tail it is exceeded once in `e^answer / (1 − QUANTILE)` numbers, so one threshold fits every series.
 *
 * State: three numbers of an array, from `base` on: quantile, mean excess, excesses counted.
 *
 * Works for numbers ≥ 0 and of the order of 1 – the quantile moves in steps of their unit – with a
 * tail not much heavier than exponential. The first few hundred say little: the prior then speaks. A lasting change is taken for usual after some hundreds.
 * Cost: 12 bytes, O(1).
 *
 * Sources: H. Robbins & S. Monro, 1951 (running quantile); A. Siffer et al., Anomaly detection in
 * streams with extreme value theory, KDD 2017 (SPOT; here the tail's shape γ is 0).
 */
export const TAIL_SIZE = 3

/** Once in fifty. */
const QUANTILE = 0.98
/** Least step of the quantile, in units of what is watched. */
const STEP_MIN = 0.002
/** Excesses that the mean remembers, and those that a new one pretends to have seen. */
const MEMORY = 200
const PRIOR_WEIGHT = 2
const PRIOR_EXCESS = 1
const DOUBT_WEIGHT = 10
/** One excess counts at most this many times the mean. */
const EXCESS_MAX = 8
const EXCESS_MIN = 1e-3

/** @returns 0 up to the quantile, then how many usual excesses beyond it. */
export function tailScore(state: Float32Array, base: number, value: number): number {
  const excess = value - state[base]
  if (excess <= 0) return 0
  return excess / (state[base + 2] === 0 ? PRIOR_EXCESS : state[base + 1])
}

/** @param n Numbers learned before this one. */
export function tailLearn(state: Float32Array, base: number, value: number, n: number): void {
  if (state[base + 2] === 0) {
    state[base + 1] = PRIOR_EXCESS
    state[base + 2] = PRIOR_WEIGHT
  }
  const quantile = state[base]
  const step = Math.max(STEP_MIN, 1 / (n + 101))
  if (value <= quantile) {
    state[base] = Math.max(0, quantile - step * (1 - QUANTILE))
    return
  }
  const mean = state[base + 1]
  const weight = Math.min(state[base + 2] + 1, MEMORY)
  const excess = Math.min(value - quantile, EXCESS_MAX * mean)
  state[base] = quantile + step * QUANTILE
  state[base + 1] = Math.max(EXCESS_MIN, mean + (excess - mean) / weight)
  state[base + 2] = weight
}

/** What is watched has changed its nature: the mean excess is soon another. */
export function tailDoubt(state: Float32Array, base: number): void {
  state[base + 2] = Math.min(state[base + 2], DOUBT_WEIGHT)
}
