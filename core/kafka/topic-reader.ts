import { withDeadline } from '../runtime/deadline.ts'
import type { Kafka, KafkaMessage, Producer } from './client.ts'
import { partitionsOf, readPartition } from './partition.ts'
import { socketsOf } from './sockets.ts'

/** A call is given up, and its connections broken, when it has not been answered by then. */
const CALL_MS_MAX = 15_000
/** Of what has come since, or of a whole compacted topic. */
const READ_MS_MAX = 120_000
const CLOSE_MS_MAX = 2_000

/**
 * All of a topic, without a group: from its beginning to its end, then what came since. Whatever
 * rejects spoils it: close, and open anew.
 */
export class TopicReader {
  readonly #kafka: Kafka
  readonly #producer: Producer
  readonly #topic: string
  readonly #next: Map<number, number | undefined>

  /**
   * @param kafka Of this reader alone.
   * @param next Where an earlier reader was to go on; else at the beginning.
   * @throws The client's error: UNKNOWN_TOPIC_OR_PARTITION when there is no such topic.
   */
  static async open(
    kafka: Kafka,
    topic: string,
    next: ReadonlyMap<number, number | undefined> = new Map()
  ): Promise<TopicReader> {
    const producer = kafka.producer({ allowAutoTopicCreation: false })
    const reader = new TopicReader(kafka, producer, topic, next)
    try {
      await reader.#call('connecting', producer.connect())
      const partitions = await reader.#call('asking for the topic', partitionsOf(producer, topic))
      for (const partition of partitions) reader.#next.set(partition, next.get(partition))
      return reader
    } catch (error) {
      await reader.close()
      throw error
    }
  }

  private constructor(
    kafka: Kafka,
    producer: Producer,
    topic: string,
    next: ReadonlyMap<number, number | undefined>
  ) {
    this.#kafka = kafka
    this.#producer = producer
    this.#topic = topic
    this.#next = new Map(next)
  }

  /** Where to go on, by partition. */
  get next(): ReadonlyMap<number, number | undefined> {
    return this.#next
  }

  /**
   * Reads to what is the end now.
   *
   * @param take Called for each record, those of a partition in their order.
   */
  async read(take: (message: KafkaMessage) => void, signal?: AbortSignal): Promise<void> {
    for (const [partition, from] of this.#next) {
      const reading = readPartition(this.#producer, this.#topic, partition, take, signal, from)
      this.#next.set(partition, await this.#call('reading', reading, READ_MS_MAX))
    }
  }

  /** Never rejects. */
  async close(): Promise<void> {
    await withDeadline('closing', CLOSE_MS_MAX, this.#producer.disconnect()).catch(() => {})
    socketsOf(this.#kafka).close()
  }

  async #call<T>(what: string, call: Promise<T>, ms = CALL_MS_MAX): Promise<T> {
    try {
      return await withDeadline(`${what} (${this.#topic})`, ms, call)
    } catch (error) {
      if ((error as Error).name === 'UnansweredError') socketsOf(this.#kafka).break()
      throw error
    }
  }
}
