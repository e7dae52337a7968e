import { expect, test } from 'vitest'
import {
  type NabProfile,
  nabScore,
  probationRows,
  rowValues,
  sum,
  sweep,
  tally
} from '../../../detector/evaluate/nab.ts'
import { nabReport } from '../../../detector/evaluate/nab-report.ts'

const STANDARD: NabProfile = {
  ...{ name: 'standard', truePositive: 1, falseNegative: 1, falsePositive: 0.11 }
}
const LOW_FN: NabProfile = { ...STANDARD, name: 'low_FN', falseNegative: 2 }

/** Probation is rows 0–2; windows are rows 8–12 and 16–17. */
const SERIES = {
  name: 'a/b.csv',
  rows: 20,
  windows: [
    [8, 12],
    [16, 17]
  ] as const
}

test('probation is 15 % of the file, but at most 750 rows', () => {
  expect(probationRows(20)).toBe(3)
  expect(probationRows(4033)).toBe(604)
  expect(probationRows(22_695)).toBe(750)
})

test('a row is worth what the sigmoid says, by hand', () => {
  const values = rowValues(SERIES)
  // S(p) = 2 / (1 + e^5p) − 1, divided by S(−1) = 2 / (1 + e^−5) − 1 = 0.986614.
  // Row 8, the window's first of five: p = −5/5 = −1.
  expect(values[8]).toEqual({ window: 0, value: 1 })
  // Row 10: p = −3/5, e^−3 = 0.049787, S = 0.905148, / 0.986614 = 0.917429.
  expect(values[10].value).toBeCloseTo(0.917429, 5)
  // Row 12, the last: p = −1/5, e^−1 = 0.367879, S = 0.462117, / 0.986614 = 0.468387.
  expect(values[12].value).toBeCloseTo(0.468387, 5)
  // Row 7, before any window: −1, whole.
  expect(values[7]).toEqual({ window: -1, value: -1 })
  // Row 13, one row after a window of five: p = 1/(5 − 1), e^1.25 = 3.490343, S = −0.554596.
  expect(values[13].window).toBe(-1)
  expect(values[13].value).toBeCloseTo(-0.5546, 4)
  // Row 18, one after the second window, of two rows: p = 1/(2 − 1), e^5 = 148.413, S = −0.986614.
  expect(values[18].value).toBeCloseTo(-0.986614, 5)
  // Row 19: p = 2.
  expect(values[19].value).toBeCloseTo(-0.999909, 5)
})

test('beyond three widths after a window, a false alert costs all', () => {
  const values = rowValues({ name: '', rows: 100, windows: [[10, 20]] })
  // Width 11: p = (50 − 20)/10 = 3 is the last on the curve, −0.99999939.
  expect(values[50].value).toBeGreaterThan(-1)
  expect(values[51].value).toBe(-1)
})

test('a file is tallied: the best row of a window, every row outside, nothing in probation', () => {
  const total = tally(SERIES, [1, 7, 10, 12, 13])
  expect(total).toMatchObject({ windows: 2, found: 1, falseRows: 2 })
  expect(total.credit).toBeCloseTo(0.917429, 5)
  expect(total.cost).toBeCloseTo(-1.5546, 4)
  // Standard: 0.917429 − 0.11 · 1.5546 − 1 missed = −0.253577; none −2, perfect 2:
  // 100 · (−0.253577 + 2) / 4 = 43.66.
  expect(nabScore(STANDARD, total)).toBeCloseTo(43.66, 2)
  // Twice the weight of a miss: −1.253577; none −4, perfect 2: 100 · 2.746423 / 6 = 45.77.
  expect(nabScore(LOW_FN, total)).toBeCloseTo(45.77, 2)
})

test('no alert at all is 0, each window on its first row and no other is 100', () => {
  expect(nabScore(STANDARD, tally(SERIES, []))).toBe(0)
  expect(nabScore(STANDARD, tally(SERIES, [8, 16]))).toBe(100)
  expect(nabScore(LOW_FN, tally(SERIES, [8, 16]))).toBe(100)
})

test('the sweep pools all files and takes one threshold for all of them', () => {
  const first = new Float64Array(20)
  const second = new Float64Array(20)
  // Window rows at 0.9 and 0.5; false ones at 0.7 here and 0.5, twice, in the other file.
  first[8] = 0.9
  first[16] = 0.5
  first[7] = 0.7
  second[4] = 0.5
  second[5] = 0.5
  // In probation: not judged, whatever it says.
  second[1] = 1
  const other = { name: 'c/d.csv', rows: 20, windows: [] }
  const files = [
    { series: SERIES, scores: first },
    { series: other, scores: second }
  ]
  // From 0.9: 1 − 1 = 0. From 0.7: −0.11. From 0.5: 2 − 0.33 = 1.67. Best is 100 · 3.67 / 4.
  const swept = sweep(STANDARD, files)
  expect(swept.score).toBeCloseTo(91.75, 6)
  expect(swept.threshold).toBe(0.5)
  // At 0.8 of weight a false alert: 0.9 gives 0, 0.5 gives 2 − 2.4 = −0.4.
  const costly = sweep({ ...STANDARD, falsePositive: 0.8 }, files)
  expect(costly).toEqual({ score: 50, threshold: 0.9 })
  // And at 10 everywhere but in the first row of a window, nothing is detected: NAB's 1.1.
  first[8] = 0
  expect(sweep({ ...STANDARD, falsePositive: 10 }, files)).toEqual({ score: 0, threshold: 1.1 })
})

test('a better row of a window replaces a worse one in the sweep', () => {
  const scores = new Float64Array(20)
  scores[12] = 0.9
  scores[8] = 0.8
  // From 0.8: 1 − 1 missed = 0. From 0, every row: 2 − 9.3, as a false alert costs 1.
  const dear = { ...STANDARD, falsePositive: 1 }
  expect(sweep(dear, [{ series: SERIES, scores }])).toEqual({ score: 50, threshold: 0.8 })
})

test('the report counts windows, episodes a day, and delays', () => {
  const rows = 400
  const at = Float64Array.from({ length: rows }, (_, i) => i * 3_600_000)
  const scores = new Float64Array(rows)
  // False: 70, 75 and 85 within ten rows of each other are one episode, 100 another.
  for (const row of [10, 70, 75, 85, 100, 212, 390]) scores[row] = 0.9
  const series = {
    ...{ name: 'a/b.csv', rows, at, values: at },
    windows: [
      [200, 220],
      [300, 310],
      [385, 395]
    ] as const
  }
  const report = nabReport('x', [STANDARD], [{ series, scores }])
  expect(report).toMatchObject({ windows: 3, windowsFound: 2, falseRows: 4, falseEpisodes: 2 })
  // Rows 60 to 399 at an hour each are 14.125 days.
  expect(report.falseEpisodesPerSeriesDay).toBeCloseTo(2 / 14.125, 6)
  // 12 and 5 hours.
  expect(report.delayMsMedian).toBe(8.5 * 3_600_000)
  expect(report.profiles[0].score).toBe(
    nabScore(
      STANDARD,
      tally(
        series,
        [...scores.keys()].filter(i => scores[i] > 0)
      )
    )
  )
})

test('tallies add up', () => {
  const one = tally(SERIES, [8, 7])
  expect(sum([one, one])).toEqual({ windows: 4, found: 2, credit: 2, falseRows: 2, cost: -2 })
})

test('of two windows that overlap, the later one has the rows that the earlier leaves', () => {
  const overlapping = {
    ...{ name: '', rows: 60 },
    windows: [
      [20, 30],
      [25, 40]
    ] as const
  }
  const of = rowValues(overlapping).map(({ window }) => window)
  expect([of[19], of[20], of[30], of[31], of[40], of[41]]).toEqual([-1, 0, 0, 1, 1, -1])
})
