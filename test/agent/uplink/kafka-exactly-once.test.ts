import { expect, test } from 'vitest'
import { kafkajsDriver } from '../../../agent/uplink/kafka-session.ts'
import type { Kafka, Producer } from '../../../core/kafka/client.ts'
import { createTopic, readTopic, uniqueTopic, useKafka } from '../../kit/kafka.ts'
import { deliveryOf, EPOCH, idsByKey, running, upTo, wholeIds } from './delivery-kit.ts'
import { recordsOf } from './records.ts'

const shared = useKafka()

/** A topic; its name is the transactional id too. */
async function newTopic(): Promise<string> {
  const cursors = [{ topic: 'fieldline.cursors', numPartitions: 1, replicationFactor: 1 }]
  await shared.admin.createTopics({ topics: cursors, waitForLeaders: true })
  return createTopic(shared.admin, uniqueTopic('exact'), { numPartitions: 2 })
}

const incarnationOf = (transactionalId: string, kafka = shared.client()) =>
  deliveryOf(kafka, 'exactly_once', { transactionalId })

test('the cursor goes with the records: the next incarnation learns where to go on', async () => {
  const topic = await newTopic()
  const first = incarnationOf(topic)
  expect(await first.delivery.start(running)).toBeUndefined()
  await first.delivery.deliver(recordsOf(topic, 0, 10), upTo(10), running)
  await first.delivery.deliver(recordsOf(topic, 10, 20), upTo(25), running)
  await first.delivery.close()
  expect(await incarnationOf(topic).delivery.start(running)).toEqual({ epoch: EPOCH, offset: 25 })
})

test('a new incarnation fences the old one, whose records are never seen', async () => {
  const topic = await newTopic()
  const old = incarnationOf(topic)
  await old.delivery.start(running)
  await old.delivery.deliver(recordsOf(topic, 0, 10), upTo(10), running)
  const next = incarnationOf(topic)
  expect(await next.delivery.start(running)).toEqual({ epoch: EPOCH, offset: 10 })
  const stop = new AbortController()
  const zombie = old.delivery.deliver(recordsOf(topic, 10, 20), upTo(20), stop.signal)
  await expect.poll(() => old.states.at(-1)?.kind, { timeout: 20_000 }).toBe('waiting')
  stop.abort()
  expect(await zombie).toBe(false)
  expect(await next.delivery.deliver(recordsOf(topic, 10, 30), upTo(30), running)).toBe(true)
  expect(idsByKey(await readTopic(shared.brokers, topic, { until: 30 }))).toEqual(wholeIds(30))
})

test('records of a transaction that was abandoned half-way are delivered again, and seen once', async () => {
  const topic = await newTopic()
  const first = incarnationOf(topic)
  await first.delivery.start(running)
  await first.delivery.deliver(recordsOf(topic, 0, 10), upTo(10), running)
  await first.delivery.close()
  // The crash: records are in Kafka, cursor and commit are not.
  const driver = kafkajsDriver({ kafka: () => shared.client(), compression: 'none' })
  const crashed = await driver.open({ transactionalId: topic, transactionMsMax: 60_000 })
  await (await crashed.begin()).send(recordsOf(topic, 10, 20))
  const next = incarnationOf(topic)
  expect(await next.delivery.start(running)).toEqual({ epoch: EPOCH, offset: 10 })
  await next.delivery.deliver(recordsOf(topic, 10, 20), upTo(20), running)
  await crashed.close()
  // Well within the transaction's timeout: it was aborted by the fencing, not by its age.
  expect(idsByKey(await readTopic(shared.brokers, topic, { until: 20 }))).toEqual(wholeIds(20))
})

test('a commit whose answer is lost is not sent again: the cursor tells that it was stored', async () => {
  const topic = await newTopic()
  const { delivery, states } = incarnationOf(topic, losingFirstCommitAnswer(shared.client()))
  await delivery.start(running)
  expect(await delivery.deliver(recordsOf(topic, 0, 10), upTo(10), running)).toBe(true)
  expect(states.map(({ kind }) => kind)).toEqual(['streaming', 'waiting', 'streaming'])
  expect(await delivery.deliver(recordsOf(topic, 10, 20), upTo(20), running)).toBe(true)
  expect(idsByKey(await readTopic(shared.brokers, topic, { until: 20 }))).toEqual(wholeIds(20))
})

test('a cursor written for another cluster is not believed', async () => {
  const topic = await newTopic()
  const offsets = [
    { partition: 0, offset: '99', metadata: `{"epoch":"${EPOCH}","cluster":"other"}` }
  ]
  await shared.admin.setOffsets({ groupId: topic, topic: 'fieldline.cursors', partitions: offsets })
  expect(await incarnationOf(topic).delivery.start(running)).toBeUndefined()
})

test('a batch of clock marks alone needs no transaction', async () => {
  const topic = await newTopic()
  const { delivery } = incarnationOf(topic)
  await delivery.start(running)
  expect(await delivery.deliver([], upTo(5), running)).toBe(true)
})

function losingFirstCommitAnswer(kafka: Kafka): Kafka {
  let lost = false
  const wrap = (producer: Producer): Producer => {
    const begin = producer.transaction.bind(producer)
    producer.transaction = async () => {
      const transaction = await begin()
      const commit = transaction.commit.bind(transaction)
      transaction.commit = async () => {
        await commit()
        if (lost) return
        lost = true
        throw new Error('the connection broke')
      }
      return transaction
    }
    return producer
  }
  const make = kafka.producer.bind(kafka)
  kafka.producer = options => wrap(make(options))
  return kafka
}
