import { describe, expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { Auto } from '../../../detector/scorer/auto.ts'
import { ratioOfScore, type Scorer, scoreOfRatio } from '../../../detector/scorer/scorer.ts'
import { ZScore } from '../../../detector/scorer/zscore.ts'
import { T0 } from '../kit.ts'

/** Every scorer of single series; a new one is added here and nowhere else. */
const SCORERS: Record<string, () => Scorer> = {
  zscore: () => new ZScore({ warmUpReadings: 30 }),
  auto: () => new Auto({ warmUpReadings: 30, sensitivity: 'high' })
}

/** Readings that are averaged over five minutes, and readings that stand for themselves. */
const STEPS_MS = [500, 600_000]

const SIGNALS: Record<string, (prng: Prng, i: number) => number> = {
  constant: () => 20,
  zero: () => 0,
  noise: prng => 50 + prng.normal(),
  quantised: prng => Math.round(20 + 0.5 * prng.normal()),
  wild: prng => prng.pick([-1e99, 0, 1e-300, 1e99, 5])
}

describe.each(
  Object.entries(SCORERS).flatMap(([name, make]) =>
    STEPS_MS.map(stepMs => ({ name, make, stepMs }))
  )
)('$name, a reading every $stepMs ms', ({ make, stepMs }) => {
  function filled(slots = 4): Scorer {
    const scorer = make()
    scorer.reserve(slots)
    return scorer
  }

  function play(scorer: Scorer, slot: number, signal: string, from: number, end: number, seed = 7) {
    const prng = new Prng(seed)
    const scores: number[] = []
    for (let i = 0; i < end; i++) {
      const value = SIGNALS[signal](prng, i)
      if (i < from) continue
      scores.push(scorer.score(slot, T0 + i * stepMs, value))
      scorer.learn(slot, T0 + i * stepMs, value)
    }
    return scores
  }

  test.each(Object.keys(SIGNALS))('scores of %s lie in 0…1 and the state stays finite', signal => {
    const scorer = filled()
    const scores = play(scorer, 0, signal, 0, 3000)
    expect(scores.every(s => s >= 0 && s <= 1)).toBe(true)
    // A state that is not finite would be refused.
    expect(filled().restore(0, scorer.snapshot(0))).toBe(true)
  })

  test('a constant signal never alarms', () => {
    expect(Math.max(...play(filled(), 0, 'constant', 0, 1000))).toBeLessThan(0.01)
    expect(Math.max(...play(filled(), 0, 'zero', 0, 1000))).toBeLessThan(0.01)
  })

  test('nothing is scored while it warms up', () => {
    const scorer = filled()
    expect(scorer.learning(0)).toBe(true)
    expect(Math.max(...play(scorer, 0, 'wild', 0, 30))).toBe(0)
    expect(scorer.learning(0)).toBe(false)
  })

  test('score and explain change nothing', () => {
    const scorer = filled()
    play(scorer, 0, 'noise', 0, 200)
    const before = scorer.snapshot(0)
    const score = scorer.score(0, T0 + 1e6, 99)
    scorer.explain(0, T0 + 1e6, 99)
    expect(scorer.score(0, T0 + 1e6, 99)).toBe(score)
    expect(scorer.snapshot(0)).toEqual(before)
  })

  test('the same readings give the same scores', () => {
    expect(play(filled(), 0, 'noise', 0, 500)).toEqual(play(filled(), 0, 'noise', 0, 500))
  })

  test('a snapshot amid the stream goes on as if nothing had happened', () => {
    const undisturbed = play(filled(), 0, 'noise', 0, 600)
    const first = filled()
    play(first, 0, 'noise', 0, 333)
    const second = filled()
    // Another slot, after another series: neither may matter.
    play(second, 3, 'wild', 0, 50)
    expect(second.restore(3, first.snapshot(0))).toBe(true)
    expect(play(second, 3, 'noise', 333, 600)).toEqual(undisturbed.slice(333))
  })

  test('a damaged snapshot is refused and leaves the slot empty', () => {
    const scorer = filled()
    play(scorer, 0, 'noise', 0, 100)
    expect(scorer.restore(0, new Uint8Array(3))).toBe(false)
    expect(scorer.learning(0)).toBe(true)
    expect(scorer.restore(1, new Uint8Array(scorer.stateBytes).fill(0xff))).toBe(false)
    expect([...scorer.snapshot(1)].every(v => v === 0)).toBe(true)
  })

  test('the order in which series are interleaved is irrelevant', () => {
    const apart = [play(filled(), 0, 'noise', 0, 300, 1), play(filled(), 1, 'noise', 0, 300, 2)]
    const scorer = filled()
    const prngs = [new Prng(1), new Prng(2)]
    const together: number[][] = [[], []]
    const order = new Prng(3)
    while (together[0].length < 300 || together[1].length < 300) {
      const slot = order.int(2)
      const i = together[slot].length
      if (i >= 300) continue
      const value = SIGNALS.noise(prngs[slot], i)
      together[slot].push(scorer.score(slot, T0 + i * stepMs, value))
      scorer.learn(slot, T0 + i * stepMs, value)
    }
    expect(together).toEqual(apart)
  })

  test('state is bounded and small', () => {
    const scorer = filled()
    play(scorer, 0, 'noise', 0, 10_000)
    expect(scorer.snapshot(0).length).toBe(scorer.stateBytes)
    expect(scorer.stateBytes).toBeLessThanOrEqual(512)
  })

  test('a slot that was reset has forgotten everything, its neighbour nothing', () => {
    const scorer = filled()
    play(scorer, 0, 'noise', 0, 100)
    play(scorer, 1, 'noise', 0, 100)
    const neighbour = scorer.snapshot(1)
    scorer.reset(0)
    expect([...scorer.snapshot(0)].every(v => v === 0)).toBe(true)
    expect(scorer.snapshot(1)).toEqual(neighbour)
  })
})

test('the scale of scores has its marks where the documents say', () => {
  expect(scoreOfRatio(0)).toBe(0)
  expect(scoreOfRatio(0.5)).toBeCloseTo(0.5, 10)
  expect(scoreOfRatio(1)).toBeCloseTo(0.8, 10)
  expect(scoreOfRatio(2)).toBeCloseTo(0.94, 2)
  expect(scoreOfRatio(Number.POSITIVE_INFINITY)).toBeLessThanOrEqual(1)
  for (const ratio of [0, 0.3, 1, 7, 1e4]) {
    expect(ratioOfScore(scoreOfRatio(ratio)) / (ratio || 1)).toBeCloseTo(ratio ? 1 : 0, 6)
  }
})
