import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { AlertEvent } from '../../core/contract/alert-event.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { Admin } from '../../core/runtime/kafka.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { CentralDetector, type CentralDetectorOptions } from '../../detector/central-detector.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import { SnapshotFiles } from '../../detector/snapshot-files.ts'
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
const directories: string[] = []
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})

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

async function produce(
  topic: string,
  readings: readonly DetectorReading[],
  client = kafka.client()
): Promise<void> {
  const producer = client.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
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

interface Running {
  detector: CentralDetector
  stop(): Promise<void>
}

function start(
  topics: { telemetry: string; alerts: string; group: string },
  options: Partial<CentralDetectorOptions> = {}
): Running {
  const detector = new CentralDetector({
    config: detectorConfig({
      scope: 'central',
      group: topics.group,
      topics: [topics.telemetry],
      snapshotIntervalMs: 50
    }),
    kafka: kafka.client('detector'),
    alertTopic: topics.alerts,
    routes: ROUTES,
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

async function topicsFor(name: string, numPartitions = 1) {
  const telemetry = await createTopic(kafka.admin, uniqueTopic(`${name}-telemetry`), {
    numPartitions
  })
  const alerts = await createTopic(kafka.admin, uniqueTopic(`${name}-alerts`))
  return { telemetry, alerts, group: uniqueTopic(`${name}-group`) }
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

test('records of strangers are counted by reason and passed over', async () => {
  const topics = await topicsFor('poison')
  const producer = kafka.client().producer()
  await producer.connect()
  await producer.send({ topic: topics.telemetry, messages: [{ value: 'x' }, { value: null }] })
  await producer.disconnect()
  const { stop, detector } = start(topics)
  await until('both counted', () => detector.counters().source.poison.no_id === 2)
  await stop()
  expect(await committed(kafka.admin, topics.group, topics.telemetry)).toBe(2)
})

test('a topic that is made later, and a Kafka that goes and comes back, are waited for', async () => {
  const own = await startOwnKafka()
  const client = testClient([own.address])
  const admin = client.admin()
  try {
    await admin.connect()
    const topics = { telemetry: 'later', alerts: 'alerts', group: 'waits' }
    await createTopic(admin, topics.alerts)
    const { stop, detector } = start(topics, { kafka: client })
    await new Promise(resolve => setTimeout(resolve, 3000))
    await createTopic(admin, topics.telemetry)
    const readings = eventfulReadings(35, 900)
    await produce(topics.telemetry, readings.slice(0, 500), client)
    await until('first half', () => detector.counters().readings === 500)
    await own.restart()
    await produce(topics.telemetry, readings.slice(500), client)
    await until(
      'second half',
      () => detector.counters().readings - detector.counters().duplicates === 900
    )
    await stop()
    const expected = await expectedEvents(topics.group, readings)
    const alerts = await readTopic([own.address], topics.alerts, { until: expected.length })
    const ids = alerts.map(a => (JSON.parse(String(a.value)) as AlertEvent).id)
    expect([...new Set(ids)]).toEqual(expected.map(e => e.id))
  } finally {
    await admin.disconnect().catch(() => {})
    await own.remove()
  }
}, 120_000)

test('a restart with its directory goes on where it was: nothing learned anew, nothing said twice', async () => {
  const topics = await topicsFor('restart')
  const readings = eventfulReadings(32, 1800)
  const expected = await expectedEvents(topics.group, readings)
  const directory = mkdtempSync(join(tmpdir(), 'fieldline-snapshots-'))
  directories.push(directory)
  for (const [from, end] of [
    [0, 700],
    [700, 1200],
    [1200, 1800]
  ]) {
    await produce(topics.telemetry, readings.slice(from, end))
    const { stop, detector } = start(topics, { snapshots: await SnapshotFiles.open(directory) })
    await until(`all up to ${end}`, () => detector.counters().readings === end - from)
    await stop()
    expect(await committed(kafka.admin, topics.group, topics.telemetry)).toBe(end)
  }
  const alerts = await alertsIn(topics.alerts, expected.length)
  expect(alerts.map(a => JSON.stringify(a.event))).toEqual(expected.map(e => JSON.stringify(e)))
})

test('a snapshot older than the commit is read again from, in silence', async () => {
  const topics = await topicsFor('rewind')
  const readings = eventfulReadings(33, 1600)
  const expected = await expectedEvents(topics.group, readings)
  const directory = mkdtempSync(join(tmpdir(), 'fieldline-snapshots-'))
  directories.push(directory)
  const files = await SnapshotFiles.open(directory)
  await produce(topics.telemetry, readings.slice(0, 600))
  const first = start(topics, { snapshots: files })
  await until('600', () => first.detector.counters().readings === 600)
  await first.stop()
  await produce(topics.telemetry, readings.slice(600, 1200))
  // Its snapshots vanish, as in a crash before the next one.
  const forgetful = { load: (s: string) => files.load(s), save: async () => {} }
  const second = start(topics, { snapshots: forgetful })
  await until('1200', () => second.detector.counters().readings === 600)
  await second.stop()
  expect(await committed(kafka.admin, topics.group, topics.telemetry)).toBe(1200)
  await produce(topics.telemetry, readings.slice(1200))
  const third = start(topics, { snapshots: files })
  await until('1600', () => third.detector.counters().readings === 1000)
  await third.stop()
  const alerts = await alertsIn(topics.alerts, expected.length)
  expect(alerts.map(a => JSON.stringify(a.event))).toEqual(expected.map(e => JSON.stringify(e)))
})

test('two detectors share the partitions; when one leaves, the other takes over, and every alert is there', async () => {
  const topics = await topicsFor('share', 4)
  const readings = eventfulReadings(34, 2400, 12)
  const directory = mkdtempSync(join(tmpdir(), 'fieldline-snapshots-'))
  directories.push(directory)
  const snapshots = await SnapshotFiles.open(directory)
  const total = () => committed(kafka.admin, topics.group, topics.telemetry)
  await produce(topics.telemetry, readings.slice(0, 1200))
  const one = start(topics, { snapshots })
  await until('half', async () => (await total()) === 1200)
  const two = start(topics, { snapshots })
  await until('shared', () => two.detector.counters().source.rebalances > 0)
  await produce(topics.telemetry, readings.slice(1200, 1800))
  await until('three quarters', async () => (await total()) === 1800)
  await one.stop()
  await produce(topics.telemetry, readings.slice(1800))
  await until('all', async () => (await total()) === 2400)
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
  expect([...new Set(ids)].sort()).toEqual(expected.sort())
}, 120_000)
