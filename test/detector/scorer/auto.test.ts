import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { Decider, type DecisionRule } from '../../../detector/alert/decision.ts'
import { Auto } from '../../../detector/scorer/auto.ts'
import { rowReason } from '../../../detector/scorer/auto-reason.ts'
import type { Scorer, Sensitivity } from '../../../detector/scorer/scorer.ts'
import { ZScore } from '../../../detector/scorer/zscore.ts'
import { ar1Signal, type SignalShape } from '../kit.ts'

const RAISE = 0.8
const MINUTE = 60_000
const DAY = 86_400_000
/** A Monday. */
const T0 = Date.UTC(2026, 10, 2)
const RULE: DecisionRule = {
  ...{ raise: RAISE, clear: 0.5, onDelay: { readings: 1, of: 1 } },
  ...{ offDelayReadings: 5, refractoryReadings: 10, habituation: 1 }
}

/** A day's shape, whatever the interval. */
function signal(seed: number, intervalMs: number, shape: Omit<SignalShape, 'period'>) {
  return ar1Signal(new Prng(seed), { ...shape, period: DAY / intervalMs })
}

/** One series with its decision, as the engine has it. */
class Series {
  readonly scorer: Scorer
  readonly #decider = new Decider(RULE)
  readonly #intervalMs: number
  at = T0

  constructor(intervalMs: number, scorer: Scorer = new Auto({ warmUpReadings: 30 })) {
    this.scorer = scorer
    this.#intervalMs = intervalMs
    scorer.reserve(1)
    this.#decider.reserve(1)
  }

  /** @returns Whether an alert is raised. */
  take(value: number): boolean {
    this.at += this.#intervalMs
    const score = this.scorer.score(0, this.at, value)
    const { state } = this.#decider.decide(0, { at: this.at, score }, this.scorer.paceMs(0))
    this.scorer.learn(0, this.at, value)
    return state === 'raise'
  }

  /** @returns Alerts raised. */
  play(next: () => number, readings: number): number {
    let raised = 0
    for (let i = 0; i < readings; i++) raised += this.take(next()) ? 1 : 0
    return raised
  }

  score(value: number): number {
    return this.scorer.score(0, this.at + this.#intervalMs, value)
  }

  explain(value: number) {
    return this.scorer.explain(0, this.at + this.#intervalMs, value)
  }
}

const SHAPES: SignalShape[] = [
  {},
  { phi: 0.5 },
  { phi: 0.9 },
  { phi: 0.9, step: 0.5 },
  { phi: 0.9, swing: 5, step: 0.5 },
  { swing: 5 },
  { swing: 10 }
]

test.each([500, MINUTE, 5 * MINUTE])(
  'false alerts are rare, and not more than zscore gives, with a reading every %i ms',
  intervalMs => {
    const readings = 10_000
    const seeds = 4
    const raised = { auto: 0, zscore: 0 }
    for (const shape of SHAPES) {
      for (let seed = 1; seed <= seeds; seed++) {
        const auto = new Series(intervalMs)
        const zscore = new Series(intervalMs, new ZScore({ warmUpReadings: 30 }))
        raised.auto += auto.play(signal(seed, intervalMs, shape), readings)
        raised.zscore += zscore.play(signal(seed, intervalMs, shape), readings)
      }
    }
    const series = SHAPES.length * seeds
    expect(raised.auto).toBeLessThanOrEqual(raised.zscore)
    expect(raised.auto / series).toBeLessThan(0.4)
  }
)

/** Share of runs in which a disturbance, after 16 days of a reading a minute, is raised in time. */
function recall(shape: SignalShape, magnitude: number, readings: number, within: number): number {
  const runs = 30
  let found = 0
  for (let seed = 1; seed <= runs; seed++) {
    const next = signal(100 + seed, MINUTE, shape)
    const series = new Series(MINUTE)
    series.play(next, 16 * 1440 + 37 * seed)
    for (let i = 0; i < within; i++) {
      const push = i < readings ? magnitude * (seed % 2 ? 1 : -1) : 0
      if (!series.take(next() + push)) continue
      found++
      break
    }
  }
  return found / runs
}

const FLEET: SignalShape[] = [
  { phi: 0.9 },
  { step: 0.5 },
  { swing: 5, step: 0.5 },
  { phi: 0.9, swing: 5, step: 0.5 }
]

test.each(FLEET)('one reading 8 σ off is found at once in %o', shape => {
  expect(recall(shape, 8, 1, 1)).toBeGreaterThanOrEqual(0.95)
})

test.each(FLEET)('three readings 6 σ off are found while they last in %o', shape => {
  expect(recall(shape, 6, 3, 3)).toBeGreaterThanOrEqual(0.93)
})

test.each(FLEET)('a shift of 3 σ is found within six hours in %o', shape => {
  expect(recall(shape, 3, 1e9, 360)).toBeGreaterThanOrEqual(0.93)
})

test('on a series whose own spikes are frequent, they are no alerts', () => {
  const prng = new Prng(5)
  const bursts = () =>
    prng.normal() + (prng.chance(0.02) ? 10 - 10 * Math.log(1 - prng.float()) : 0)
  const raised = (scorer: Scorer) => new Series(MINUTE, scorer).play(bursts, 20_000)
  expect(raised(new ZScore({ warmUpReadings: 30 }))).toBeGreaterThan(60)
  expect(raised(new Auto({ warmUpReadings: 30 }))).toBeLessThan(15)
})

test('a machine that is switched on every morning raises nothing once that is known', () => {
  const prng = new Prng(6)
  const series = new Series(5 * MINUTE)
  let i = 0
  const shift = () => (++i % 288 >= 96 && i % 288 < 204 ? 80 : 20) + prng.normal()
  const first = series.play(shift, 2 * 288)
  expect(first).toBeLessThanOrEqual(2)
  expect(series.play(shift, 14 * 288)).toBe(0)
  // Not switched on, one morning.
  let missed = 0
  for (let row = 0; row < 288; row++) missed += series.take(Math.min(shift(), 21)) ? 1 : 0
  expect(missed).toBeGreaterThanOrEqual(1)
})

test('a Sunday like a weekday is found where Sundays are quiet', () => {
  const prng = new Prng(7)
  const series = new Series(10 * MINUTE)
  let i = 0
  const week = (working: boolean) => {
    const hour = (i % 144) / 6
    return (working && hour >= 8 && hour < 18 ? 60 : 10) + prng.normal()
  }
  const play = (days: number, sundayWorks = false): number => {
    let raised = 0
    for (let end = i + days * 144; i < end; i++) {
      raised += series.take(week(sundayWorks || Math.floor(i / 144) % 7 !== 6)) ? 1 : 0
    }
    return raised
  }
  play(42)
  expect(play(6)).toBe(0)
  expect(play(1, true)).toBeGreaterThanOrEqual(1)
})

test.each([1000, 5 * MINUTE])(
  'a constant that steps, every %i ms, is a few alerts and not a dozen',
  intervalMs => {
    const series = new Series(intervalMs)
    expect(series.play(() => 20, 2000)).toBe(0)
    let raised = 0
    for (const level of [25, 20, 25, 22]) raised += series.play(() => level, 500)
    expect(raised).toBeGreaterThanOrEqual(1)
    expect(raised).toBeLessThanOrEqual(5)
  }
)

test('an alert about a lasting shift ends: the shift becomes the new normal', () => {
  const next = signal(8, 5 * MINUTE, {})
  const series = new Series(5 * MINUTE)
  series.play(next, 3000)
  expect(series.play(() => next() + 20, 2)).toBe(1)
  series.play(() => next() + 20, 600)
  const scores = Array.from({ length: 200 }, () => {
    const value = next() + 20
    const score = series.score(value)
    series.take(value)
    return score
  })
  expect(scores.filter(s => s >= 0.5).length).toBeLessThan(10)
})

test('readings close together are seen as means of five minutes, judged when the next begin', () => {
  const prng = new Prng(9)
  const series = new Series(1000)
  const next = () => 50 + prng.normal()
  series.play(next, 6 * 3600 * 4)
  expect(series.scorer.paceMs(0)).toBe(10_000)
  let found = -1
  for (let i = 0; i < 3600 && found < 0; i++) if (series.take(next() + 0.8)) found = i
  // 0.8 deviations are nothing in a single reading, and 14 in a mean of three hundred.
  expect(found).toBeGreaterThan(200)
  expect(found).toBeLessThan(1500)
})

test('a pause is no surprise, and what went on before it is over', () => {
  const next = signal(10, 5 * MINUTE, { swing: 5 })
  const series = new Series(5 * MINUTE)
  series.play(next, 3000)
  series.play(() => next() + 6, 5)
  for (let i = 0; i < 288; i++) next()
  series.at += 288 * 5 * MINUTE
  expect(series.score(next())).toBeLessThan(RAISE)
  expect(series.play(next, 100)).toBe(0)
})

test.each([1000, 5 * MINUTE])(
  'one reading from a clock far ahead, every %i ms, stops nothing',
  intervalMs => {
    const next = signal(15, intervalMs, {})
    const series = new Series(intervalMs)
    const day = DAY / intervalMs
    series.play(next, 3 * day)
    const right = series.at
    series.at = Date.UTC(2099, 0, 1)
    series.take(next())
    series.at = right
    series.play(next, day / 2)
    let found = 0
    for (let i = 0; i < day / 8; i++) found += series.take(next() + 1.5) ? 1 : 0
    expect(found).toBeGreaterThanOrEqual(1)
  }
)

test('a reading out of order, or twice, is taken as it is', () => {
  const next = signal(11, 1000, {})
  const series = new Series(1000)
  series.play(next, 5000)
  for (let i = 0; i < 50; i++) {
    series.at -= 3000
    expect(series.take(next())).toBe(false)
    series.at -= 1000
    expect(series.take(next())).toBe(false)
  }
})

test('the more sensitive hears what the less sensitive hears', () => {
  const next = signal(12, 5 * MINUTE, { phi: 0.5 })
  const values = Array.from({ length: 4000 }, (_, i) => next() + (i % 500 > 480 ? 3 : 0))
  const scores = (sensitivity: Sensitivity) => {
    const scorer = new Auto({ warmUpReadings: 30, sensitivity })
    const series = new Series(5 * MINUTE, scorer)
    return values.map(value => {
      const score = series.score(value)
      series.take(value)
      return score
    })
  }
  const [low, normal, high] = [scores('low'), scores('normal'), scores('high')]
  // Below half the line, scores decide nothing.
  expect(low.every((score, i) => score < 0.5 || score <= normal[i])).toBe(true)
  expect(normal.every((score, i) => score < 0.5 || score <= high[i])).toBe(true)
  expect(low.filter(s => s >= RAISE).length).toBeLessThan(high.filter(s => s >= RAISE).length)
})

test('the explanation of a reading names its deviations, that of rows their time of the day', () => {
  const next = signal(13, 5 * MINUTE, { swing: 8 })
  const series = new Series(5 * MINUTE)
  series.play(next, 14 * 288)
  const spike = series.explain(next() + 9)
  expect(spike.reason).toMatch(/σ above what the readings before it led to expect$/)
  expect(spike.lower).toBeLessThan(spike.expected)
  series.play(() => next() + 3.5, 14)
  const value = next() + 3.5
  expect(series.score(value)).toBeGreaterThanOrEqual(RAISE)
  const { reason, expected, lower, upper } = series.explain(value)
  expect(reason).toMatch(
    /^the last 10 readings are \d+\.\d times as far as usual from what Mondays from \d\d:[03]0 to \d\d:[03]0 UTC/
  )
  expect(lower).toBeLessThan(expected)
  expect(upper).toBeGreaterThan(expected)
})

test('a shift without rhythm is told as one of the level', () => {
  const verdict = {
    ...{ score: 5, pattern: 2, level: 7, expected: 0, scale: 1 },
    ...{ patternAverage: 2, levelAverage: -4.44 }
  }
  expect(rowReason(verdict, T0, 'five-minute means')).toBe(
    'the average of the last 10 five-minute means is 3.0 deviations below the level of the last days'
  )
})
