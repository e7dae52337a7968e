import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { ar1Signal } from '../kit.ts'
import { runSeries, take } from './kit.ts'

const SEED = 3
const LEARNING = 3 * 1440

/** Three days of a signal, then the last value for `readings`. */
function* thenStuck(signal: () => number, readings: number): Generator<number> {
  let last = 0
  for (let i = 0; i < LEARNING; i++) {
    last = signal()
    yield last
  }
  yield* take(readings, () => last)
}

test.each([
  { phi: 0, step: 0, within: 8 },
  { phi: 0.9, step: 0, within: 8 },
  { phi: 0.5, step: 0.5, within: 24 },
  { phi: 0.9, step: 0.5, within: 40 }
])(`a sensor that repeats itself is told (φ $phi, steps of $step σ, seed ${SEED})`, shape => {
  for (let round = 0; round < 20; round++) {
    const signal = ar1Signal(new Prng(SEED + round), shape)
    const { found } = runSeries(thenStuck(signal, shape.within))
    expect(found.map(f => f.kind)).toContain('stuck')
    expect(found[0].index).toBeGreaterThan(LEARNING)
  }
})

test('a run is told with its length and what is usual', () => {
  const signal = ar1Signal(new Prng(SEED), {})
  const { found } = runSeries(thenStuck(signal, 10))
  expect(found[0].reason).toBe('the same for 8 readings; at most 8 are usual')
})

test('in the first day nothing is stuck', () => {
  const signal = ar1Signal(new Prng(SEED), {})
  const values = [...take(700, signal), ...take(700, () => 5)]
  expect(runSeries(values).found).toEqual([])
})

test('a sensor that has no other habit than to repeat itself is not stuck', () => {
  expect(runSeries(take(50_000, i => (i < 25_000 ? 4 : 5))).found).toEqual([])
})

test('where a signal often rests, it may rest; elsewhere not', () => {
  const prng = new Prng(SEED)
  const day = (i: number) => (i % 1440 < 600 ? 0 : 30 + prng.normal())
  const longNight = [...take(5 * 1440, day), ...take(1400, () => 0)]
  expect(runSeries(longNight).found).toEqual([])
  const brokenByDay = [...take(5 * 1440 + 900, day), ...take(60, () => 31.5)]
  expect(runSeries(brokenByDay).found.map(f => f.kind)).toContain('stuck')
})

test('a run that was told makes the next one like it no surprise for ever', () => {
  const prng = new Prng(SEED)
  const values = take(20 * 1440, i => (i % 1440 < 100 && i > LEARNING ? 7 : prng.normal()))
  const { found } = runSeries(values)
  const days = new Set(found.map(f => Math.floor(f.index / 1440)))
  expect(days.size).toBeGreaterThan(1)
  expect(days.size).toBeLessThan(8)
})

test(`a sensor that was stuck before is told as soon when it is again (seed ${SEED})`, () => {
  const signal = ar1Signal(new Prng(SEED), { phi: 0.7, step: 0.5 })
  const values = [1, 2, 3].flatMap(() => [...thenStuck(signal, 240)])
  const { found } = runSeries([...values, ...take(50, signal)])
  const runs = new Set(found.map(f => Math.floor(f.index / (LEARNING + 240))))
  expect([...runs]).toEqual([0, 1, 2])
  expect(found.at(-1)?.reason).toMatch(/at most (1|2)\d are usual/)
})

test('`stuck: false` says nothing', () => {
  const signal = ar1Signal(new Prng(SEED), {})
  expect(runSeries(thenStuck(signal, 500), { config: { stuck: false } }).found).toEqual([])
})
