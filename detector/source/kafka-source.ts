import { setTimeout as sleep } from 'node:timers/promises'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { Cursor } from '../../core/log/reader.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import {
  type Consumer,
  type EachBatchPayload,
  KAFKA_CONSUMER_RETRY,
  type Kafka,
  type KafkaMessage
} from '../../core/runtime/kafka.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { DetectorReading } from '../detector.ts'
import type { Source, SourceConsumer } from './source.ts'
import { TelemetryDecoder, type TelemetryDecoding } from './telemetry-record.ts'

/** Messages a batch handed over: heartbeats pass between them. */
const BATCH_RECORDS_MAX = 500
const COMMIT_INTERVAL_MS = 1000
/** After a broker's restart the group waits so long for the member that one was before. */
const SESSION_TIMEOUT_MS = 10_000
const RETRY_DELAY_MS = 2000

export interface KafkaSourceOptions {
  kafka: Kafka
  group: string
  topics: readonly string[]
  routes: readonly RouteConfig[]
  logger: Logger
}

type PoisonReason = Extract<TelemetryDecoding, { ok: false }>['reason']

export interface KafkaSourceCounters {
  records: number
  /** Records that could not be read, by reason; passed over. */
  poison: Record<PoisonReason, number>
  rebalances: number
}

/**
 * A consumer group: Kafka shares the partitions over all detectors of the group. A partition is a
 * stream `topic/partition`, its positions have an empty epoch.
 *
 * A new group begins with the oldest record kept: the past is what it learns from, and a partition
 * added later is not entered in the middle.
 */
export class KafkaSource implements Source {
  readonly counters: KafkaSourceCounters = {
    records: 0,
    poison: { no_id: 0, no_key: 0, no_value: 0, no_route: 0, unreadable: 0 },
    rebalances: 0
  }
  readonly #options: KafkaSourceOptions
  readonly #decoder: TelemetryDecoder
  /** Streams whose place was settled in this generation of the group. */
  readonly #settled = new Set<string>()
  readonly #owned = new Set<string>()
  readonly #uncommitted = new Map<string, Cursor>()
  #consumer: Consumer | undefined
  #away = false
  #batch: Promise<void> = Promise.resolve()

  constructor(options: KafkaSourceOptions) {
    this.#options = options
    this.#decoder = new TelemetryDecoder(options.routes)
  }

  /** Kafka away, a topic missing, a login refused: it waits, and heals by itself. */
  async run(sink: SourceConsumer, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#runOnce(sink, signal)
      } catch (error) {
        if (signal.aborted) return
        if (!(error as Error).name?.startsWith('KafkaJS')) throw error
        const { logger, group, topics } = this.#options
        if (!this.#away) {
          logger.error(
            { event: 'detector.kafka_away', group },
            `The detector cannot read ${topics.join(', ')} from Kafka: ${messageOf(error)}. ` +
              'It tries on until it can; nothing is lost meanwhile.'
          )
        }
        this.#away = true
        await sleep(RETRY_DELAY_MS, undefined, { signal }).catch(() => {})
      }
    }
  }

  async #runOnce(sink: SourceConsumer, signal: AbortSignal): Promise<void> {
    const { kafka, group, topics } = this.#options
    this.#settled.clear()
    // No automatic commits: with them, kafkajs commits the target of every seek.
    const consumer = kafka.consumer({
      groupId: group,
      sessionTimeout: SESSION_TIMEOUT_MS,
      maxWaitTimeInMs: 250,
      allowAutoTopicCreation: false,
      retry: KAFKA_CONSUMER_RETRY
    })
    this.#consumer = consumer
    let stop = (_error?: unknown): void => {}
    const stopped = new Promise<void>((resolve, reject) => {
      stop = error => (error === undefined ? resolve() : reject(error))
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    stopped.catch(() => {})
    // The last batch before a quiet time is committed, too.
    const timer = setInterval(() => void this.#flush(), COMMIT_INTERVAL_MS)
    consumer.on('consumer.group_join', ({ payload }) =>
      this.#joined(payload.memberAssignment, sink).catch(stop)
    )
    consumer.on('consumer.crash', ({ payload }) => {
      if (!payload.restart) stop(payload.error)
    })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [...topics], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        eachBatch: payload => {
          if (signal.aborted) return Promise.resolve()
          this.#batch = this.#take(payload, sink, signal)
          return this.#batch
        }
      })
      await stopped
    } finally {
      clearInterval(timer)
      // While still a member: afterwards commits are refused.
      await this.#batch.catch(() => {})
      await this.#flush()
      await consumer.disconnect().catch(() => {})
    }
  }

  async commit(stream: string, position: Cursor): Promise<void> {
    this.#uncommitted.set(stream, position)
  }

  async #flush(): Promise<void> {
    const offsets = [...this.#uncommitted].map(([stream, { offset }]) => {
      const slash = stream.lastIndexOf('/')
      const topic = stream.slice(0, slash)
      return { topic, partition: Number(stream.slice(slash + 1)), offset: String(offset) }
    })
    if (offsets.length === 0) return
    this.#uncommitted.clear()
    try {
      await this.#consumer?.commitOffsets(offsets)
    } catch (error) {
      // A rebalance, as a rule: whoever has the partition goes on from the last commit that passed,
      // and repeats a few events under the same ids.
      this.#options.logger.debug({ event: 'detector.commit_refused', error: messageOf(error) })
    }
  }

  async #joined(
    assignment: Readonly<Record<string, number[]>>,
    sink: SourceConsumer
  ): Promise<void> {
    this.counters.rebalances++
    this.#away = false
    const owned = new Set(
      Object.entries(assignment).flatMap(([topic, ps]) => ps.map(p => `${topic}/${p}`))
    )
    this.#settled.clear()
    for (const stream of [...this.#owned].filter(s => !owned.has(s))) {
      this.#owned.delete(stream)
      this.#uncommitted.delete(stream)
      await sink.revoked(stream)
    }
    for (const stream of owned) this.#owned.add(stream)
    this.#options.logger.info(
      { event: 'detector.assigned', partitions: owned.size },
      'The group has shared out its partitions.'
    )
  }

  async #take(payload: EachBatchPayload, sink: SourceConsumer, signal: AbortSignal): Promise<void> {
    const { batch, resolveOffset, heartbeat, isRunning, isStale } = payload
    const { topic, partition, messages } = batch
    const stream = `${topic}/${partition}`
    const first = messages[0]
    if (!first) return
    if (!this.#settled.has(stream)) {
      const resume = { epoch: '', offset: Number(first.offset) }
      const start = await sink.assigned(stream, resume)
      this.#settled.add(stream)
      if (start.offset !== resume.offset) {
        this.#consumer?.seek({ topic, partition, offset: String(start.offset) })
        return
      }
    }
    for (let at = 0; at < messages.length; at += BATCH_RECORDS_MAX) {
      if (!isRunning() || isStale() || signal.aborted || !this.#settled.has(stream)) return
      const part = messages.slice(at, at + BATCH_RECORDS_MAX)
      const last = part[part.length - 1]
      await sink.handle({
        stream,
        ...this.#decode(part),
        end: { epoch: '', offset: Number(last.offset) + 1 },
        heartbeat
      })
      resolveOffset(last.offset)
      await heartbeat()
    }
  }

  #decode(messages: readonly KafkaMessage[]) {
    const readings: DetectorReading[] = []
    const positions: Cursor[] = []
    for (const message of messages) {
      this.counters.records++
      const decoded = this.#decoder.decode({
        key: message.key,
        value: message.value,
        timestampMs: Number(message.timestamp),
        header: name => textOf(message.headers?.[name])
      })
      if (!decoded.ok) {
        this.#countPoison(decoded.reason, message)
        continue
      }
      for (const reading of decoded.readings) {
        readings.push(reading)
        positions.push({ epoch: '', offset: Number(message.offset) })
      }
    }
    return { readings, positions }
  }

  #countPoison(reason: PoisonReason, message: KafkaMessage): void {
    if (this.counters.poison[reason]++ > 0) return
    this.#options.logger.warn(
      { event: 'detector.poison', reason, brokerOffset: message.offset },
      'A record cannot be scored and is passed over. Said once for each reason; the rest is counted.'
    )
  }
}

/** A header that is there more than once counts with its last value. */
function textOf(header: unknown): string | undefined {
  const value = Array.isArray(header) ? header.at(-1) : header
  return value === undefined || value === null ? undefined : String(value)
}
