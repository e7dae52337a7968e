/**
 * Gain of an exponentially weighted mean that begins as a plain mean: `1/n` until that falls to
 * `floor`, so that the first readings are not given the weight of a whole memory.
 *
 * @param n Readings including this one, from 1.
 * @param floor Gain in the long run; the memory is about `2/floor − 1` readings.
 *
 * Source: S. W. Roberts, Control chart tests based on geometric moving averages, 1959.
 */
export function ewmaGain(n: number, floor: number): number {
  return Math.max(floor, 1 / n)
}

/** One step of an exponentially weighted mean. */
export function ewmaStep(mean: number, value: number, gain: number): number {
  return mean + gain * (value - mean)
}

/** Standard deviation of the EWMA of unit white noise, once it has run for long. */
export function ewmaDeviation(gain: number): number {
  return Math.sqrt(gain / (2 - gain))
}
