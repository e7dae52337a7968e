import { expect, test } from 'vitest'
import type { ScoredValue } from '../../../detector/detector.ts'
import { SeriesHistory } from '../../../detector/live/series-history.ts'
import type { SeriesName } from '../../../detector/series-table.ts'

const nameOf = (metric: string): SeriesName => ({ site: 's', device: 'd', metric })

function seen(series: SeriesName, at: number, value: number, score = 0.1): ScoredValue {
  const explain = () => ({ expected: value, lower: value - 1, upper: value + 1, reason: '' })
  return { series, at, value, score, learning: false, explain }
}

test('a series is remembered point by point, the oldest go first', () => {
  const history = new SeriesHistory({ pointsMax: 100, now: () => 0 })
  const a = nameOf('a')
  for (let i = 0; i < 250; i++) history.watch(seen(a, i * 1000, i))
  const points = history.points(a, Number.NEGATIVE_INFINITY)
  expect(points.map(({ value }) => value)).toEqual(Array.from({ length: 100 }, (_, i) => 150 + i))
  expect(points[0]).toEqual({ at: 150_000, value: 150, lower: 149, upper: 151, score: 0.1 })
  expect(history.points(a, 248_000).map(({ value }) => value)).toEqual([248, 249])
})

test('of one second the most surprising value stays', () => {
  const history = new SeriesHistory({ now: () => 0 })
  const a = nameOf('a')
  for (const [at, value, score] of [
    [1000, 1, 0.2],
    [1400, 99, 0.95],
    [1900, 2, 0.3],
    [2000, 3, 0.1]
  ]) {
    history.watch(seen(a, at, value, score))
  }
  expect(history.points(a, 0).map(({ value }) => value)).toEqual([99, 3])
})

test('what comes late is not drawn, and while a series is learned there is no range', () => {
  const history = new SeriesHistory({ now: () => 0 })
  const a = nameOf('a')
  const explain = () => {
    throw new Error('not asked for')
  }
  history.watch({ ...seen(a, 5000, 1), learning: true, explain })
  history.watch(seen(a, 3000, 2))
  expect(history.points(a, 0)).toEqual([
    { at: 5000, value: 1, score: 0.1, lower: undefined, upper: undefined }
  ])
})

test('when all histories are given away only a look or a surprise gets one, a minute apart', () => {
  let now = 0
  const history = new SeriesHistory({ seriesMax: 3, now: () => now })
  const names = Array.from({ length: 6 }, (_, i) => nameOf(String(i)))
  for (const name of names) history.watch(seen(name, 1000, 1))
  const kept = () => names.filter(name => history.points(name, 0).length > 0).map(n => n.metric)
  expect([history.size, kept()]).toEqual([3, ['0', '1', '2']])
  history.watch(seen(names[4], 2000, 1, 0.9))
  expect(kept()).toEqual(['1', '2', '4'])
  history.claim(names[5])
  history.watch(seen(names[5], 2000, 1))
  history.claim(names[1])
  history.watch(seen(names[1], 2000, 1))
  // All three were claimed just now: the next goes without.
  history.watch(seen(names[3], 3000, 1, 0.99))
  expect(kept()).toEqual(['1', '4', '5'])
  expect(history.points(names[3], 0)).toEqual([])
  now += 60_000
  history.watch(seen(names[3], 3000, 1, 0.99))
  expect(history.points(names[3], 0)).toHaveLength(1)
  expect(history.size).toBe(3)
})

test('last values are kept only while somebody looks', () => {
  const history = new SeriesHistory({ now: () => 0 })
  const a = nameOf('a')
  history.watch(seen(a, 1000, 1))
  expect(history.latest(a)).toBeUndefined()
  history.keepsLatest = true
  history.watch(seen(a, 1001, 2))
  expect(history.latest(a)).toBe(2)
  history.keepsLatest = false
  expect(history.latest(a)).toBeUndefined()
})
