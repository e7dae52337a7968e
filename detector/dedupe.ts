import { RecentlyUsed } from './recently-used.ts'
import { type StateReader, StateWriter } from './state-bytes.ts'

/**
 * Highest record seen of every agent and epoch: what is not beyond it was seen before. Right because
 * an agent's records come in order, within the log at the edge and within a partition centrally.
 *
 * Bounded: past `max` pairs the longest unused is forgotten, and its records, should they ever come
 * again, count again.
 */
export class Dedupe {
  readonly #marks: RecentlyUsed<Mark>

  constructor(max = 4096) {
    this.#marks = new RecentlyUsed(max)
  }

  /**
   * @param index Which reading of the record, from 0: an array payload holds several.
   * @returns false when it was seen before.
   */
  pass(agentId: string, epoch: string, offset: number, index: number): boolean {
    const key = `${agentId}/${epoch}`
    const mark = this.#marks.find(key)
    if (!mark) {
      this.#marks.add(key, { offset, index })
      return true
    }
    if (offset < mark.offset || (offset === mark.offset && index <= mark.index)) return false
    this.#marks.use(key)
    mark.offset = offset
    mark.index = index
    return true
  }

  get stateBytesMax(): number {
    let bytes = 4
    for (const [key] of this.#marks) bytes += MARK_BYTES + StateWriter.textBytesMax(key)
    return bytes
  }

  save(writer: StateWriter): void {
    writer.count(this.#marks.size)
    for (const [key, { offset, index }] of this.#marks) {
      writer.text(key)
      writer.number(offset)
      writer.number(index)
    }
  }

  /** Into an empty one. Throws a RangeError when the bytes cannot be a state. */
  load(reader: StateReader): void {
    const count = reader.count(MARK_BYTES)
    for (let i = 0; i < count; i++) {
      this.#marks.add(reader.text(), { offset: reader.number(), index: reader.number() })
    }
  }
}

const MARK_BYTES = 4 + 2 * 8

/** The highest seen. */
interface Mark {
  offset: number
  index: number
}
