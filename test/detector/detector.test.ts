import { expect, test } from 'vitest'
import type { AlertEvent } from '../../core/contract/alert-event.ts'
import { createLogger, silentLogger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import { detectorConfig, EPOCH, eventfulReadings, reading, T0 } from './kit.ts'

function detectorOf(changes: Partial<DetectorConfig> = {}): Detector {
  return new Detector(detectorConfig(changes), {
    source: '/fieldline/gateway-7',
    logger: silentLogger
  })
}

async function eventsOf(
  detector: Detector,
  readings: readonly DetectorReading[],
  batch = 100
): Promise<AlertEvent[]> {
  const events: AlertEvent[] = []
  for (let at = 0; at < readings.length; at += batch) {
    for (const p of await detector.process(readings.slice(at, at + batch))) events.push(...p.events)
  }
  return events
}

/** Quiet readings of one device, two a second; the noise is the seed's. */
function quiet(count: number, seed = 1, first = 0, device = 'pump-3'): DetectorReading[] {
  const prng = new Prng(seed)
  return Array.from({ length: count }, (_, i) =>
    reading(first + i, device, T0 + (first + i) * 500, { temperature: 60 + prng.normal() })
  )
}

test('a spike is raised with its explanation and cleared when it is over', async () => {
  const readings = [
    ...quiet(200),
    reading(200, 'pump-3', T0 + 100_000, { temperature: 97.1 }),
    ...quiet(20, 2, 201)
  ]
  const detector = detectorOf()
  const [raised, cleared, ...more] = await eventsOf(detector, readings)
  expect(more).toEqual([])
  expect(raised).toMatchObject({
    specversion: '1.0',
    id: `plant7/pump-3/temperature/anomaly/${T0 + 100_000}#1`,
    source: '/fieldline/gateway-7',
    type: 'io.fieldline.alert.raised',
    subject: 'plant7/pump-3/temperature',
    time: new Date(T0 + 100_000).toISOString(),
    data: {
      state: 'raised',
      kind: 'anomaly',
      severity: 'critical',
      site: 'plant7',
      device: 'pump-3',
      metric: 'temperature',
      value: 97.1,
      threshold: 0.8,
      samples: 1,
      peak: { value: 97.1 },
      detector: { name: 'auto', version: '2' },
      contributions: [{ metric: 'temperature', share: 1 }],
      eventId: `gateway-7/${EPOCH}/200`,
      late: false
    }
  })
  const { expected, lower, upper, score, reason } = raised.data
  expect(Math.abs((expected as number) - 60)).toBeLessThan(2)
  expect(lower).toBeLessThan(expected as number)
  expect(upper).toBeGreaterThan(expected as number)
  expect(score).toBeGreaterThan(0.95)
  expect(reason).toContain('σ above')
  expect(cleared).toMatchObject({
    id: `plant7/pump-3/temperature/anomaly/${T0 + 100_000}#2`,
    type: 'io.fieldline.alert.cleared',
    data: { state: 'cleared', severity: 'critical', peak: { value: 97.1 }, startedAt: raised.time }
  })
  expect(cleared.data.durationMs).toBe(Date.parse(cleared.time) - Date.parse(raised.time))
  expect(detector.openAlerts()).toEqual([])
  expect(detector.counters()).toMatchObject({ updated: 0, cleared: 1, openAlerts: 0, series: 1 })
  expect(detector.counters().raised.anomaly).toBe(1)
})

test('an alert tells the unit that the route declares, and none where there is none', async () => {
  const withUnit = (r: DetectorReading): DetectorReading => ({
    ...r,
    values: r.values.map(value => ({ ...value, unit: '°C' }))
  })
  const spike = reading(200, 'pump-3', T0 + 100_000, { temperature: 97.1 })
  const readings = [...quiet(200), spike, ...quiet(20, 2, 201)]
  const units = async (all: DetectorReading[]) =>
    (await eventsOf(detectorOf(), all)).map(({ data }) => data.unit)
  expect(await units(readings.map(withUnit))).toEqual(['°C', '°C'])
  expect(await units(readings)).toEqual([undefined, undefined])
})

test('an open alert is updated no more often than the interval, and its severity never falls', async () => {
  const shifted = quiet(60, 3, 200).map(r => ({
    ...r,
    values: [{ metric: 'temperature', value: r.values[0].value + 20 }]
  }))
  const events = await eventsOf(detectorOf(), [...quiet(200), ...shifted])
  const updates = events.filter(e => e.data.state === 'updated')
  expect(updates.length).toBeGreaterThanOrEqual(1)
  const times = events.map(e => Date.parse(e.time))
  for (let i = 1; i < events.length; i++) {
    const rose = events[i].data.severity !== events[i - 1].data.severity
    expect(rose || times[i] - times[i - 1] >= 10_000).toBe(true)
  }
  const ranks = events.map(e => ['info', 'warning', 'critical'].indexOf(e.data.severity))
  expect(ranks).toEqual([...ranks].sort())
  expect(events.map(e => Number(e.id.split('#')[1]))).toEqual(events.map((_, i) => i + 1))
})

test('the same readings give the same bytes, however they are cut into batches', async () => {
  const readings = eventfulReadings(11, 6000)
  const whole = await eventsOf(detectorOf(), readings, 1e9)
  const kinds = new Set(whole.map(e => `${e.data.kind} ${e.data.state}`))
  expect([...kinds].sort()).toEqual([
    'anomaly cleared',
    'anomaly raised',
    'anomaly updated',
    'silent cleared',
    'silent raised'
  ])
  for (const batch of [1, 7, 64, 1000]) {
    const cut = await eventsOf(detectorOf(), readings, batch)
    expect(JSON.stringify(cut), `batches of ${batch}`).toBe(JSON.stringify(whole))
  }
})

test('a snapshot amid the stream goes on byte for byte, at any cut', async () => {
  const readings = eventfulReadings(12, 4000)
  const whole = await eventsOf(detectorOf(), readings)
  for (const cut of [0, 1, 333, 1777, 2500, 3999]) {
    const first = detectorOf()
    const before = await eventsOf(first, readings.slice(0, cut))
    const second = detectorOf()
    expect(second.restore(first.snapshot())).toBe(true)
    expect(second.openAlerts()).toEqual(first.openAlerts())
    const after = await eventsOf(second, readings.slice(cut))
    expect(JSON.stringify([...before, ...after]), `cut ${cut}`).toBe(JSON.stringify(whole))
  }
})

test('a damaged, foreign or empty snapshot is refused and leaves a fresh state', async () => {
  const detector = detectorOf()
  await eventsOf(detector, quiet(100))
  const good = detector.snapshot()
  const prng = new Prng(13)
  for (let i = 0; i < 200; i++) {
    const bad = Buffer.from(good)
    bad[prng.int(bad.length)] ^= 1 << prng.int(8)
    expect(detector.restore(bad)).toBe(false)
  }
  for (const bytes of [Buffer.alloc(0), good.subarray(0, 50), Buffer.from('hello there, world')]) {
    expect(detector.restore(bytes)).toBe(false)
  }
  expect(detector.counters().series).toBe(0)
  expect(detector.restore(good)).toBe(true)
  expect(detector.counters().series).toBe(1)
})

test('a reading seen before is skipped; elements of one record and dead letters sent again are not', async () => {
  const detector = detectorOf()
  const one = reading(5, 'pump-3', T0, { temperature: 1 })
  await detector.process([one, one, reading(4, 'pump-3', T0, { temperature: 1 })])
  expect(detector.counters().duplicates).toBe(2)
  await detector.process([
    { ...one, index: 1, at: T0 + 1 },
    { ...one, index: 2, at: T0 + 2 }
  ])
  await detector.process([{ ...one, index: 2 }])
  expect(detector.counters().duplicates).toBe(3)
  await detector.process([{ ...one, at: T0 + 3, resent: true }])
  await detector.process([
    { ...one, at: T0 + 4, epoch: '2-0000000000000001' },
    { ...one, at: T0 + 5, agentId: 'other' }
  ])
  expect(detector.counters()).toMatchObject({ duplicates: 3, scored: 6, readings: 9 })
})

test('a value given twice for one instant is counted and not scored again', async () => {
  const detector = detectorOf()
  const one = reading(5, 'pump-3', T0, { temperature: 1 })
  await detector.process([one, { ...one, offset: 6 }, { ...one, offset: 7 }])
  expect(detector.counters()).toMatchObject({ duplicates: 0, repeated: 2, scored: 1 })
})

test('values that are no usable numbers are counted and poison nothing', async () => {
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, 1e200].map((value, i) =>
    reading(1000 + i, 'pump-3', T0 + 50_000 + i, { temperature: value })
  )
  const detector = detectorOf()
  const readings = [
    ...quiet(100),
    ...bad,
    reading(2000, 'pump-3', Number.NaN, { temperature: 60 }),
    reading(2001, 'pump-3', 9e15, { temperature: 60 }),
    ...quiet(100, 2, 3000)
  ]
  const events = await eventsOf(detector, readings)
  expect(events.map(e => [e.data.kind, e.data.state])).toEqual([
    ['data_quality', 'raised'],
    ['data_quality', 'cleared']
  ])
  expect(detector.counters()).toMatchObject({ unusable: 5, scored: 200 })
})

test('readings that hold more values than are decoded are counted, and the first of them is told', async () => {
  const lines: Record<string, unknown>[] = []
  const logger = createLogger('warn', line => lines.push(JSON.parse(line)))
  const detector = new Detector(detectorConfig(), { source: '/fieldline/gateway-7', logger })
  const overfull = [1, 2, 3].map(n =>
    reading(n, 'plc-1', T0 + n, { temperature: 60 }, { overfull: true })
  )
  await eventsOf(detector, [reading(0, 'pump-3', T0, { temperature: 60 }), ...overfull])
  expect(detector.counters()).toMatchObject({ readings: 4, scored: 4, overfull: 3 })
  expect(lines).toEqual([
    expect.objectContaining({ event: 'detector.overfull', site: 'plant7', device: 'plc-1' })
  ])
})

test('series are bounded: strangers’ names push out the longest unused, and no open alert is lost silently', async () => {
  const detector = detectorOf({ seriesMax: 10 })
  const readings = [...quiet(100), reading(100, 'pump-3', T0 + 50_000, { temperature: 500 })]
  const raised = await eventsOf(detector, readings)
  expect(raised.map(e => e.data.state)).toEqual(['raised'])
  const strangers = Array.from({ length: 1000 }, (_, i) =>
    reading(200 + i, `stranger-${i}`, T0 + 50_500 + i, { temperature: 1 })
  )
  // Nine strangers at a time find room without touching the alert …
  expect(await eventsOf(detector, strangers)).toEqual([])
  expect(detector.counters().series).toBe(10)
  expect(detector.openAlerts().length).toBe(1)
  // … but when every series has an open alert, the oldest is cleared aloud.
  const tiny = detectorOf({ seriesMax: 1 })
  await eventsOf(tiny, readings)
  const [cleared, ...more] = await eventsOf(tiny, strangers.slice(0, 1))
  expect(more).toEqual([])
  expect(cleared.data).toMatchObject({ state: 'cleared', device: 'pump-3' })
  expect(cleared.data.reason).toContain('too many series')
})

test('a series not heard for longer than its time to live is forgotten, its alert cleared', async () => {
  const detector = detectorOf({
    seriesTtlMs: 3_600_000,
    silent: { enabled: false, factor: 5, minMs: 1 }
  })
  await eventsOf(detector, [
    ...quiet(100),
    reading(100, 'pump-3', T0 + 50_000, { temperature: 500 })
  ])
  const later = reading(101, 'other', T0 + 50_000 + 3_700_000, { temperature: 1 })
  const [cleared] = await eventsOf(detector, [later])
  expect(cleared.data).toMatchObject({ state: 'cleared', device: 'pump-3' })
  expect(detector.counters()).toMatchObject({ series: 1, evicted: 1, openAlerts: 0 })
})

test('a silent device is an alert of the device, named for when it was last heard', async () => {
  const readings: DetectorReading[] = []
  for (let i = 0; i < 200; i++) {
    for (const device of ['a', 'b']) {
      if (device === 'b' && i >= 100 && i < 160) continue
      readings.push(reading(readings.length, device, T0 + i * 500, { temperature: 60 }))
    }
  }
  const [raised, cleared, ...more] = await eventsOf(detectorOf(), readings)
  expect(more).toEqual([])
  expect(raised.id).toBe(`plant7/b/-/silent/${T0 + 99 * 500}#1`)
  expect(raised.data).toMatchObject({
    kind: 'silent',
    severity: 'warning',
    metric: '-',
    detector: { name: 'silence' }
  })
  expect(raised.data.reason).toMatch(/^nothing heard for 1\d s; the limit/)
  expect(cleared.data).toMatchObject({ state: 'cleared', startedAt: raised.data.startedAt })
  expect(cleared.data.reason).toMatch(/^heard again after 31 s/)
})

test('alerts of readings behind the watermark say so', async () => {
  const backlog = quiet(100, 1, 0, 'slow').map(r => ({ ...r, receivedAt: T0 + 900_000 }))
  const spike = reading(
    300,
    'slow',
    T0 + 60_000,
    { temperature: 500 },
    { receivedAt: T0 + 900_001 }
  )
  const ahead = reading(0, 'other', T0 + 900_000, { temperature: 1 }, { receivedAt: T0 + 900_000 })
  const shifted = backlog.map((r, i) => ({ ...r, offset: i + 1 }))
  const [raised] = await eventsOf(detectorOf(), [ahead, ...shifted, spike])
  expect(raised.data).toMatchObject({ state: 'raised', late: true })
})

test('the scorer that is configured answers, and its sensitivity is told', async () => {
  const readings = [...quiet(200), reading(200, 'pump-3', T0 + 100_000, { temperature: 97.1 })]
  const named = async (changes: Partial<DetectorConfig>) => {
    const [event] = await eventsOf(detectorOf(changes), readings)
    return event.data.detector
  }
  expect(await named({ scorer: 'zscore', sensitivity: 'low' })).toMatchObject({
    ...{ name: 'zscore', params: { sigmas: 5.5 } }
  })
  expect(await named({ scorer: 'auto', sensitivity: 'high' })).toMatchObject({
    ...{ name: 'auto', params: { sensitivity: 'high' } }
  })
})
