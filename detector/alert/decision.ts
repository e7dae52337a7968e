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
}

/** A reading that reached `raise`. */
export interface Hit {
  at: number
  score: number
  value?: number
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

/** Decides for every slot, in five bytes each. Knows nothing of alerts: the lifecycle does. */
export class Decider {
  readonly #rule: DecisionRule
  #open = new Uint8Array(0)
  /** Readings below `clear` in a row, while open. */
  #below = new Uint16Array(0)
  /** Readings still to pass before it may raise again. */
  #rest = new Uint16Array(0)
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
  }

  isOpen(slot: number): boolean {
    return this.#open[slot] === 1
  }

  decide(slot: number, hit: Hit): Verdict {
    return this.#open[slot] === 1 ? this.#whileOpen(slot, hit) : this.#whileQuiet(slot, hit)
  }

  reset(slot: number): void {
    this.#open[slot] = 0
    this.#below[slot] = 0
    this.#rest[slot] = 0
    this.#pending.delete(slot)
  }

  snapshot(slot: number): DeciderState | undefined {
    const state: DeciderState = {
      open: this.#open[slot],
      below: this.#below[slot],
      rest: this.#rest[slot]
    }
    const pending = this.#pending.get(slot)
    if (pending) state.pending = structuredClone(pending)
    return state.open || state.below || state.rest || pending ? state : undefined
  }

  restore(slot: number, state: DeciderState | undefined): void {
    this.reset(slot)
    if (!state) return
    this.#open[slot] = state.open
    this.#below[slot] = state.below
    this.#rest[slot] = state.rest
    if (state.pending) this.#pending.set(slot, structuredClone(state.pending))
  }

  #whileOpen(slot: number, hit: Hit): Verdict {
    if (hit.score >= this.#rule.clear) {
      this.#below[slot] = 0
      return OPEN
    }
    if (++this.#below[slot] < this.#rule.offDelayReadings) return OPEN
    this.reset(slot)
    this.#rest[slot] = Math.min(COUNT_MAX, this.#rule.refractoryReadings)
    return CLEAR
  }

  #whileQuiet(slot: number, hit: Hit): Verdict {
    if (this.#rest[slot] > 0) {
      this.#rest[slot]--
      return QUIET
    }
    const { readings, of } = this.#rule.onDelay
    const counts = hit.score >= this.#rule.raise
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
    if (counts) pending.hits.push({ ...hit, age })
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
  pending?: { age: number; hits: (Hit & { age: number })[] }
}

function grown<A extends Uint8Array | Uint16Array>(old: A, next: A): A {
  next.set(old)
  return next
}
