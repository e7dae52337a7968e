import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { createKafka, KAFKA_RETRY } from '../../../core/kafka/client.ts'
import { createLogger, silentLogger } from '../../../core/runtime/log.ts'
import { createTopic, readTopic, startOwnKafka, uniqueTopic, useKafka } from '../../kit/kafka.ts'

const kafka = useKafka()

test('records and their headers come back from a real Kafka as they were sent, in order', async () => {
  const topic = await createTopic(kafka.admin, uniqueTopic('kafka'), { numPartitions: 3 })
  const producer = kafka
    .client()
    .producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false })
  await producer.connect()
  const values = Array.from({ length: 1000 }, (_, i) => `${i}`)
  const messages = values.map(value => ({
    key: `site/device-${Number(value) % 7}`,
    value: Buffer.from(value),
    timestamp: String(1_763_800_000_000 + Number(value)),
    headers: { 'fl-id': `a/e/${value}`, 'fl-dup': '1' }
  }))
  for (let i = 0; i < messages.length; i += 250) {
    const sent = await producer.send({ topic, messages: messages.slice(i, i + 250) })
    expect(new Set(sent.map(({ partition }) => partition)).size).toBe(sent.length)
  }
  await producer.disconnect()

  const records = await readTopic(kafka.brokers, topic, { until: 1000 })
  expect(records).toHaveLength(1000)
  for (let device = 0; device < 7; device++) {
    const own = records.filter(({ key }) => key === `site/device-${device}`)
    expect(own.map(({ value }) => value?.toString())).toEqual(
      values.filter(value => Number(value) % 7 === device)
    )
    expect(new Set(own.map(({ partition }) => partition)).size).toBe(1)
  }
  const last = records.find(({ value }) => value?.toString() === '999')
  expect(last?.headers).toEqual({ 'fl-id': 'a/e/999', 'fl-dup': '1' })
  expect(last?.timestampMs).toBe(1_763_800_000_999)
})

test('read_committed shows what transactions committed, and offsets go with them', async () => {
  const topic = await createTopic(kafka.admin, uniqueTopic('transactions'))
  const producer = kafka.client().producer({
    transactionalId: uniqueTopic('id'),
    idempotent: true,
    maxInFlightRequests: 1
  })
  await producer.connect()
  const groupId = uniqueTopic('cursor')
  for (let i = 0; i < 10; i++) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ value: String(i) }] })
    if (i % 2) await transaction.abort()
    else {
      const partitions = [{ partition: 0, offset: String(i) }]
      await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic, partitions }] })
      await transaction.commit()
    }
  }
  await producer.disconnect()
  const records = await readTopic(kafka.brokers, topic, { until: 5 })
  expect(records.map(({ value }) => value?.toString())).toEqual(['0', '2', '4', '6', '8'])
  const [offsets] = await kafka.admin.fetchOffsets({ groupId, topics: [topic] })
  expect(offsets.partitions[0].offset).toBe('8')
})

test('a send rejected while Kafka is down, sent again when it is back, is stored once', async () => {
  const own = await startOwnKafka()
  try {
    const client = createKafka({
      brokers: [own.address],
      clientId: 't',
      logger: silentLogger,
      retry: { retries: 8 } // enough to be served, few enough to be rejected soon
    })
    const admin = client.admin()
    await admin.connect()
    const topic = await createTopic(admin, uniqueTopic('outage'))
    await admin.disconnect()
    const producer = client.producer({ idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    await producer.send({ topic, messages: [{ value: '0' }] })
    await own.kill()
    const messages = [{ value: '1' }, { value: '2' }]
    await expect(producer.send({ topic, messages })).rejects.toThrow()
    await own.restart()
    await producer.send({ topic, messages })
    await producer.send({ topic, messages: [{ value: '3' }] })
    await producer.disconnect()
    const records = await readTopic([own.address], topic, { until: 4 })
    expect(records.map(({ value }) => value?.toString())).toEqual(['0', '1', '2', '3'])
  } finally {
    await own.remove()
  }
})

test('the default partitioner gives the hashes of the Java client', () => {
  // Source: org.apache.kafka.common.utils.UtilsTest.testMurmur2.
  const murmur2 = createRequire(import.meta.url)(
    'kafkajs/src/producer/partitioners/default/murmur2.js'
  )
  expect(murmur2('21')).toBe(-973932308)
  expect(murmur2('foobar')).toBe(-790332482)
  expect(murmur2('a-little-bit-long-string')).toBe(-985981536)
  expect(murmur2('a-little-bit-longer-string')).toBe(-1486304829)
  expect(murmur2('lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8')).toBe(-58897971)
  expect(murmur2('abc')).toBe(479470107)
})

test('what kafkajs says goes to the logger at debug, without secrets; at info nothing does', async () => {
  const lines: string[] = []
  const connect = async (level: 'debug' | 'info'): Promise<void> => {
    const client = createKafka({
      brokers: ['127.0.0.1:1'],
      clientId: 't',
      sasl: { mechanism: 'plain', username: 'u', password: 'hush-hush' },
      logger: createLogger(level, line => lines.push(line)),
      retry: { retries: 1 }
    })
    await expect(client.producer().connect()).rejects.toThrow('ECONNREFUSED')
  }
  await connect('info')
  expect(lines).toEqual([])
  await connect('debug')
  expect(lines.length).toBeGreaterThan(0)
  for (const line of lines) {
    expect(line).toMatch(/kafka\.client/)
    expect(line).toMatch(/debug/)
    expect(line).not.toMatch(/hush-hush/)
  }
})

test('the waits of the retry profile add up to less than four seconds', () => {
  let waitMs = KAFKA_RETRY.initialRetryTime
  let allMs = 0
  for (let i = 0; i < KAFKA_RETRY.retries; i++) {
    allMs += waitMs
    waitMs = Math.min(waitMs * (1 + KAFKA_RETRY.factor) * KAFKA_RETRY.multiplier, 200)
  }
  expect(allMs).toBeLessThan(4000)
})
