import type { Kafka, Producer, TopicMessages } from '../../core/kafka/client.ts'
import { COMPRESSION } from '../../core/kafka/codecs.ts'
import { credentialsChanged } from '../../core/kafka/connection.ts'
import { committedOffset } from '../../core/kafka/mend-producer.ts'
import { type KafkaSockets, socketsOf } from '../../core/kafka/sockets.ts'
import { UnansweredError, withDeadline } from '../../core/runtime/deadline.ts'
import {
  type CommittedGroup,
  type Driver,
  type Session,
  type SessionOptions,
  TRANSACTION_MS_LIMIT,
  type Transaction
} from './driver.ts'
import { judge } from './kafka-errors.ts'
import { LinkEstimate } from './link.ts'
import { type OutgoingRecord, totalBytes } from './outgoing-record.ts'

/** A call is given up when nothing at all was heard for so long: on a slow link answers trickle. */
const QUIET_MS_MAX = 10_000
/** And in any case after this. */
const CALL_MS_MAX = 120_000
const CLOSE_MS_MAX = 2_000
const ACKS_ALL = -1

export interface KafkajsOptions {
  /** Called for each new session: certificates and secrets may have been exchanged since the last. */
  kafka: () => Kafka
  compression: keyof typeof COMPRESSION
}

export function kafkajsDriver(options: KafkajsOptions): Driver {
  return {
    open: (session, link) => KafkaSession.open({ ...options, ...session }, link),
    judge
  }
}

/**
 * Two sends at a time would corrupt an idempotent producer's sequences in this client.
 *
 * Every call has a deadline of ours, at which its connections are broken: the client by itself waits
 * for an answer on a dead connection, and sends again on the same one.
 */
class KafkaSession implements Session {
  readonly #options: KafkajsOptions & SessionOptions
  readonly #link: LinkEstimate
  readonly #kafka: Kafka
  readonly #producer: Producer
  readonly #sockets: KafkaSockets
  readonly #underWay = new Set<Promise<unknown>>()
  /** End the waiting for what is under way. */
  readonly #wakes = new Set<() => void>()
  /** What a call may have to wait for behind the send under way, beside its own. */
  #sendMs = 0
  /** The longest request of the send under way: without what it took to make it, or to ask for topics. */
  #produceMs = 0
  #closed = false

  private constructor(options: KafkajsOptions & SessionOptions, link: LinkEstimate) {
    this.#options = options
    this.#link = link
    const { transactionalId, transactionMsMax } = options
    const kafka = options.kafka()
    this.#kafka = kafka
    this.#sockets = socketsOf(kafka)
    this.#producer = kafka.producer({
      allowAutoTopicCreation: false,
      // A transaction's producer is idempotent anyway; saying so costs a second producer id.
      ...(transactionalId
        ? { transactionalId, maxInFlightRequests: 2 }
        : { idempotent: true, maxInFlightRequests: 1 }),
      ...(transactionMsMax ? { transactionTimeout: transactionMsMax } : {})
    })
    this.#producer.on('producer.network.request', ({ payload }) => {
      const { apiName, duration, pendingDuration } = payload
      if (apiName !== 'Produce') link.heard(duration)
      // What a quota makes it wait counts: the way to Kafka carries no more.
      else this.#produceMs = Math.max(this.#produceMs, duration + pendingDuration)
    })
  }

  get isOutdated(): boolean {
    return credentialsChanged(this.#kafka)
  }

  static async open(
    options: KafkajsOptions & SessionOptions,
    link = new LinkEstimate(Number.MAX_SAFE_INTEGER)
  ): Promise<Session> {
    link.restart()
    const session = new KafkaSession(options, link)
    try {
      await session.#call('connecting', session.#producer.connect())
      return session
    } catch (error) {
      await session.close()
      throw error
    }
  }

  send(
    records: readonly OutgoingRecord[],
    onUnanswered: (error: UnansweredError) => void = () => {}
  ): Promise<void> {
    return this.#send(this.#producer, records, onUnanswered)
  }

  async begin(): Promise<Transaction> {
    const transaction = await this.#call('fencing', this.#producer.transaction())
    return {
      send: records => this.#send(transaction, records),
      sendOffset: (consumerGroupId, topic, offset) => {
        const topics = [{ topic, partitions: [{ partition: 0, ...offset }] }]
        return this.#call(
          'sending the cursor',
          transaction.sendOffsets({ consumerGroupId, topics })
        )
      },
      commit: () => this.#call('committing', transaction.commit())
    }
  }

  committed(groupId: string, topic: string): Promise<CommittedGroup> {
    return this.#call('fetching the cursor', committedOffset(this.#producer, groupId, topic))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const disconnect = () => this.#producer.disconnect().catch(() => {})
    const underWay = [...this.#underWay]
    // What is not answered would be waited for.
    if (underWay.length > 0) this.#sockets.break()
    // The client would try again instead of telling.
    for (const wake of this.#wakes) wake()
    await withDeadline('closing', CLOSE_MS_MAX, disconnect()).catch(() => {})
    // The client may connect once more for a call that it was told to forget.
    if (underWay.length > 0) void Promise.allSettled(underWay).then(disconnect)
  }

  /** @param onUnanswered Absent in a transaction: without an answer it is given up. */
  async #send(
    to: Pick<Producer, 'sendBatch'>,
    records: readonly OutgoingRecord[],
    onUnanswered?: (error: UnansweredError) => void
  ): Promise<void> {
    const topicMessages = byTopic(records)
    const bytes = totalBytes(records)
    const sentBefore = this.#sockets.sentBytes
    const startedAt = performance.now()
    this.#produceMs = 0
    const compression = COMPRESSION[this.#options.compression]
    const call = to.sendBatch({ acks: ACKS_ALL, compression, topicMessages })
    this.#sendMs = this.#link.deadlineMs(bytes)
    try {
      await this.#answer(call, bytes, onUnanswered)
    } catch (error) {
      const { code } = judge(error)
      // The client's own error, no answer of Kafka's: connections were lost.
      if (code.startsWith('KafkaJS')) this.#link.restart()
      if (code.includes('TOPIC') && topicMessages.length === 1) {
        throw new TopicError(topicMessages[0].topic, error)
      }
      throw error
    } finally {
      this.#sendMs = 0
    }
    const wireBytes = this.#sockets.sentBytes - sentBefore
    const ms = this.#produceMs || performance.now() - startedAt
    this.#link.answered(bytes, ms, wireBytes || bytes)
  }

  /** Waits for a send as long as the link may need for it. */
  async #answer(
    call: Promise<unknown>,
    bytes: number,
    onUnanswered?: (error: UnansweredError) => void
  ): Promise<void> {
    const link = this.#link
    const limit = onUnanswered ? Number.POSITIVE_INFINITY : TRANSACTION_MS_LIMIT
    let deadlineMs = Math.min(limit, link.deadlineMs(bytes))
    const startedAt = performance.now()
    let brokenAt = startedAt
    const remainingMs = () =>
      Math.max(brokenAt, this.#sockets.heardAt) + deadlineMs - performance.now()
    this.#track(call)
    while (!(await this.#settlesWithin(call, remainingMs()))) {
      if (this.#closed) throw new UnansweredError('sending', sinceMs(startedAt))
      if (remainingMs() > 0) continue
      const error = new UnansweredError('sending', deadlineMs)
      if (this.#sockets.heardAt > brokenAt) link.unanswered()
      else link.restart()
      this.#sockets.break()
      if (!onUnanswered) throw error
      onUnanswered(error)
      brokenAt = performance.now()
      deadlineMs = link.deadlineMs(bytes)
    }
    await call
  }

  /** @throws {UnansweredError} Nothing was heard for a while, or it takes for ever. */
  async #call<T>(what: string, call: Promise<T>): Promise<T> {
    const startedAt = performance.now()
    const remainingMs = () => {
      const quietSince = Math.max(startedAt, this.#sockets.heardAt)
      const quietMs = Math.max(QUIET_MS_MAX, this.#sendMs)
      return Math.min(quietSince + quietMs, startedAt + CALL_MS_MAX) - performance.now()
    }
    this.#track(call)
    while (!(await this.#settlesWithin(call, remainingMs()))) {
      if (remainingMs() > 0 && !this.#closed) continue
      this.#sockets.break()
      throw new UnansweredError(what, sinceMs(startedAt))
    }
    return call
  }

  /** @returns Whether the call has resolved or rejected by then, and before the session is closed. */
  async #settlesWithin(call: Promise<unknown>, ms: number): Promise<boolean> {
    if (this.#closed) return false
    let wake = () => {}
    const expired = new Promise<false>(resolve => {
      wake = () => resolve(false)
    })
    const settled = call.then(
      () => true,
      () => true
    )
    const timer = setTimeout(wake, Math.max(0, Math.ceil(ms)))
    this.#wakes.add(wake)
    try {
      return await Promise.race([settled, expired])
    } finally {
      clearTimeout(timer)
      this.#wakes.delete(wake)
    }
  }

  #track(call: Promise<unknown>): void {
    const over = () => this.#underWay.delete(call)
    this.#underWay.add(call)
    call.then(over, over)
  }
}

function sinceMs(startedAt: number): number {
  return Math.round(performance.now() - startedAt)
}

/** A send that Kafka refused for its topic; the client does not say which one. */
class TopicError extends Error {
  readonly topic: string

  constructor(topic: string, cause: unknown) {
    super(`Kafka refuses topic ${topic}`, { cause })
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
