import { mean, sampleCorrelation, sampleStandardDeviation, sampleVariance } from 'simple-statistics'
import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { lagOneCorrelation } from '../../../detector/stats/autocorrelation.ts'
import { ewmaDeviation, ewmaGain, ewmaStep } from '../../../detector/stats/ewma.ts'
import { Welford } from '../../../detector/stats/welford.ts'
import { winsorize } from '../../../detector/stats/winsorize.ts'

function normals(seed: number, count: number): number[] {
  const prng = new Prng(seed)
  return Array.from({ length: count }, () => prng.normal())
}

test('welford agrees with the batch mean and variance, also far from zero', () => {
  const values = normals(1, 500).map(v => 1e6 + v)
  const welford = new Welford()
  for (const value of values) welford.add(value)
  expect(welford.mean).toBeCloseTo(mean(values), 6)
  expect(welford.variance).toBeCloseTo(sampleVariance(values), 6)
  expect(new Welford().variance).toBe(0)
})

test('an ewma is the plain mean until its memory is full', () => {
  const values = normals(2, 50)
  let ewma = 0
  for (const [i, value] of values.entries()) ewma = ewmaStep(ewma, value, ewmaGain(i + 1, 0.02))
  expect(ewma).toBeCloseTo(mean(values), 12)
})

test('an ewma of white noise deviates as the formula says', () => {
  let ewma = 0
  const path: number[] = []
  for (const value of normals(3, 50_000)) {
    ewma = ewmaStep(ewma, value, 0.2)
    path.push(ewma)
  }
  expect(sampleStandardDeviation(path)).toBeCloseTo(ewmaDeviation(0.2), 2)
})

test('the lag-1 correlation agrees with the batch one, and is bounded', () => {
  let last = 0
  const path = normals(4, 20_000).map(v => {
    last = 0.7 * last + v
    return last
  })
  let product = 0
  let square = 0
  for (let i = 1; i < path.length; i++) {
    product = ewmaStep(product, path[i] * path[i - 1], 1 / i)
    square = ewmaStep(square, path[i] ** 2, 1 / i)
  }
  const batch = sampleCorrelation(path.slice(1), path.slice(0, -1))
  expect(lagOneCorrelation(product, square, path.length)).toBeCloseTo(batch, 2)
  expect(lagOneCorrelation(1, 1, 1e9)).toBe(0.98)
  expect(lagOneCorrelation(-1, 1, 1e9)).toBe(-0.5)
  expect(lagOneCorrelation(0, 0, 5)).toBe(0)
})

test('winsorizing keeps what is inside and limits the rest', () => {
  expect([-9, -2, 0, 2, 9].map(v => winsorize(v, 3))).toEqual([-3, -2, 0, 2, 3])
})
