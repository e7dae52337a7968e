import { expect, test } from 'vitest'
import { Decider, type DecisionRule } from '../../../detector/alert/decision.ts'
import { scoreOfRatio } from '../../../detector/scorer/scorer.ts'
import { StateReader, StateWriter } from '../../../detector/state-bytes.ts'

const RULE: DecisionRule = {
  raise: 0.8,
  clear: 0.5,
  onDelay: { readings: 1, of: 1 },
  offDelayReadings: 3,
  refractoryReadings: 4,
  habituation: 0
}

function states(rule: Partial<DecisionRule>, scores: number[]): string {
  const decider = new Decider({ ...RULE, ...rule })
  decider.reserve(1)
  return scores.map((score, at) => decider.decide(0, { at, score }).state[0]).join('')
}

/** Through bytes, as a restart would. */
function move(from: Decider, slot: number, to: Decider, target: number): void {
  const writer = new StateWriter(from.stateBytesMax(slot))
  from.save(slot, writer)
  to.load(target, new StateReader(writer.end()))
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
    move(first, 0, second, 7)
    const rest = scores.slice(cut).map((score, i) => second.decide(7, { at: cut + i, score }))
    expect([...got, ...rest], `cut at ${cut}`).toEqual(expected)
  }
})

test('a state within the on-delay holds the hits’ own fields, whatever else a reading brings', () => {
  const decider = new Decider({ ...RULE, onDelay: { readings: 2, of: 4 } })
  decider.reserve(1)
  const reading = { at: 1, score: 0.9, value: 7, details: () => 'not to be stored' }
  expect(decider.decide(0, reading).state).toBe('quiet')
  move(decider, 0, decider, 0)
  expect(decider.decide(0, { at: 2, score: 0.95 })).toEqual({
    state: 'raise',
    hits: [
      { at: 1, score: 0.9, value: 7 },
      { at: 2, score: 0.95 }
    ]
  })
})

test('what is hidden makes no habit', () => {
  const rule = { ...RULE, offDelayReadings: 1, refractoryReadings: 0, habituation: 1 }
  const slight = scoreOfRatio(1.3)
  const second = (told: boolean): string => {
    const decider = new Decider(rule)
    decider.reserve(1)
    decider.decide(0, { at: 0, score: slight }, 1000, told)
    decider.decide(0, { at: 1000, score: 0 }, 1000)
    return decider.decide(0, { at: 2000, score: slight }, 1000).state
  }
  expect(second(true)).toBe('quiet')
  expect(second(false)).toBe('raise')
})

/** States of scores that come a minute apart. */
function habitual(scores: number[], rule: Partial<DecisionRule> = {}): string {
  const base = { ...RULE, offDelayReadings: 1, refractoryReadings: 0, habituation: 1 }
  const decider = new Decider({ ...base, ...rule })
  decider.reserve(1)
  const of = (score: number, i: number) => decider.decide(0, { at: i * 60_000, score }, 60_000)
  return scores.map((score, i) => of(score, i).state[0]).join('')
}

test('what comes again and again must grow to be told again', () => {
  const slight = scoreOfRatio(1.3)
  const strong = scoreOfRatio(2.5)
  expect(habitual([slight, 0, slight, 0, slight])).toBe('rcqqq')
  expect(habitual([slight, 0, strong, 0, strong])).toBe('rcrcq')
  expect(habitual([slight, 0, slight, 0, slight], { habituation: 0 })).toBe('rcrcr')
})

test('habit fades with event time, at the pace of the series', () => {
  const slight = scoreOfRatio(1.3)
  const after = (quiet: number) => habitual([slight, ...Array(quiet).fill(0), slight]).at(-1)
  // 150 readings leave e^-1 of the doubled line, 1.37; 200 leave 1.26.
  expect(after(150)).toBe('q')
  expect(after(200)).toBe('r')
})

test('habit survives a restart, and ends with the series', () => {
  const rule = { ...RULE, offDelayReadings: 1, refractoryReadings: 0, habituation: 1 }
  const hit = (at: number) => ({ at, score: scoreOfRatio(1.3) })
  const decider = new Decider(rule)
  decider.reserve(2)
  expect(decider.decide(0, hit(0), 1000).state).toBe('raise')
  expect(decider.decide(0, { at: 1000, score: 0 }, 1000).state).toBe('clear')
  move(decider, 0, decider, 1)
  expect(decider.decide(1, hit(2000), 1000).state).toBe('quiet')
  decider.reset(1)
  expect(decider.decide(1, hit(3000), 1000).state).toBe('raise')
})

test('an alert from a clock far ahead is no habit once the clock is right again', () => {
  const decider = new Decider({
    ...RULE,
    offDelayReadings: 1,
    refractoryReadings: 0,
    habituation: 1
  })
  decider.reserve(1)
  const hit = (at: number) => ({ at, score: scoreOfRatio(1.3) })
  expect(decider.decide(0, hit(1e12), 1000).state).toBe('raise')
  expect(decider.decide(0, { at: 0, score: 0 }, 1000).state).toBe('clear')
  expect(decider.decide(0, hit(1000), 1000).state).toBe('raise')
})
