import { ewmaGain, ewmaStep } from './ewma.ts'

/**
 * Size of a residual that an event cannot inflate: the square of the running mean of √|r|. One
 * residual a thousand times the usual, among a thousand, makes it 6 % larger; a standard deviation
 * grows thirtyfold and is blind from then on.
 *
 * 0.676 of a normal's standard deviation. For a signal that mostly stands still it is small, and its
 * ordinary movements look large: a threshold must come from their own tail (see tail.ts).
 *
 * Source: M. Shao & C. L. Nikias, Signal processing with fractional lower order moments, 1993.
 */
export function rootScale(root: number): number {
  return root * root
}

/** @param n Residuals learned, this one included. */
export function rootStep(root: number, residual: number, n: number, gain: number): number {
  return ewmaStep(root, Math.sqrt(Math.abs(residual)), ewmaGain(n, gain))
}
