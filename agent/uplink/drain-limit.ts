import type { Clock } from '../../core/runtime/clock.ts'

export interface DrainRate {
  /** A second; null: no limit. */
  records: number | null
  /** Wire bytes a second; null: no limit. */
  bytes: number | null
}

/** What may be sent at once of a second's worth: an even flow, not a gush a second. */
const SLICE_MS = 250

/**
 * How fast a backlog may leave: two token buckets that hold nothing, so that what was sent is paid for
 * afterwards by waiting, and a record larger than a second's worth passes too.
 */
export class DrainLimit {
  readonly #rate: DrainRate
  readonly #clock: Clock
  #freeAt = 0

  constructor(rate: DrainRate, clock: Clock) {
    this.#rate = rate
    this.#clock = clock
  }

  get isUnlimited(): boolean {
    return this.#rate.records === null && this.#rate.bytes === null
  }

  /** Until the next may go, ms; 0: now. */
  get waitMs(): number {
    return Math.max(0, this.#freeAt - this.#clock.monotonic())
  }

  /** The most that may go at once; never nothing. */
  get slice(): { records: number; bytes: number } {
    const sliceOf = (rate: number | null) =>
      rate === null ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor((rate * SLICE_MS) / 1000))
    return { records: sliceOf(this.#rate.records), bytes: sliceOf(this.#rate.bytes) }
  }

  /** These are on their way: the next ones wait for as long as these may take. */
  spend(records: number, bytes: number): void {
    const msOf = (amount: number, rate: number | null) =>
      rate === null ? 0 : (amount / rate) * 1000
    const ms = Math.max(msOf(records, this.#rate.records), msOf(bytes, this.#rate.bytes))
    this.#freeAt = Math.max(this.#freeAt, this.#clock.monotonic()) + ms
  }
}
