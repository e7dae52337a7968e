/**
 * Values by name, of which the longest unused is forgotten when there are too many. What is used is
 * only numbered: a Map that is deleted from and added to at every use is built anew all the time.
 */
export class RecentlyUsed<V> {
  readonly #max: number
  readonly #entries = new Map<string, { value: V; used: number }>()
  #uses = 0

  /** @param max 1… */
  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#entries.size
  }

  /** Without using it. */
  find(key: string): V | undefined {
    return this.#entries.get(key)?.value
  }

  /** Now the most recently used. */
  use(key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    entry.used = ++this.#uses
    return entry.value
  }

  /** One that is not there yet. O(`max`) when one must go. */
  add(key: string, value: V): void {
    this.#entries.set(key, { value, used: ++this.#uses })
    if (this.#entries.size <= this.#max) return
    let oldest = key
    let least = this.#uses
    for (const [other, { used }] of this.#entries) {
      if (used >= least) continue
      oldest = other
      least = used
    }
    this.#entries.delete(oldest)
  }

  /** Longest unused first. */
  *[Symbol.iterator](): Iterator<[key: string, value: V]> {
    const entries = [...this.#entries].sort(([, a], [, b]) => a.used - b.used)
    for (const [key, { value }] of entries) yield [key, value]
  }
}
