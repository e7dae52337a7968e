import { allFinite, copyWords } from '../state-bytes.ts'
import { ewmaStep } from '../stats/ewma.ts'
import { COUNTER_SIZE, counterBegin, counterLearn, isCounter } from './counter.ts'
import type { Finding } from './finding.ts'
import type { Limit, QualityConfig } from './quality-config.ts'
import { outOfRange } from './range.ts'
import { tooFast } from './rate.ts'
import { STUCK_SIZE, stuckBegin, stuckLearn, stuckLimit, stuckRun } from './stuck.ts'
import { otherUnit, UNIT_SIZE, unitLearn } from './unit.ts'
import { tooManyUnusable, unusableLess, unusableMore } from './unusable.ts'

/** In full precision: event time and value of the last reading in order, the resting value. */
const AT = 0
const VALUE = 1
const REST = 2
const EXACT = 3
/** Readings in order, learned; usual interval, ms; readings behind in a row; unusable ones of late. */
const READINGS = 0
const INTERVAL = 1
const BEHIND = 2
const UNUSABLE = 3
/** Event time of the first reading, minutes. */
const SINCE = 4
const STUCK = 5
const UNIT = STUCK + STUCK_SIZE
const COUNTER = UNIT + UNIT_SIZE
const NUMBERS = COUNTER + COUNTER_SIZE

/** So many readings in a row behind the last one: the clock was wrong then, and time begins anew. */
const BEHIND_MAX = 5
const INTERVAL_GAIN = 0.05
const READINGS_MAX = 1e6

export interface SeriesFacts {
  limit: Limit | undefined
  /** The configuration calls it a counter. */
  counter: boolean
}

/** What a reading does not teach, by the kinds of alerts that are found by it. */
export interface Paused {
  anomaly: boolean
  stuck: boolean
  /** Of the time since the last reading. */
  rate: boolean
  data_quality: boolean
}

export const NOTHING_PAUSED: Readonly<Paused> = {
  ...{ anomaly: false, stuck: false, rate: false, data_quality: false }
}

/** What a look at a reading tells, beside the findings. Valid until the next look. */
export interface Look {
  /** What a scorer should judge: the value, a counter's rate a second, or nothing. */
  scored: number | undefined
  /** What is scored is something else than before: what was learned of it is of no use. */
  renewed: boolean
  /** The same instant and value again. */
  repeated: boolean
}

/**
 * What every series is asked, whatever it measures: can this value be, can it change so fast, does
 * it still change, is it a number, is it in its unit, does it only grow.
 *
 * Readings out of order are asked the first question only, and teach nothing. 96 bytes a series,
 * O(1) a reading; a snapshot goes on exactly as if nothing had happened.
 */
export class SeriesQuality {
  readonly stateBytes = EXACT * 8 + NUMBERS * 4
  /** Of the last look, or the last unusable value. */
  readonly findings: Finding[] = []
  readonly #config: QualityConfig
  readonly #look: Look = { scored: undefined, renewed: false, repeated: false }
  #exact = new Float64Array(0)
  #numbers = new Float32Array(0)
  #exactWords = new Int32Array(0)
  #numberWords = new Int32Array(0)

  constructor(config: QualityConfig) {
    this.#config = config
  }

  reserve(slots: number): void {
    if (slots * EXACT <= this.#exact.length) return
    const exact = new Float64Array(slots * EXACT)
    const numbers = new Float32Array(slots * NUMBERS)
    exact.set(this.#exact)
    numbers.set(this.#numbers)
    this.#exact = exact
    this.#numbers = numbers
    this.#exactWords = new Int32Array(exact.buffer)
    this.#numberWords = new Int32Array(numbers.buffer)
  }

  /** Judges a finite value by what was known before, then learns from it. */
  look(
    slot: number,
    at: number,
    value: number,
    facts: SeriesFacts,
    paused: Readonly<Paused> = NOTHING_PAUSED
  ): Look {
    const x = slot * EXACT
    const n = this.#numbers
    const base = slot * NUMBERS
    const look = this.#look
    this.findings.length = 0
    look.renewed = false
    look.repeated = false
    if (n[base + READINGS] === 0) this.#begin(slot, at, facts.counter)
    const last = this.#exact[x + VALUE]
    const passedMs = at - this.#exact[x + AT]
    const inOrder = passedMs > 0 || Number.isNaN(last)
    look.repeated = passedMs === 0 && value === last
    const range = facts.limit && outOfRange(facts.limit, value)
    if (range) this.findings.push(range)
    if (!inOrder && !this.#isNewTime(slot, at)) {
      look.scored = range || look.repeated || isCounter(n, base + COUNTER) ? undefined : value
      return look
    }
    this.#judge(slot, at, value, last, passedMs, facts)
    look.scored = range ? undefined : this.#scored(slot, at, value, last, passedMs, paused)
    this.#learn(slot, at, value, last, passedMs, paused)
    return look
  }

  /** A null, text or NaN; `findings` tells whether it is one too many. */
  unusable(slot: number): void {
    this.findings.length = 0
    // Not before it was known that numbers are what it gives.
    const at = slot * NUMBERS + UNUSABLE
    if (!this.#config.unusable || this.#numbers[slot * NUMBERS + READINGS] < 10) return
    this.#numbers[at] = unusableMore(this.#numbers[at])
    const finding = tooManyUnusable(this.#numbers[at])
    if (finding) this.findings.push(finding)
  }

  /** Watched for long enough that its habits are known. */
  knows(slot: number, at: number): boolean {
    const n = this.#numbers
    return at / 60_000 - n[slot * NUMBERS + SINCE] >= this.#config.learnMs / 60_000
  }

  /** Event time of the last reading in order. */
  lastAt(slot: number): number {
    return this.#exact[slot * EXACT + AT]
  }

  isCounter(slot: number): boolean {
    return isCounter(this.#numbers, slot * NUMBERS + COUNTER)
  }

  reset(slot: number): void {
    this.#exact.fill(0, slot * EXACT, (slot + 1) * EXACT)
    this.#numbers.fill(0, slot * NUMBERS, (slot + 1) * NUMBERS)
  }

  /** Writes `stateBytes / 4` words. */
  save(slot: number, words: Int32Array, at: number): void {
    copyWords(this.#exactWords, slot * EXACT * 2, words, at, EXACT * 2)
    copyWords(this.#numberWords, slot * NUMBERS, words, at + EXACT * 2, NUMBERS)
  }

  /** @returns false, and an empty slot, when the words cannot be a state. */
  load(slot: number, words: Int32Array, at: number): boolean {
    copyWords(words, at, this.#exactWords, slot * EXACT * 2, EXACT * 2)
    copyWords(words, at + EXACT * 2, this.#numberWords, slot * NUMBERS, NUMBERS)
    if (allFinite(this.#numbers, slot * NUMBERS, NUMBERS)) return true
    this.reset(slot)
    return false
  }

  #begin(slot: number, at: number, counter: boolean): void {
    const base = slot * NUMBERS
    this.#exact[slot * EXACT + AT] = at
    this.#exact[slot * EXACT + VALUE] = Number.NaN
    this.#exact[slot * EXACT + REST] = Number.NaN
    stuckBegin(this.#numbers, base + STUCK)
    this.#numbers[base + SINCE] = at / 60_000
    counterBegin(this.#numbers, base + COUNTER, at, counter)
  }

  #isNewTime(slot: number, at: number): boolean {
    const behind = ++this.#numbers[slot * NUMBERS + BEHIND]
    if (behind < BEHIND_MAX || at === this.#exact[slot * EXACT + AT]) return false
    return true
  }

  #judge(
    slot: number,
    at: number,
    value: number,
    last: number,
    passedMs: number,
    { limit }: SeriesFacts
  ): void {
    const n = this.#numbers
    const base = slot * NUMBERS
    const { stuck, unit } = this.#config
    if (limit && passedMs > 0 && !Number.isNaN(last)) {
      const rate = tooFast(limit, value, last, passedMs, n[base + INTERVAL])
      if (rate && !(isCounter(n, base + COUNTER) && value < last)) this.findings.push(rate)
    }
    if (stuck && value === last && this.knows(slot, at)) {
      const run = stuckRun(n, base + STUCK) + 1
      const longest = stuckLimit(n, base + STUCK, value, this.#exact[slot * EXACT + REST])
      if (run >= longest) {
        const reason = `the same for ${run} readings; at most ${longest} are usual`
        this.findings.push({ kind: 'stuck', ratio: run / longest, value, reason })
      }
    }
    if (unit && !isCounter(n, base + COUNTER)) {
      const finding = otherUnit(n, base + UNIT, value, n[base + READINGS])
      if (finding) this.findings.push(finding)
    }
  }

  #scored(
    slot: number,
    at: number,
    value: number,
    last: number,
    passedMs: number,
    paused: Readonly<Paused>
  ): number | undefined {
    const n = this.#numbers
    const base = slot * NUMBERS
    const counts = this.#config.recogniseCounters || isCounter(n, base + COUNTER)
    if (!counts || Number.isNaN(last)) return isCounter(n, base + COUNTER) ? undefined : value
    if (!paused.anomaly) this.#look.renewed = counterLearn(n, base + COUNTER, at, value, last)
    if (!isCounter(n, base + COUNTER)) return value
    return value < last || passedMs <= 0 ? undefined : ((value - last) * 1000) / passedMs
  }

  #learn(
    slot: number,
    at: number,
    value: number,
    last: number,
    passedMs: number,
    paused: Readonly<Paused>
  ): void {
    const x = slot * EXACT
    const n = this.#numbers
    const base = slot * NUMBERS
    const rest = this.#exact[x + REST]
    const known = this.knows(slot, at)
    this.#exact[x + REST] = stuckLearn(n, base + STUCK, value, last, rest, known, paused.stuck)
    if (this.#config.unit && !paused.data_quality)
      unitLearn(n, base + UNIT, value, n[base + READINGS])
    if (passedMs > 0 && !paused.rate) {
      const usual = n[base + INTERVAL]
      n[base + INTERVAL] =
        usual === 0 ? passedMs : ewmaStep(usual, Math.min(passedMs, 5 * usual), INTERVAL_GAIN)
    }
    n[base + UNUSABLE] = unusableLess(n[base + UNUSABLE])
    n[base + BEHIND] = 0
    // A series whose first readings teach nothing begins anew with each.
    if (!paused.data_quality) n[base + READINGS] = Math.min(n[base + READINGS] + 1, READINGS_MAX)
    this.#exact[x + AT] = at
    this.#exact[x + VALUE] = value
  }
}
