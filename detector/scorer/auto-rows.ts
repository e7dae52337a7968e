import { allFinite, copyWords } from '../state-bytes.ts'
import { ewmaGain, ewmaStep } from '../stats/ewma.ts'
import { ProfileShape } from '../stats/profile.ts'
import { rootScale, rootStep } from '../stats/root-scale.ts'
import { TAIL_SIZE, tailDoubt, tailLearn, tailScore } from '../stats/tail.ts'
import { winsorize } from '../stats/winsorize.ts'

/** Half hours of the day, and two hours of the week; the last visit counts for a third. */
const DAY = new ProfileShape({ slotsADay: 48, days: 1, gain: 0.3 })
const WEEK = new ProfileShape({ slotsADay: 12, days: 7, gain: 0.3 })
const PROFILES = DAY.size + WEEK.size
/** An even count of two bytes each. */
const PROFILE_WORDS = PROFILES / 2
/** Level: over about 1,000 rows. */
const LEVEL_GAIN = 0.002
/** Scale: over about 3,000 rows. What is unusual is judged against the long run. */
const ROOT_GAIN = 0.0006
/** How well a forecaster did: over about 2,000 rows; one row counts at most 8 times the usual. */
const ERROR_GAIN = 0.001
const ERROR_MAX = 8
/** Rows a forecaster is only watched. */
const TRIAL_ROWS = 50
const AVERAGE_ROWS = 10
const WINSOR = 40
/** Rows before any is scored. */
const WARM_ROWS = 100

const ROWS = 0
const LEVEL = 1
/** Of each forecaster – level, day, week – its mean error; of the profiles, rows watched. */
const ERROR = 2
const TRIED = 5
const PATTERN = 7
const AROUND = PATTERN + 2 + TAIL_SIZE
const NUMBERS = AROUND + 2 + TAIL_SIZE
/** Of each view: √-scale, short average, tail. */
const ROOT = 0
const AVERAGE = 1
const TAIL = 2

const FORECASTERS = 3
export const ROW_VIEWS_BYTES = NUMBERS * 4 + PROFILES * 2

export interface RowVerdict {
  /** How far beyond its own usual extremes; mean of the two views. */
  score: number
  /** The views, each for itself. */
  pattern: number
  level: number
  /** What the pattern led to expect, and one deviation of it; NaN in the first rows. */
  expected: number
  scale: number
  /** The short averages, in scales; the level's with its sign. */
  patternAverage: number
  levelAverage: number
}

/**
 * A series seen in rows – readings, or means of five minutes: two views of the last ten rows.
 *
 * Pattern: how far rows lie from a blend of forecasts – the same half hour of the days before, the
 * same two hours of the weeks before, a level – each weighted by the inverse square of its usual
 * error. Whoever knows this series counts; a profile where there is no rhythm does no harm.
 * Level: on which side of the slow mean they lie, and how far: a shift that the profiles would learn.
 *
 * Each is an average of ten rows, in scales that events cannot inflate, judged by its own tail. Their
 * mean counts, not the larger: what is wrong shows in both, a chance excess in one.
 *
 * Works for rows with or without rhythm, heavy tails, steps, from about a day on. Does not see
 * what lasts much less than ten rows, nor an unusual quiet.
 *
 * Cost: 340 bytes, O(1) a row.
 * Sources: J. M. Bates & C. W. J. Granger, The combination of forecasts, 1969; see stats/ for the rest.
 */
export class RowViews {
  #numbers = new Float32Array(0)
  #profiles = new Uint16Array(0)
  #numberWords = new Int32Array(0)
  #profileWords = new Int32Array(0)
  readonly #forecasts = new Float64Array(FORECASTERS)
  readonly #verdict: RowVerdict = {
    ...{ score: 0, pattern: 0, level: 0, expected: 0, scale: 0 },
    ...{ patternAverage: 0, levelAverage: 0 }
  }
  #daySlot = 0
  #weekSlot = 0
  #patternZ = 0
  #levelZ = 0

  reserve(slots: number): void {
    if (slots * NUMBERS <= this.#numbers.length) return
    const numbers = new Float32Array(slots * NUMBERS)
    const profiles = new Uint16Array(slots * PROFILES)
    numbers.set(this.#numbers)
    profiles.set(this.#profiles)
    this.#numbers = numbers
    this.#profiles = profiles
    this.#numberWords = new Int32Array(numbers.buffer)
    this.#profileWords = new Int32Array(profiles.buffer)
  }

  /** Enough is known to score. */
  warm(slot: number): boolean {
    return this.#numbers[slot * NUMBERS + ROWS] >= WARM_ROWS
  }

  /**
   * @param at Event time of the row, epoch ms.
   * @param value Deviation from something near it, below 1e15.
   * @param floor Least scale.
   * @param pause The last row is long ago: an excursion of then is not carried on.
   * @returns Valid until the next call.
   */
  judge(slot: number, at: number, value: number, floor: number, pause: boolean): RowVerdict {
    const n = this.#numbers
    const base = slot * NUMBERS
    const verdict = this.#verdict
    const rows = n[base + ROWS]
    const expected = this.#forecast(slot, at)
    const known = rows > TRIAL_ROWS + 2
    verdict.expected = known ? expected : Number.NaN
    verdict.scale = Math.max(rootScale(n[base + PATTERN + ROOT]), floor)
    const levelScale = Math.max(rootScale(n[base + AROUND + ROOT]), floor)
    this.#patternZ = known ? winsorize((value - expected) / verdict.scale, WINSOR) : 0
    this.#levelZ = rows > 2 ? winsorize((value - n[base + LEVEL]) / levelScale, WINSOR) : 0
    const fromPattern = Math.abs(this.#patternZ)
    verdict.patternAverage = this.#averaged(base + PATTERN, fromPattern, rows - TRIAL_ROWS, pause)
    verdict.levelAverage = this.#averaged(base + AROUND, this.#levelZ, rows, pause)
    verdict.pattern = tailScore(n, base + PATTERN + TAIL, verdict.patternAverage)
    verdict.level = tailScore(n, base + AROUND + TAIL, Math.abs(verdict.levelAverage))
    verdict.score = rows < WARM_ROWS ? 0 : together(verdict.pattern, verdict.level)
    return verdict
  }

  /** @returns How far a value lies from the pattern. */
  distance(slot: number, at: number, value: number): number {
    return Math.abs(value - this.#forecast(slot, at))
  }

  /** @returns The scale of rows around the pattern. */
  scale(slot: number, floor: number): number {
    return Math.max(rootScale(this.#numbers[slot * NUMBERS + PATTERN + ROOT]), floor)
  }

  /** With the same arguments as `judge`, which it calls. */
  learn(slot: number, at: number, value: number, floor: number, pause: boolean): void {
    const n = this.#numbers
    const base = slot * NUMBERS
    const { expected, patternAverage, levelAverage } = this.judge(slot, at, value, floor, pause)
    const rows = n[base + ROWS]
    if (!Number.isNaN(expected)) {
      const seen = rows - TRIAL_ROWS - 2
      this.#learnView(base + PATTERN, value - expected, patternAverage, seen)
    }
    if (rows > 1) this.#learnView(base + AROUND, value - n[base + LEVEL], levelAverage, rows - 1)
    this.#learnForecasters(slot, value)
    n[base + ROWS] = Math.min(rows + 1, ROWS_MAX)
  }

  /** What was going on is over: a long time passes without rows. */
  pause(slot: number): void {
    for (const view of [slot * NUMBERS + PATTERN, slot * NUMBERS + AROUND]) {
      this.#numbers[view + AVERAGE] = this.#restarted(view)
    }
  }

  reset(slot: number): void {
    this.#numbers.fill(0, slot * NUMBERS, (slot + 1) * NUMBERS)
    this.#profiles.fill(0, slot * PROFILES, (slot + 1) * PROFILES)
  }

  /** Writes `ROW_VIEWS_BYTES / 4` words. */
  save(slot: number, words: Int32Array, at: number): void {
    copyWords(this.#numberWords, slot * NUMBERS, words, at, NUMBERS)
    copyWords(this.#profileWords, slot * PROFILE_WORDS, words, at + NUMBERS, PROFILE_WORDS)
  }

  /** @returns false when the words cannot be a state: the slot is to be reset then. */
  load(slot: number, words: Int32Array, at: number): boolean {
    copyWords(words, at, this.#numberWords, slot * NUMBERS, NUMBERS)
    copyWords(words, at + NUMBERS, this.#profileWords, slot * PROFILE_WORDS, PROFILE_WORDS)
    return (
      allFinite(this.#numbers, slot * NUMBERS, NUMBERS) &&
      DAY.isSound(this.#profiles, slot * PROFILES) &&
      WEEK.isSound(this.#profiles, slot * PROFILES + DAY.size)
    )
  }

  /** Leaves each forecaster's opinion in `#forecasts`, NaN where it has none. @returns The blend. */
  #forecast(slot: number, at: number): number {
    const n = this.#numbers
    const base = slot * NUMBERS
    const forecasts = this.#forecasts
    this.#daySlot = DAY.slotOf(at)
    this.#weekSlot = WEEK.slotOf(at)
    forecasts[0] = n[base + LEVEL]
    forecasts[1] = DAY.mean(this.#profiles, slot * PROFILES, this.#daySlot)
    forecasts[2] = WEEK.mean(this.#profiles, slot * PROFILES + DAY.size, this.#weekSlot)
    let sum = 0
    let weights = 0
    for (let i = 0; i < FORECASTERS; i++) {
      if (this.#tried(base, i) < TRIAL_ROWS || Number.isNaN(forecasts[i])) continue
      const weight = 1 / (n[base + ERROR + i] ** 2 + 1e-30)
      sum += weight * forecasts[i]
      weights += weight
    }
    return weights > 0 ? sum / weights : n[base + LEVEL]
  }

  #averaged(view: number, z: number, n: number, pause: boolean): number {
    const last = pause ? this.#restarted(view) : this.#numbers[view + AVERAGE]
    return ewmaStep(last, z, ewmaGain(n, 1 / AVERAGE_ROWS))
  }

  /** Not beyond the usual. */
  #restarted(view: number): number {
    return winsorize(this.#numbers[view + AVERAGE], this.#numbers[view + TAIL])
  }

  /** @param n Rows that the view has learned, this one included. */
  #learnView(view: number, residual: number, average: number, n: number): void {
    const numbers = this.#numbers
    numbers[view + AVERAGE] = average
    if (n > 1) tailLearn(numbers, view + TAIL, Math.abs(average), n)
    numbers[view + ROOT] = rootStep(numbers[view + ROOT], residual, n, ROOT_GAIN)
  }

  #learnForecasters(slot: number, value: number): void {
    const n = this.#numbers
    const base = slot * NUMBERS
    for (let i = 0; i < FORECASTERS; i++) {
      const forecast = this.#forecasts[i]
      if (Number.isNaN(forecast) || n[base + ROWS] < 2) continue
      const tried = this.#tried(base, i) + 1
      const usual = n[base + ERROR + i]
      const error = Math.abs(value - forecast)
      const counted = tried > TRIAL_ROWS ? Math.min(error, ERROR_MAX * usual) : error
      n[base + ERROR + i] = ewmaStep(usual, counted, ewmaGain(tried, ERROR_GAIN))
      if (i > 0) n[base + TRIED + i - 1] = Math.min(tried, ROWS_MAX)
      if (i > 0 && tried === TRIAL_ROWS) tailDoubt(n, base + PATTERN + TAIL)
    }
    const rows = n[base + ROWS] + 1
    n[base + LEVEL] = ewmaStep(n[base + LEVEL], value, ewmaGain(rows, LEVEL_GAIN))
    DAY.learn(this.#profiles, slot * PROFILES, this.#daySlot, value)
    WEEK.learn(this.#profiles, slot * PROFILES + DAY.size, this.#weekSlot, value)
  }

  /** Rows for which a forecaster was watched. */
  #tried(base: number, forecaster: number): number {
    const n = this.#numbers
    return forecaster === 0 ? Math.max(0, n[base + ROWS] - 2) : n[base + TRIED + forecaster - 1]
  }
}

/** Counts beyond it change nothing, and single precision still counts exactly. */
const ROWS_MAX = 1e6

/** Between the mean and the larger: power mean of exponent 1.5. */
function together(a: number, b: number): number {
  return Math.cbrt((a * Math.sqrt(a) + b * Math.sqrt(b)) / 2) ** 2
}
