import { ratioOfScore, scoreOfRatio } from '../scorer/scorer.ts'
import type { StateReader, StateWriter } from '../state-bytes.ts'

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

/** What is known of a slot, in a state. */
const KNOWN = 1
const OPENED = 2
const PENDING = 4
const DECISION_BYTES = 32
const HIT_BYTES = 32

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

  /** Nothing is known of the slot that a new one would not know. */
  #isNew(slot: number): boolean {
    const rests = this.#open[slot] === 0 && this.#rest[slot] === 0
    return rests && this.#habit[slot] === 0 && !this.#pending.has(slot)
  }

  stateBytesMax(slot: number): number {
    const hits = this.#pending.get(slot)?.hits.length ?? 0
    return DECISION_BYTES + hits * HIT_BYTES
  }

  save(slot: number, writer: StateWriter): void {
    if (this.#isNew(slot)) {
      writer.count(0)
      return
    }
    const pending = this.#pending.get(slot)
    writer.count(KNOWN | (this.#open[slot] === 1 ? OPENED : 0) | (pending ? PENDING : 0))
    writer.count(this.#below[slot] | (this.#rest[slot] << 16))
    writer.number(this.#habit[slot])
    writer.number(this.#habitAt[slot])
    if (!pending) return
    writer.count(pending.age)
    writer.count(pending.hits.length)
    for (const { at, score, value, age } of pending.hits) {
      writer.count(value === undefined ? 0 : 1)
      writer.count(age)
      writer.number(at)
      writer.number(score)
      writer.number(value ?? 0)
    }
  }

  /** Throws a RangeError when the bytes cannot be a state. */
  load(slot: number, reader: StateReader): void {
    this.reset(slot)
    const flags = reader.count()
    if (flags === 0) return
    if ((flags & ~(OPENED | PENDING)) !== KNOWN) throw new RangeError('no decision')
    const counts = reader.count()
    this.#open[slot] = (flags & OPENED) > 0 ? 1 : 0
    this.#below[slot] = counts & COUNT_MAX
    this.#rest[slot] = counts >>> 16
    this.#habit[slot] = reader.number()
    this.#habitAt[slot] = reader.number()
    if ((flags & PENDING) === 0) return
    const age = reader.count()
    const hits = Array.from({ length: reader.count(HIT_BYTES) }, () => {
      const known = reader.count() === 1
      const hitAge = reader.count()
      const [at, score, value] = [reader.number(), reader.number(), reader.number()]
      return { at, score, ...(known ? { value } : {}), age: hitAge }
    })
    this.#pending.set(slot, { age, hits })
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

function grown<A extends Uint8Array | Uint16Array | Float32Array | Float64Array>(
  old: A,
  next: A
): A {
  next.set(old)
  return next
}
