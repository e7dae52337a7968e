import { expect, test } from 'vitest'
import { Prng } from '../../core/runtime/prng.ts'
import {
  DAY_MS,
  drawSignalModel,
  expectedAt,
  metricNames,
  quantise,
  Signal
} from '../../firmware-sim/signal.ts'

const SEED = 20_261_122
const MINUTE_MS = 60_000
const READINGS = 20_000

/** Noise of one signal: readings minus the noiseless value, before rounding. */
function noiseOf(seed: number): { noise: number[]; sigma: number; ar: number } {
  const prng = new Prng(seed)
  const model = drawSignalModel(0, 'temperature', prng)
  const signal = new Signal(model, prng)
  const noise = Array.from({ length: READINGS }, (_, k) => {
    const t = k * MINUTE_MS
    return signal.next(t) - expectedAt(model, t)
  })
  return { noise, sigma: model.sigma, ar: model.ar }
}

const mean = (xs: number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length
const sd = (xs: number[]): number => {
  const m = mean(xs)
  return Math.sqrt(mean(xs.map(x => (x - m) ** 2)))
}

test(`noise has mean 0 and the stated standard deviation (seed ${SEED})`, () => {
  const { noise, sigma } = noiseOf(SEED)
  expect(Math.abs(mean(noise)) / sigma).toBeLessThan(0.06)
  expect(sd(noise) / sigma).toBeGreaterThan(0.96)
  expect(sd(noise) / sigma).toBeLessThan(1.04)
})

test(`noise is correlated from one reading to the next as stated (seed ${SEED})`, () => {
  const { noise, ar } = noiseOf(SEED)
  const lag = mean(noise.slice(1).map((x, i) => x * noise[i])) / sd(noise) ** 2
  expect(Math.abs(lag - ar)).toBeLessThan(0.03)
  expect(ar).toBeGreaterThanOrEqual(0.3)
})

test('the first readings of many signals have the stated standard deviation already', () => {
  const firsts = Array.from({ length: 4_000 }, (_, i) => {
    const prng = new Prng(SEED + i)
    const model = drawSignalModel(0, 'temperature', prng)
    return (new Signal(model, prng).next(0) - expectedAt(model, 0)) / model.sigma
  })
  expect(sd(firsts)).toBeGreaterThan(0.95)
  expect(sd(firsts)).toBeLessThan(1.05)
})

test('the shape repeats every day but for the slow drift, which starts at nothing', () => {
  const model = drawSignalModel(1, 'vibration', new Prng(SEED))
  const still = { ...model, drift: { ...model.drift, amplitude: 0 } }
  for (const hour of [0, 5, 13, 21]) {
    const t = hour * 3_600_000
    expect(expectedAt(still, t + DAY_MS)).toBeCloseTo(expectedAt(still, t), 9)
    const apart = Math.abs(expectedAt(model, t) - expectedAt(still, t)) / model.sigma
    expect(apart).toBeLessThan(0.5)
  }
  expect(expectedAt(model, 0)).toBe(expectedAt(still, 0))
  const day = Array.from({ length: 96 }, (_, q) => expectedAt(still, (q * DAY_MS) / 96))
  expect((Math.max(...day) - Math.min(...day)) / model.sigma).toBeGreaterThan(1.5)
})

test('every metric is rounded to whole multiples of its resolution', () => {
  metricNames(8).forEach((metric, index) => {
    const model = drawSignalModel(index, metric, new Prng(SEED))
    for (const value of [model.level, model.level * 1.037, -model.level / 3]) {
      const rounded = quantise(model, value)
      const steps = rounded / model.quantum
      expect(Math.abs(steps - Math.round(steps))).toBeLessThan(1e-6)
      expect(Math.abs(rounded - value)).toBeLessThanOrEqual(model.quantum / 2 + 1e-9)
      expect(String(rounded).split('.')[1]?.length ?? 0).toBeLessThanOrEqual(model.decimals)
    }
    // Rounding must not be what the signal consists of.
    expect(model.quantum).toBeLessThan(model.sigma)
  })
})

test('metric names are distinct past the list of sensors', () => {
  expect(metricNames(2)).toEqual(['temperature', 'vibration'])
  expect(new Set(metricNames(32)).size).toBe(32)
  expect(metricNames(10)[9]).toBe('vibration_2')
})
