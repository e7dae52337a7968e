import { expect, test } from 'vitest'
import { BucketCounts, noTotals, sumOfTotals } from '../../../core/runtime/bucket-counts.ts'

test('a value counts in the bucket whose upper bound it does not pass', () => {
  const counts = new BucketCounts([1, 10])
  for (const value of [0, 1, 1.001, 10, 10.5, 1000]) counts.observe(value)
  expect(counts.totals).toEqual({ counts: [2, 2, 2], sum: 1022.501 })
})

test('counts of two lives are added bucket by bucket', () => {
  const [a, b] = [new BucketCounts([1, 10]), new BucketCounts([1, 10])]
  a.observe(0.5)
  b.observe(0.5)
  b.observe(50)
  expect(sumOfTotals(a.totals, b.totals)).toEqual({ counts: [2, 0, 1], sum: 51 })
  expect(sumOfTotals(a.totals, noTotals([1, 10]))).toEqual(a.totals)
})
