/**
 * Mean and variance in one pass, without keeping the values.
 *
 * Works for any number of finite values; forgets nothing, so it is no baseline for a signal that
 * wanders. Cost: 24 bytes, O(1).
 *
 * Source: B. P. Welford, Note on a method for calculating corrected sums of squares and products,
 * Technometrics 4 (1962).
 */
export class Welford {
  count = 0
  mean = 0
  #squares = 0

  /** @param value Finite. */
  add(value: number): void {
    this.count++
    const delta = value - this.mean
    this.mean += delta / this.count
    this.#squares += delta * (value - this.mean)
  }

  /** Of the sample, with n − 1; 0 below two values. */
  get variance(): number {
    return this.count < 2 ? 0 : this.#squares / (this.count - 1)
  }

  get deviation(): number {
    return Math.sqrt(this.variance)
  }
}
