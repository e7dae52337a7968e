import { randomUUID } from 'node:crypto'
import { judge } from '../../agent/uplink/kafka-errors.ts'
import {
  type Admin,
  type IHeaders,
  KAFKA_CONSUMER_RETRY,
  type Kafka,
  type KafkaMessage
} from '../../core/kafka/client.ts'
import { pause, withDeadline } from '../../core/runtime/deadline.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import type { DeadLetter } from './letter.ts'

/** Offsets by partition. */
export type Places = Map<number, number>

export interface TopicSpan {
  /** First offset that is kept. */
  first: Places
  /** Behind the last one when it was asked: what comes later is not read. */
  end: Places
}

/** kafkajs waits so long for new records at the end of a partition. */
const FETCH_WAIT_MS = 100
const ANSWER_MS_MAX = 30_000
const COORDINATOR_MS_MAX = 15_000
const COORDINATOR = /COORDINATOR|GROUP_LOAD_IN_PROGRESS/
/** An open transaction of an agent that vanished holds readers back 20 s. */
const SILENCE_MS_MAX = 45_000

/** @throws {OperationalError} KAFKA_UNREACHABLE or KAFKA_REFUSED. */
export async function withAdmin<T>(kafka: Kafka, ask: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin()
  try {
    await withDeadline('connecting', ANSWER_MS_MAX, admin.connect())
    const until = performance.now() + COORDINATOR_MS_MAX
    for (;;) {
      try {
        return await withDeadline('answering', ANSWER_MS_MAX, ask(admin))
      } catch (error) {
        // A group's coordinator moves, or is made with the first group of a cluster.
        if (!COORDINATOR.test(judge(error).code) || performance.now() > until) throw error
        await pause(200)
      }
    }
  } catch (error) {
    throw kafkaFault(error)
  } finally {
    await withDeadline('closing', 2_000, admin.disconnect()).catch(() => {})
  }
}

export async function spanOf(kafka: Kafka, topic: string): Promise<TopicSpan> {
  const partitions = await withAdmin(kafka, admin => admin.fetchTopicOffsets(topic)).catch(
    error => {
      if (!(error instanceof OperationalError) || error.code !== 'KAFKA_REFUSED') throw error
      const advice = "correct uplink.dead_letter_topic, or run 'fieldline topics create'"
      const message = `The dead-letter topic '${topic}' cannot be read: ${error.message} If it does not exist, ${advice}.`
      throw new OperationalError('KAFKA_REFUSED', message, { cause: error })
    }
  )
  return {
    first: new Map(partitions.map(({ partition, low }) => [partition, Number(low)])),
    end: new Map(partitions.map(({ partition, high }) => [partition, Number(high)]))
  }
}

/** How many records lie between; gaps of transactions count too. */
export function recordsIn(from: Places, end: Places): number {
  let sum = 0
  for (const [partition, last] of end) sum += Math.max(0, last - (from.get(partition) ?? 0))
  return sum
}

/**
 * Reads dead letters, read_committed, each partition in its order, up to the end of the span.
 *
 * @param from Where to begin in each partition.
 * @param take Called for each letter; false ends the reading behind it.
 * @returns Where to go on; undefined when all of the span was read.
 * @throws {OperationalError} KAFKA_UNREACHABLE or KAFKA_REFUSED.
 */
export async function readLetters(
  kafka: Kafka,
  topic: string,
  from: Places,
  end: Places,
  take: (letter: DeadLetter) => boolean
): Promise<Places | undefined> {
  return readSpan(kafka, topic, 'fieldline.dlq.reader', from, end, (partition, message) =>
    take(letterOf(partition, Number(message.offset), message))
  )
}

/**
 * The same for the records of any topic.
 *
 * @param role Beginning of the name of the group that is joined for it, and keeps nothing.
 */
export async function readSpan(
  kafka: Kafka,
  topic: string,
  role: string,
  from: Places,
  end: Places,
  take: (partition: number, message: KafkaMessage) => boolean
): Promise<Places | undefined> {
  const next = new Map(from)
  const missing = new Set([...end].filter(([p, e]) => (from.get(p) ?? 0) < e).map(([p]) => p))
  if (missing.size === 0) return undefined
  const consumer = kafka.consumer({
    groupId: `${role}-${randomUUID()}`,
    maxWaitTimeInMs: FETCH_WAIT_MS,
    allowAutoTopicCreation: false,
    retry: KAFKA_CONSUMER_RETRY
  })
  let full = false
  let settle: (error?: unknown) => void = () => {}
  const ended = new Promise<void>((resolve, reject) => {
    settle = error => (error === undefined ? resolve() : reject(error))
  })
  ended.catch(() => {})
  let silence: NodeJS.Timeout | undefined
  const heard = (): void => {
    clearTimeout(silence)
    silence = setTimeout(settle, SILENCE_MS_MAX, new Error('Kafka gives no more records'))
  }
  consumer.on('consumer.crash', ({ payload }) => {
    if (!payload.restart) settle(payload.error)
  })
  // At each joining: a coordinator that is only being made has the consumer begin anew.
  consumer.on('consumer.group_join', () => {
    heard()
    for (const partition of missing) {
      consumer.seek({ topic, partition, offset: String(next.get(partition) ?? 0) })
    }
  })
  // Told for batches of nothing but transaction marks too, which `eachBatch` never sees.
  consumer.on('consumer.end_batch_process', ({ payload }) => {
    if (full) return
    if (Number(payload.lastOffset) + 1 < (end.get(payload.partition) ?? 0)) return
    missing.delete(payload.partition)
    if (missing.size === 0) settle()
  })
  try {
    heard()
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 1,
      eachBatch: async ({ batch }) => {
        heard()
        for (const message of batch.messages) {
          const { partition } = batch
          const offset = Number(message.offset)
          // A rejoin begins anew; what is younger than the span is another run's.
          if (full || offset < (next.get(partition) ?? 0)) continue
          if (offset >= (end.get(partition) ?? 0)) break
          next.set(partition, offset + 1)
          full = !take(partition, message)
        }
        if (full) settle()
      }
    })
    await ended
    return full ? next : undefined
  } catch (error) {
    throw kafkaFault(error)
  } finally {
    clearTimeout(silence)
    await consumer.disconnect().catch(() => {})
  }
}

/** An error of Kafka's as an operator may meet it; what is none is passed on. */
export function kafkaFault(error: unknown): unknown {
  if (error instanceof OperationalError) return error
  const { action, code, message } = judge(error)
  if (action === 'park') {
    return new OperationalError('KAFKA_REFUSED', `Kafka refuses it: ${message} (${code}).`, {
      cause: error
    })
  }
  const text = `Kafka does not answer as it should: ${message}. Look at kafka.brokers (or --kafka), and try again: nothing is sent twice.`
  return new OperationalError('KAFKA_UNREACHABLE', text, { cause: error })
}

function letterOf(partition: number, brokerOffset: number, message: KafkaMessage): DeadLetter {
  return {
    ...{ partition, brokerOffset },
    timestampMs: Number(message.timestamp),
    key: message.key?.toString() ?? '',
    value: message.value ?? Buffer.alloc(0),
    headers: textHeaders(message.headers ?? {})
  }
}

/** A header that is there more than once counts with its last value. */
function textHeaders(headers: IHeaders): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const last = Array.isArray(value) ? value.at(-1) : value
    if (last !== undefined) texts[name] = last.toString()
  }
  return texts
}
