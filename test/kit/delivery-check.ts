import { randomUUID } from 'node:crypto'
import {
  type DeliveryVerdict,
  judgeDelivery,
  type Ledger,
  sequenceOf
} from '../../cli/demo/judge.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { type IHeaders, KAFKA_CONSUMER_RETRY, type Kafka } from '../../core/kafka/client.ts'
import { testClient, uniqueTopic } from './kafka.ts'

export interface DeliveryCheckOptions {
  brokers: string[]
  topic: string
  /** By Kafka key (`site/device`): the highest sequence up to which every reading was acknowledged. */
  ledger: Ledger
  /** Of a record's value; default: `seq` of a JSON object. */
  sequence?: (value: Buffer | null) => number | undefined
  /** Default 60 s. */
  timeoutMs?: number
}

/** One record of a topic, without what a check has no use for. */
export interface CheckedRecord {
  partition: number
  key: string | null
  sequence: number | undefined
  id: string | undefined
  dup: boolean
  replayed: boolean
}

/** Of the record that a check writes behind everything else. */
const END_HEADER = 'fieldline-check-end'

/**
 * Holds what `read_committed` consumers see in a topic against what devices were told is safe: lost,
 * reordered, duplicate (one `fl-id` twice), in one verdict; zero each is what is promised.
 *
 * Call it once the agent has delivered everything; what comes later is not looked at.
 */
export async function checkDelivery(options: DeliveryCheckOptions): Promise<DeliveryVerdict> {
  return judgeDelivery(options.ledger, await readWhole(options))
}

/**
 * Reads a topic from its beginning to its present end, `read_committed`, each partition in its order.
 *
 * The end is exact: a record of our own behind everything in each partition, which is not returned. An
 * open transaction holds it back, as it does every consumer.
 *
 * @throws When it does not come to the end within the time.
 */
export async function readWhole({
  brokers,
  topic,
  sequence = sequenceOf,
  timeoutMs = 60_000
}: Omit<DeliveryCheckOptions, 'ledger'>): Promise<CheckedRecord[]> {
  const kafka = testClient(brokers, 'test-check')
  const mark = randomUUID()
  const open = new Set(await markEnds(kafka, topic, mark))
  const records: CheckedRecord[] = []
  const consumer = kafka.consumer({
    groupId: uniqueTopic('test-check'),
    maxWaitTimeInMs: 100,
    retry: KAFKA_CONSUMER_RETRY
  })
  let deadline: NodeJS.Timeout | undefined
  try {
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      deadline = setTimeout(() => {
        const where = `partitions ${[...open].join(', ')} of ${topic}`
        reject(new Error(`the end of ${where} was not seen within ${timeoutMs} ms`))
      }, timeoutMs)
      consumer.on('consumer.crash', ({ payload: { error, restart } }) => {
        if (!restart) reject(error)
      })
      const run = consumer.run({
        autoCommit: false,
        eachBatch: async ({ batch: { partition, messages } }) => {
          for (const { key, value, headers } of messages) {
            const end = textOf(headers, END_HEADER)
            if (end === mark) open.delete(partition)
            else if (end === undefined && open.has(partition)) {
              records.push({
                ...{ partition, key: key?.toString() ?? null, sequence: sequence(value) },
                id: textOf(headers, HEADERS.id),
                dup: textOf(headers, HEADERS.dup) === '1',
                replayed: textOf(headers, HEADERS.replayed) === '1'
              })
            }
          }
          if (open.size === 0) resolve()
        }
      })
      run.catch(reject)
    })
    return records
  } finally {
    clearTimeout(deadline)
    await consumer.disconnect()
  }
}

/** @returns The topic's partitions. */
async function markEnds(kafka: Kafka, topic: string, mark: string): Promise<number[]> {
  const admin = kafka.admin()
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  try {
    await admin.connect()
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    const partitions = topics[0].partitions.map(({ partitionId }) => partitionId)
    await producer.connect()
    const headers = { [END_HEADER]: mark }
    const messages = partitions.map(partition => ({ partition, value: '', headers }))
    await producer.send({ topic, messages })
    return partitions
  } finally {
    await producer.disconnect()
    await admin.disconnect()
  }
}

function textOf(headers: IHeaders | undefined, name: string): string | undefined {
  const value = headers?.[name]
  return (Array.isArray(value) ? value.at(-1) : value)?.toString()
}
