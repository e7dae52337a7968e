import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import {
  addCounts,
  countAlarms,
  figuresOf,
  judgeSkabFile,
  SKAB_TRAINING_ROWS,
  type SkabFile,
  skabPrior
} from '../../../detector/evaluate/skab.ts'
import { METRICS, rigRows } from '../train/rig.ts'

function fileOf(seed: number, count: number, faultFrom = Infinity, faultEnd = count): SkabFile {
  const prng = new Prng(seed)
  const healthy = rigRows(prng, count)
  const rows = healthy.map((row, t) =>
    t >= faultFrom && t < faultEnd ? row.with(1, row[1] - 6) : row
  )
  return {
    name: `rig/${seed}.csv`,
    metrics: METRICS,
    times: rows.map((_, t) => `t${t}`),
    rows,
    labels: Uint8Array.from(rows, (_, t) => (t >= faultFrom && t < faultEnd ? 1 : 0))
  }
}

test('false and missed alarms are counted over the rows that are not learned', () => {
  const labels = new Uint8Array(SKAB_TRAINING_ROWS + 10)
  const alarms = new Uint8Array(SKAB_TRAINING_ROWS + 10)
  labels.fill(1, SKAB_TRAINING_ROWS + 6)
  // Learned: counts for nothing. Then two false, one found of four.
  alarms[5] = 1
  labels[7] = 1
  alarms.fill(1, SKAB_TRAINING_ROWS + 4, SKAB_TRAINING_ROWS + 7)
  const counts = countAlarms(labels, alarms)
  expect(counts).toEqual({ rows: 10, anomalous: 4, falseAlarms: 2, missed: 3 })
  const { far, mar, f1 } = figuresOf(addCounts([counts, counts]))
  expect(far).toBeCloseTo(100 / 3, 9)
  expect(mar).toBe(75)
  expect(f1).toBeCloseTo(2 / 7, 9)
  expect(figuresOf({ rows: 0, anomalous: 0, falseAlarms: 0, missed: 0 })).toEqual({
    far: null,
    mar: null,
    f1: null
  })
})

test('a fault is found after its rows were not learned, with the recording as prior', () => {
  const prior = skabPrior(fileOf(1, 4000))
  const { alarms, counts } = judgeSkabFile(fileOf(2, 1000, 600), prior)
  expect(alarms.subarray(0, SKAB_TRAINING_ROWS).every(a => a === 0)).toBe(true)
  expect(counts).toMatchObject({ rows: 600, anomalous: 400 })
  const { far, mar } = figuresOf(counts)
  expect(mar).toBeLessThan(10)
  // An eighth of the rows is the budget: this rig is as steady as its recording.
  expect(far).toBeLessThan(30)
  expect(far).toBeGreaterThan(0)
})

test('an alarm depends on nothing that comes later, nor on labels and names', () => {
  const prior = skabPrior(fileOf(1, 4000))
  const whole = fileOf(3, 1200, 700)
  const { alarms } = judgeSkabFile(whole, prior)
  for (const length of [401, 650, 720, 1000]) {
    const cut: SkabFile = {
      ...whole,
      name: 'other.csv',
      times: whole.times.slice(0, length),
      rows: whole.rows.slice(0, length),
      labels: new Uint8Array(length)
    }
    expect(judgeSkabFile(cut, prior).alarms).toEqual(alarms.slice(0, length))
  }
})

test('a missing number is the last one', () => {
  const file = fileOf(4, 800)
  const holes = {
    ...file,
    rows: file.rows.map((row, t) => (t % 50 === 3 ? row.with(0, Number.NaN) : row))
  }
  const filled = {
    ...file,
    rows: file.rows.map((row, t) => (t % 50 === 3 ? row.with(0, file.rows[t - 1][0]) : row))
  }
  const prior = skabPrior(fileOf(1, 4000))
  expect(judgeSkabFile(holes, prior).alarms).toEqual(judgeSkabFile(filled, prior).alarms)
})

test('a metric that stands still while it is learned is left out of that file', () => {
  const prior = skabPrior(fileOf(1, 4000))
  const file = fileOf(5, 900, 600)
  const still = { ...file, rows: file.rows.map((row, t) => (t < 500 ? row.with(2, 3) : row)) }
  expect(figuresOf(judgeSkabFile(still, prior).counts).mar).toBeLessThan(15)
})
