import type {
  IHeaders,
  Kafka,
  KafkaMessage,
  Message,
  Producer,
  TopicMessages,
  Transaction
} from '../core/kafka/client.ts'
import { committedOffset } from '../core/kafka/mend-producer.ts'
import { type PartitionBounds, partitionBounds, readPartition } from '../core/kafka/partition.ts'
import { socketsOf } from '../core/kafka/sockets.ts'
import { pause, withDeadline } from '../core/runtime/deadline.ts'

/** A call is given up, and its connections broken, when it has not been answered by then. */
const CALL_MS_MAX = 15_000
/** Reading the whole state, and waiting for others' transactions in its partition. */
const READ_MS_MAX = 120_000
const CLOSE_MS_MAX = 2_000
/** After which Kafka itself ends the transaction of an instance that is gone for good. */
const TRANSACTION_MS = 30_000
/** Of one send: a broker takes 1 MiB for a partition at a time. */
const SEND_BYTES_MAX = 512 << 10
const SEND_RECORDS_MAX = 500
/** The transaction before is still being closed. */
const OFFSET_ATTEMPTS_MAX = 50
const OFFSET_PAUSE_MS = 20

export interface PartitionName {
  group: string
  topic: string
  partition: number
}

/** A record to be stored. */
export interface KafkaRecord {
  topic: string
  /** Absent: by the key. */
  partition?: number
  key: string | Buffer | null
  value: Buffer | string | null
  timestampMs?: number
  headers?: IHeaders
}

/**
 * One input partition as its owner sees it: a transactional producer of its own, whose id is the
 * partition's name. Whoever opened it last is the only one who can commit; its records and the group's
 * offset appear together.
 *
 * Any rejection spoils it, and the outcome is unknown: close, open anew, and go on from what
 * `committed` says.
 */
export class KafkaPartition {
  /** The group's committed offset, as it was when this was opened. */
  readonly committed: number | undefined
  /** What there is to read, as it was then. */
  readonly bounds: PartitionBounds
  readonly #name: PartitionName
  readonly #kafka: Kafka
  readonly #producer: Producer
  /** From the fencing; for the first commit. */
  #transaction: Transaction | undefined

  /**
   * Fences whoever had the partition before, then asks what it has committed: only in this order
   * nothing can be committed in between.
   *
   * @param kafka Of this session alone: its connections are broken when a call is not answered.
   */
  static async open(kafka: Kafka, name: PartitionName): Promise<KafkaPartition> {
    const { group, topic, partition } = name
    const producer = kafka.producer({
      transactionalId: transactionalIdOf(name),
      transactionTimeout: TRANSACTION_MS,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false
    })
    try {
      await call(kafka, 'connecting', producer.connect())
      const transaction = await call(kafka, 'fencing', producer.transaction())
      const { committed } = await call(
        kafka,
        'fetching the offset',
        committedOffset(producer, group, topic, partition)
      )
      const bounds = await call(
        kafka,
        'asking for the ends',
        partitionBounds(producer, topic, partition)
      )
      const offset = committed && Number(committed.offset)
      return new KafkaPartition({ name, kafka, producer, transaction, committed: offset, bounds })
    } catch (error) {
      await close(producer)
      throw error
    }
  }

  private constructor(parts: {
    name: PartitionName
    kafka: Kafka
    producer: Producer
    transaction: Transaction
    committed: number | undefined
    bounds: PartitionBounds
  }) {
    this.#name = parts.name
    this.#kafka = parts.kafka
    this.#producer = parts.producer
    this.#transaction = parts.transaction
    this.committed = parts.committed
    this.bounds = parts.bounds
  }

  /** The latest record of each key in the partition of the same number, of another topic. */
  async read(
    topic: string,
    take: (message: KafkaMessage) => void,
    signal: AbortSignal
  ): Promise<void> {
    const { partition } = this.#name
    const reading = readPartition(this.#producer, topic, partition, take, signal)
    await call(this.#kafka, `reading ${topic}`, reading, READ_MS_MAX)
  }

  /**
   * Stores records and moves the group's offset, all of it or nothing.
   *
   * @param offset Of the next record to be read.
   */
  async commit(records: readonly KafkaRecord[], offset: number): Promise<void> {
    const kafka = this.#kafka
    const transaction =
      this.#transaction ?? (await call(kafka, 'beginning', this.#producer.transaction()))
    this.#transaction = undefined
    for (const topicMessages of sendsOf(records)) {
      await call(kafka, 'sending', transaction.sendBatch({ acks: -1, topicMessages }))
    }
    await this.#sendOffset(transaction, offset)
    await call(kafka, 'committing', transaction.commit())
  }

  async close(): Promise<void> {
    await close(this.#producer)
  }

  async #sendOffset(transaction: Transaction, offset: number): Promise<void> {
    const { group, topic, partition } = this.#name
    const topics = [{ topic, partitions: [{ partition, offset: String(offset) }] }]
    for (let attempt = 1; ; attempt++) {
      try {
        const sending = transaction.sendOffsets({ consumerGroupId: group, topics })
        return await call(this.#kafka, 'sending the offset', sending)
      } catch (error) {
        // The client tries this again for a send, not for an offset.
        const { type } = error as { type?: string }
        if (type !== 'CONCURRENT_TRANSACTIONS' || attempt === OFFSET_ATTEMPTS_MAX) throw error
        await pause(OFFSET_PAUSE_MS)
      }
    }
  }
}

/** Names hold no slash: no two partitions share an id. */
export function transactionalIdOf({ group, topic, partition }: PartitionName): string {
  return `${group}/${topic}/${partition}`
}

async function call<T>(
  kafka: Kafka,
  what: string,
  calling: Promise<T>,
  ms = CALL_MS_MAX
): Promise<T> {
  try {
    return await withDeadline(what, ms, calling)
  } catch (error) {
    if ((error as Error).name === 'UnansweredError') socketsOf(kafka).break()
    throw error
  }
}

async function close(producer: Producer): Promise<void> {
  await withDeadline('closing', CLOSE_MS_MAX, producer.disconnect()).catch(() => {})
}

/** In their order, in sends that a broker takes. */
function* sendsOf(records: readonly KafkaRecord[]): Generator<TopicMessages[]> {
  let topics = new Map<string, Message[]>()
  let bytes = 0
  let count = 0
  for (const { topic, partition, key, value, timestampMs, headers } of records) {
    const size = (value?.length ?? 0) + (key?.length ?? 0)
    if (count > 0 && (bytes + size > SEND_BYTES_MAX || count === SEND_RECORDS_MAX)) {
      yield listOf(topics)
      topics = new Map()
      bytes = 0
      count = 0
    }
    const messages = topics.get(topic) ?? []
    topics.set(topic, messages)
    messages.push({
      ...{ key, value },
      ...(partition === undefined ? {} : { partition }),
      ...(timestampMs === undefined ? {} : { timestamp: String(Math.floor(timestampMs)) }),
      ...(headers ? { headers } : {})
    })
    bytes += size
    count++
  }
  if (count > 0) yield listOf(topics)
}

function listOf(topics: ReadonlyMap<string, Message[]>): TopicMessages[] {
  return [...topics].map(([topic, messages]) => ({ topic, messages }))
}
