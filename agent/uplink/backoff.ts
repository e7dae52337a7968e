import { pause } from '../../core/runtime/deadline.ts'
import type { Prng } from '../../core/runtime/prng.ts'

const DELAY_MS_MIN = 100
const DELAY_MS_MAX = 2_000

/**
 * Waits that grow and differ: a fleet must not come back in step. At most 2 s unless told otherwise,
 * so that an outage's end is noticed soon.
 */
export class Backoff {
  readonly #prng: Prng
  readonly #delayMsMin: number
  readonly #delayMsMax: number
  #delayMs: number

  constructor(prng: Prng, delayMsMin = DELAY_MS_MIN, delayMsMax = DELAY_MS_MAX) {
    this.#prng = prng
    this.#delayMsMin = delayMsMin
    this.#delayMsMax = delayMsMax
    this.#delayMs = delayMsMin
  }

  reset(): void {
    this.#delayMs = this.#delayMsMin
  }

  async wait(signal: AbortSignal): Promise<void> {
    const jitter = 0.5 + this.#prng.float() / 2
    await pause(this.#delayMs * jitter, signal)
    this.#delayMs = Math.min(this.#delayMsMax, this.#delayMs * 2)
  }
}
