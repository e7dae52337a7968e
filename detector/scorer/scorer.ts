/**
 * Says how surprising a number is, one series at a time.
 *
 * A series is a slot: a small whole number that the series table gives away and takes back. All
 * state of a slot is a fixed count of bytes, so that thousands of series cost what they seem to.
 *
 * Contract (the check-suite in test/detector/scorer runs it over every scorer):
 *   1. `score` changes nothing and uses only what was learned before: score first, then learn.
 *   2. A slot's answers depend on its own readings alone, in their order.
 *   3. `restore(snapshot)` goes on exactly as if nothing had happened.
 *   4. Values are finite and below 1e100 in magnitude: the engine guards. Answers are finite.
 */
export interface Scorer {
  readonly name: string
  /** Changes when the same readings would give other scores, or the state another layout. */
  readonly version: string
  /** What an alert says about how it was found. */
  readonly params: Readonly<Record<string, unknown>>
  /** State a slot; a multiple of 4. */
  readonly stateBytes: number
  /** Makes room for slots 0…`slots` − 1. New ones are empty. */
  reserve(slots: number): void
  /**
   * @param at Event time, epoch ms.
   * @returns 0 (expected) to 1 (never seen), 0.8 where the scorer itself would draw the line; 0
   *   while warming up.
   */
  score(slot: number, at: number, value: number): number
  learn(slot: number, at: number, value: number): void
  /** What a person should know about a score; before `learn`, like `score`. */
  explain(slot: number, at: number, value: number): Explanation
  /** Still in its first readings, when nothing is scored. */
  learning(slot: number): boolean
  /** Usual event time from one look at the series to the next, ms; 0 while unknown. */
  paceMs(slot: number): number
  /** Forgets the slot. */
  reset(slot: number): void
  /** Writes the state of a slot: `stateBytes / 4` words from `at` on, all 0 for an empty slot. */
  save(slot: number, words: Int32Array, at: number): void
  /** @returns false, and an empty slot, when the words cannot be a state. */
  load(slot: number, words: Int32Array, at: number): boolean
  /** The same as bytes: `stateBytes` of them, a copy. */
  snapshot(slot: number): Uint8Array
  /** @returns false, and an empty slot, when the state is not of this scorer. */
  restore(slot: number, state: Uint8Array): boolean
}

/** How soon a statistic speaks up; what each means is the scorer's, and in its explanation. */
export const SENSITIVITIES = ['low', 'normal', 'high'] as const
export type Sensitivity = (typeof SENSITIVITIES)[number]

export interface Explanation {
  expected: number
  /** Outside [lower, upper] a single reading would score 0.8 or more. */
  lower: number
  upper: number
  /** One sentence for a person, without a full stop. */
  reason: string
}

/**
 * The one scale of scores: a surprise `line` times as large as the scorer's own line.
 *
 * @param ratio 0…; 1 is the line.
 * @returns 0.5 at half the line, 0.8 on it, 0.94 at twice, 0.99 at five times.
 */
export function scoreOfRatio(ratio: number): number {
  const square = Math.min(ratio, 1e6) ** 2
  return square / (square + 0.25)
}

/** The inverse of `scoreOfRatio`. */
export function ratioOfScore(score: number): number {
  return score >= 1 ? 1e6 : Math.sqrt((0.25 * score) / (1 - score))
}
