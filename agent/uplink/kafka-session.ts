import { withDeadline } from '../../core/runtime/deadline.ts'
import type { Kafka, Producer, TopicMessages, Transaction } from '../../core/runtime/kafka.ts'
import { judge } from './kafka-errors.ts'
import type { OutgoingRecord } from './outgoing-record.ts'

/** Longest wait for a connection, a login, an InitProducerId. */
const CONNECT_MS_MAX = 30_000
const CLOSE_MS_MAX = 2_000
const LOOK_MS_MAX = 5_000
const ACKS_ALL = -1
const COMPRESSION = { none: 0, gzip: 1 } as const

export interface SessionOptions {
  kafka: Kafka
  compression: keyof typeof COMPRESSION
  /** Longest wait for one send; a slow link needs more. */
  sendMsMax: number
  /** Makes the producer transactional. */
  transactionalId?: string
  transactionMsMax?: number
}

/**
 * One producer and its connection, from connect to the first error that spoils it. One send at a
 * time: two would corrupt an idempotent producer's sequences in this client.
 */
export class KafkaSession {
  readonly #options: SessionOptions
  readonly #producer: Producer

  private constructor(options: SessionOptions) {
    this.#options = options
    this.#producer = options.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      ...(options.transactionalId ? { transactionalId: options.transactionalId } : {}),
      ...(options.transactionMsMax ? { transactionTimeout: options.transactionMsMax } : {})
    })
  }

  static async open(options: SessionOptions): Promise<KafkaSession> {
    const session = new KafkaSession(options)
    try {
      await withDeadline('connecting', CONNECT_MS_MAX, session.#producer.connect())
      return session
    } catch (error) {
      await session.close()
      throw error
    }
  }

  /** Resolves when all replicas in sync have every record. */
  async send(records: readonly OutgoingRecord[]): Promise<void> {
    await this.#send(this.#producer, records)
  }

  /** The first call fences every other producer with this transactional id (InitProducerId). */
  transaction(): Promise<Transaction> {
    return withDeadline('fencing', CONNECT_MS_MAX, this.#producer.transaction())
  }

  async sendIn(transaction: Transaction, records: readonly OutgoingRecord[]): Promise<void> {
    await this.#send(transaction, records)
  }

  async close(): Promise<void> {
    await withDeadline('closing', CLOSE_MS_MAX, this.#producer.disconnect()).catch(() => {})
  }

  async #send(to: Pick<Producer, 'sendBatch'>, records: readonly OutgoingRecord[]): Promise<void> {
    const topicMessages = byTopic(records)
    const call = to.sendBatch({
      acks: ACKS_ALL,
      compression: COMPRESSION[this.#options.compression],
      topicMessages
    })
    try {
      await withDeadline('sending', this.#options.sendMsMax, call)
    } catch (error) {
      const { code } = judge(error)
      if (!code.includes('TOPIC')) throw error
      const topics = topicMessages.map(({ topic }) => topic)
      throw new TopicError(await this.#topicAtFault(code, topics), error)
    }
  }

  /** The client does not say which topic was refused; an operator must know. */
  async #topicAtFault(code: string, topics: string[]): Promise<string | undefined> {
    if (topics.length === 1) return topics[0]
    if (code !== 'UNKNOWN_TOPIC_OR_PARTITION') return undefined
    const admin = this.#options.kafka.admin()
    try {
      await withDeadline('connecting', LOOK_MS_MAX, admin.connect())
      const present = await withDeadline('listing topics', LOOK_MS_MAX, admin.listTopics())
      return topics.find(topic => !present.includes(topic))
    } catch {
      return undefined
    } finally {
      await withDeadline('closing', CLOSE_MS_MAX, admin.disconnect()).catch(() => {})
    }
  }
}

/** A send that Kafka refused for one of its topics. */
class TopicError extends Error {
  readonly topic: string | undefined

  constructor(topic: string | undefined, cause: unknown) {
    super(`Kafka refuses topic ${topic ?? ''}`, { cause })
    this.topic = topic
  }
}

function byTopic(records: readonly OutgoingRecord[]): TopicMessages[] {
  const topics = new Map<string, TopicMessages>()
  for (const record of records) {
    let entry = topics.get(record.topic)
    if (!entry) {
      entry = { topic: record.topic, messages: [] }
      topics.set(record.topic, entry)
    }
    entry.messages.push({
      key: record.key,
      value: record.value,
      timestamp: String(Math.floor(record.timestampMs)),
      headers: record.headers
    })
  }
  return [...topics.values()]
}
