import { ewmaGain, ewmaStep } from './ewma.ts'

/**
 * Where to draw a line for numbers that ought to be a normal's deviations and often are not: as far
 * out in their own tail as the line asked for lies in a normal's.
 *
 * Above a running 98 % quantile, the mean logarithm of the excess is Hill's estimate of how heavy the
 * tail is; the line is moved out by the same power. It is never nearer than for a normal.
 *
 * State: three numbers of an array, from `base` on: quantile, mean excess, numbers to pass over. An
 * excess counts at most 8 times the usual, and those of the next 20 numbers not at all: one event.
 *
 * Works for numbers ≥ 0, heavy-tailed or not. A series in which large ones are usual gets a line that
 * hardly anything reaches. Cost: 12 bytes, O(1).
 *
 * Source: B. M. Hill, A simple general approach to inference about the tail of a distribution, 1975.
 */
export const HILL_SIZE = 3

/** Of a normal: where its last 2 % begin, and the mean logarithm of the excess there. */
const NORMAL_QUANTILE = 2.4
const NORMAL_EXCESS = 0.13
const TAIL_SHARE = 0.02
const STEP = 0.01
const QUANTILE_MIN = 1
/** The excess is remembered over about 100, and begins as if ten of a normal had been seen. */
const GAIN = 0.02
const PRIOR_EXCESSES = 10
const EXCESS_MAX = 8
const REST = 20
/** Beyond it, nothing is told from anything. */
const LINE_MAX = 1e5

/** Begins as a normal. */
export function hillBegin(state: Float32Array, base: number): void {
  state[base] = NORMAL_QUANTILE
  state[base + 1] = NORMAL_EXCESS
  state[base + 2] = 0
}

/** @param deviations The line for a normal. */
export function hillLine(state: Float32Array, base: number, deviations: number): number {
  const quantile = Math.max(NORMAL_QUANTILE, state[base])
  const heavier = Math.max(1, state[base + 1] / NORMAL_EXCESS)
  return Math.min(LINE_MAX, quantile * (deviations / NORMAL_QUANTILE) ** heavier)
}

/** @param n Numbers learned before. */
export function hillLearn(state: Float32Array, base: number, value: number, n: number): void {
  if (state[base + 2] > 0) {
    state[base + 2]--
    return
  }
  const quantile = state[base]
  if (value <= quantile) {
    state[base] = Math.max(QUANTILE_MIN, quantile - STEP * TAIL_SHARE)
    return
  }
  const usual = state[base + 1]
  const excess = Math.min(Math.log(value / quantile), EXCESS_MAX * usual)
  state[base + 1] = ewmaStep(usual, excess, ewmaGain(PRIOR_EXCESSES + TAIL_SHARE * n, GAIN))
  state[base] = quantile + STEP * (1 - TAIL_SHARE)
  state[base + 2] = REST
}
