import { expect, test } from 'vitest'
import {
  createTopics,
  deadLetterAcls,
  detectorAcls,
  neededAcls,
  type TopicPlan
} from '../../../agent/uplink/kafka-topics.ts'
import {
  type OwnKafka,
  readTopic,
  startOwnKafka,
  testClient,
  useOwnKafka
} from '../../kit/kafka.ts'
import { deliveryOf, idsByKey, MODES, running, upTo, wholeIds } from './delivery-kit.ts'
import { recordsOf } from './records.ts'

const PLAN: TopicPlan = {
  telemetry: MODES.map(mode => `telemetry.${mode}`),
  deadLetters: 'fieldline.dead-letters',
  alerts: 'fieldline.alerts',
  status: 'fieldline.status',
  partitions: 3,
  replicationFactor: null
}

let own: OwnKafka
useOwnKafka(async () => {
  own = await startOwnKafka()
  return own
})

test('missing topics are created, each as it must be kept, and what is there is left alone', async () => {
  const kafka = testClient([own.address])
  const created = await createTopics(kafka, PLAN)
  expect(created.map(({ topic }) => topic)).toEqual([
    'telemetry.at_least_once',
    'telemetry.exactly_once',
    'fieldline.dead-letters',
    'fieldline.alerts',
    'fieldline.status',
    'fieldline.cursors',
    'fieldline.detector-state'
  ])
  expect(await createTopics(kafka, { ...PLAN, partitions: 9 })).toEqual([])
  const admin = kafka.admin()
  await admin.connect()
  const { topics } = await admin.fetchTopicMetadata()
  const partitions = new Map(topics.map(({ name, partitions }) => [name, partitions.length]))
  expect(partitions.get('fieldline.cursors')).toBe(1)
  expect(partitions.get('fieldline.status')).toBe(1)
  expect(partitions.get('fieldline.detector-state')).toBe(3)
  expect(partitions.get('telemetry.exactly_once')).toBe(3)
  const names = ['fieldline.status', 'fieldline.detector-state', 'fieldline.cursors']
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: names.map(name => ({ type: 2, name, configNames: ['cleanup.policy'] }))
  })
  // Whoever takes a partition over reads it whole.
  const state = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: 2, name: 'fieldline.detector-state', configNames: ['segment.bytes'] }]
  })
  expect(state.resources[0].configEntries[0].configValue).toBe(String(32 << 20))
  // The age of a last word is told by the brokers' clock.
  const status = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: 2, name: 'fieldline.status', configNames: ['message.timestamp.type'] }]
  })
  expect(status.resources[0].configEntries[0].configValue).toBe('LogAppendTime')
  await admin.disconnect()
  const policies = resources.map(r => [r.resourceName, r.configEntries[0].configValue])
  expect(Object.fromEntries(policies)).toEqual({
    'fieldline.status': 'compact',
    'fieldline.detector-state': 'compact',
    'fieldline.cursors': 'delete'
  })
})

test('the rights an agent needs name its topics, and for exactly_once its ids and the cursors', () => {
  const plain = neededAcls(PLAN, false, 'gateway-7').join('\n')
  expect(plain).toContain('--topic telemetry.at_least_once')
  expect(plain).toContain('--operation IdempotentWrite --cluster')
  expect(plain).not.toContain('--transactional-id')
  const exact = neededAcls(PLAN, true, 'gateway-7').join('\n')
  expect(exact).toContain('--transactional-id fieldline.gateway-7.')
  expect(exact).toContain('--group fieldline.gateway-7.')
  expect(exact).toContain('--topic fieldline.cursors')
})

test("the rights that 'fieldline dlq' needs name the letters, its groups and its transactions", () => {
  const acls = deadLetterAcls(PLAN).join('\n')
  expect(acls).toContain(`--operation Read --operation Describe --topic ${PLAN.deadLetters}`)
  expect(acls).toContain('prefixed --group fieldline.dlq')
  expect(acls).toContain('prefixed --transactional-id fieldline.dlq')
})

test('the rights a central detector needs name what it reads, its state, its group and its ids', () => {
  const acls = detectorAcls(PLAN, 'fleet', ['telemetry', 'vibration']).join('\n')
  expect(acls).toContain('--operation Read --operation Describe --topic vibration')
  expect(acls).toContain('--operation Write --operation Describe --topic fieldline.alerts')
  expect(acls).toContain(
    '--operation Read --operation Write --operation Describe --topic fieldline.detector-state'
  )
  expect(acls).toContain('--group fleet')
  expect(acls).toContain('--resource-pattern-type prefixed --transactional-id fleet/')
})

test.each(MODES)(
  '%s: kill -9 of the broker in the middle of sending loses, reorders and doubles nothing',
  async mode => {
    const topic = `telemetry.${mode}`
    const kafka = testClient([own.address])
    const { delivery, states } = deliveryOf(kafka, mode, {
      transactionalId: 'fieldline.a.telemetry'
    })
    await delivery.start(running)
    let next = 0
    const deliver = async () => {
      const first = next
      next += 200
      expect(await delivery.deliver(recordsOf(topic, first, next), upTo(next), running)).toBe(true)
    }
    for (let n = 0; n < 5; n++) await deliver()
    const underWay = (async () => {
      for (let n = 0; n < 10; n++) await deliver()
    })()
    // In the middle of whatever the first of them is doing.
    await new Promise(setImmediate)
    await own.kill()
    await expect
      .poll(() => states.some(({ kind }) => kind === 'waiting'), { timeout: 30_000 })
      .toBe(true)
    await own.restart()
    await underWay
    expect(states.at(-1)).toEqual({ kind: 'streaming' })
    const records = await readTopic([own.address], topic, { until: next })
    expect(idsByKey(records)).toEqual(wholeIds(next))
  },
  120_000
)
