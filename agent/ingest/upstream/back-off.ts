import type { Prng } from '../../../core/runtime/prng.ts'

export interface BackOffLimits {
  readonly backOffMsMin: number
  readonly backOffMsMax: number
  readonly takeoverBackOffMsMax: number
}

/** Closed by the broker so many times in a row, soon after it had accepted us. */
const CLOSED_IN_A_ROW = 3
/** Two agents with one id begin this many doublings later than others. */
const TAKEOVER_DOUBLINGS = 3

/**
 * How long to wait for the next attempt: full jitter, between 0 and min(max, min · 2^failures).
 * Something stored, or a connection that lasted, begins anew.
 *
 * A session that is taken over has a count of its own: each of two clients with one id gets messages
 * and loses the session to the other, for ever. That count ends with a connection that outlasts the
 * other's longest pause. MQTT 3.1.1 has no word for it: it is guessed from closes in a row, between
 * which the broker could always be reached.
 *
 * Source: M. Brooker, Exponential backoff and jitter, AWS Architecture Blog, 2015.
 */
export class UpstreamBackOff {
  readonly #limits: BackOffLimits
  readonly #prng: Prng
  #failures = 0
  #takeovers = 0
  #closedInARow = 0

  constructor(limits: BackOffLimits, prng: Prng) {
    this.#limits = limits
    this.#prng = prng
  }

  get contested(): boolean {
    return this.#takeovers > 0
  }

  /** Something was stored and acknowledged. */
  succeeded(): void {
    this.#failures = 0
  }

  /** The broker said that another client took the session over. */
  takenOver(): void {
    this.#takeovers++
  }

  /**
   * The broker closed an accepted connection without a word.
   *
   * @returns Whether another client is to be suspected.
   */
  closedByBroker(): boolean {
    this.#closedInARow++
    if (this.#closedInARow < CLOSED_IN_A_ROW) return false
    this.#takeovers++
    return true
  }

  /** Nobody listens there: it is the broker that comes and goes. One that is taken over stays up. */
  unreachable(): void {
    this.#closedInARow = 0
  }

  /** @param lastedMs Of the connection, from its first packet. */
  lasted(lastedMs: number): void {
    const { backOffMsMax, takeoverBackOffMsMax } = this.#limits
    if (lastedMs >= backOffMsMax) {
      this.#failures = 0
      this.#closedInARow = 0
    }
    if (lastedMs >= 2 * takeoverBackOffMsMax) this.#takeovers = 0
  }

  nextMs(): number {
    const { backOffMsMin, backOffMsMax, takeoverBackOffMsMax } = this.#limits
    const grown = (doublings: number) => backOffMsMin * 2 ** Math.min(doublings, 20)
    const ceilingMs =
      this.#takeovers > 0
        ? Math.min(takeoverBackOffMsMax, grown(this.#takeovers + TAKEOVER_DOUBLINGS))
        : Math.min(backOffMsMax, grown(this.#failures))
    this.#failures++
    return ceilingMs * this.#prng.float()
  }
}
