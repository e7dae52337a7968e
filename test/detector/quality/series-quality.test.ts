import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { qualitySchema } from '../../../detector/quality/quality-config.ts'
import { SeriesQuality } from '../../../detector/quality/series-quality.ts'
import { ar1Signal, T0 } from '../kit.ts'
import { DAY, MINUTE, NO_FACTS, runSeries, take } from './kit.ts'

const SEED = 11

function factsOf(limits: object, counter = false) {
  const { limits: parsed } = qualitySchema.parse({ limits: [{ metrics: ['*'], ...limits }] })
  return { limit: parsed[0], counter }
}

// --- range and rate ----------------------------------------------------------------------------

test('a value beyond its limits is told, with them, and is not scored', () => {
  const facts = factsOf({ min: -40, max: 120 })
  const { found, scored } = runSeries([20, 130, 21, -127, 120, -40], { facts })
  expect(found).toEqual([
    { kind: 'range', index: 1, reason: 'above 120, the greatest it can be' },
    { kind: 'range', index: 3, reason: 'below -40, the least it can be' }
  ])
  expect(scored).toEqual([20, undefined, 21, undefined, 120, -40])
})

test('a change faster than the limit is told, whatever the interval', () => {
  const facts = factsOf({ rate_max: 0.1 })
  expect(runSeries([20, 26, 31], { facts }).found).toEqual([])
  expect(runSeries([20, 27], { facts }).found).toEqual([
    { kind: 'rate', index: 1, reason: 'changed by 0.117 a second; 0.1 is the most it can' }
  ])
})

test('two readings of nearly one instant are no fast change', () => {
  const quality = new SeriesQuality(qualitySchema.parse({}))
  quality.reserve(1)
  const facts = factsOf({ rate_max: 0.1 })
  for (let i = 0; i < 20; i++) quality.look(0, T0 + i * MINUTE, 20, facts)
  quality.look(0, T0 + 19 * MINUTE + 5, 21, facts)
  expect(quality.findings).toEqual([])
})

test.each([
  { limits: [{ metrics: ['a'] }] },
  { limits: [{ metrics: ['a'], min: 2, max: 1 }] },
  { limits: [{ metrics: [], max: 1 }] },
  { limits: [{ metrics: ['a'], rate_max: 0 }] },
  { learn: '1s' }
])('%j is refused', config => {
  expect(qualitySchema.safeParse(config).success).toBe(false)
})

// --- disorder ----------------------------------------------------------------------------------

test('readings out of order change nothing, but a clock set back begins a new time', () => {
  const quality = new SeriesQuality(qualitySchema.parse({}))
  quality.reserve(1)
  const look = (at: number, value: number) => quality.look(0, at, value, NO_FACTS)
  for (let i = 0; i < 50; i++) look(T0 + i * MINUTE, i % 7)
  const before = saved(quality)
  expect(look(T0 + 3000, 5).scored).toBe(5)
  const after = saved(quality)
  // Only the count of readings behind.
  expect(after.filter((byte, i) => byte !== before[i]).length).toBeLessThanOrEqual(4)
  for (let i = 0; i < 5; i++) look(T0 - DAY + i * MINUTE, 3)
  expect(quality.lastAt(0)).toBe(T0 - DAY + 4 * MINUTE)
})

test('the same instant and value again is a repetition, and makes nothing stuck', () => {
  const quality = new SeriesQuality(qualitySchema.parse({}))
  quality.reserve(1)
  const signal = ar1Signal(new Prng(SEED), {})
  for (let i = 0; i < 3000; i++) {
    const value = signal()
    for (let copy = 0; copy < 20; copy++) {
      const look = quality.look(0, T0 + i * MINUTE, value, NO_FACTS)
      expect(look.repeated).toBe(copy > 0)
      expect(quality.findings).toEqual([])
    }
  }
})

// --- what is no number -------------------------------------------------------------------------

test('three nulls where numbers were are told, one is not, and of a stranger none', () => {
  const stranger = new SeriesQuality(qualitySchema.parse({}))
  stranger.reserve(1)
  for (let i = 0; i < 5; i++) stranger.unusable(0)
  expect(stranger.findings).toEqual([])
  const { quality } = runSeries(take(50, i => i % 7))
  const counts = [1, 2, 3].map(() => {
    quality.unusable(0)
    return quality.findings.length
  })
  expect(counts).toEqual([0, 0, 1])
  expect(quality.findings[0].kind).toBe('data_quality')
})

test('a sensor that gives every other reading as null is told', () => {
  const { quality } = runSeries(take(50, i => i % 7))
  let told = 0
  for (let i = 0; i < 20; i++) {
    quality.look(0, T0 + (60 + i) * MINUTE, i % 7, NO_FACTS)
    quality.unusable(0)
    told += quality.findings.length
  }
  expect(told).toBeGreaterThan(5)
})

// --- units -------------------------------------------------------------------------------------

test.each([
  { name: 'Celsius to Fahrenheit', level: 22, sigma: 0.5, convert: (v: number) => 1.8 * v + 32 },
  { name: 'Celsius to kelvin', level: 60, sigma: 2, convert: (v: number) => v + 273.15 },
  { name: 'bar to psi', level: 6, sigma: 0.1, convert: (v: number) => 14.5038 * v },
  { name: 'volt to millivolt', level: 230, sigma: 2, convert: (v: number) => 1000 * v },
  { name: 'millimetre to metre', level: 800, sigma: 10, convert: (v: number) => v / 1000 }
])(`a change of unit is told: $name (seed ${SEED})`, ({ level, sigma, convert }) => {
  const prng = new Prng(SEED)
  const usual = () => level + sigma * prng.normal()
  const values = [...take(3000, usual), ...take(50, () => convert(usual()))]
  const { found } = runSeries(values)
  expect(found[0]).toMatchObject({ kind: 'data_quality', index: 3004 })
  expect(found[0].reason).toMatch(/another unit$/)
})

test(`a step of any other size is no change of unit (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  for (const step of [-200, -50, -21.9, -5, 5, 40, 400, 5000]) {
    const values = take(6000, i => 22 + 0.5 * prng.normal() + (i > 3000 ? step : 0))
    expect(runSeries(values).found).toEqual([])
  }
})

test('a new unit that stays for a thousand readings is the unit', () => {
  const prng = new Prng(SEED)
  const values = take(8000, i => (22 + 0.5 * prng.normal()) * (i > 3000 ? 1000 : 1))
  const { found } = runSeries(values)
  expect(found.length).toBeGreaterThan(900)
  expect(found.at(-1)?.index).toBeLessThan(4100)
})

// --- counters ----------------------------------------------------------------------------------

test('a series that only grows is scored by its rate, and a reset drops one reading', () => {
  const { scored, renewed, found } = runSeries(
    take(4000, i => (i < 3000 ? 60 * i : 60 * (i - 3000)))
  )
  expect(renewed).toEqual([20])
  expect(scored[0]).toBe(0)
  expect(scored.slice(20, 3000)).toEqual(Array.from({ length: 2980 }, () => 1))
  expect(scored.slice(2999, 3002)).toEqual([1, undefined, 1])
  expect(found).toEqual([])
})

test('one that grew at first and then falls was no counter', () => {
  const { scored, renewed } = runSeries(take(200, i => (i < 100 ? i : 200 - i)))
  expect(renewed).toEqual([20, 101])
  expect(scored[150]).toBe(50)
})

test('a charge that rises for hours every day is no counter', () => {
  const values = take(10 * 1440, i => (i % 1440 < 1200 ? i % 1440 : 5 * (1440 - (i % 1440))))
  const { renewed, scored } = runSeries(values)
  expect(renewed).toEqual([20, 1201])
  expect(scored[1440 * 5 + 10]).toBe(10)
})

test('one declared a counter is one from the first reading, falls or not', () => {
  const facts = { limit: undefined, counter: true }
  const { scored } = runSeries([10, 70, 5, 65, 3, 63], { facts })
  expect(scored).toEqual([undefined, 1, undefined, 1, undefined, 1])
})

test('a late reading of a counter has no rate', () => {
  const { quality } = runSeries(take(3000, i => 60 * i))
  expect(quality.look(0, T0 + 10.5 * MINUTE, 630, NO_FACTS).scored).toBeUndefined()
})

test('with `recognise_counters: false` a counter is scored as it is', () => {
  const { scored, renewed } = runSeries(
    take(3000, i => i),
    { config: { recognise_counters: false } }
  )
  expect(renewed).toEqual([])
  expect(scored[2999]).toBe(2999)
})

// --- state -------------------------------------------------------------------------------------

test('96 bytes a series hold all of it', () => {
  const signal = ar1Signal(new Prng(SEED), { phi: 0.9, step: 0.5 })
  const values = [...take(5000, signal), ...take(80, () => 101)]
  const config = qualitySchema.parse({})
  const whole = new SeriesQuality(config)
  const broken = new SeriesQuality(config)
  whole.reserve(1)
  broken.reserve(9)
  expect(whole.stateBytes).toBe(96)
  for (const [i, value] of values.entries()) {
    const slot = i % 8
    const expected = { ...whole.look(0, T0 + i * MINUTE, value, NO_FACTS) }
    expect(broken.look(slot, T0 + i * MINUTE, value, NO_FACTS)).toEqual(expected)
    expect(broken.findings).toEqual(whole.findings)
    if (i % 97 === 0) expect(saved(broken, slot)).toEqual(saved(whole))
    const words = saved(broken, slot)
    broken.reset(slot)
    expect(broken.load((i + 1) % 8, words, 0)).toBe(true)
  }
  expect(whole.findings.map(f => f.kind)).toEqual(['stuck'])
  expect(broken.load(0, new Int32Array(24).fill(-1), 0)).toBe(false)
  expect(saved(broken, 0)).toEqual(new Int32Array(24))
})

function saved(quality: SeriesQuality, slot = 0): Int32Array {
  const words = new Int32Array(quality.stateBytes / 4)
  quality.save(slot, words, 0)
  return words
}
