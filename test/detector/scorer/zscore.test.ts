import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { ZScore } from '../../../detector/scorer/zscore.ts'
import { ar1Signal } from '../kit.ts'

const RAISE = 0.8
const STEP_MS = 500

class Series {
  readonly scorer = new ZScore({ warmUpReadings: 30 })
  #at = 0

  constructor() {
    this.scorer.reserve(1)
  }

  take(value: number): number {
    this.#at += STEP_MS
    const score = this.scorer.score(0, this.#at, value)
    this.scorer.learn(0, this.#at, value)
    return score
  }

  explain(value: number) {
    return this.scorer.explain(0, this.#at + STEP_MS, value)
  }
}

const NOISES = [0, 0.5, 0.9].flatMap(phi =>
  [
    { swing: 0, period: 1440 },
    { swing: 5, period: 1440 },
    { swing: 5, period: 172_800 }
  ].flatMap(shape => [0, 0.5, 3].map(step => ({ phi, ...shape, step })))
)

test.each(NOISES)('at most one false alert in 10,000 readings of %o', noise => {
  const readings = 10_000
  const series = 6
  let raised = 0
  for (let seed = 1; seed <= series; seed++) {
    const next = ar1Signal(new Prng(seed), noise)
    const one = new Series()
    let rest = 0
    for (let i = 0; i < readings; i++) {
      const high = one.take(next()) >= RAISE
      if (high && rest <= 0) raised++
      rest = high ? 25 : rest - 1
    }
  }
  expect(raised / series).toBeLessThan(1)
})

/** Share of `runs` in which a disturbance is found within `within` readings, and the median delay. */
function recall(options: {
  phi: number
  after: number
  magnitude: number
  readings: number
  within: number
}): { share: number; delay: number } {
  const runs = 300
  const delays: number[] = []
  for (let seed = 1; seed <= runs; seed++) {
    const next = ar1Signal(new Prng(1000 + seed), { phi: options.phi })
    const one = new Series()
    for (let i = 0; i < options.after; i++) one.take(next())
    for (let i = 0; i < options.within; i++) {
      const push = i < options.readings ? options.magnitude * (seed % 2 ? 1 : -1) : 0
      if (one.take(next() + push) < RAISE) continue
      delays.push(i)
      break
    }
  }
  delays.sort((a, b) => a - b)
  return { share: delays.length / runs, delay: delays[delays.length >> 1] }
}

test('spikes of 8 σ of one reading are found at once, soon after warm-up and later', () => {
  for (const phi of [0, 0.5, 0.9]) {
    for (const after of [40, 300]) {
      const found = recall({ phi, after, magnitude: 8, readings: 1, within: 1 })
      expect(found.share, `φ ${phi} after ${after}`).toBeGreaterThanOrEqual(0.95)
    }
  }
})

test('spikes of 6 σ are found at once in nine of ten', () => {
  expect(
    recall({ phi: 0, after: 300, magnitude: 6, readings: 1, within: 1 }).share
  ).toBeGreaterThan(0.88)
})

test('a level shift of 3 σ in white noise is found after a few readings', () => {
  const found = recall({ phi: 0, after: 300, magnitude: 3, readings: 1e9, within: 12 })
  expect(found.share).toBeGreaterThanOrEqual(0.95)
  expect(found.delay).toBeLessThanOrEqual(5)
})

test('a level shift of 3 σ in strongly correlated noise is found by its jump', () => {
  const found = recall({ phi: 0.9, after: 300, magnitude: 3, readings: 1e9, within: 12 })
  expect(found.share).toBeGreaterThanOrEqual(0.95)
})

test("a constant signal's first change is an event of finite size", () => {
  const one = new Series()
  for (let i = 0; i < 200; i++) one.take(20)
  const { lower, upper, expected } = one.explain(25)
  expect(expected).toBe(20)
  expect(upper - lower).toBeGreaterThan(0.01)
  const score = one.take(25)
  expect(score).toBeGreaterThanOrEqual(RAISE)
  expect(score).toBeLessThan(1)
})

test('a signal that switches between two values does not alarm on every switch', () => {
  const prng = new Prng(5)
  const one = new Series()
  let alarms = 0
  for (let i = 0; i < 5000; i++) {
    if (one.take(prng.chance(0.03) ? 1 : 0) >= RAISE) alarms++
  }
  expect(alarms).toBeLessThanOrEqual(3)
})

test('a large offset does not hide small noise', () => {
  const prng = new Prng(6)
  const one = new Series()
  for (let i = 0; i < 300; i++) one.take(1013 + 0.1 * prng.normal())
  expect(one.take(1013 + 0.9)).toBeGreaterThanOrEqual(RAISE)
})

test('a lasting shift becomes the new normal instead of an alert for ever', () => {
  const prng = new Prng(7)
  const one = new Series()
  for (let i = 0; i < 400; i++) one.take(50 + prng.normal())
  const scores = Array.from({ length: 400 }, () => one.take(80 + prng.normal()))
  expect(scores[0]).toBeGreaterThanOrEqual(RAISE)
  expect(scores[30]).toBeGreaterThanOrEqual(RAISE)
  expect(scores.slice(150).filter(s => s >= RAISE)).toEqual([])
  expect(one.explain(80).expected).toBeCloseTo(80, -1)
})

test('a scale learned in a quiet time grows: twenty times the noise is not alarming for ever', () => {
  const prng = new Prng(8)
  const one = new Series()
  for (let i = 0; i < 100; i++) one.take(50 + 0.05 * prng.normal())
  for (let i = 0; i < 400; i++) one.take(50 + prng.normal())
  const late = Array.from({ length: 2000 }, () => one.take(50 + prng.normal()))
  expect(late.filter(s => s >= RAISE).length).toBeLessThanOrEqual(1)
})

test('a spike does not blind: the next one is found too, and the readings between are quiet', () => {
  const prng = new Prng(9)
  const one = new Series()
  for (let i = 0; i < 300; i++) one.take(50 + prng.normal())
  for (let spike = 0; spike < 5; spike++) {
    expect(one.take(62)).toBeGreaterThanOrEqual(RAISE)
    const after = Array.from({ length: 25 }, () => one.take(50 + prng.normal()))
    expect(after.filter(s => s >= RAISE)).toEqual([])
  }
})

test('a pause or a reading out of order is no surprise by itself', () => {
  const next = ar1Signal(new Prng(10), { phi: 0.9 })
  const { scorer } = new Series()
  let at = 0
  for (let i = 0; i < 500; i++) {
    at += STEP_MS
    scorer.learn(0, at, next())
  }
  for (let i = 0; i < 200; i++) next()
  expect(scorer.score(0, at + 100_000, next())).toBeLessThan(RAISE)
  expect(scorer.score(0, at - 5000, next())).toBeLessThan(RAISE)
})

test('the explanation names expectation, range and side', () => {
  const prng = new Prng(11)
  const one = new Series()
  for (let i = 0; i < 500; i++) one.take(50 + prng.normal())
  const high = one.explain(60)
  expect(high.expected).toBeGreaterThan(48)
  expect(high.expected).toBeLessThan(52)
  expect(high.upper).toBeGreaterThan(high.expected + 3.5)
  expect(high.upper).toBeLessThan(60)
  expect(high.reason).toMatch(/^\d+\.\d σ above what the readings before it led to expect$/)
  expect(one.explain(40).reason).toContain('below')
})

test('sensitivity moves the line', () => {
  const scores = (['low', 'normal', 'high'] as const).map(sensitivity => {
    const prng = new Prng(12)
    const scorer = new ZScore({ warmUpReadings: 30, sensitivity })
    scorer.reserve(1)
    for (let i = 0; i < 500; i++) scorer.learn(0, i * STEP_MS, 50 + prng.normal())
    return scorer.score(0, 500 * STEP_MS, 54.9)
  })
  expect(scores[0]).toBeLessThan(RAISE)
  expect(scores[0]).toBeLessThan(scores[1])
  expect(scores[1]).toBeLessThan(scores[2])
  expect(scores[2]).toBeGreaterThanOrEqual(RAISE)
})
