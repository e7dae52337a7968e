import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import {
  contributionWhitening,
  ridgeTowards,
  shrunkCovariance
} from '../../../detector/train/linear-algebra.ts'

test('a ridge lies between the data and its target, by the weight', () => {
  // One unknown: (Σx² + w) b = Σxy + w · target.
  const at = (weight: number) =>
    ridgeTowards(Float64Array.of(4), Float64Array.of(8), Float64Array.of(0), weight)[0]
  expect(at(1e-12)).toBeCloseTo(2, 9)
  expect(at(4)).toBeCloseTo(1, 12)
  expect(ridgeTowards(Float64Array.of(0), Float64Array.of(0), Float64Array.of(0.7), 1)[0]).toBe(0.7)
})

test('a ridge solves several unknowns at once', () => {
  // X = [[1,0],[1,1]], Y = X·[2,3]ᵀ, no weight to speak of.
  const found = ridgeTowards(
    Float64Array.of(2, 1, 1, 1),
    Float64Array.of(7, 5),
    new Float64Array(2),
    1e-12
  )
  expect([...found].map(v => Math.round(v * 1e6) / 1e6)).toEqual([2, 3])
})

test('a covariance of few rows is shrunk to independent columns, of many hardly', () => {
  const prng = new Prng(3)
  const rows = (count: number) =>
    Array.from({ length: count }, () => {
      const shared = prng.normal()
      return [shared + 0.5 * prng.normal(), shared + 0.5 * prng.normal()]
    })
  const shrunk = (table: readonly number[][]) =>
    shrunkCovariance([Float64Array.from(table.flat())], table[0].length)
  const correlation = ([a, b, , d]: Float64Array) => b / Math.sqrt(a * d)
  expect(correlation(shrunk(rows(20_000)))).toBeCloseTo(0.8, 1)
  const few = rows(4)
  const sample = few.reduce((sum, [x, y]) => sum + x * y, 0) / 4
  expect(Math.abs(shrunk(few)[1])).toBeLessThan(Math.abs(sample))
  // More columns than rows, and one that never moves: still invertible.
  const wide = [
    [1, 2, 0, 1, 2],
    [-1, 0, 0, 2, 1]
  ]
  expect(contributionWhitening(shrunk(wide)).every(Number.isFinite)).toBe(true)
})

test('whitened squares sum to the quadratic form, each near its own column', () => {
  const s = [2, 0.6, 0.6, 1]
  const v = contributionWhitening(Float64Array.from(s))
  const [x, y] = [1.5, -0.4]
  const parts = [x * v[0] + y * v[2], x * v[1] + y * v[3]]
  const determinant = s[0] * s[3] - s[1] * s[2]
  const form = (s[3] * x * x - 2 * s[1] * x * y + s[0] * y * y) / determinant
  expect(parts[0] ** 2 + parts[1] ** 2).toBeCloseTo(form, 9)
  const only = [1 * v[0], 1 * v[1]]
  expect(only[0] ** 2).toBeGreaterThan(5 * only[1] ** 2)
})
