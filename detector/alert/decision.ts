import { ratioOfScore, scoreOfRatio } from '../scorer/scorer.ts'

/**
 * When a score becomes an alert, and when it stops being one (ANSI/ISA-18.2: dead band, on-delay,
 * off-delay). Thresholds are of scores, delays are counted in readings of the series.
 */
export interface DecisionRule {
  /** Score from which a reading counts towards raising. */
  raise: number
  /** Score below which a reading counts towards clearing; below `raise`, so that nothing chatters. */
  clear: number
  /** Raised when `readings` of the last `of` readings reach `raise`. */
  onDelay: { readings: number; of: number }
  /** Cleared after this many readings in a row below `clear`. */
  offDelayReadings: number
  /** After a clear, this many readings cannot raise. */
  refractoryReadings: number
  /**
   * Each alert raises the line of its series by this many times itself: what comes again and again
   * must grow to be told again. It fades over 150 readings of the usual pace. 0: never.
   */
  habituation: number
}

/** Readings at the usual pace after which a third of an alert's weight is left. */
const FADE_READINGS = 150

/** The part of a configuration that decides. */
export function decisionRuleOf(rule: DecisionRule): DecisionRule {
  const { raise, clear, onDelay, offDelayReadings, refractoryReadings, habituation } = rule
  return { raise, clear, onDelay, offDelayReadings, refractoryReadings, habituation }
}

/** A reading that reached `raise`. */
export interface Hit {
  at: number
  score: number
  value?: number
  /** Whose value, where an alert is of several series. */
  metric?: string
}

export type Verdict =
  | { state: 'quiet' }
  /** The readings counted by the on-delay, oldest first, this one included. */
  | { state: 'raise'; hits: Hit[] }
  | { state: 'open' }
  | { state: 'clear' }

const QUIET: Verdict = { state: 'quiet' }
const OPEN: Verdict = { state: 'open' }
const CLEAR: Verdict = { state: 'clear' }
const COUNT_MAX = 0xffff

/** Decides for every slot, in 17 bytes each. Knows nothing of alerts: the lifecycle does. */
export class Decider {
  readonly #rule: DecisionRule
  #open = new Uint8Array(0)
  /** Readings below `clear` in a row, while open. */
  #below = new Uint16Array(0)
  /** Readings still to pass before it may raise again. */
  #rest = new Uint16Array(0)
  /** How much higher the line was just after the last alert, and when that was. */
  #habit = new Float32Array(0)
  #habitAt = new Float64Array(0)
  /** Only of slots in their on-delay; at most `of` hits each. */
  readonly #pending = new Map<number, { age: number; hits: (Hit & { age: number })[] }>()

  constructor(rule: DecisionRule) {
    this.#rule = rule
  }

  reserve(slots: number): void {
    if (slots <= this.#open.length) return
    this.#open = grown(this.#open, new Uint8Array(slots))
    this.#below = grown(this.#below, new Uint16Array(slots))
    this.#rest = grown(this.#rest, new Uint16Array(slots))
    this.#habit = grown(this.#habit, new Float32Array(slots))
    this.#habitAt = grown(this.#habitAt, new Float64Array(slots))
  }

  isOpen(slot: number): boolean {
    return this.#open[slot] === 1
  }

  /**
   * @param paceMs Usual event time between readings; 0: unknown, nothing is habitual then.
   * @param told Somebody will hear of it: what is hidden makes no habit.
   */
  decide(slot: number, hit: Hit, paceMs = 0, told = true): Verdict {
    if (this.#open[slot] === 1) return this.#whileOpen(slot, hit)
    const verdict = this.#whileQuiet(slot, hit, paceMs)
    if (verdict.state === 'raise' && told && this.#rule.habituation > 0) {
      this.#habit[slot] = this.#habitOf(slot, hit.at, paceMs) + this.#rule.habituation
      this.#habitAt[slot] = hit.at
    }
    return verdict
  }

  reset(slot: number): void {
    this.#close(slot)
    this.#habit[slot] = 0
    this.#habitAt[slot] = 0
  }

  snapshot(slot: number): DeciderState | undefined {
    const state: DeciderState = {
      open: this.#open[slot],
      below: this.#below[slot],
      rest: this.#rest[slot],
      habit: this.#habit[slot],
      habitAt: this.#habitAt[slot]
    }
    const pending = this.#pending.get(slot)
    if (pending) state.pending = structuredClone(pending)
    return state.open || state.rest || state.habit || pending ? state : undefined
  }

  restore(slot: number, state: DeciderState | undefined): void {
    this.reset(slot)
    if (!state) return
    this.#open[slot] = state.open
    this.#below[slot] = state.below
    this.#rest[slot] = state.rest
    this.#habit[slot] = state.habit
    this.#habitAt[slot] = state.habitAt
    if (state.pending) this.#pending.set(slot, structuredClone(state.pending))
  }

  #close(slot: number): void {
    this.#open[slot] = 0
    this.#below[slot] = 0
    this.#rest[slot] = 0
    this.#pending.delete(slot)
  }

  #line(slot: number, at: number, paceMs: number): number {
    const { raise } = this.#rule
    if (this.#habit[slot] === 0) return raise
    return scoreOfRatio(ratioOfScore(raise) * (1 + this.#habitOf(slot, at, paceMs)))
  }

  #habitOf(slot: number, at: number, paceMs: number): number {
    if (this.#habit[slot] === 0 || paceMs === 0) return 0
    // A clock that was set back must not make a habit last.
    const passedMs = Math.abs(at - this.#habitAt[slot])
    return this.#habit[slot] * Math.exp(-passedMs / (FADE_READINGS * paceMs))
  }

  #whileOpen(slot: number, hit: Hit): Verdict {
    if (hit.score >= this.#rule.clear) {
      this.#below[slot] = 0
      return OPEN
    }
    if (++this.#below[slot] < this.#rule.offDelayReadings) return OPEN
    this.#close(slot)
    this.#rest[slot] = Math.min(COUNT_MAX, this.#rule.refractoryReadings)
    return CLEAR
  }

  #whileQuiet(slot: number, hit: Hit, paceMs: number): Verdict {
    if (this.#rest[slot] > 0) {
      this.#rest[slot]--
      return QUIET
    }
    const { readings, of } = this.#rule.onDelay
    const counts = hit.score >= this.#rule.raise && hit.score >= this.#line(slot, hit.at, paceMs)
    if (readings <= 1) {
      if (!counts) return QUIET
      this.#open[slot] = 1
      return { state: 'raise', hits: [hit] }
    }
    let pending = this.#pending.get(slot)
    if (!pending && !counts) return QUIET
    pending ??= { age: 0, hits: [] }
    const age = ++pending.age
    pending.hits = pending.hits.filter(h => age - h.age < of)
    if (counts) {
      // Its own fields alone: a snapshot holds them.
      const { at, score, value } = hit
      pending.hits.push({ at, score, ...(value === undefined ? {} : { value }), age })
    }
    if (pending.hits.length >= readings) {
      this.#pending.delete(slot)
      this.#open[slot] = 1
      return { state: 'raise', hits: pending.hits.map(({ age: _, ...h }) => h) }
    }
    if (pending.hits.length === 0) this.#pending.delete(slot)
    else this.#pending.set(slot, pending)
    return QUIET
  }
}

export interface DeciderState {
  open: number
  below: number
  rest: number
  habit: number
  habitAt: number
  pending?: { age: number; hits: (Hit & { age: number })[] }
}

function grown<A extends Uint8Array | Uint16Array | Float32Array | Float64Array>(
  old: A,
  next: A
): A {
  next.set(old)
  return next
}
