const BUCKETS_PER_DECADE = 48
const LOWEST_MS = 0.01
const DECADES = 8

/**
 * Latencies in buckets of equal ratio: quantiles within 5 %, in fixed memory (3 KB).
 * Above 1,000 s everything falls into the last bucket; the maximum is exact.
 */
export class LatencyHistogram {
  readonly #counts = new Float64Array(BUCKETS_PER_DECADE * DECADES + 1)
  #count = 0
  #maxMs = 0

  record(ms: number): void {
    const place = Math.ceil(Math.log10(Math.max(ms, LOWEST_MS) / LOWEST_MS) * BUCKETS_PER_DECADE)
    this.#counts[Math.min(place, this.#counts.length - 1)]++
    this.#count++
    if (ms > this.#maxMs) this.#maxMs = ms
  }

  /** @returns The quantile in ms, e.g. 0.99; 0 when nothing was recorded. */
  quantile(share: number): number {
    if (this.#count === 0) return 0
    const rank = Math.max(1, Math.ceil(share * this.#count))
    let seen = 0
    for (let i = 0; i < this.#counts.length; i++) {
      seen += this.#counts[i]
      if (seen >= rank) {
        return Math.min(LOWEST_MS * 10 ** (i / BUCKETS_PER_DECADE), this.#maxMs)
      }
    }
    return this.#maxMs
  }

  get maxMs(): number {
    return this.#maxMs
  }
}
