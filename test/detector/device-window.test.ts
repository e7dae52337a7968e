import { expect, test } from 'vitest'
import { DeviceWindow, type WindowStep } from '../../detector/device-window.ts'
import type { RowShape } from '../../detector/scorer/device-scorer.ts'

const AB: RowShape = { metrics: ['a', 'b'], rows: 2, fill: 'last' }
const GRID: RowShape = { metrics: ['a'], rows: 3, everyMs: 1000, fill: 'last' }

type Told = [at: number, values: Record<string, number>]

function told(window: DeviceWindow, readings: readonly Told[]): (string | number[])[] {
  return readings.map(([at, values]) => {
    const named = Object.entries(values).map(([metric, value]) => ({ metric, value }))
    return plain(window.take(at, named))
  })
}

function plain(step: WindowStep): string | number[] {
  return typeof step === 'string' ? step : [...step]
}

function stepsOf(shape: RowShape, readings: readonly Told[]) {
  return told(new DeviceWindow(shape), readings)
}

test('without a grid every reading that touches a metric makes a row, of the last values', () => {
  const steps = stepsOf(AB, [
    [0, { a: 1 }],
    [1, { b: 2 }],
    [2, { other: 9 }],
    [3, { a: 3 }],
    [4, { a: 4, b: 5 }],
    [5, { a: Number.NaN }]
  ])
  expect(steps).toEqual([
    'waiting',
    'waiting',
    'untouched',
    [1, 2, 3, 2],
    [3, 2, 4, 5],
    'untouched'
  ])
})

test('a model of the last values alone is asked with every reading, once all are known', () => {
  const steps = stepsOf({ ...AB, rows: 1 }, [
    [5, { a: 1 }],
    [6, { b: 2 }],
    [3, { a: 7 }]
  ])
  expect(steps).toEqual(['waiting', [1, 2], [7, 2]])
})

test('on a grid a row is the last of its cell, made by the first reading of a later one', () => {
  const steps = stepsOf(GRID, [
    [1000, { a: 1 }],
    [1900, { a: 2 }],
    [1500, { a: 9 }],
    [2000, { a: 3 }],
    [3100, { a: 4 }],
    [4000, { a: 5 }]
  ])
  // 9 was measured before 2, and arrived behind it.
  expect(steps).toEqual(['between', 'between', 'between', 'waiting', 'waiting', [2, 3, 4]])
})

test('a few empty cells carry the last value on, more begin the window anew', () => {
  const before: Told[] = [1, 2, 3].map(n => [n * 1000, { a: n }])
  expect(stepsOf(GRID, [...before, [7000, { a: 7 }], [8000, { a: 8 }]])).toEqual([
    ...['between', 'waiting', 'waiting'],
    ...[
      [1, 2, 3],
      [3, 3, 7]
    ]
  ])
  expect(stepsOf(GRID, [...before, [8000, { a: 8 }], [9000, { a: 9 }]])).toEqual([
    ...['between', 'waiting', 'waiting'],
    [1, 2, 3],
    'waiting'
  ])
  const strict = { ...GRID, fill: 'none' } as const
  expect(stepsOf(strict, [...before, [5000, { a: 5 }], [6000, { a: 6 }]])).toEqual([
    ...['between', 'waiting', 'waiting'],
    [1, 2, 3],
    'waiting'
  ])
})

test('a gap longer than the age allowed begins a window without a grid anew', () => {
  const steps = stepsOf({ ...AB, ageMsMax: 100 }, [
    [0, { a: 1, b: 1 }],
    [100, { a: 2 }],
    [201, { b: 3 }],
    [202, { a: 4 }],
    [203, { a: 5 }]
  ])
  // At 201 `a` is too old, at 202 the row before is.
  expect(steps).toEqual(['waiting', [1, 1, 2, 1], 'waiting', 'waiting', [4, 3, 5, 3]])
})

test('what is missing is left to the mean, or keeps the row from being scored', () => {
  const one = { metrics: ['a', 'b'], rows: 1 } as const
  const readings: Told[] = [
    [0, { a: 1 }],
    [50, { b: 2 }],
    [120, { a: 3 }],
    [160, { a: 4 }]
  ]
  expect(stepsOf({ ...one, fill: 'mean', ageMsMax: 100 }, readings)).toEqual([
    [1, Number.NaN],
    [1, 2],
    [3, 2],
    [4, Number.NaN]
  ])
  expect(stepsOf({ ...one, fill: 'last', ageMsMax: 100 }, readings)).toEqual([
    'waiting',
    [1, 2],
    [3, 2],
    'waiting'
  ])
  expect(stepsOf({ ...one, fill: 'none' }, [...readings, [160, { b: 5 }]])).toEqual([
    ...['waiting', 'waiting', 'waiting', 'waiting'],
    [4, 5]
  ])
})

test('a late reading changes no row; a clock set back begins anew', () => {
  const steps = stepsOf(GRID, [
    [10_000, { a: 1 }],
    [11_000, { a: 2 }],
    [9000, { a: 99 }],
    [12_000, { a: 3 }],
    [13_000, { a: 4 }],
    [2000, { a: 5 }],
    [3000, { a: 6 }],
    [4000, { a: 7 }],
    [5000, { a: 8 }]
  ])
  expect(steps).toEqual([
    ...['between', 'waiting', 'between', 'waiting', [1, 2, 3]],
    ...['between', 'waiting', 'waiting', [5, 6, 7]]
  ])
})

test('a restored window goes on as if nothing had happened, at every moment', () => {
  const readings = Array.from(
    { length: 40 },
    (_, i): Told => [
      // Some cells are empty, one gap is long.
      i * 700 + (i > 12 ? 2500 : 0) + (i > 25 ? 9000 : 0),
      i % 3 ? { a: i, b: -i } : { a: i }
    ]
  )
  for (const shape of [{ ...GRID, metrics: ['a', 'b'] }, AB, { ...AB, rows: 1 }]) {
    const undisturbed = stepsOf(shape, readings)
    for (let cut = 0; cut <= readings.length; cut++) {
      const before = new DeviceWindow(shape)
      const steps = told(before, readings.slice(0, cut))
      const numbers = before.snapshot()
      expect(numbers.byteLength).toBeLessThanOrEqual(DeviceWindow.bytes(shape))
      const after = new DeviceWindow(shape)
      expect(after.restore(Float64Array.of(...numbers, 1, 2))).toBe(numbers.length)
      expect([...steps, ...told(after, readings.slice(cut))]).toEqual(undisturbed)
    }
  }
})

test('numbers that are no window of the shape are refused', () => {
  const window = new DeviceWindow(GRID)
  for (const bad of [[], [0, 0, 4, 0], [0, 0, -1, 0], [0, 0, 1.5, 0], [0, 0, 2, 0, 1, 1, 1]]) {
    expect(window.restore(Float64Array.from(bad))).toBe(0)
  }
})
