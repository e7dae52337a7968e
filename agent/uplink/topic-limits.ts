import { type OutgoingRecord, outgoingBytes } from './outgoing-record.ts'

/** A limit that was found is forgotten after so long: an operator may have raised it. */
const KNOWN_MS_MAX = 3_600_000
const TOPICS_MAX = 1_000
/** Below this, splitting costs less than looking. */
const LIMIT_BYTES_MIN = 1_024

interface Limit {
  bytesMax: number
  /** The most that was stored at once since. */
  storedBytes: number
  foundAt: number
}

/**
 * How much of a topic one request may hold, learned from those that were too large: the next batches
 * are cut before they are refused. What counts for Kafka is a partition's share, after compression;
 * a topic's whole share before it is never less.
 */
export class TopicLimits {
  readonly #limits = new Map<string, Limit>()
  readonly #now: () => number

  /** @param now Monotonic, ms. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Undefined while no limit is known. */
  get bytesMax(): ((topic: string) => number) | undefined {
    return this.#limits.size > 0 ? topic => this.#bytesMaxOf(topic) : undefined
  }

  /** Kafka found this too large: for its largest topic half as much will be tried. */
  refused(records: readonly OutgoingRecord[]): void {
    const [topic, bytes] = [...bytesByTopic(records)].reduce((a, b) => (b[1] > a[1] ? b : a))
    const largest = Math.max(
      ...records.map(each => (each.topic === topic ? outgoingBytes(each) : 0))
    )
    // One record is at fault: nothing is learned about the others.
    if (records.length < 2 || largest > bytes / 2) return
    const known = this.#limits.get(topic)
    const storedBytes = known && known.storedBytes < bytes ? known.storedBytes : 0
    const bytesMax = Math.max(LIMIT_BYTES_MIN, storedBytes, Math.floor(bytes / 2))
    this.#limits.delete(topic)
    this.#limits.set(topic, { bytesMax, storedBytes, foundAt: this.#now() })
    if (this.#limits.size > TOPICS_MAX) this.#limits.delete(this.#limits.keys().next().value!)
  }

  stored(records: readonly OutgoingRecord[]): void {
    if (this.#limits.size === 0) return
    for (const [topic, bytes] of bytesByTopic(records)) {
      const limit = this.#limits.get(topic)
      if (limit) limit.storedBytes = Math.max(limit.storedBytes, bytes)
    }
  }

  #bytesMaxOf(topic: string): number {
    const limit = this.#limits.get(topic)
    if (!limit) return Number.POSITIVE_INFINITY
    if (this.#now() - limit.foundAt > KNOWN_MS_MAX) {
      this.#limits.delete(topic)
      return Number.POSITIVE_INFINITY
    }
    return limit.bytesMax
  }
}

function bytesByTopic(records: readonly OutgoingRecord[]): Map<string, number> {
  const topics = new Map<string, number>()
  for (const record of records) {
    topics.set(record.topic, (topics.get(record.topic) ?? 0) + outgoingBytes(record))
  }
  return topics
}
