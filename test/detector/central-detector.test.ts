import { expect, test } from 'vitest'
import type { AlertEvent } from '../../core/contract/alert-event.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { Admin } from '../../core/kafka/client.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { CentralDetector, type CentralDetectorOptions } from '../../detector/central-detector.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import {
  createTopic,
  readTopic,
  startOwnKafka,
  testClient,
  uniqueTopic,
  useKafka
} from '../kit/kafka.ts'
import { detectorConfig, eventfulReadings } from './kit.ts'

const kafka = useKafka()

const ROUTES: RouteConfig[] = [
  {
    name: 'default',
    match: ['telemetry/{site}/{device}'],
    site: undefined,
    topic: 'telemetry',
    codec: 'json',
    value: 'payload',
    fields: undefined
  }
]

function settled(call: Promise<unknown>): Promise<boolean> {
  return call.then(
    () => true,
    () => false
  )
}

async function produce(
  topic: string,
  readings: readonly DetectorReading[],
  client = kafka.client()
): Promise<void> {
  const producer = client.producer({ idempotent: true, maxInFlightRequests: 1 })
  // A broker that has just woken does not know its controller yet.
  await until('connected', () => settled(producer.connect()))
  for (let at = 0; at < readings.length; at += 400) {
    await producer.send({
      topic,
      acks: -1,
      messages: readings.slice(at, at + 400).map(r => ({
        key: `${r.site}/${r.device}`,
        value: JSON.stringify(Object.fromEntries(r.values.map(v => [v.metric, v.value]))),
        timestamp: String(r.at),
        headers: {
          'fl-id': r.eventId,
          'fl-topic': `telemetry/${r.site}/${r.device}`,
          'fl-received': String(r.receivedAt)
        }
      }))
    })
  }
  await producer.disconnect()
}

interface Topics {
  telemetry: string
  alerts: string
  deadLetters: string
  state: string
  group: string
}

interface Running {
  detector: CentralDetector
  stop(): Promise<void>
}

function start(
  { telemetry, group, ...topics }: Topics,
  options: Partial<CentralDetectorOptions> = {},
  config: Partial<DetectorConfig> = {}
): Running {
  const detector = new CentralDetector({
    config: detectorConfig({
      ...{ scope: 'central', group, topics: [telemetry], snapshotIntervalMs: 50 },
      ...config
    }),
    kafka: () => kafka.client('detector'),
    topics,
    routes: ROUTES.map(route => ({ ...route, topic: telemetry })),
    logger: silentLogger,
    ...options
  })
  const abort = new AbortController()
  const running = detector.run(abort.signal)
  return {
    detector,
    stop: async () => {
      abort.abort()
      await running
    }
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 40_000
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

async function topicsFor(
  name: string,
  numPartitions = 1,
  admin: () => Admin = () => kafka.admin
): Promise<Topics> {
  const create = (what: string, partitions = 1) =>
    createTopic(admin(), uniqueTopic(`${name}-${what}`), { numPartitions: partitions })
  return {
    telemetry: await create('telemetry', numPartitions),
    alerts: await create('alerts'),
    deadLetters: await create('letters'),
    state: await create('state', numPartitions),
    group: uniqueTopic(`${name}-group`)
  }
}

async function committed(admin: Admin, group: string, topic: string): Promise<number> {
  const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
  return partitions.reduce((sum, p) => sum + Math.max(0, Number(p.offset)), 0)
}

/** What one detector over one partition says, without Kafka. */
async function expectedEvents(group: string, readings: DetectorReading[]): Promise<AlertEvent[]> {
  const detector = new Detector(detectorConfig({ scope: 'central', group }), {
    source: `/fieldline/${group}`,
    logger: silentLogger
  })
  return (await detector.process(readings)).flatMap(p => p.events)
}

async function alertsIn(topic: string, count: number) {
  const records = await readTopic(kafka.brokers, topic, { until: count })
  return records.map(r => ({ ...r, event: JSON.parse(String(r.value)) as AlertEvent }))
}

test('telemetry in Kafka becomes alerts in Kafka, the same bytes as without it', async () => {
  const topics = await topicsFor('plain')
  const readings = eventfulReadings(31, 1500)
  const expected = await expectedEvents(topics.group, readings)
  await produce(topics.telemetry, readings)
  const { stop, detector } = start(topics)
  const alerts = await alertsIn(topics.alerts, expected.length)
  await until('all read', () => detector.counters().readings === 1500)
  await stop()
  expect(alerts.map(a => JSON.stringify(a.event))).toEqual(expected.map(e => JSON.stringify(e)))
  expect(alerts[0].key).toBe(`plant7/${alerts[0].event.data.device}`)
  expect(alerts[0].headers).toEqual({ 'content-type': 'application/cloudevents+json' })
  // Not the event's time, which a topic may refuse.
  expect(Math.abs(Date.now() - alerts[0].timestampMs)).toBeLessThan(120_000)
  expect(await committed(kafka.admin, topics.group, topics.telemetry)).toBe(1500)
})

test('what can never be read becomes a dead letter, with its reason and where it stands', async () => {
  const topics = await topicsFor('poison')
  const producer = kafka.client().producer()
  await producer.connect()
  const headers = {
    'fl-id': `gateway-7/1-9f2c03d1a7b4e655/3`,
    'fl-topic': 'telemetry/plant7/pump-1',
    mark: 'kept'
  }
  await producer.send({
    topic: topics.telemetry,
    messages: [
      { key: 'stranger', value: 'x' },
      { key: 'plant7/pump-1', value: 'not json', headers, timestamp: '1795336000000' }
    ]
  })
  await producer.disconnect()
  const { stop, detector } = start(topics)
  const letters = await readTopic(kafka.brokers, topics.deadLetters, { until: 2 })
  await stop()
  expect(letters.map(({ key, value }) => [key, String(value)])).toEqual([
    ['stranger', 'x'],
    ['plant7/pump-1', 'not json']
  ])
  expect(letters.map(l => [l.headers['fl-stage'], l.headers['fl-reason']])).toEqual([
    ['decode', 'unknown_record'],
    ['decode', 'not_json']
  ])
  expect(letters[1].headers).toMatchObject(headers)
  expect(letters[1].headers['fl-detail']).toContain(`${topics.telemetry}/0/1: `)
  expect(letters[1].timestampMs).toBe(1795336000000)
  expect(detector.counters().poison).toMatchObject({ unknown_record: 1, not_json: 1 })
  expect(await committed(kafka.admin, topics.group, topics.telemetry)).toBe(2)
})

test('what agents judge that detect by themselves is left to them', async () => {
  const topics = await topicsFor('edge')
  const readings = eventfulReadings(31, 1500)
  await produce(topics.telemetry, readings)
  const config = { edgeAgents: ['gateway-*'] }
  const { stop, detector } = start(topics, {}, config)
  await until('all passed', () => detector.counters().notOurs === 1500)
  await stop()
  expect(detector.counters()).toMatchObject({ readings: 0, stored: 0 })
  expect(await committed(kafka.admin, topics.group, topics.telemetry)).toBe(1500)
})

test('a detector that would read its own alerts does not start', async () => {
  const topics = await topicsFor('own')
  expect(() => start({ ...topics, telemetry: topics.alerts })).toThrow('which the detector itself')
})

test('topics that are made later are waited for, and until then it says what it waits for', async () => {
  const topics = await topicsFor('later')
  const late = { telemetry: uniqueTopic('made-late'), state: uniqueTopic('made-late') }
  const { stop, detector } = start({ ...topics, ...late })
  await until('it says why', () => /topic/.test(detector.status().error ?? ''))
  expect(detector.status().state).toBe('waiting')
  await createTopic(kafka.admin, late.telemetry)
  const readings = eventfulReadings(35, 900)
  await produce(late.telemetry, readings)
  await until('the partition says why', () => {
    const [partition] = detector.status().partitions
    return partition?.state === 'waiting' && /topic/.test(partition.error ?? '')
  })
  await createTopic(kafka.admin, late.state)
  const expected = await expectedEvents(topics.group, readings)
  const alerts = await alertsIn(topics.alerts, expected.length)
  expect(detector.status()).toMatchObject({ state: 'reading', error: undefined })
  await stop()
  expect(alerts.map(a => JSON.stringify(a.event))).toEqual(expected.map(e => JSON.stringify(e)))
})

test('a Kafka that no longer answers is noticed, told, and gone on with when it does', async () => {
  const own = await startOwnKafka()
  const client = testClient([own.address])
  const admin = client.admin()
  try {
    await admin.connect()
    const topics = await topicsFor('hang', 1, () => admin)
    const readings = eventfulReadings(36, 900)
    const expected = await expectedEvents(topics.group, readings)
    const options = { kafka: () => testClient([own.address]), hangMsMax: 2000 }
    const { stop, detector } = start(topics, options)
    await produce(topics.telemetry, readings.slice(0, 500), client)
    await until('first half', () => detector.counters().readings === 500)
    process.kill(own.pid as number, 'SIGSTOP')
    await until('it is told', () => /nothing was heard/.test(detector.status().error ?? ''))
    process.kill(own.pid as number, 'SIGCONT')
    await produce(topics.telemetry, readings.slice(500), client)
    const all = async () => (await committed(admin, topics.group, topics.telemetry)) === 900
    // It has yet to find its place again.
    await until('all', () => all().catch(() => false))
    await stop()
    const alerts = await readTopic([own.address], topics.alerts, { until: expected.length })
    expect(alerts.map(a => String(a.value))).toEqual(expected.map(e => JSON.stringify(e)))
  } finally {
    await admin.disconnect().catch(() => {})
    await own.remove()
  }
}, 120_000)

test('a restart goes on where it was: nothing learned anew, nothing said twice', async () => {
  const topics = await topicsFor('restart')
  const readings = eventfulReadings(32, 1800)
  const expected = await expectedEvents(topics.group, readings)
  for (const [from, end] of [
    [0, 700],
    [700, 1200],
    [1200, 1800]
  ]) {
    await produce(topics.telemetry, readings.slice(from, end))
    const { stop, detector } = start(topics)
    await until(`all up to ${end}`, () => detector.counters().readings === end - from)
    await stop()
    expect(await committed(kafka.admin, topics.group, topics.telemetry)).toBe(end)
  }
  const alerts = await alertsIn(topics.alerts, expected.length)
  expect(alerts.map(a => JSON.stringify(a.event))).toEqual(expected.map(e => JSON.stringify(e)))
})

test('two detectors share the partitions; when one leaves, the other takes over, and every alert is there once', async () => {
  const topics = await topicsFor('share', 4)
  const readings = eventfulReadings(34, 2400, 12)
  const total = () => committed(kafka.admin, topics.group, topics.telemetry)
  await produce(topics.telemetry, readings.slice(0, 1200))
  const one = start(topics)
  await until('half', async () => (await total()) === 1200)
  const two = start(topics)
  await until('shared', () => two.detector.counters().rebalances > 0)
  await produce(topics.telemetry, readings.slice(1200, 1800))
  await until('three quarters', async () => (await total()) === 1800)
  await one.stop()
  await produce(topics.telemetry, readings.slice(1800))
  await until('all', async () => (await total()) === 2400)
  await until('lag is none', () => two.detector.status().partitions.every(p => p.lag === 0))
  expect(
    two.detector
      .status()
      .partitions.map(p => p.partition)
      .sort()
  ).toEqual([0, 1, 2, 3])
  await two.stop()
  const alerts = await readTopic(kafka.brokers, topics.alerts)
  const ids = alerts.map(a => (JSON.parse(String(a.value)) as AlertEvent).id)
  // By partition, as Kafka has shared the devices out.
  const records = await readTopic(kafka.brokers, topics.telemetry, { until: 2400 })
  const expected: string[] = []
  for (const partition of [0, 1, 2, 3]) {
    const keys = new Set(records.filter(r => r.partition === partition).map(r => r.key))
    const part = readings.filter(r => keys.has(`${r.site}/${r.device}`))
    expected.push(...(await expectedEvents(topics.group, part)).map(e => e.id))
  }
  expect(ids.sort()).toEqual(expected.sort())
}, 120_000)
