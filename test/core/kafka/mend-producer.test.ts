import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import type { Kafka, Producer } from '../../../core/kafka/client.ts'
import { committedOffset } from '../../../core/kafka/mend-producer.ts'
import { createTopic, uniqueTopic, useKafka } from '../../kit/kafka.ts'

const shared = useKafka()

interface Request {
  apiName: string
  /** Of the answer. */
  size: number
}

async function producerOf(kafka: Kafka, transactionalId: string) {
  const producer = kafka.producer({ transactionalId, allowAutoTopicCreation: false })
  const requests: Request[] = []
  producer.on('producer.network.request', ({ payload }) => {
    requests.push({ apiName: payload.apiName, size: payload.size })
  })
  await producer.connect()
  const named = (name: string) => requests.filter(({ apiName }) => apiName === name)
  return { producer, named }
}

async function transact(producer: Producer, topic: string, offset: string): Promise<void> {
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages: [{ value: 'x' }] })
  const partitions = [{ partition: 0, offset, metadata: `{"at":${offset}}` }]
  await transaction.sendOffsets({ consumerGroupId: topic, topics: [{ topic, partitions }] })
  await transaction.commit()
}

test('a producer asks for each coordinator once, however many transactions it makes', async () => {
  const topic = await createTopic(shared.admin, uniqueTopic('coordinator'))
  const { producer, named } = await producerOf(shared.client(), topic)
  // A young broker has yet to make its own topics.
  await committedOffset(producer, topic, topic)
  await transact(producer, topic, '1')
  const asked = named('GroupCoordinator').length
  for (const offset of ['2', '3', '4']) await transact(producer, topic, offset)
  // kafkajs by itself asks before every call.
  expect(named('GroupCoordinator').length).toBe(asked)
  expect(named('EndTxn').length).toBe(4)
  await producer.disconnect()
})

test('before it knows a topic a producer learns the brokers, and of no topic', async () => {
  await shared.admin.createTopics({
    topics: Array.from({ length: 20 }, () => ({ topic: uniqueTopic('many'), numPartitions: 10 }))
  })
  const { producer, named } = await producerOf(shared.client(), uniqueTopic('frugal'))
  await producer.transaction()
  const [metadata] = named('Metadata')
  expect(metadata.size).toBeLessThan(300)
  await producer.disconnect()
})

test('what a group has committed is told by the producer’s own connection', async () => {
  const topic = await createTopic(shared.admin, uniqueTopic('committed'))
  const { producer } = await producerOf(shared.client(), topic)
  const { clusterId } = await shared.admin.describeCluster()
  expect(await committedOffset(producer, topic, topic)).toEqual({ clusterId, committed: undefined })
  await transact(producer, topic, '42')
  // As at every start: what is committed shows for sure once the fencing has ended the transaction.
  const { producer: next } = await producerOf(shared.client(), topic)
  await next.transaction()
  expect(await committedOffset(next, topic, topic)).toMatchObject({
    clusterId,
    committed: { offset: '42', metadata: '{"at":42}' }
  })
  const missing = committedOffset(producer, topic, uniqueTopic('missing'))
  await expect(missing).rejects.toMatchObject({ type: 'UNKNOWN_TOPIC_OR_PARTITION' })
  await producer.disconnect()
  await next.disconnect()
})

test('the modules that the mend and the socket watch rely on are the ones that were read', () => {
  const require = createRequire(import.meta.url)
  const read = Object.keys(READ_MODULES).map(path => {
    const source = readFileSync(require.resolve(`kafkajs/src/${path}`))
    return [path, createHash('sha256').update(source).digest('hex').slice(0, 16)]
  })
  expect(Object.fromEntries(read)).toEqual(READ_MODULES)
})

/** SHA-256, shortened, of kafkajs 2.2.4. */
const READ_MODULES = {
  'producer/index.js': '37a6da431139e4af',
  'producer/eosManager/index.js': 'a74ae029d7aa786b',
  'broker/index.js': '9cbea8898528c439',
  'cluster/brokerPool.js': '9994863e891ac2ab',
  'cluster/index.js': '3831a6845e4e9fb0',
  'network/connection.js': '2a993b2e74421ca6',
  'network/socket.js': '9922c37e8a4d9e6b',
  'protocol/requests/metadata/index.js': '9db984ef0bbcd73a',
  'protocol/requests/metadata/v1/request.js': 'c843a5604a51c435',
  'protocol/requests/metadata/v4/request.js': 'af3aca9a38934b28'
}
