import { expect, test } from 'vitest'
import { createTopic, readTopic, uniqueTopic, useKafka } from '../../kit/kafka.ts'
import { deliveryOf, idsByKey, MODES, running, upTo, wholeIds } from './delivery-kit.ts'
import { recordsOf } from './records.ts'

const shared = useKafka()

/** With `fieldline.cursors`, which every test may be the first to need. */
async function topicFor(prefix: string, maxMessageBytes?: number): Promise<string> {
  const cursors = [{ topic: 'fieldline.cursors', numPartitions: 1, replicationFactor: 1 }]
  await shared.admin.createTopics({ topics: cursors, waitForLeaders: true })
  const configEntries = maxMessageBytes
    ? [{ name: 'max.message.bytes', value: String(maxMessageBytes) }]
    : []
  return createTopic(shared.admin, uniqueTopic(prefix), { numPartitions: 3, configEntries })
}

test.each(MODES)('%s: what Kafka gets is the record: key, value, time and headers', async mode => {
  const topic = await topicFor('plain')
  const { delivery, states } = deliveryOf(shared.client(), mode, { transactionalId: topic })
  expect(await delivery.start(running)).toBeUndefined()
  expect(states.at(-1)).toEqual({ kind: 'streaming' })
  const timestampMs = Date.now() - 5000
  const record = {
    topic,
    key: 'p/d',
    value: Buffer.from([0, 255]),
    timestampMs,
    headers: { a: 'é' }
  }
  expect(await delivery.deliver([record], upTo(1), running)).toBe(true)
  const [found] = await readTopic(shared.brokers, topic, { until: 1 })
  expect(found).toMatchObject({
    key: 'p/d',
    value: Buffer.from([0, 255]),
    timestampMs,
    headers: { a: 'é' }
  })
})

test.each(MODES)(
  '%s: a record too large for its topic becomes a dead letter, the others stay in order and are there once',
  async mode => {
    const topic = await topicFor('large', 20_000)
    const deadLetterTopic = await topicFor('dead')
    const { delivery, deadLetters } = deliveryOf(shared.client(), mode, {
      deadLetterTopic,
      transactionalId: topic
    })
    await delivery.start(running)
    // Of one device: what a refused send shares with other partitions may come twice at_least_once.
    const records = recordsOf(topic, 0, 41).map(record => ({ ...record, key: 'p/d' }))
    records[17].value = Buffer.alloc(30_000, 1)
    expect(await delivery.deliver(records, upTo(41), running)).toBe(true)
    const found = await readTopic(shared.brokers, topic, { until: 40 })
    const expected = [...records.keys()].filter(n => n !== 17)
    expect(idsByKey(found)).toEqual({ 'p/d': expected })
    const [letter] = await readTopic(shared.brokers, deadLetterTopic, { until: 1 })
    expect(letter.value).toEqual(records[17].value)
    expect(letter).toMatchObject({
      key: 'p/d',
      headers: { 'fl-id': '17', 'fl-stage': 'produce', 'fl-reason': 'too_large' }
    })
    expect(deadLetters).toEqual(['too_large'])
  }
)

test.each(MODES)(
  '%s: a timestamp that Kafka refuses makes a dead letter, not a lane that stands',
  async mode => {
    const topic = await topicFor('future')
    const deadLetterTopic = await topicFor('dead')
    const { delivery } = deliveryOf(shared.client(), mode, {
      deadLetterTopic,
      transactionalId: topic
    })
    await delivery.start(running)
    const records = recordsOf(topic, 0, 3).map(record => ({ ...record, key: 'p/d' }))
    records[1].timestampMs = Date.now() + 7_200_000
    expect(await delivery.deliver(records, upTo(3), running)).toBe(true)
    expect(idsByKey(await readTopic(shared.brokers, topic, { until: 2 }))).toEqual({
      'p/d': [0, 2]
    })
    const [letter] = await readTopic(shared.brokers, deadLetterTopic, { until: 1 })
    expect(letter.headers).toMatchObject({ 'fl-id': '1', 'fl-reason': 'invalid_timestamp' })
  }
)

test.each(MODES)(
  '%s: a topic that is missing parks the lane, which says so, and heals when it is created',
  async mode => {
    const [topic, late] = [await topicFor('present'), uniqueTopic('late')]
    const { delivery, states } = deliveryOf(shared.client(), mode, { transactionalId: topic })
    await delivery.start(running)
    const records = [...recordsOf(topic, 0, 10), ...recordsOf(late, 0, 10)]
    const delivered = delivery.deliver(records, upTo(20), running)
    await expect
      .poll(() => states.filter(({ kind }) => kind === 'parked').length, { timeout: 30_000 })
      .toBeGreaterThan(1)
    expect(states.at(-1)).toMatchObject({
      kind: 'parked',
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
      topic: late
    })
    await createTopic(shared.admin, late)
    expect(await delivered).toBe(true)
    expect(states.at(-1)).toEqual({ kind: 'streaming' })
    // What went to the topic that was there is not repeated by every attempt.
    for (const each of [topic, late]) {
      expect(idsByKey(await readTopic(shared.brokers, each, { until: 10 }))).toEqual(wholeIds(10))
    }
  }
)

test.each(MODES)('%s: a delivery gives up when it is stopped', async mode => {
  const topic = await topicFor('stop')
  const stop = new AbortController()
  const { delivery } = deliveryOf(shared.client(), mode, {
    transactionalId: topic,
    onState: ({ kind }) => kind === 'parked' && stop.abort()
  })
  await delivery.start(running)
  expect(await delivery.deliver(recordsOf(uniqueTopic('never'), 0, 1), upTo(1), stop.signal)).toBe(
    false
  )
})
