import { expect, test } from 'vitest'
import type { Producer } from '../../../core/kafka/client.ts'
import { partitionBounds, readPartition } from '../../../core/kafka/partition.ts'
import { createTopic, uniqueTopic, useKafka } from '../../kit/kafka.ts'

const kafka = useKafka()

async function producerOf(id: string): Promise<Producer> {
  const producer = kafka.client().producer({ transactionalId: id, maxInFlightRequests: 1 })
  await producer.connect()
  return producer
}

async function valuesOf(producer: Producer, topic: string, partition: number): Promise<string[]> {
  const values: string[] = []
  await readPartition(producer, topic, partition, ({ value }) => values.push(String(value)))
  return values
}

const record = (value: string) => ({ messages: [{ key: 'k', value, partition: 1 }] })

test('a partition is read to its end without a group, and aborted transactions are not seen', async () => {
  const topic = await createTopic(kafka.admin, uniqueTopic('read'), { numPartitions: 2 })
  const producer = await producerOf(topic)
  expect(await valuesOf(producer, topic, 1)).toEqual([])
  for (const [value, ends] of [
    ['one', 'commit'],
    ['never', 'abort'],
    ['two', 'commit']
  ] as const) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, ...record(value) })
    await transaction[ends]()
  }
  expect(await valuesOf(producer, topic, 1)).toEqual(['one', 'two'])
  expect(await valuesOf(producer, topic, 0)).toEqual([])
  expect(await partitionBounds(producer, topic, 1)).toEqual({ first: 0, end: 6 })
  await expect(readPartition(producer, topic, 2, () => {})).rejects.toThrow('no partition 2')
  await producer.disconnect()
})

test('what is committed behind the open transaction of another is waited for, not missed', async () => {
  const topic = await createTopic(kafka.admin, uniqueTopic('waits'), { numPartitions: 2 })
  const other = await producerOf(`${topic}-other`)
  const open = await other.transaction()
  await open.send({ topic, ...record('other') })
  const producer = await producerOf(topic)
  const own = await producer.transaction()
  await own.send({ topic, ...record('own') })
  await own.commit()
  let done = false
  const reading = valuesOf(producer, topic, 1).then(values => {
    done = true
    return values
  })
  // The reader has asked for more in vain by then.
  await new Promise(resolve => setTimeout(resolve, 600))
  expect(done).toBe(false)
  await open.commit()
  expect(await reading).toEqual(['other', 'own'])
  await Promise.all([producer.disconnect(), other.disconnect()])
})
