import { toDeadLetter } from '../routing/dead-letter.ts'
import { type OutgoingRecord, outgoingBytes } from './outgoing-record.ts'
import type { Verdict } from './verdict.ts'

const RESTAMP_MS_MIN = 60_000

/** What one send may hold. A single larger record goes alone. */
export interface ChunkLimits {
  bytesMax: number
  recordsMax: number
  /** Of one topic; absent while no topic's limit is known. */
  topicBytesMax: ((topic: string) => number) | undefined
}

/**
 * A batch on its way, in chunks that are sent one after the other: one at first, more where a send
 * may not be so large, or Kafka found it too large. Order is kept within a topic; a single record that
 * can never be stored is exchanged for its dead letter.
 */
export class Chunks {
  readonly #deadLetterTopic: string
  readonly #onDeadLetter: (reason: string) => void
  #chunks: OutgoingRecord[][]
  #isRefined = false

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

  /** Whether its records are no longer those it was made of, in their order. */
  get isRefined(): boolean {
    return this.#isRefined
  }

  /** The first chunk is stored. */
  shift(): void {
    this.#chunks.shift()
  }

  /** Cuts every chunk that is larger. Not while the fate of one is open and its like must follow. */
  cut(limits: ChunkLimits): void {
    this.#chunks = this.#chunks.flatMap(chunk => cutOne(chunk, limits))
  }

  /**
   * A chunk for each topic of this one: the one that is refused is then known by name.
   *
   * @returns false when it has only one.
   */
  splitByTopic(index: number): boolean {
    const topics = new Map<string, OutgoingRecord[]>()
    for (const record of this.#chunks[index] ?? []) {
      const own = topics.get(record.topic)
      if (own) own.push(record)
      else topics.set(record.topic, [record])
    }
    if (topics.size < 2) return false
    this.#chunks.splice(index, 1, ...topics.values())
    this.#isRefined = true
    return true
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
    const reason = verdict.reason ?? 'refused'
    if (record.topic === this.#deadLetterTopic) {
      return reason === 'invalid_timestamp' && this.#restamp(index, record)
    }
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
    this.#isRefined = true
    this.#onDeadLetter(reason)
    return true
  }

  /** A dead letter's own time is in its headers: no limit of its topic may keep it. */
  #restamp(index: number, letter: OutgoingRecord): boolean {
    const now = Date.now()
    // The present one was refused already: a clock is wrong.
    if (Math.abs(now - letter.timestampMs) < RESTAMP_MS_MIN) return false
    this.#chunks[index] = [{ ...letter, timestampMs: now }]
    this.#isRefined = true
    return true
  }
}

function cutOne(chunk: OutgoingRecord[], limits: ChunkLimits): OutgoingRecord[][] {
  const chunks: OutgoingRecord[][] = []
  let first = 0
  let bytes = 0
  const { topicBytesMax } = limits
  const ofTopic = new Map<string, number>()
  const shareOf = (topic: string) => ofTopic.get(topic) ?? 0
  for (const [index, record] of chunk.entries()) {
    const own = outgoingBytes(record)
    const isFull =
      bytes + own > limits.bytesMax ||
      index - first >= limits.recordsMax ||
      (topicBytesMax && shareOf(record.topic) + own > topicBytesMax(record.topic))
    if (isFull && index > first) {
      chunks.push(chunk.slice(first, index))
      first = index
      bytes = 0
      ofTopic.clear()
    }
    bytes += own
    if (topicBytesMax) ofTopic.set(record.topic, shareOf(record.topic) + own)
  }
  chunks.push(first === 0 ? chunk : chunk.slice(first))
  return chunks
}
