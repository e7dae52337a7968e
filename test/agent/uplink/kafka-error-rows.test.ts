import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Admin } from '../../../core/kafka/client.ts'
import { createTopic, missingKafka, readTopic, testClient, uniqueTopic } from '../../kit/kafka.ts'
import { type KafkaNodes, startKafkaNodes } from '../../kit/kafka-nodes.ts'
import { deliveryOf, idsByKey, MODES, type Mode, running, upTo, wholeIds } from './delivery-kit.ts'
import { kafkaTool, type Row, rowOf, troubles } from './error-rows-kit.ts'
import { recordsOf } from './records.ts'

/*
 * Rows of the error table that a single broker can be brought to. Each holds that nothing is dropped
 * which time may heal, that it heals without a new delivery, order, no duplicates, and what the lane
 * says meanwhile. Rows of a cluster, of ACLs and of logins have files of their own; what no broker of
 * today answers is in kafka-errors.test.ts.
 */

const missing = await missingKafka()

/** One broker for the rows, one that forgets producers soon. */
let broker: KafkaNodes
let forgetful: KafkaNodes
let admin: Admin
let forgetfulAdmin: Admin

beforeAll(async () => {
  if (missing) return
  ;[broker, forgetful] = await Promise.all([
    startKafkaNodes(),
    startKafkaNodes({
      properties: {
        'producer.id.expiration.ms': '1000',
        'producer.id.expiration.check.interval.ms': '200',
        'transactional.id.expiration.ms': '1000',
        'transaction.remove.expired.transaction.cleanup.interval.ms': '200'
      }
    })
  ])
  admin = await adminOf(broker)
  forgetfulAdmin = await adminOf(forgetful)
})
afterAll(async () => {
  await admin?.disconnect()
  await forgetfulAdmin?.disconnect()
  await broker?.remove()
  await forgetful?.remove()
})

async function adminOf({ brokers }: KafkaNodes): Promise<Admin> {
  const connected = testClient(brokers, 'test-admin').admin()
  await connected.connect()
  await createTopic(connected, 'fieldline.cursors')
  return connected
}

function row(mode: Mode, options: Partial<Parameters<typeof rowOf>[3]> = {}) {
  return rowOf(admin, broker.brokers, mode, { kafka: testClient(broker.brokers), ...options })
}

test.skipIf(missing)(
  'throttled: a quota slows the lane down, and is no trouble otherwise',
  async () => {
    await kafkaTool(
      'kafka.admin.ConfigCommand',
      ...['--bootstrap-server', broker.brokers[0], '--alter'],
      ...['--entity-type', 'clients', '--entity-name', 'throttled'],
      ...['--add-config', 'producer_byte_rate=20000']
    )
    const kafka = testClient(broker.brokers, 'throttled')
    const rows = await Promise.all(MODES.map(mode => row(mode, { kafka })))
    // A quota counts over ten seconds: a burst is free, then an answer takes its time.
    const slowest = async ({ send }: Row) => {
      let ms = 0
      for (let n = 0; n < 60 && ms < 1000; n++) {
        const from = performance.now()
        await send(500)
        ms = Math.max(ms, performance.now() - from)
      }
      return ms
    }
    for (const ms of await Promise.all(rows.map(slowest))) expect(ms).toBeGreaterThan(1000)
    for (const each of rows) {
      expect(troubles(each.states)).toEqual([])
      await each.expectWhole()
    }
  }
)

test.skipIf(missing).each(MODES)(
  '%s: MESSAGE_TOO_LARGE of a batch whose records fit is split, and nothing becomes a dead letter',
  async mode => {
    const configEntries = [{ name: 'max.message.bytes', value: '4000' }]
    const each = await row(mode, { topicOptions: { numPartitions: 1, configEntries } })
    await each.send(500)
    expect([each.deadLetters, troubles(each.states)]).toEqual([[], []])
    await each.expectWhole()
  }
)

test.skipIf(missing)(
  'RECORD_LIST_TOO_LARGE of a batch larger than a segment is split',
  async () => {
    const configEntries = [
      { name: 'segment.bytes', value: '1048576' },
      { name: 'max.message.bytes', value: '3000000' }
    ]
    const topicOptions = { numPartitions: 1, configEntries }
    const { topic, delivery, deadLetters } = await row('at_least_once', { topicOptions })
    const records = recordsOf(topic, 0, 49)
    for (const record of records) record.value = Buffer.alloc(40_000, 1)
    expect(await delivery.deliver(records, upTo(49), running)).toBe(true)
    expect(deadLetters).toEqual([])
    expect(idsByKey(await readTopic(broker.brokers, topic, { until: 49 }))).toEqual(wholeIds(49))
  }
)

test.skipIf(missing).each(MODES)(
  '%s: INVALID_TIMESTAMP by the limits of the topic makes a dead letter of the one record',
  async mode => {
    const configEntries = [
      { name: 'message.timestamp.before.max.ms', value: '60000' },
      { name: 'message.timestamp.after.max.ms', value: '60000' }
    ]
    const deadLetterTopic = await createTopic(admin, uniqueTopic('dead'), { configEntries })
    const topicOptions = { numPartitions: 1, configEntries }
    const { topic, delivery, deadLetters } = await row(mode, { topicOptions, deadLetterTopic })
    const records = recordsOf(topic, 0, 7)
    records[2].timestampMs -= 120_000
    records[5].timestampMs += 120_000
    expect(await delivery.deliver(records, upTo(7), running)).toBe(true)
    expect(deadLetters).toEqual(['invalid_timestamp', 'invalid_timestamp'])
    const found = await readTopic(broker.brokers, topic, { until: 5 })
    expect(found.map(({ headers }) => headers['fl-id'])).toEqual(['0', '1', '3', '4', '6'])
    const letters = await readTopic(broker.brokers, deadLetterTopic, { until: 2 })
    expect(letters.map(({ headers, value }) => [headers['fl-id'], String(value)])).toEqual([
      ['2', '2'],
      ['5', '5']
    ])
  }
)

test.skipIf(missing).each(MODES)(
  '%s: a topic that is deleted and made again parks the lane, then takes what is sent, from the first record on; the batch’s other topics get nothing twice',
  async mode => {
    const { topic, delivery, states, told } = await row(mode)
    const other = await createTopic(admin, uniqueTopic('other'), { numPartitions: 3 })
    const deliver = async (first: number, end: number) => {
      const records = [...recordsOf(topic, first, end), ...recordsOf(other, first, end)]
      expect(await delivery.deliver(records, upTo(end), running)).toBe(true)
    }
    await deliver(0, 50)
    await admin.deleteTopics({ topics: [topic] })
    const delivered = deliver(50, 100)
    expect(await told('UNKNOWN_TOPIC_OR_PARTITION')).toMatchObject({ kind: 'parked', topic })
    await createTopic(admin, topic, { numPartitions: 3 })
    await delivered
    await deliver(100, 150)
    expect(states.at(-1)).toEqual({ kind: 'streaming' })
    const found = await readTopic(broker.brokers, topic, { until: 100 })
    const since = Object.entries(wholeIds(150)).map(([key, ids]) => [
      key,
      ids.filter(id => id >= 50)
    ])
    expect(idsByKey(found)).toEqual(Object.fromEntries(since))
    const others = await readTopic(broker.brokers, other, { until: 150 })
    expect(idsByKey(others)).toEqual(wholeIds(150))
  }
)

test.skipIf(missing)(
  'fenced: a stranger with the same transactional id costs a new producer, and nothing else',
  async () => {
    const each = await row('exactly_once')
    await each.send(50)
    const stranger = deliveryOf(testClient(broker.brokers), 'exactly_once', {
      transactionalId: each.topic
    })
    expect(await stranger.delivery.start(running)).toEqual(upTo(50))
    await each.send(50)
    expect(troubles(each.states)).toEqual(['waiting INVALID_PRODUCER_EPOCH'])
    expect(each.states.at(-1)).toEqual({ kind: 'streaming' })
    // The stranger is fenced now; what it would send under the cursor is not seen.
    await each.expectWhole()
  }
)

test.skipIf(missing).each(MODES)(
  '%s: a dead-letter topic that is missing parks the lane, and the letter is sent once it is there',
  async mode => {
    const configEntries = [{ name: 'max.message.bytes', value: '2000' }]
    const deadLetterTopic = uniqueTopic('dead')
    const topicOptions = { numPartitions: 1, configEntries }
    const { topic, delivery, told, states } = await row(mode, { topicOptions, deadLetterTopic })
    const records = recordsOf(topic, 0, 9)
    records[4].value = Buffer.alloc(5_000, 7)
    const delivered = delivery.deliver(records, upTo(9), running)
    expect(await told('UNKNOWN_TOPIC_OR_PARTITION')).toMatchObject({
      kind: 'parked',
      topic: deadLetterTopic
    })
    // A letter too large for its topic waits for a larger limit, and is not dropped.
    const small = [{ name: 'max.message.bytes', value: '1000' }]
    await createTopic(admin, deadLetterTopic, { configEntries: small })
    expect(await told('MESSAGE_TOO_LARGE')).toMatchObject({
      kind: 'parked',
      topic: deadLetterTopic
    })
    const large = [{ name: 'max.message.bytes', value: '10000' }]
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: 2, name: deadLetterTopic, configEntries: large }]
    })
    expect(await delivered).toBe(true)
    expect(states.at(-1)).toEqual({ kind: 'streaming' })
    const found = await readTopic(broker.brokers, topic, { until: 8 })
    expect(found.map(({ headers }) => Number(headers['fl-id']))).toEqual([0, 1, 2, 3, 5, 6, 7, 8])
    const letters = await readTopic(broker.brokers, deadLetterTopic, { until: 1 })
    expect(letters.map(({ value }) => value)).toEqual([records[4].value])
  }
)

test.skipIf(missing).each(MODES)(
  '%s: a dead letter whose time its own topic refuses goes with the present one',
  async mode => {
    const configEntries = [{ name: 'max.message.bytes', value: '2000' }]
    const limits = [{ name: 'message.timestamp.before.max.ms', value: '60000' }]
    const deadLetterTopic = await createTopic(admin, uniqueTopic('dead'), { configEntries: limits })
    const topicOptions = { numPartitions: 1, configEntries }
    const { topic, delivery, states } = await row(mode, { topicOptions, deadLetterTopic })
    const [record] = recordsOf(topic, 0, 1)
    const old = { ...record, value: Buffer.alloc(5_000, 7), timestampMs: Date.now() - 3_600_000 }
    expect(await delivery.deliver([old], upTo(1), running)).toBe(true)
    expect(troubles(states)).toEqual([])
    const [letter] = await readTopic(broker.brokers, deadLetterTopic, { until: 1 })
    expect(letter).toMatchObject({ value: old.value, headers: { 'fl-reason': 'too_large' } })
  }
)

test.skipIf(missing)(
  'a broker that forgot the producer is written to as before, nothing lost, nothing twice',
  async () => {
    const kafka = testClient(forgetful.brokers)
    const rows = await Promise.all(
      MODES.map(mode => rowOf(forgetfulAdmin, forgetful.brokers, mode, { kafka }))
    )
    const sendAll = () => Promise.all(rows.map(each => each.send(40)))
    for (let n = 0; n < 2; n++) {
      await sendAll()
      // Nothing tells when a broker forgets.
      await new Promise(resolve => setTimeout(resolve, 2500))
    }
    await sendAll()
    // at_least_once goes on under its sequence: since Kafka 2.5 a partition that does not know the
    // producer takes any, where it answered UNKNOWN_PRODUCER_ID before.
    const [plain, exact] = rows.map(each => new Set(troubles(each.states)))
    expect(plain).toEqual(new Set())
    expect(exact).toEqual(new Set(['waiting INVALID_PRODUCER_ID_MAPPING']))
    for (const each of rows) await each.expectWhole()
  }
)

test.skipIf(missing)(
  'OUT_OF_ORDER_SEQUENCE_NUMBER: a broker that lost its newest records gets the next ones from a new producer',
  async () => {
    const [node] = broker.nodes
    const rows = await Promise.all(MODES.map(mode => row(mode)))
    for (const each of rows) await each.send(70)
    await node.stop()
    const [data, backup] = [join(node.directory, 'logs'), join(node.directory, 'backup')]
    cpSync(data, backup, { recursive: true })
    await node.start()
    for (const each of rows) await each.send(70)
    await node.stop()
    rmSync(data, { recursive: true })
    cpSync(backup, data, { recursive: true })
    await node.start()
    for (const each of rows) {
      await each.send(70)
      const found = await readTopic(broker.brokers, each.topic, { until: 140 })
      const lost = (id: number) => id >= 70 && id < 140
      const kept = Object.entries(wholeIds(210)).map(([key, ids]) => [
        key,
        ids.filter(id => !lost(id))
      ])
      expect(idsByKey(found)).toEqual(Object.fromEntries(kept))
      expect(each.states.at(-1)).toEqual({ kind: 'streaming' })
    }
    expect(troubles(rows[0].states)).toContain('waiting OUT_OF_ORDER_SEQUENCE_NUMBER')
  }
)
