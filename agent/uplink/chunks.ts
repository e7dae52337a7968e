import { toDeadLetter } from '../routing/dead-letter.ts'
import type { Verdict } from './kafka-errors.ts'
import type { OutgoingRecord } from './outgoing-record.ts'

/**
 * A batch on its way, in chunks that are sent one after the other: one at first, more once Kafka
 * found it too large. Order is kept; a single record that can never be stored is exchanged for its
 * dead letter.
 */
export class Chunks {
  readonly #deadLetterTopic: string
  readonly #onDeadLetter: (reason: string) => void
  #chunks: OutgoingRecord[][]

  constructor(
    records: OutgoingRecord[],
    deadLetterTopic: string,
    onDeadLetter: (reason: string) => void
  ) {
    this.#chunks = records.length > 0 ? [records] : []
    this.#deadLetterTopic = deadLetterTopic
    this.#onDeadLetter = onDeadLetter
  }

  get all(): readonly (readonly OutgoingRecord[])[] {
    return this.#chunks
  }

  get first(): readonly OutgoingRecord[] | undefined {
    return this.#chunks[0]
  }

  /** The first chunk is stored. */
  shift(): void {
    this.#chunks.shift()
  }

  /**
   * Makes the refused chunk smaller, or its only record a dead letter.
   *
   * @returns false when nothing can be made of it: the dead letter itself was refused.
   */
  refine(index: number, verdict: Verdict): boolean {
    const chunk = this.#chunks[index]
    if (chunk.length > 1) {
      const middle = chunk.length >> 1
      this.#chunks.splice(index, 1, chunk.slice(0, middle), chunk.slice(middle))
      return true
    }
    const [record] = chunk
    if (record.topic === this.#deadLetterTopic) return false
    const reason = verdict.reason ?? 'refused'
    const letter = toDeadLetter(
      record,
      this.#deadLetterTopic,
      'produce',
      reason,
      `${verdict.code}: ${verdict.message}`
    )
    // The time that its own topic refused must not be refused again.
    if (reason === 'invalid_timestamp') letter.timestampMs = Date.now()
    this.#chunks[index] = [letter]
    this.#onDeadLetter(reason)
    return true
  }
}
