import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { DeviceWindow } from '../../../detector/device-window.ts'
import { HistoryGrid, type RecordedReading } from '../../../detector/train/history-grid.ts'
import { before, instantAt, rowsOf } from '../../../detector/train/history-rows.ts'
import { START } from './rig.ts'

function reading(at: number, values: Record<string, number>, device = 'pump-1'): RecordedReading {
  const entries = Object.entries(values)
  return {
    at,
    site: 'plant7',
    device,
    values: entries.map(([metric, value]) => ({ metric, value }))
  }
}

function gridOf(readings: readonly RecordedReading[], everyMs?: number) {
  const grid = new HistoryGrid()
  for (const each of readings) grid.add(each)
  return grid.build(everyMs)
}

test('rows are those that a window of the engine would have, gaps and missing values included', () => {
  const seed = 90
  const prng = new Prng(seed)
  const readings: RecordedReading[] = []
  for (let t = 0; t < 3000; t++) {
    const at = START + t * 1000 + prng.int(900)
    if (t % 700 > 680) continue
    if (!prng.chance(0.1)) readings.push(reading(at, { a: prng.float() }))
    if (!prng.chance(0.1))
      readings.push(reading(at + prng.int(90), { b: prng.float(), c: Number.NaN }))
  }
  readings.sort((x, y) => x.at - y.at)
  const { history } = gridOf(readings, 1000)
  expect(history).toMatchObject({ everyMs: 1000, metrics: ['a', 'b'] })
  expect(history.stretches.length).toBeGreaterThan(4)
  const { metrics, everyMs, ageMsMax } = history
  const shape = { metrics, everyMs, ageMsMax, rows: 5 }
  const window = new DeviceWindow({ ...shape, fill: 'last' })
  const seen: number[][] = []
  for (const { at, values } of readings) {
    const taken = window.take(at, values)
    if (taken instanceof Float64Array) seen.push([...taken])
  }
  const expected = history.stretches.flatMap(({ rows }) =>
    rows.slice(4).map((_, i) => rows.slice(i, i + 5).flatMap(row => [...row]))
  )
  // A window is only looked at when a reading ends its row; the last row of all is not over.
  const made = new Set(expected.map(String))
  expect(seen.filter(w => !made.has(String(w)))).toEqual([])
  expect(seen.length).toBeGreaterThan(0.85 * expected.length)
})

test('a value that is not there is the last one, for a while; then a new stretch begins', () => {
  const at = (s: number) => START + s * 1000
  const { history } = gridOf(
    [0, 1, 2, 4, 5, 12, 13].map(s => reading(at(s), { a: s, b: 10 * s })),
    1000
  )
  expect(history.stretches.map(s => s.firstAt)).toEqual([at(0), at(12)])
  expect(history.stretches[0].rows.map(row => [...row])).toEqual([
    [0, 0],
    [1, 10],
    [2, 20],
    [2, 20],
    [4, 40],
    [5, 50]
  ])
})

test('devices are apart, disorder is put right, the last value of a row counts', () => {
  const readings = [
    reading(START + 2000, { a: 3 }),
    reading(START, { a: 1 }),
    reading(START + 1000, { a: 2 }),
    reading(START + 1400, { a: 9 }),
    reading(START, { a: 5 }, 'pump-2'),
    reading(START + 1000, { a: 6 }, 'pump-2')
  ]
  const { history, devices } = gridOf(readings, 1000)
  expect(devices).toBe(2)
  expect(history.stretches.map(s => [s.device, s.rows.map(row => row[0])])).toEqual([
    ['plant7/pump-1', [1, 9, 3]],
    ['plant7/pump-2', [5, 6]]
  ])
})

test('metrics that come too seldom are left out and told', () => {
  const readings = Array.from({ length: 200 }, (_, t) =>
    reading(START + t * 1000, t % 90 === 0 ? { a: t, daily: t } : { a: t })
  )
  const { history, seldom } = gridOf(readings)
  expect([history.metrics, seldom]).toEqual([['a'], ['daily']])
})

test('a history without a rhythm is refused', () => {
  expect(() => gridOf([reading(START, { a: 1 })])).toThrow(/no rhythm/)
  expect(() => gridOf([])).toThrow(/no rhythm/)
})

test('a history is cut by time', () => {
  const { history } = gridOf(
    Array.from({ length: 100 }, (_, t) => reading(START + t * 1000, { a: t }))
  )
  const middle = instantAt(history, 0.5)
  expect(middle).toBe(START + 50_000)
  expect(rowsOf(before(history, middle))).toBe(50)
  expect(rowsOf(before(history, START))).toBe(0)
  expect(rowsOf(before(history, START + 1e9))).toBe(100)
})
