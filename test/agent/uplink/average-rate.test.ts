import { expect, test } from 'vitest'
import { AverageRate } from '../../../agent/uplink/average-rate.ts'
import type { Clock } from '../../../core/runtime/clock.ts'

function rateOf() {
  let now = 1_000
  const rate = new AverageRate({ monotonic: () => now } as Clock)
  const count = (afterMs: number, amount: number) => {
    now += afterMs
    rate.count(amount)
    return rate.perSecond
  }
  return { rate, count }
}

test('an even flow is told as it is, after a few times five seconds', () => {
  const { rate, count } = rateOf()
  expect(rate.perSecond).toBe(0)
  for (let n = 0; n < 300; n++) count(100, 50)
  expect(rate.perSecond).toBeGreaterThan(495)
  expect(rate.perSecond).toBeLessThanOrEqual(500)
})

test('large and small counts at the same rate weigh the same', () => {
  const [large, small] = [rateOf(), rateOf()]
  large.count(5_000, 1_000)
  for (let n = 0; n < 50; n++) small.count(100, 20)
  expect(small.rate.perSecond).toBeCloseTo(large.rate.perSecond, 6)
})

test('a burst within the same millisecond is no infinite rate', () => {
  expect(rateOf().count(0, 10)).toBeLessThan(10)
})
