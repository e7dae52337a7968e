const TAU_MS = 60_000
/** What came within less tells nothing of a rate. */
const AGE_MS_MIN = 1_000

/**
 * How often something comes, forgetting by half every 42 s (a time constant of a minute).
 *
 * Exact from the second event on: a device that sends once a second shows 1 after two seconds, not
 * after minutes, as the weight of the time before it was known is left out. The first event only
 * begins the time. What comes less often than every few minutes shows as next to nothing between.
 */
export class DeviceRate {
  readonly sinceAt: number
  #level: number
  #at: number

  /** @param sinceAt Of the first event, epoch ms. */
  constructor(sinceAt: number, level = 0, at = sinceAt) {
    this.sinceAt = sinceAt
    this.#level = level
    this.#at = at
  }

  /** Events, those of long ago hardly. As of the last one. */
  get level(): number {
    return this.#level
  }

  /** A further event. A clock that was put back counts it as of the same instant. */
  count(at: number): void {
    if (at > this.#at) this.#level *= Math.exp((this.#at - at) / TAU_MS)
    this.#level++
    this.#at = at
  }

  perSecond(now: number): number {
    if (this.#level === 0) return 0
    const ageMs = Math.max(AGE_MS_MIN, now - this.sinceAt)
    const level = this.#level * Math.exp(Math.min(0, this.#at - now) / TAU_MS)
    return (1000 * level) / TAU_MS / -Math.expm1(-ageMs / TAU_MS)
  }
}
