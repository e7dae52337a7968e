import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  createKafka,
  KAFKA_CONSUMER_RETRY,
  type Kafka,
  type KafkaMessage
} from '../../core/kafka/client.ts'
import { silentLogger } from '../../core/runtime/log.ts'

export interface ReadRecord {
  topic: string
  key: string | null
  value: Buffer | null
  /** One header's text; undefined when it is absent. */
  header(name: string): string | undefined
}

/** kafkajs waits so long for new records at the end of a partition. */
const FETCH_WAIT_MS = 100

/**
 * Reads topics completely, read_committed: every partition from its beginning to where it ends now.
 *
 * @param onRecord In the order of each partition.
 * @throws When that takes longer than `limitMs`, or a topic is missing: nothing may be judged then.
 */
export async function readTopics(
  address: string,
  topics: readonly string[],
  onRecord: (record: ReadRecord) => void,
  limitMs: number,
  signal: AbortSignal
): Promise<void> {
  const kafka = createKafka({
    brokers: [address],
    clientId: 'fieldline-demo',
    logger: silentLogger
  })
  const missing = await endsOf(kafka, topics)
  const consumer = kafka.consumer({
    groupId: `fieldline-demo-${randomUUID()}`,
    maxWaitTimeInMs: FETCH_WAIT_MS,
    retry: KAFKA_CONSUMER_RETRY
  })
  // Told for batches of nothing but transaction marks too, which `eachBatch` never sees.
  consumer.on('consumer.end_batch_process', ({ payload }) => {
    const place = `${payload.topic}/${payload.partition}`
    const end = missing.get(place)
    if (end !== undefined && BigInt(payload.lastOffset) + 1n >= end) missing.delete(place)
  })
  const limit = performance.now() + limitMs
  try {
    await consumer.connect()
    await consumer.subscribe({ topics: [...topics], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 1,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) onRecord(recordOf(batch.topic, message))
      }
    })
    while (missing.size > 0) {
      signal.throwIfAborted()
      if (performance.now() > limit) {
        const places = [...missing.keys()].join(', ')
        throw new Error(`Kafka was not read to its end within ${limitMs / 1000} s: ${places}`)
      }
      await delay(20)
    }
  } finally {
    await consumer.disconnect().catch(() => {})
  }
}

/** @returns End offset by `topic/partition`; partitions without records are left out. */
async function endsOf(kafka: Kafka, topics: readonly string[]): Promise<Map<string, bigint>> {
  const ends = new Map<string, bigint>()
  const admin = kafka.admin()
  try {
    await admin.connect()
    for (const topic of topics) {
      for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
        if (BigInt(high) > BigInt(low)) ends.set(`${topic}/${partition}`, BigInt(high))
      }
    }
    return ends
  } finally {
    await admin.disconnect().catch(() => {})
  }
}

function recordOf(topic: string, { key, value, headers }: KafkaMessage): ReadRecord {
  return {
    topic,
    key: key?.toString() ?? null,
    value,
    header(name) {
      const found = headers?.[name]
      return (Array.isArray(found) ? found.at(-1) : found)?.toString()
    }
  }
}
