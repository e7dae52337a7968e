import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'

const draw = <T>(count: number, next: () => T): T[] => Array.from({ length: count }, next)

test('a seed gives the same numbers on every machine and in every version', () => {
  const prng = new Prng(1)
  expect(draw(4, () => prng.uint32())).toMatchInlineSnapshot(`
    [
      792534090,
      3215351813,
      160231488,
      1151041103,
    ]
  `)
})

test('the same seed gives the same run, another seed another', () => {
  const run = (seed: number) => {
    const prng = new Prng(seed)
    return draw(50, () => prng.float())
  }
  expect(run(7)).toEqual(run(7))
  expect(run(7)).not.toEqual(run(8))
})

test('floats fill [0, 1), integers every value below their end', () => {
  const prng = new Prng(2)
  const floats = draw(100_000, () => prng.float())
  expect(Math.min(...floats.slice(0, 50_000))).toBeGreaterThanOrEqual(0)
  expect(Math.max(...floats.slice(0, 50_000))).toBeLessThan(1)
  const mean = floats.reduce((sum, x) => sum + x, 0) / floats.length
  expect(Math.abs(mean - 0.5)).toBeLessThan(0.005)
  const counts = [0, 0, 0, 0, 0, 0, 0]
  for (let n = 0; n < 70_000; n++) counts[prng.int(7)]++
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500)
})

test('normal numbers have mean 0, deviation 1, and are finite', () => {
  const prng = new Prng(3)
  const all = draw(100_000, () => prng.normal())
  const mean = all.reduce((sum, x) => sum + x, 0) / all.length
  const variance = all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / all.length
  expect(Math.abs(mean)).toBeLessThan(0.02)
  expect(Math.abs(variance - 1)).toBeLessThan(0.03)
  expect(all.every(Number.isFinite)).toBe(true)
})

test('chance keeps its probability, and 0 and 1 are certain', () => {
  const prng = new Prng(4)
  const share = (p: number) => draw(20_000, () => prng.chance(p)).filter(Boolean).length / 20_000
  expect([share(0), share(1)]).toEqual([0, 1])
  expect(Math.abs(share(0.3) - 0.3)).toBeLessThan(0.02)
  expect(new Set(draw(100, () => prng.pick(['a', 'b'])))).toEqual(new Set(['a', 'b']))
})

test('what a fork draws does not disturb its parent', () => {
  const [a, b] = [new Prng(5), new Prng(5)]
  const [forkOfA] = [a.fork(), b.fork()]
  draw(100, () => forkOfA.uint32())
  expect(a.uint32()).toBe(b.uint32())
  expect(new Prng(5).fork().uint32()).not.toBe(new Prng(5).uint32())
})
