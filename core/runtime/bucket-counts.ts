/** What a histogram has counted: plain data, to be handed from thread to thread. */
export interface BucketTotals {
  /** One for each bound, and one for what is above the last. */
  counts: number[]
  sum: number
}

/** A histogram's counts, where the metrics library is not: some fifty nanoseconds a value. */
export class BucketCounts {
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[]
  readonly totals: BucketTotals

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.totals = noTotals(bounds)
  }

  observe(value: number): void {
    const { bounds, totals } = this
    let bucket = 0
    while (bucket < bounds.length && value > bounds[bucket]) bucket++
    totals.counts[bucket]++
    totals.sum += value
  }
}

export function noTotals(bounds: readonly number[]): BucketTotals {
  return { counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 }
}

/** @param b Of the same bounds. */
export function sumOfTotals(a: BucketTotals, b: BucketTotals): BucketTotals {
  return { counts: a.counts.map((count, i) => count + b.counts[i]), sum: a.sum + b.sum }
}
