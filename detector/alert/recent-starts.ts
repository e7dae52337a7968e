/** Alerts remembered after their end. */
const KEPT_MAX = 4096
/** A clock that stands still names alerts 1 ms apart, for so long. */
const STILL_MS_MAX = 1000

/**
 * When the last alert of each group started: an alert is named for its start, and a clock that stands
 * still, or an on-delay that counts readings of before, must not give a name again.
 *
 * Bounded: the one whose alert ended longest ago is forgotten.
 */
export class RecentStarts {
  readonly #starts = new Map<string, number>()

  /** @param at Event time of the first reading counted. @returns It, or the next free instant. */
  after(key: string, at: number): number {
    const last = this.#starts.get(key)
    if (last === undefined || at > last || last - at > STILL_MS_MAX) return at
    return last + 1
  }

  ended(key: string, startedAt: number): void {
    this.#starts.delete(key)
    this.#starts.set(key, startedAt)
    if (this.#starts.size <= KEPT_MAX) return
    for (const oldest of this.#starts.keys()) {
      this.#starts.delete(oldest)
      return
    }
  }

  snapshot(): [key: string, startedAt: number][] {
    return [...this.#starts]
  }

  restore(starts: readonly [key: string, startedAt: number][]): void {
    this.#starts.clear()
    for (const [key, startedAt] of starts) this.#starts.set(key, startedAt)
  }
}
