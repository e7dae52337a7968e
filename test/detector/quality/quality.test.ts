import { expect, test } from 'vitest'
import type { AlertEvent } from '../../../core/contract/alert-event.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import type { DetectorConfig } from '../../../detector/config.ts'
import { Detector, type DetectorReading } from '../../../detector/detector.ts'
import { qualitySchema } from '../../../detector/quality/quality-config.ts'
import { detectorConfig, reading, T0 } from '../kit.ts'
import { DAY, MINUTE } from './kit.ts'

const SEED = 5
const DEVICES = 4

function configOf(quality: object, changes: Partial<DetectorConfig> = {}): DetectorConfig {
  return detectorConfig({ ...changes, quality: qualitySchema.parse(quality) })
}

function detectorOf(config: DetectorConfig): Detector {
  return new Detector(config, { source: '/fieldline/g', logger: silentLogger })
}

async function eventsOf(detector: Detector, readings: DetectorReading[]): Promise<AlertEvent[]> {
  return (await detector.process(readings)).flatMap(p => p.events)
}

type Values = Record<string, number>
/** What a device's reading of a minute becomes; undefined: none. */
type Change = (minute: number, values: Values) => Partial<DetectorReading> | undefined

/** A reading a minute of four devices with temperature and flow; `change` is of the first one. */
function fleet(minutes: number, change: Change = () => ({})): DetectorReading[] {
  const prng = new Prng(SEED)
  const readings: DetectorReading[] = []
  for (let minute = 0; minute < minutes; minute++) {
    for (let d = 0; d < DEVICES; d++) {
      const values = { temperature: 60 + prng.normal(), flow: 120 + 2 * prng.normal() }
      const at = T0 + minute * MINUTE + d * 1000
      const changes = d === 0 ? change(minute, values) : {}
      const offset = minute * DEVICES + d
      if (changes) readings.push(reading(offset, `pump-${d}`, at, values, changes))
    }
  }
  return readings
}

/** Two days of health, then an hour in which something is wrong, and an hour after. */
const FROM = 2 * 1440
const wrong = (minute: number) => minute >= FROM && minute < FROM + 60
const ALL = FROM + 120

const of = (events: AlertEvent[], kind: string) =>
  events.filter(e => e.data.kind === kind).map(e => e.data)

/** Of the device with which something is wrong, from then on. */
function kindsOf(events: AlertEvent[]): string[] {
  const own = events.filter(
    ({ data, time }) => data.device === 'pump-0' && Date.parse(time) >= T0 + FROM * MINUTE
  )
  return [...new Set(own.map(e => e.data.kind))].sort()
}

test('a series that stops while its device goes on is silent, from when it was last heard', async () => {
  const readings = fleet(ALL, (minute, values) => {
    const { flow, temperature } = values
    return wrong(minute)
      ? { values: [{ metric: 'temperature', value: temperature }] }
      : {
          values: Object.entries({ temperature, flow }).map(([metric, value]) => ({
            metric,
            value
          }))
        }
  })
  const events = await eventsOf(detectorOf(configOf({})), readings)
  const [raised, cleared] = of(events, 'silent')
  expect(of(events, 'silent')).toHaveLength(2)
  expect(raised).toMatchObject({ state: 'raised', device: 'pump-0', severity: 'warning' })
  expect(raised.contributions).toEqual([{ metric: 'flow', share: 1 }])
  expect(raised.startedAt).toBe(new Date(T0 + (FROM - 1) * MINUTE).toISOString())
  expect(Date.parse(raised.at) - T0).toBe((FROM + 5) * MINUTE)
  expect(raised.reason).toContain('nothing for 360 s while its device goes on')
  expect(cleared).toMatchObject({
    state: 'cleared',
    at: new Date(T0 + (FROM + 60) * MINUTE).toISOString()
  })
})

test('a silent device has no silent series', async () => {
  const readings = fleet(ALL, minute => (wrong(minute) ? undefined : {}))
  const events = of(await eventsOf(detectorOf(configOf({})), readings), 'silent')
  expect(events.map(e => [e.state, e.metric, e.contributions.length])).toEqual([
    ['raised', '-', 0],
    ['cleared', '-', 0]
  ])
})

test("nobody is silent because of the source's own outage, and none of its series", async () => {
  const readings = fleet(ALL).filter(r => !wrong((r.at - T0) / MINUTE))
  expect(of(await eventsOf(detectorOf(configOf({})), readings), 'silent')).toEqual([])
})

test('a series that is told only when something happens is not watched', async () => {
  const prng = new Prng(SEED)
  const readings = fleet(8 * 1440, (_, values) => {
    const pairs = Object.entries({ ...values, ...(prng.chance(0.01) ? { trips: 1 } : {}) })
    return { values: pairs.map(([metric, value]) => ({ metric, value })) }
  })
  expect(of(await eventsOf(detectorOf(configOf({})), readings), 'silent')).toEqual([])
})

test('a stuck sensor is told once, and its scale is as before when it works again', async () => {
  const readings = fleet(ALL, (minute, values) => {
    const value = wrong(minute) ? 60.5 : values.temperature
    return {
      values: [
        { metric: 'temperature', value },
        { metric: 'flow', value: values.flow }
      ]
    }
  })
  const events = await eventsOf(detectorOf(configOf({})), readings)
  expect(kindsOf(events)).toEqual(['stuck'])
  const told = of(events, 'stuck')
  expect(told[0]).toMatchObject({ state: 'raised', severity: 'warning', threshold: 0.8 })
  expect(told[0].contributions).toEqual([{ metric: 'temperature', share: 1 }])
  expect(told.at(-1)).toMatchObject({ state: 'cleared' })
  expect(told.at(-1)?.detector.name).toBe('quality')
})

test('nulls where numbers were are told, and of what never was a number nothing', async () => {
  const readings = fleet(ALL, (minute, values) =>
    wrong(minute)
      ? { values: [{ metric: 'flow', value: values.flow }], unusable: ['temperature', 'mode'] }
      : { unusable: ['mode'] }
  )
  const detector = detectorOf(configOf({}))
  const events = await eventsOf(detector, readings)
  expect(kindsOf(events)).toEqual(['data_quality'])
  const told = of(events, 'data_quality')
  expect(told[0].at).toBe(new Date(T0 + (FROM + 2) * MINUTE).toISOString())
  expect(told.at(-1)?.state).toBe('cleared')
  expect(detector.counters().series).toBe(2 * DEVICES)
})

test("a device's wrong clock is told, and is nobody's silence", async () => {
  const readings = fleet(ALL, (minute, values) => {
    void values
    const at = T0 + minute * MINUTE
    // Beyond what the agent believes: it has put its own time in its place.
    return wrong(minute) ? { observedAt: at - 400 * DAY } : { observedAt: at }
  })
  const events = await eventsOf(detectorOf(configOf({})), readings)
  expect(kindsOf(events)).toEqual(['data_quality'])
  const told = of(events, 'data_quality')
  expect(told[0]).toMatchObject({ metric: '-', state: 'raised', contributions: [] })
  expect(told[0].reason).toContain("its clock is 400 days behind the agent's")
  expect(told.at(-1)?.state).toBe('cleared')
})

test('a value out of range is told as that, not as an anomaly, and spoils no statistics', async () => {
  const limits = [{ metrics: ['temp*'], devices: ['pump-*'], min: -40, max: 120 }]
  const readings = fleet(ALL, (minute, { flow, temperature }) => {
    const value = wrong(minute) && minute % 2 === 0 ? -127 : temperature
    return {
      values: [
        { metric: 'temperature', value },
        { metric: 'flow', value: flow }
      ]
    }
  })
  const events = await eventsOf(detectorOf(configOf({ limits })), readings)
  expect(kindsOf(events)).toEqual(['range'])
  expect(of(events, 'range').map(e => e.state)).toEqual(['raised', 'cleared'])
  expect(of(events, 'range')[0]).toMatchObject({ value: -127, lower: -40, upper: 120 })
})

test('a counter is scored by its rate: its growth is no anomaly, a leap of the rate is', async () => {
  const prng = new Prng(SEED)
  let litres = 0
  const readings = fleet(ALL, minute => {
    litres += 100 + prng.int(20) + (minute === FROM ? 5000 : 0)
    return { values: [{ metric: 'litres', value: litres }] }
  })
  const events = (await eventsOf(detectorOf(configOf({})), readings)).filter(
    e => e.data.device === 'pump-0'
  )
  expect(events[0].data).toMatchObject({
    kind: 'anomaly',
    at: new Date(T0 + FROM * MINUTE).toISOString()
  })
  expect(events[0].data.value).toBeCloseTo(85, -1)
  expect(events[0].data.reason).toMatch(/its rate a second: .* σ above/)
})

/** Something of everything. */
function eventful(): DetectorReading[] {
  return fleet(ALL, (minute, { flow, temperature }) => {
    const phase = minute < FROM ? -1 : Math.floor((minute - FROM) / 20)
    const value = phase === 0 ? 60.25 : phase === 1 ? 300 : temperature
    const temp = { metric: 'temperature', value }
    if (phase === 2) return { values: [temp], unusable: ['flow'] }
    if (phase === 3) return { values: [temp], observedAt: T0 }
    return { values: [temp, { metric: 'flow', value: flow }] }
  })
}

test('events are the same however batches are cut, and across a snapshot anywhere', async () => {
  const config = configOf({ limits: [{ metrics: ['temperature'], max: 200 }] })
  const readings = eventful()
  const whole = await eventsOf(detectorOf(config), readings)
  expect(kindsOf(whole)).toEqual(['data_quality', 'range', 'silent', 'stuck'])
  const prng = new Prng(SEED)
  let detector = detectorOf(config)
  const pieces: AlertEvent[] = []
  for (let from = 0; from < readings.length; ) {
    const late = from > FROM * DEVICES
    const end = from + 1 + prng.int(late ? 20 : 900)
    pieces.push(...(await eventsOf(detector, readings.slice(from, end))))
    const bytes = detector.snapshot()
    detector = detectorOf(config)
    expect(detector.restore(bytes)).toBe(true)
    from = end
  }
  expect(pieces).toEqual(whole)
})

test('a kind taken out of the configuration ends its alerts after a restart', async () => {
  const readings = fleet(FROM + 30, (minute, { flow, temperature }) => ({
    values: [
      { metric: 'temperature', value: wrong(minute) ? 60.5 : temperature },
      { metric: 'flow', value: flow }
    ]
  }))
  const before = detectorOf(configOf({}))
  await before.process(readings.slice(0, -8))
  expect(before.openAlerts().map(e => e.data.kind)).toEqual(['stuck'])
  const after = detectorOf(configOf({ stuck: false }))
  expect(after.restore(before.snapshot())).toBe(true)
  const events = await eventsOf(after, readings.slice(-8))
  expect(events.map(e => [e.data.kind, e.data.state])).toEqual([['stuck', 'cleared']])
})

test('a series that is forgotten takes its condition with it', async () => {
  const readings = fleet(FROM + 30, (minute, { temperature }) => ({
    values: [{ metric: 'temperature', value: wrong(minute) ? 60.5 : temperature }]
  }))
  const detector = detectorOf(configOf({}, { seriesTtlMs: DAY }))
  await detector.process(readings)
  expect(detector.openAlerts().map(e => e.data.kind)).toEqual(['stuck'])
  const later = reading(1e6, 'pump-9', T0 + 9 * DAY, { temperature: 1 })
  const [cleared] = await eventsOf(detector, [later])
  expect(cleared.data).toMatchObject({ kind: 'stuck', state: 'cleared' })
  expect(detector.openAlerts()).toEqual([])
})
