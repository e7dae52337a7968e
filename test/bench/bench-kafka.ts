import { createTopics } from '../../agent/uplink/kafka-topics.ts'
import { TOPICS } from '../../core/contract/topics.ts'
import type { Admin, Kafka } from '../../core/kafka/client.ts'
import { checkDelivery } from '../kit/delivery-check.ts'
import { testClient, uniqueTopic } from '../kit/kafka.ts'
import { type KafkaNode, startKafkaNodes } from '../kit/kafka-nodes.ts'
import type { DeliveryMode } from './bench-agent.ts'

const PARTITIONS = 6

/** A real broker in a process of its own, with all of its compiler, as in the field. */
export interface BenchKafka {
  readonly address: string
  readonly node: KafkaNode
  client(): Kafka
  /** A new one, with everything else an agent needs beside it. */
  newTopic(): Promise<string>
  /** Offsets given away in a topic: records, and in transactions two marks a partition each. */
  endOf(topic: string): Promise<number>
  remove(): Promise<void>
}

/** @param advertise What it tells clients to connect to; see `startKafkaNodes`. */
export async function startBenchKafka(
  advertise?: (node: number, port: number) => string
): Promise<BenchKafka> {
  const nodes = await startKafkaNodes({
    heapMb: 512,
    jvmArguments: [],
    // A soak must not fill the disk.
    properties: { 'log.segment.bytes': '134217728', 'log.retention.bytes': '536870912' },
    ...(advertise ? { advertise } : {})
  })
  const [address] = nodes.brokers
  const client = () => testClient([address], 'bench')
  const admin: Admin = client().admin()
  try {
    await admin.connect()
  } catch (error) {
    await nodes.remove()
    throw error
  }
  return {
    address,
    node: nodes.nodes[0],
    client,
    async newTopic() {
      const topic = uniqueTopic('bench')
      await createTopics(client(), {
        telemetry: [topic],
        deadLetters: TOPICS.deadLetters,
        alerts: TOPICS.alerts,
        status: TOPICS.status,
        partitions: PARTITIONS,
        replicationFactor: 1
      })
      return topic
    },
    async endOf(topic) {
      const partitions = await admin.fetchTopicOffsets(topic)
      return partitions.reduce((sum, { high }) => sum + Number(high), 0)
    },
    async remove() {
      await admin.disconnect().catch(() => {})
      await nodes.remove()
    }
  }
}

/** @throws When there are more or fewer records in the topic than were acknowledged. */
export async function checkCount(kafka: BenchKafka, topic: string, count: number): Promise<void> {
  const end = await kafka.endOf(topic)
  if (end !== count) throw new Error(`${end} records are in Kafka, ${count} were acknowledged`)
}

/**
 * Reads the whole topic.
 *
 * @throws When a reading is lost, twice or out of order.
 */
export async function checkEach(
  kafka: BenchKafka,
  topic: string,
  ledger: Record<string, number>,
  delivery: DeliveryMode
): Promise<void> {
  const verdict = await checkDelivery({
    brokers: [kafka.address],
    topic,
    ledger,
    timeoutMs: 120_000
  })
  const { acknowledged, found, lost, reordered, duplicates, resent } = verdict
  if (acknowledged > 0 && lost + reordered + duplicates + resent === 0) return
  throw new Error(
    `${delivery}: ${acknowledged} acknowledged, ${found} found, ${lost} lost, ${reordered} reordered, ${duplicates} duplicates, ${resent} resent`
  )
}
