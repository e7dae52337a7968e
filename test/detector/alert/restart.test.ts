import { expect, test } from 'vitest'
import type { AlertEvent } from '../../../core/contract/alert-event.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import type { MuteRule } from '../../../detector/alert/muting.ts'
import type { DetectorConfig } from '../../../detector/config.ts'
import { Detector, type DetectorReading } from '../../../detector/detector.ts'
import type { DeviceModel } from '../../../detector/scorer/device-scorer.ts'
import { detectorConfig, eventfulReadings, reading, T0 } from '../kit.ts'

/** Over six minutes: a device in maintenance, a metric shelved now and then, all silences at once. */
const SILENCES: MuteRule[] = [
  {
    ...{
      name: 'service',
      state: 'out_of_service',
      learning: 'paused',
      devices: ['*-2', '*-3', '*-4']
    },
    ...{ fromAt: T0 + 70_000, toAt: T0 + 180_000 }
  },
  {
    ...{ name: 'minute', state: 'suppressed_by_design', learning: 'continued' },
    metrics: ['temp*'],
    schedule: { days: [0], fromMinute: 9 * 60 + 2, toMinute: 9 * 60 + 3, zone: 'Europe/Berlin' }
  },
  {
    ...{ name: 'quiet', state: 'shelved', learning: 'continued', kinds: ['silent'] },
    ...{ fromAt: T0 + 60_000, toAt: T0 + 75_000 }
  }
]

function detectorOf(changes: Partial<DetectorConfig> = {}, models: DeviceModel[] = []): Detector {
  const options = { source: '/fieldline/gateway-7', logger: silentLogger, models }
  return new Detector(detectorConfig(changes), options)
}

async function eventsOf(
  detector: Detector,
  readings: readonly DetectorReading[],
  loudFrom = 0
): Promise<AlertEvent[]> {
  return (await detector.process(readings, loudFrom)).flatMap(p => p.events)
}

/** Some readings out of order, some late, two agents; some spikes in both metrics. */
function disorderly(seed: number, count: number): DetectorReading[] {
  const prng = new Prng(seed)
  return eventfulReadings(seed, count).map((r, i) => ({
    ...r,
    at: prng.chance(0.05) ? r.at - prng.int(90_000) : r.at,
    agentId: Number(r.device.at(-1)) > 3 ? 'gateway-8' : 'gateway-7',
    values: r.values.map(({ metric, value }) => ({
      metric,
      value: metric === 'pressure' && r.values[0].value > 68 ? value + 2 + prng.int(4) : value
    })),
    offset: i
  }))
}

const seeds = Array.from({ length: 12 }, (_, i) => 5101 + i)

test.each(seeds)(
  'restarts and batches at random places change no byte of the events (seed %i)',
  async seed => {
    const prng = new Prng(seed)
    const groupBy = prng.pick(['device', 'series'] as const)
    const onDelay = prng.pick([
      { readings: 1, of: 1 },
      { readings: 2, of: 4 }
    ])
    const changes = { silences: SILENCES, groupBy, onDelay, updateIntervalMs: 3000 }
    const readings = disorderly(seed, 3000)
    const expected = await eventsOf(detectorOf(changes), readings)

    let detector = detectorOf(changes)
    const got: AlertEvent[] = []
    for (let at = 0; at < readings.length; ) {
      const end = at + 1 + prng.int(prng.chance(0.3) ? 3 : 400)
      got.push(...(await eventsOf(detector, readings.slice(at, end))))
      at = end
      if (!prng.chance(0.4)) continue
      const bytes = detector.snapshot()
      const open = detector.openAlerts()
      detector = detectorOf(changes)
      expect(detector.restore(bytes)).toBe(true)
      expect(detector.openAlerts()).toEqual(open)
      expect(detector.snapshot().equals(bytes)).toBe(true)
    }
    expect(got.map(e => e.id)).toEqual(expected.map(e => e.id))
    expect(JSON.stringify(got)).toBe(JSON.stringify(expected))
  }
)

test.each(seeds)(
  'every alert is raised once, numbered without a gap, and cleared at most once (seed %i)',
  async seed => {
    const detector = detectorOf({ silences: SILENCES, updateIntervalMs: 3000 })
    const open = new Map<string, AlertEvent>()
    const seen = new Set<string>()
    let grouped = 0
    for (const event of await eventsOf(detector, disorderly(seed, 3000))) {
      const { alertId, state, site, device, metric, kind, severity, contributions } = event.data
      const key = `${site}/${device}/${kind}`
      const before = open.get(key)
      if (state === 'raised') {
        expect(before, `${key}: one at a time`).toBeUndefined()
        expect(seen.has(alertId), alertId).toBe(false)
        expect(event.id).toBe(`${alertId}#1`)
        seen.add(alertId)
      } else {
        const number = Number(before?.id.split('#')[1])
        expect(event.id).toBe(`${before?.data.alertId}#${number + 1}`)
        const ranks = [before?.data.severity ?? '', severity].map(s =>
          ['info', 'warning', 'critical'].indexOf(s)
        )
        expect(ranks[1]).toBeGreaterThanOrEqual(ranks[0])
      }
      if (contributions.length > 1) {
        grouped++
        expect(metric).toBe('-')
        expect(event.subject).toBe(`${site}/${device}`)
        const sum = contributions.reduce((total, { share }) => total + share, 0)
        expect(sum).toBeCloseTo(1, 3)
      }
      if (state === 'cleared') open.delete(key)
      else open.set(key, event)
    }
    expect(grouped).toBeGreaterThan(0)
    expect([...open.values()]).toEqual(detector.openAlerts().sort(byRaising(open)))
  }
)

test('the readings of these tests meet silences that hide, and that begin while something lasts', async () => {
  const detector = detectorOf({ silences: SILENCES })
  const events = await eventsOf(detector, disorderly(5101, 3000))
  expect(detector.counters().suppressed.anomaly).toBeGreaterThan(1)
  expect(events.filter(e => e.data.reason.includes('by the silence')).length).toBeGreaterThan(0)
})

function byRaising(open: Map<string, AlertEvent>) {
  const order = [...open.values()].map(e => e.data.alertId)
  return (a: AlertEvent, b: AlertEvent) =>
    order.indexOf(a.data.alertId) - order.indexOf(b.data.alertId)
}

/** Two devices; `b` stops, then `a` jumps in both its series. */
function troubled(): DetectorReading[] {
  const prng = new Prng(7)
  const readings: DetectorReading[] = []
  for (let i = 0; i < 300; i++) {
    const jump = i >= 290 ? 40 : 0
    const values = { temperature: 60 + prng.normal() + jump, pressure: 5 + prng.normal() + jump }
    readings.push(reading(readings.length, 'a', T0 + i * 500, values))
    if (i < 200) readings.push(reading(readings.length, 'b', T0 + i * 500, { flow: prng.normal() }))
  }
  return readings
}

/** One more of `a`, in its new state. */
function oneMore(readings: readonly DetectorReading[], n = 0): DetectorReading {
  const at = (readings.at(-1)?.at ?? 0) + 500 * (n + 1)
  return reading(readings.length + n, 'a', at, { temperature: 100, pressure: 45 })
}

test('several metrics of one payload that jump at once are one alert of the device', async () => {
  const events = await eventsOf(detectorOf(), troubled())
  const anomalies = events.filter(e => e.data.kind === 'anomaly' && e.data.device === 'a')
  expect(anomalies.map(e => e.data.state).slice(0, 2)).toEqual(['raised', 'updated'])
  expect(new Set(anomalies.map(e => e.data.alertId)).size).toBe(1)
  expect(anomalies[1].data.contributions.map(c => c.metric).sort()).toEqual([
    'pressure',
    'temperature'
  ])
})

test('an alert of a kind that was switched off is cleared with the first reading that is told', async () => {
  const readings = troubled()
  const before = detectorOf()
  await eventsOf(before, readings)
  expect(before.openAlerts().map(e => e.data.kind)).toContain('silent')
  const after = detectorOf({ silent: { enabled: false, factor: 5, minMs: 10_000 } })
  expect(after.restore(before.snapshot())).toBe(true)
  // Read again in silence: an earlier life has told of these.
  expect(await eventsOf(after, [oneMore(readings)], 1)).toEqual([])
  const [cleared, ...more] = await eventsOf(after, [oneMore(readings, 1)])
  expect(more).toEqual([])
  expect(cleared.data).toMatchObject({
    ...{ state: 'cleared', kind: 'silent', device: 'b' },
    reason: 'silence is no longer configured'
  })
  expect(after.openAlerts().map(e => e.data.kind)).not.toContain('silent')
})

test('an alert of a model that was removed is cleared, and the statistics take over', async () => {
  let score = 0
  const model: DeviceModel = {
    name: 'pumps',
    covers: () => true,
    current: {
      ...{ name: 'pumps', version: '1', params: {}, batchMax: 64 },
      shape: { metrics: ['temperature', 'pressure'], rows: 1, fill: 'last' },
      score: async windows =>
        windows.map(() => ({
          ...{ score, reason: 'far from the usual' },
          contributions: [{ metric: 'pressure', share: 1 }]
        })),
      retain: () => {},
      release: () => {}
    },
    close: async () => {}
  }
  const readings = troubled().slice(0, 400)
  const before = detectorOf({}, [model])
  await eventsOf(before, readings)
  score = 0.9
  const [raised] = await eventsOf(before, [oneMore(readings)])
  expect(raised.data).toMatchObject({ metric: '-', detector: { name: 'pumps' } })
  const after = detectorOf()
  expect(after.restore(before.snapshot())).toBe(true)
  const events = await eventsOf(after, [oneMore(readings, 1), oneMore(readings, 2)])
  expect(events[0].data).toMatchObject({
    ...{ alertId: raised.data.alertId, state: 'updated', detector: { name: 'auto' } }
  })
  expect(events.every(e => e.data.alertId === raised.data.alertId)).toBe(true)
  // And where nothing else is wrong, it is cleared.
  const calm = detectorOf()
  expect(calm.restore(before.snapshot())).toBe(true)
  const [cleared] = await eventsOf(calm, [
    reading(9000, 'b', (readings.at(-1)?.at ?? 0) + 2000, { flow: 0 })
  ])
  expect(cleared.data).toMatchObject({
    ...{ alertId: raised.data.alertId, state: 'cleared' },
    reason: 'pumps is no longer configured'
  })
})

test('a state of another scorer is refused, but its alerts are cleared', async () => {
  const readings = troubled()
  const before = detectorOf({ scorer: 'auto' })
  await eventsOf(before, readings)
  const open = before.openAlerts().map(e => e.data.alertId)
  expect(open.length).toBeGreaterThanOrEqual(2)
  const after = detectorOf({ scorer: 'zscore' })
  expect(after.restore(before.snapshot())).toBe(false)
  expect(after.counters()).toMatchObject({ series: 0, openAlerts: open.length })
  const events = await eventsOf(after, [oneMore(readings)])
  expect(events.map(e => [e.data.alertId, e.data.state])).toEqual(open.map(id => [id, 'cleared']))
  // Restarted once more before that reading, they are still to be cleared.
  const again = detectorOf({ scorer: 'zscore' })
  expect(again.restore(before.snapshot())).toBe(false)
  const third = detectorOf({ scorer: 'zscore' })
  expect(third.restore(again.snapshot())).toBe(true)
  expect(await eventsOf(third, [oneMore(readings)])).toEqual(events)
})

test('readings within maintenance teach nothing, and its end finds the series as it was', async () => {
  const maintenance: MuteRule = {
    ...{ name: 'service', state: 'out_of_service', learning: 'paused' },
    ...{ fromAt: T0 + 100_000, toAt: T0 + 400_000 }
  }
  const prng = new Prng(9)
  const readings = Array.from({ length: 1000 }, (_, i) => {
    const inside = i >= 200 && i < 800
    const value = (inside ? 0 : 60) + prng.normal()
    return reading(i, 'a', T0 + i * 500, { temperature: value })
  })
  const told = async (silences: MuteRule[]) => {
    const detector = detectorOf({ silences })
    const events = await eventsOf(detector, readings)
    return { events, counters: detector.counters() }
  }
  const paused = await told([maintenance])
  expect(paused.events).toEqual([])
  expect(paused.counters.notLearned).toBe(600)
  expect(paused.counters.suppressed.anomaly).toBe(1)
  // Learned all the same, the way back is a surprise.
  const learned = await told([{ ...maintenance, learning: 'continued' }])
  expect(learned.counters.notLearned).toBe(0)
  expect(learned.events.map(e => e.data.state)).toContain('raised')
  expect((await told([])).events.length).toBeGreaterThan(1)
})

test('counters tell how many series are still learning', async () => {
  const detector = detectorOf()
  const readings = troubled()
  await eventsOf(detector, readings.slice(0, 40))
  expect(detector.counters()).toMatchObject({ series: 3, seriesLearning: 3 })
  await eventsOf(detector, readings.slice(40, 200))
  expect(detector.counters()).toMatchObject({ series: 3, seriesLearning: 0 })
})
