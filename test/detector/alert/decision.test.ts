import { expect, test } from 'vitest'
import { Decider, type DecisionRule } from '../../../detector/alert/decision.ts'

const RULE: DecisionRule = {
  raise: 0.8,
  clear: 0.5,
  onDelay: { readings: 1, of: 1 },
  offDelayReadings: 3,
  refractoryReadings: 4
}

function states(rule: Partial<DecisionRule>, scores: number[]): string {
  const decider = new Decider({ ...RULE, ...rule })
  decider.reserve(1)
  return scores.map((score, at) => decider.decide(0, { at, score }).state[0]).join('')
}

test('a decision raises at the threshold, and clears after enough readings in a row below the lower one', () => {
  expect(states({}, [0.7, 0.8, 0.6, 0.4, 0.4, 0.6, 0.4, 0.4, 0.4])).toBe('qrooooooc')
})

test('after a clear it rests, and then raises again', () => {
  expect(states({}, [0.9, 0, 0, 0, 0.9, 0.9, 0.9, 0.9, 0.9])).toBe('roocqqqqr')
})

test('the on-delay counts N of the last M readings, and names the ones it counted', () => {
  const decider = new Decider({ ...RULE, onDelay: { readings: 2, of: 3 } })
  decider.reserve(1)
  const at = [0, 1, 2, 3, 4]
  const verdicts = [0.9, 0.1, 0.1, 0.85, 0.95].map((score, i) =>
    decider.decide(0, { at: at[i], score })
  )
  expect(verdicts.map(v => v.state)).toEqual(['quiet', 'quiet', 'quiet', 'quiet', 'raise'])
  expect(verdicts[4]).toEqual({
    state: 'raise',
    hits: [
      { at: 3, score: 0.85 },
      { at: 4, score: 0.95 }
    ]
  })
})

test('a restored decider goes on as the one it was taken from, in every state', () => {
  const rule = { ...RULE, onDelay: { readings: 2, of: 4 } }
  const scores = [0.9, 0.1, 0.9, 0.2, 0.2, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1]
  const whole = new Decider(rule)
  whole.reserve(1)
  const expected = scores.map((score, at) => whole.decide(0, { at, score }))
  for (let cut = 0; cut <= scores.length; cut++) {
    const first = new Decider(rule)
    const second = new Decider(rule)
    first.reserve(1)
    second.reserve(8)
    const got = scores.slice(0, cut).map((score, at) => first.decide(0, { at, score }))
    second.restore(7, JSON.parse(JSON.stringify(first.snapshot(0) ?? null)) ?? undefined)
    const rest = scores.slice(cut).map((score, i) => second.decide(7, { at: cut + i, score }))
    expect([...got, ...rest], `cut at ${cut}`).toEqual(expected)
  }
})
