import { pause } from '../../core/runtime/deadline.ts'
import type { Prng } from '../../core/runtime/prng.ts'

const DELAY_MS_MIN = 100
const DELAY_MS_MAX = 2_000

/** Waits that grow and differ: a fleet must not come back in step. At most 2 s, so that an outage's
 * end is noticed soon. */
export class Backoff {
  readonly #prng: Prng
  #delayMs = DELAY_MS_MIN

  constructor(prng: Prng) {
    this.#prng = prng
  }

  reset(): void {
    this.#delayMs = DELAY_MS_MIN
  }

  async wait(signal: AbortSignal): Promise<void> {
    const jitter = 0.5 + this.#prng.float() / 2
    await pause(this.#delayMs * jitter, signal)
    this.#delayMs = Math.min(DELAY_MS_MAX, this.#delayMs * 2)
  }
}
