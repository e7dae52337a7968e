import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, inject, vi } from 'vitest'
import {
  type LocalKafka,
  type LocalKafkaOptions,
  localKafkaAvailability,
  startLocalKafka
} from '../../cli/local-kafka.ts'
import {
  type Admin,
  createKafka,
  type ITopicConfig,
  KAFKA_CONSUMER_RETRY,
  type Kafka
} from '../../core/kafka/client.ts'
import { silentLogger } from '../../core/runtime/log.ts'

/** The run's shared broker, as a test sees it. Use topics of your own (`uniqueTopic`). */
export interface SharedKafka {
  /** `127.0.0.1:PORT`. Throws until the file's hooks have run, and when there is no Kafka. */
  readonly address: string
  readonly brokers: string[]
  /** Connected; closed after the file. */
  readonly admin: Admin
  /** A quiet client of the broker. */
  client(clientId?: string): Kafka
}

/**
 * Gives the tests of the calling file (or `describe`) the run's shared real Kafka. Call it at the top,
 * before hooks of your own. Without Java and Docker its tests are skipped; with `CI=true` they fail.
 */
export function useKafka(): SharedKafka {
  let address: string | undefined
  let admin: Admin | undefined
  let missing: string | undefined

  beforeAll(async () => {
    const shared = inject('sharedKafka')
    if ('address' in shared) address = shared.address
    else {
      missing = await missingKafka()
      if (missing) return
      address = (await startLocalKafka({ ...shared, heapMb: 384 })).address
    }
    admin = testClient([address], 'test-admin').admin()
    await admin.connect()
  })
  beforeEach(context => {
    if (missing) context.skip(missing)
  })
  afterAll(async () => {
    await admin?.disconnect()
  })

  const kafka: SharedKafka = {
    get address() {
      if (!address) throw new Error(missing ?? 'the shared Kafka is started by a hook: not before')
      return address
    },
    get brokers() {
      return [kafka.address]
    },
    get admin() {
      if (!admin) throw new Error(missing ?? 'the shared Kafka is started by a hook: not before')
      return admin
    },
    client: (clientId = 'test') => testClient(kafka.brokers, clientId)
  }
  return kafka
}

/**
 * Gives the tests of the calling file brokers of their own, removed after them. Without Java and Docker
 * the tests are skipped; with `CI=true` they fail.
 *
 * @param start Not called where there is no Kafka. Keeps for the tests what it starts.
 */
export function useOwnKafka(start: () => Promise<{ remove(): Promise<void> }>): void {
  let missing: string | undefined
  let own: { remove(): Promise<void> } | undefined
  beforeAll(async () => {
    missing = await missingKafka()
    if (!missing) own = await start()
  })
  beforeEach(context => {
    if (missing) context.skip(missing)
  })
  afterAll(() => own?.remove())
}

/**
 * @returns Why no Kafka can be started here; undefined when it can.
 * @throws With `CI=true`: there a missing broker is a failure, never a skip.
 */
export async function missingKafka(): Promise<string | undefined> {
  const { kind, reason } = await localKafkaAvailability()
  if (kind !== 'none') return undefined
  if (process.env.CI) throw new Error(`CI needs a real Kafka. ${reason}`)
  return reason
}

export interface OwnKafka extends LocalKafka {
  /** Kills it and removes its data. */
  remove(): Promise<void>
}

/**
 * A broker for one test that stops, kills or restarts it, with its own data directory. Remove it in
 * `afterAll` or a `finally`.
 */
export async function startOwnKafka(
  options: Partial<Omit<LocalKafkaOptions, 'dataDir'>> = {}
): Promise<OwnKafka> {
  const dataDir = mkdtempSync(join(tmpdir(), 'fieldline-own-kafka-'))
  const remove = (): void => rmSync(dataDir, { recursive: true, force: true })
  try {
    const kafka = await startLocalKafka({ port: 0, heapMb: 256, ...options, dataDir })
    const removeAll = async (): Promise<void> => {
      await kafka.kill()
      remove()
    }
    // Not a spread: `pid` is a getter.
    return Object.assign(kafka, { remove: removeAll })
  } catch (error) {
    remove()
    throw error
  }
}

/** A quiet client with the project's own settings. */
export function testClient(brokers: string[], clientId = 'test'): Kafka {
  return createKafka({ brokers, clientId, logger: silentLogger })
}

export function uniqueTopic(prefix: string): string {
  return `${prefix}-${randomBytes(6).toString('hex')}`
}

/** Creates the topic and waits until it has its leaders. @returns Its name. */
export async function createTopic(
  admin: Admin,
  topic: string,
  options: Omit<ITopicConfig, 'topic'> = {}
): Promise<string> {
  await admin.createTopics({
    topics: [{ numPartitions: 1, replicationFactor: 1, ...options, topic }],
    waitForLeaders: false
  })
  // The client's own waiting ends in an error when another node has not heard of the topic yet.
  await vi.waitFor(
    async () => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      if (topics[0].partitions.some(({ leader }) => leader < 0)) throw new Error('no leader yet')
    },
    { timeout: 10_000 }
  )
  return topic
}

export interface TopicRecord {
  topic: string
  partition: number
  /** Kafka's own offset. */
  brokerOffset: bigint
  timestampMs: number
  key: string | null
  value: Buffer | null
  /** A header that is there more than once shows its last value. */
  headers: Record<string, string>
}

export interface ReadTopicOptions {
  /** Ends as soon as so many records are there. Without it: when it has been quiet. */
  until?: number
  /** Ends when no record came for so long, counted from when the partitions were assigned. */
  quietMs?: number
  /** An error after this time with fewer than `until` records. */
  timeoutMs?: number
}

/**
 * Reads a topic from its beginning, read_committed, every partition in its order.
 *
 * With `until` it may return more than asked for: what came in the same fetch, so that a duplicate
 * at the end is seen; it also waits for a short quiet period for that reason.
 */
export async function readTopic(
  brokers: string[],
  topic: string,
  { until, quietMs = until === undefined ? 1500 : 300, timeoutMs = 30_000 }: ReadTopicOptions = {}
): Promise<TopicRecord[]> {
  const consumer = testClient(brokers, 'test-reader').consumer({
    groupId: uniqueTopic('test-reader'),
    maxWaitTimeInMs: 100,
    retry: KAFKA_CONSUMER_RETRY
  })
  const records: TopicRecord[] = []
  const ended = deferred()
  let quiet: NodeJS.Timeout | undefined
  const rest = (): void => {
    clearTimeout(quiet)
    if (until === undefined || records.length >= until) quiet = setTimeout(ended.resolve, quietMs)
  }
  const deadline = setTimeout(() => {
    const wanted = until === undefined ? 'quiet' : `${until} records`
    ended.reject(
      new Error(`${topic}: ${records.length} records after ${timeoutMs} ms, not ${wanted}`)
    )
  }, timeoutMs)
  consumer.on('consumer.group_join', rest)
  consumer.on('consumer.crash', ({ payload: { error, restart } }) => {
    // It restarts by itself when, for one, the group's coordinator is still loading.
    if (!restart) ended.reject(error)
  })
  try {
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) {
          records.push({
            topic,
            partition: batch.partition,
            brokerOffset: BigInt(message.offset),
            timestampMs: Number(message.timestamp),
            key: message.key?.toString() ?? null,
            value: message.value,
            headers: textHeaders(message.headers)
          })
        }
        rest()
      }
    })
    await ended.promise
    return records
  } finally {
    clearTimeout(deadline)
    clearTimeout(quiet)
    await consumer.disconnect()
  }
}

/** Node 20 has no `Promise.withResolvers`. */
function deferred(): {
  promise: Promise<void>
  resolve: () => void
  reject: (error: unknown) => void
} {
  let resolve!: () => void
  let reject!: (error: unknown) => void
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  // It may be rejected before anybody waits for it.
  promise.catch(() => {})
  return { promise, resolve, reject }
}

type Headers = Record<string, Buffer | string | (Buffer | string)[] | undefined>

function textHeaders(headers: Headers = {}): Record<string, string> {
  const entries = Object.entries(headers).map(([name, value]) => {
    const last = Array.isArray(value) ? value.at(-1) : value
    return [name, last?.toString() ?? '']
  })
  return Object.fromEntries(entries)
}
