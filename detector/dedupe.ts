/**
 * Highest record seen of every agent and epoch: what is not beyond it was seen before. Right because
 * an agent's records come in order, within the log at the edge and within a partition centrally.
 *
 * Bounded: past `max` pairs the longest unused is forgotten, and its records, should they ever come
 * again, count again.
 */
export class Dedupe {
  readonly #max: number
  readonly #marks = new Map<string, Mark>()

  constructor(max = 4096) {
    this.#max = max
  }

  /**
   * @param index Which reading of the record, from 0: an array payload holds several.
   * @returns false when it was seen before.
   */
  pass(agentId: string, epoch: string, offset: number, index: number): boolean {
    const key = `${agentId}/${epoch}`
    const mark = this.#marks.get(key)
    if (mark && (offset < mark[0] || (offset === mark[0] && index <= mark[1]))) return false
    this.#marks.delete(key)
    this.#marks.set(key, [offset, index])
    if (this.#marks.size > this.#max) {
      for (const oldest of this.#marks.keys()) {
        this.#marks.delete(oldest)
        break
      }
    }
    return true
  }

  snapshot(): [string, Mark][] {
    return [...this.#marks]
  }

  restore(marks: [string, Mark][]): void {
    this.#marks.clear()
    for (const [key, mark] of marks) this.#marks.set(key, mark)
  }
}

/** Offset, index. */
export type Mark = [number, number]
