import type { Clock } from '../../core/runtime/clock.ts'

const SECONDS = 5

/** How many a second, exponentially averaged over about 5 s. */
export class AverageRate {
  readonly #clock: Clock
  #perSecond = 0
  #countedAt: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#countedAt = clock.monotonic()
  }

  get perSecond(): number {
    return this.#perSecond
  }

  /** So many since the last call. */
  count(amount: number): void {
    const now = this.#clock.monotonic()
    const seconds = Math.max(1e-3, (now - this.#countedAt) / 1000)
    this.#countedAt = now
    this.#perSecond += (1 - Math.exp(-seconds / SECONDS)) * (amount / seconds - this.#perSecond)
  }
}
