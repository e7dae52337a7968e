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
  readonly #clear: (topic: string) => void
  #total = 0

  /** @param clear Takes what is retained for the topic out. */
  constructor(options: RetainedOptions, clear: (topic: string) => void) {
    this.#options = options
    this.#clear = clear
  }

  /** Topics that have a place. */
  get size(): number {
    return this.#bytes.size
  }

  /** For what comes from now on. */
  reconfigure(options: RetainedOptions): void {
    this.#options = options
  }

  /**
   * Whether it is retained; an empty payload clears, and is always let through. What is not takes the
   * one before with it: to a later subscriber that would be the topic's last word (§3.3.1.3). Its place
   * stays taken: it may still be on its way to where retained messages are kept.
   */
  admits(topic: string, payloadBytes: number): boolean {
    const before = this.#bytes.get(topic)
    if (payloadBytes === 0) {
      this.#bytes.delete(topic)
      this.#total -= before ?? 0
      return true
    }
    if (!this.#hasRoom(before, payloadBytes)) {
      if (before !== undefined) this.#clear(topic)
      return false
    }
    this.#bytes.set(topic, payloadBytes)
    this.#total += payloadBytes - (before ?? 0)
    return true
  }

  #hasRoom(before: number | undefined, payloadBytes: number): boolean {
    const { retained, retainedTopicsMax, retainedBytesMax } = this.#options
    if (retained === 'drop') return false
    if (before === undefined && this.#bytes.size >= retainedTopicsMax) return false
    return this.#total - (before ?? 0) + payloadBytes <= retainedBytesMax
  }
}
