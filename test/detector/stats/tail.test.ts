import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { HILL_SIZE, hillBegin, hillLearn, hillLine } from '../../../detector/stats/hill-tail.ts'
import { ProfileShape } from '../../../detector/stats/profile.ts'
import { rootScale, rootStep } from '../../../detector/stats/root-scale.ts'
import { TAIL_SIZE, tailLearn, tailScore } from '../../../detector/stats/tail.ts'

/** Scores of numbers, each before it is learned. */
function scored(next: () => number, count: number): number[] {
  const state = new Float32Array(TAIL_SIZE)
  return Array.from({ length: count }, (_, n) => {
    const value = next()
    const score = tailScore(state, 0, value)
    tailLearn(state, 0, value, n)
    return score
  })
}

test('one threshold on the tail score means the same whatever the spread', () => {
  for (const size of [0.3, 1, 3]) {
    const prng = new Prng(1)
    const exponential = () => -size * Math.log(1 - prng.float())
    const late = scored(exponential, 200_000).slice(100_000)
    // 2 % lie beyond the quantile, e^-3 of those three excesses farther.
    const share = late.filter(s => s > 3).length / late.length
    expect(share, `size ${size}`).toBeGreaterThan(0.02 * Math.exp(-3) * 0.5)
    expect(share, `size ${size}`).toBeLessThan(0.02 * Math.exp(-3) * 2)
  }
})

test('a heavy tail is judged by itself: what stands out of a normal does not stand out of it', () => {
  const prng = new Prng(2)
  const heavy = () => Math.abs(prng.normal()) * (prng.chance(0.03) ? 10 : 1)
  const light = () => Math.abs(prng.normal())
  const over = (next: () => number) =>
    scored(next, 50_000)
      .slice(5000)
      .filter(s => s > 6).length
  expect(over(light)).toBeLessThanOrEqual(5)
  // 45,000 numbers, of which some 800 lie beyond 5, a normal's six excesses.
  expect(over(heavy)).toBeLessThanOrEqual(25)
})

test('one enormous number does not make the tail blind', () => {
  const prng = new Prng(3)
  let n = 0
  const scores = scored(
    () => (++n === 5000 ? 1e6 : Math.abs(prng.normal()) + (n === 9000 ? 8 : 0)),
    9000
  )
  expect(scores[4999]).toBeGreaterThan(1000)
  expect(scores[8999]).toBeGreaterThan(5)
})

test("Hill's line is the normal's for a normal, and as far out in a heavier tail", () => {
  const line = (next: (prng: Prng) => number): number => {
    const prng = new Prng(5)
    const state = new Float32Array(HILL_SIZE)
    hillBegin(state, 0)
    expect(hillLine(state, 0, 4.6)).toBeCloseTo(4.6, 5)
    for (let n = 0; n < 50_000; n++) hillLearn(state, 0, Math.abs(next(prng)), n)
    return hillLine(state, 0, 4.6)
  }
  expect(line(prng => prng.normal())).toBeLessThan(5.2)
  // Pareto of index 2: one in 230,000, as 4.6 deviations are, exceeds 480.
  const pareto = line(prng => 1 / Math.sqrt(1 - prng.float()))
  expect(pareto).toBeGreaterThan(50)
  expect(pareto).toBeLessThan(5000)
  // The same spike again and again, by far the most of a normal: it moves the line by little.
  let i = 0
  expect(line(prng => (++i % 3000 === 0 ? 12 : prng.normal()))).toBeLessThan(6)
})

test('the root scale knows a normal, and hardly notices a spike', () => {
  const prng = new Prng(4)
  let root = 0
  for (let n = 1; n <= 5000; n++) root = rootStep(root, 3 * prng.normal(), n, 0.0005)
  const before = rootScale(root)
  expect(before / 3).toBeGreaterThan(0.62)
  expect(before / 3).toBeLessThan(0.73)
  expect(rootScale(rootStep(root, 3000, 5001, 0.0005)) / before).toBeLessThan(1.04)
})

const DAY = new ProfileShape({ slotsADay: 48, days: 1, gain: 0.5 })
const HOUR = 3_600_000

test('a profile knows a slot from the second visit on, and what happens now changes nothing', () => {
  const state = new Uint16Array(DAY.size)
  const slot = DAY.slotOf(9.25 * HOUR)
  expect(slot).toBe(18)
  for (const value of [10, 12, 14]) DAY.learn(state, 0, slot, value)
  expect(DAY.mean(state, 0, slot)).toBeNaN()
  DAY.learn(state, 0, slot + 1, 0)
  expect(DAY.mean(state, 0, slot)).toBe(12)
  DAY.learn(state, 0, slot, 1000)
  expect(DAY.mean(state, 0, slot)).toBe(12)
  DAY.learn(state, 0, slot + 1, 0)
  // (12 + 1000) / 2, to three digits.
  expect(DAY.mean(state, 0, slot) / 506).toBeCloseTo(1, 2)
  expect(DAY.mean(state, 0, slot + 1)).toBeCloseTo(0, 12)
})

test('slots follow the clock of UTC, also before 1970, and the week begins anew after seven days', () => {
  const week = new ProfileShape({ slotsADay: 12, days: 7, gain: 0.3 })
  expect(week.slots).toBe(84)
  expect(week.slotOf(0)).toBe(0)
  expect(week.slotOf(7 * 24 * HOUR - 1)).toBe(83)
  expect(week.slotOf(7 * 24 * HOUR)).toBe(0)
  expect(week.slotOf(-1)).toBe(83)
  expect(DAY.slotOf(-HOUR)).toBe(46)
})

test('a profile that learning could not have left is found out', () => {
  const state = new Uint16Array(DAY.size)
  expect(DAY.isSound(state, 0)).toBe(true)
  DAY.learn(state, 0, 47, 1e15)
  expect(DAY.isSound(state, 0)).toBe(true)
  state[3] = 0x7f80
  expect(DAY.isSound(state, 0)).toBe(false)
  state[3] = 0
  state[DAY.slots + 1] = 48 * 512
  expect(DAY.isSound(state, 0)).toBe(false)
})
