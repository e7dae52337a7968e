/** How fast a counter rises, over the last moments. */
export class RateMeter {
  readonly #windowMs: number
  #samples: { at: number; count: number }[] = []

  constructor(windowMs = 2_000) {
    this.#windowMs = windowMs
  }

  /** @param at Monotonic ms. A count below the last one comes of a restart: it begins anew. */
  add(at: number, count: number): void {
    const last = this.#samples.at(-1)
    if (last && count < last.count) this.#samples = []
    this.#samples.push({ at, count })
    while (this.#samples.length > 2 && this.#samples[1].at <= at - this.#windowMs) {
      this.#samples.shift()
    }
  }

  /** Per second; 0 until two samples are there. */
  get perSecond(): number {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (!first || !last || last.at <= first.at) return 0
    return ((last.count - first.count) * 1000) / (last.at - first.at)
  }

  reset(): void {
    this.#samples = []
  }
}
