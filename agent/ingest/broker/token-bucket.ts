/**
 * Allows `perSecond` on the average, and as many at once as two seconds bring. May go into debt, as
 * what a socket has delivered is here already.
 */
export class TokenBucket {
  readonly #perMs: number
  readonly #size: number
  #tokens: number
  #at: number

  /** @param now Monotonic, ms. */
  constructor(perSecond: number, now: number) {
    this.#perMs = perSecond / 1000
    this.#size = 2 * perSecond
    this.#tokens = this.#size
    this.#at = now
  }

  /** Takes one if there is one. */
  tryTake(now: number): boolean {
    this.#refill(now)
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** Takes in any case. @returns How long until the debt is paid, ms. */
  take(count: number, now: number): number {
    this.#refill(now)
    this.#tokens -= count
    return this.#tokens >= 0 ? 0 : Math.ceil(-this.#tokens / this.#perMs)
  }

  /** Whether it is as if it were new. */
  isFull(now: number): boolean {
    this.#refill(now)
    return this.#tokens >= this.#size
  }

  #refill(now: number): void {
    this.#tokens = Math.min(this.#size, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
  }
}
