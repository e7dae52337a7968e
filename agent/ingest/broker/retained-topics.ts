export interface RetainedOptions {
  retained: 'keep' | 'drop'
  retainedTopicsMax: number
  retainedBytesMax: number
}

/** Which retained messages of devices are kept for local subscribers. */
export class RetainedTopics {
  #options: RetainedOptions
  /** Bytes by topic. */
  readonly #bytes = new Map<string, number>()
  #total = 0

  constructor(options: RetainedOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#bytes.size
  }

  /** For what comes from now on. */
  reconfigure(options: RetainedOptions): void {
    this.#options = options
  }

  /** Whether it is retained; an empty payload clears, and is always let through. */
  admits(topic: string, payloadBytes: number): boolean {
    const before = this.#bytes.get(topic) ?? 0
    if (payloadBytes === 0) {
      this.#bytes.delete(topic)
      this.#total -= before
      return true
    }
    const { retained, retainedTopicsMax, retainedBytesMax } = this.#options
    if (retained === 'drop') return false
    if (!this.#bytes.has(topic) && this.#bytes.size >= retainedTopicsMax) return false
    if (this.#total - before + payloadBytes > retainedBytesMax) return false
    this.#bytes.set(topic, payloadBytes)
    this.#total += payloadBytes - before
    return true
  }
}
