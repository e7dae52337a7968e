import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import {
  componentsOf,
  fitModel,
  LAGS,
  scoresOf,
  windowRows,
  windowRowsFor
} from '../../../detector/train/innovation-model.ts'
import { METRICS, rigRows, TRANSITION } from './rig.ts'

const SMOOTH = 20

test('a known process is recovered from what it simulated', () => {
  const model = fitModel(METRICS, [rigRows(new Prng(7), 20_000)], SMOOTH)
  const m = METRICS.length
  const noise = [0.2, 1.5, 0.1, 0.3]
  for (let from = 0; from < m; from++) {
    for (let to = 0; to < m; to++) {
      // In the process' own units of noise, as TRANSITION is.
      const unit = (model.std[to] / model.std[from]) * (noise[from] / noise[to])
      const [first, ...others] = Array.from(
        { length: LAGS },
        (_, lag) => unit * model.coefficients[(lag * m + from) * m + to]
      )
      expect(first).toBeCloseTo(TRANSITION[to][from], 1)
      for (const other of others) expect(Math.abs(other)).toBeLessThan(0.06)
    }
  }
  for (let i = 0; i < m; i++) {
    expect((model.deviation[i] * model.std[i]) / noise[i]).toBeCloseTo(1, 1)
  }
})

test('a score is what its definition says, of the last window alone', () => {
  const rows = rigRows(new Prng(8), 1000)
  const model = fitModel(METRICS, [rows], SMOOTH)
  expect(windowRows(model)).toBe(67)
  expect(windowRowsFor(SMOOTH)).toBe(67)
  const scores = scoresOf(model, rows)
  expect(scores).toHaveLength(1000 - 66)
  expect(model.decay.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12)
  for (const end of [66, 67, 500, 999]) {
    const expected = scoreByDefinition(model, rows.slice(end - 66, end + 1))
    expect(scores[end - 66]).toBeCloseTo(expected, 9)
    expect(scoresOf(model, rows.slice(end - 66, end + 1))[0]).toBeCloseTo(expected, 9)
  }
  expect(scoresOf(model, rows.slice(0, 66))).toHaveLength(0)
})

test('a wandering metric is no surprise, a step of a steady one is, and is named', () => {
  const prng = new Prng(9)
  const rows = rigRows(prng, 4000, 3500)
  const model = fitModel(METRICS, [rows.slice(0, 3000)], SMOOTH)
  const scores = scoresOf(model, rows)
  const largest = (from: number, until: number) => Math.max(...scores.slice(from - 66, until - 66))
  expect(largest(3530, 4000)).toBeGreaterThan(2 * largest(3000, 3500))
  const parts = componentsOf(model, rows).slice(4 * (3560 - 66), 4 * (3561 - 66))
  const squares = parts.map(p => p * p)
  expect(squares.indexOf(Math.max(...squares))).toBe(METRICS.indexOf('flow'))
})

test('a single wild reading counts no more than five deviations', () => {
  const rows = rigRows(new Prng(10), 2000)
  const model = fitModel(METRICS, [rows], SMOOTH)
  const wild = (value: number) => {
    const odd = rows.slice(0, 300)
    odd[299] = odd[299].with(1, value)
    return scoresOf(model, odd).at(-1) as number
  }
  expect(wild(1e6)).toBe(wild(1e9))
})

test('a metric that stood still while others were learned does not spoil the numbers', () => {
  const rows = rigRows(new Prng(11), 500).map(row => row.with(2, 3))
  const model = fitModel(METRICS, [rows], SMOOTH)
  const moved = rows.map((row, t) => (t < 400 ? row : row.with(2, 4)))
  expect(scoresOf(model, moved).every(Number.isFinite)).toBe(true)
})

/** Plain sums over one window. */
function scoreByDefinition(
  model: ReturnType<typeof fitModel>,
  window: readonly Float64Array[]
): number {
  const m = model.metrics.length
  const z = window.map(row => [...row].map((v, i) => (v - model.mean[i]) / model.std[i]))
  const average = new Array<number>(m).fill(0)
  for (let age = 0; age < model.decay.length; age++) {
    const t = window.length - 1 - age
    for (let to = 0; to < m; to++) {
      let missed = z[t][to]
      for (let lag = 1; lag <= LAGS; lag++) {
        for (let from = 0; from < m; from++) {
          missed -= model.coefficients[((lag - 1) * m + from) * m + to] * z[t - lag][from]
        }
      }
      const clipped = Math.max(-5, Math.min(5, missed / model.deviation[to]))
      average[to] += model.decay[age] * clipped
    }
  }
  let square = 0
  for (let to = 0; to < m; to++) {
    square += average.reduce((s, a, from) => s + a * model.whitening[from * m + to], 0) ** 2
  }
  return Math.sqrt(square)
}
