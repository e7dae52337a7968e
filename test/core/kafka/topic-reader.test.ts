import { expect, test } from 'vitest'
import { TopicReader } from '../../../core/kafka/topic-reader.ts'
import { createTopic, uniqueTopic, useKafka } from '../../kit/kafka.ts'

const kafka = useKafka()

async function produce(topic: string, values: readonly string[]): Promise<void> {
  const producer = kafka.client().producer({ allowAutoTopicCreation: false, idempotent: true })
  await producer.connect()
  const messages = values.map(value => ({ key: 'k', value, partition: Number(value) % 3 }))
  await producer.send({ topic, messages })
  await producer.disconnect()
}

async function valuesOf(reader: TopicReader): Promise<string[]> {
  const values: string[] = []
  await reader.read(({ value }) => values.push(String(value)))
  return values
}

test('a topic is read whole, then what came since, and on from there by the next reader', async () => {
  const topic = await createTopic(kafka.admin, uniqueTopic('reader'), { numPartitions: 3 })
  await produce(topic, ['0', '1', '2', '3', '4'])
  const reader = await TopicReader.open(kafka.client(), topic)
  expect(await valuesOf(reader)).toEqual(['0', '3', '1', '4', '2'])
  expect(await valuesOf(reader)).toEqual([])
  await produce(topic, ['6', '7'])
  expect(await valuesOf(reader)).toEqual(['6', '7'])
  await reader.close()
  await produce(topic, ['8'])
  const next = await TopicReader.open(kafka.client(), topic, reader.next)
  expect(await valuesOf(next)).toEqual(['8'])
  await next.close()
})

test('where there is less than the last reader had read, the topic is another: it is read whole', async () => {
  const topic = await createTopic(kafka.admin, uniqueTopic('reader'))
  const producer = kafka.client().producer({ allowAutoTopicCreation: false })
  await producer.connect()
  await producer.send({ topic, messages: [{ value: 'a' }] })
  await producer.disconnect()
  const reader = await TopicReader.open(kafka.client(), topic, new Map([[0, 70]]))
  expect(await valuesOf(reader)).toEqual(['a'])
  expect([...reader.next]).toEqual([[0, 1]])
  await reader.close()
})

test('a topic that is not there is an error with its name', async () => {
  await expect(TopicReader.open(kafka.client(), uniqueTopic('nowhere'))).rejects.toMatchObject({
    type: 'UNKNOWN_TOPIC_OR_PARTITION'
  })
})
