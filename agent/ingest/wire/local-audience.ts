import { filterMatches } from '../topic-filter.ts'

/** Topics whose answer is remembered; beyond it all are forgotten and found out anew. */
const TOPICS_MAX = 10_000

/**
 * Which topics somebody on this box has subscribed to: messages on others need not go through aedes.
 * Knows filters as often as they are subscribed.
 */
export class LocalAudience {
  readonly #filters = new Map<string, number>()
  readonly #answers = new Map<string, boolean>()

  add(filter: string): void {
    this.#filters.set(filter, (this.#filters.get(filter) ?? 0) + 1)
    this.#answers.clear()
  }

  remove(filter: string): void {
    const count = this.#filters.get(filter)
    if (count === undefined) return
    if (count > 1) this.#filters.set(filter, count - 1)
    else this.#filters.delete(filter)
    this.#answers.clear()
  }

  has(topic: string): boolean {
    if (this.#filters.size === 0) return false
    const known = this.#answers.get(topic)
    if (known !== undefined) return known
    let found = false
    for (const filter of this.#filters.keys()) {
      if (!filterMatches(filter, topic)) continue
      found = true
      break
    }
    if (this.#answers.size >= TOPICS_MAX) this.#answers.clear()
    this.#answers.set(topic, found)
    return found
  }
}
