import { expect, test } from 'vitest'
import { silentLogger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { type MuteRule, Muting } from '../../../detector/alert/muting.ts'
import { Detector, type DetectorReading } from '../../../detector/detector.ts'
import { detectorConfig, reading, T0 } from '../kit.ts'
import { MINUTE } from './kit.ts'

const SEED = 8
/** Two days of health, then a day of maintenance, an hour of health, and an hour with a fault. */
const FROM = 2 * 1440
const TO = FROM + 1440
const FAULT = TO + 60
const END = FAULT + 60

type Values = Record<string, number>
/** What pump-0 gives in a minute; undefined: nothing. */
type Change = (minute: number, values: Values) => Partial<Values> | undefined

function windowOf(learning: MuteRule['learning'], fromMinute = FROM): MuteRule {
  return {
    ...{ name: 'service', state: 'out_of_service', learning, devices: ['pump-0'] },
    ...{ fromAt: T0 + fromMinute * MINUTE, toAt: T0 + TO * MINUTE }
  }
}

function fleet(change: Change): DetectorReading[] {
  const prng = new Prng(SEED)
  const readings: DetectorReading[] = []
  for (let minute = 0; minute < END; minute++) {
    for (let d = 0; d < 3; d++) {
      const usual = { temperature: 60 + prng.normal(), flow: 120 + 2 * prng.normal() }
      const values = d === 0 ? change(minute, usual) : usual
      const at = T0 + minute * MINUTE + d * 1000
      if (values) readings.push(reading(minute * 3 + d, `pump-${d}`, at, values as Values))
    }
  }
  return readings
}

/** Kinds of what is raised of pump-0 from a minute on; anomalies left out. */
async function toldFrom(
  minute: number,
  readings: DetectorReading[],
  silence: MuteRule
): Promise<string[]> {
  const config = detectorConfig({ silences: [silence] })
  const detector = new Detector(config, { source: '/fieldline/g', logger: silentLogger })
  const events = (await detector.process(readings)).flatMap(p => p.events)
  return events
    .filter(
      ({ data, time }) => data.device === 'pump-0' && Date.parse(time) >= T0 + minute * MINUTE
    )
    .filter(({ data }) => data.kind !== 'anomaly' && data.state === 'raised')
    .map(({ data }) => data.kind)
}

const inService = (minute: number) => minute >= FROM && minute < TO

const CASES: { name: string; kind: string; change: Change }[] = [
  {
    name: 'runs of equal values',
    kind: 'stuck',
    change: (minute, values) => {
      if (inService(minute)) return { ...values, temperature: Math.floor(minute / 40) }
      return minute >= FAULT ? { ...values, temperature: 60.5 } : values
    }
  },
  {
    name: 'pauses of a series',
    kind: 'silent',
    change: (minute, { temperature, flow }) => {
      const off = minute >= FAULT || (inService(minute) && minute % 120 > 2)
      return { temperature, ...(off ? {} : { flow }) }
    }
  },
  {
    name: 'pauses of a device',
    kind: 'silent',
    change: (minute, values) => {
      const pause = minute < FROM + 300 ? 4 : 15
      return minute >= FAULT || (inService(minute) && minute % pause > 0) ? undefined : values
    }
  }
]

test.each(CASES)('$name within maintenance teach nothing (seed 8)', async ({ kind, change }) => {
  const readings = fleet(change)
  expect(await toldFrom(FAULT, readings, windowOf('paused'))).toEqual([kind])
  // It is the maintenance that would have taught it.
  expect(await toldFrom(FAULT, readings, windowOf('continued'))).toEqual([])
})

test('another unit within maintenance is not the new one after it', async () => {
  const readings = fleet((minute, values) =>
    inService(minute) ? { ...values, temperature: values.temperature * 1000 } : values
  )
  expect(await toldFrom(TO, readings, windowOf('paused'))).toEqual([])
  expect(await toldFrom(TO, readings, windowOf('continued'))).toEqual(['data_quality'])
})

test('a run and a pause that only end after the maintenance teach nothing either', async () => {
  const readings = fleet((minute, values) => {
    if (minute >= TO - 300 && minute < TO + 5) return { temperature: 3 }
    return minute >= FAULT ? { temperature: 60.5 } : values
  })
  const told = await toldFrom(TO, readings, windowOf('paused', TO - 300))
  expect(told.filter(kind => kind === 'stuck').length).toBeGreaterThanOrEqual(1)
  expect(told.filter(kind => kind === 'silent').length).toBeGreaterThanOrEqual(1)
})

test('a pause is touched by any window that was on during it', () => {
  const day = { name: 's', state: 'out_of_service', learning: 'paused' } as const
  const schedule = { days: [0], fromMinute: 600, toMinute: 660, zone: 'UTC' }
  const muting = new Muting([{ ...day, schedule, toAt: Date.UTC(2026, 11, 25) }])
  const pauses = (from: string, to: string) =>
    muting.pausesLearning(
      { site: 's', device: 'd', metric: 'm' },
      ...(['stuck', Date.parse(to), Date.parse(from)] as const)
    )
  // 22 November 2026 is a Sunday.
  expect(pauses('2026-11-22T09:00:00Z', '2026-11-22T09:59:59Z')).toBe(false)
  expect(pauses('2026-11-22T09:00:00Z', '2026-11-22T10:00:00Z')).toBe(true)
  expect(pauses('2026-11-22T10:30:00Z', '2026-11-22T12:00:00Z')).toBe(true)
  expect(pauses('2026-11-22T11:00:00Z', '2026-11-28T23:00:00Z')).toBe(false)
  expect(pauses('2026-11-22T11:00:00Z', '2026-11-29T23:00:00Z')).toBe(true)
  expect(pauses('2026-12-20T11:00:00Z', '2027-03-01T00:00:00Z')).toBe(false)
  // A reading from before the last one.
  expect(pauses('2026-11-23T00:00:00Z', '2026-11-22T10:30:00Z')).toBe(true)
})

test('a series whose first readings are of its maintenance is known a day after that', async () => {
  const readings = fleet((minute, values) => {
    if (minute < TO) return { ...values, temperature: 5 }
    return minute >= FAULT ? { ...values, temperature: 60.5 } : values
  })
  expect(await toldFrom(TO, readings, windowOf('paused', 0))).toEqual([])
})
