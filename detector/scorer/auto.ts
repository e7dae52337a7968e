import { allFinite, copyWords } from '../state-bytes.ts'
import { ewmaStep } from '../stats/ewma.ts'
import { HILL_SIZE, hillBegin, hillLearn, hillLine } from '../stats/hill-tail.ts'
import { rowReason } from './auto-reason.ts'
import { ROW_VIEWS_BYTES, type RowVerdict, RowViews } from './auto-rows.ts'
import { type Explanation, type Scorer, type Sensitivity, scoreOfRatio } from './scorer.ts'
import { restoreTo, snapshotOf } from './scorer-state.ts'
import { ZScore } from './zscore.ts'

/** Readings closer than half of this are watched together, as their mean. */
const ROW_MS = 300_000
/** An alert of a fast series is remembered for as long as if it told something every ten seconds. */
const PACE_MS_MIN = 10_000
/** After so many rows of nothing, what was going on is over. */
const PAUSE_ROWS = 10

interface Lines {
  /** Of the rows' score: usual excesses beyond the extremes of both views. */
  rows: number
  /** Of a single reading, or the last few: deviations. */
  sigmas: number
}

const LINES: Readonly<Record<Sensitivity, Lines>> = {
  low: { rows: 7, sigmas: 6 },
  normal: { rows: 4.5, sigmas: 4.6 },
  high: { rows: 1.9, sigmas: 4.5 }
}
/** As near as so many scales of the pattern, a reading is expected. */
const EXPECTED_DISTANCE = 3
/** The last three readings or so, between rows: for what is over before a row can tell it. */
const BURST_GAIN = 0.4
/** Variance of such a mean of unit white noise. */
const BURST_NOISE = BURST_GAIN / (2 - BURST_GAIN)
/** Deviations of a five-minute mean that they must be off, of the line for a single reading. */
const BURST_SHARE = 1.1
/** Least scale of rows, of the value: what single precision and two-byte profiles leave. */
const FLOOR = 1e-6
/** A normal's deviation, in the scale of rows. */
const SCALES_A_DEVIATION = 1.48
/** Deviations are kept in single precision. */
const DEVIATION_MAX = 1e15

/** Values are kept as deviations from the first one. */
const ORIGIN = 0
/** Five minutes, counted from 1970: of the last row, or of the one being gathered. */
const ROW = 1
/** The row being gathered: mean, and readings. */
const PENDING = 2
const PENDING_COUNT = 3
/** Score of the last row gathered. */
const HELD = 4
/** Tail of the surprises of single readings. */
const SURPRISES = 5
/** Mean of the last few readings. */
const BURST = SURPRISES + HILL_SIZE
const NUMBERS = BURST + 1

/**
 * The default. Two time scales, the stronger counts:
 *
 * Single readings, by `zscore`, at once; on a series whose own surprises are often large, only what
 * exceeds them as much as the line exceeds a normal's. Or the last three of them or so, where they
 * are farther from the pattern of five-minute means than these ever are.
 *
 * Rows, by `RowViews`: a reading each, or the mean of five minutes where readings come closer than
 * every two and a half; so "the last ten rows" is the better part of an hour at least, and a day's
 * shape is seen as such at any rate of sampling. A mean is judged when the next five minutes begin,
 * and its score holds for them.
 *
 * Works for most metrics as they are. Does not work for counters that only grow, and does not notice
 * an unusual quiet.
 *
 * Cost: 512 bytes, O(1) a reading.
 */
export class Auto implements Scorer {
  readonly name = 'auto'
  readonly version = '2'
  readonly params: Readonly<Record<string, unknown>>
  readonly stateBytes: number
  readonly #lines: Lines
  readonly #single: ZScore
  readonly #rows = new RowViews()
  #numbers = new Float32Array(0)
  #words = new Int32Array(0)

  constructor(options: { warmUpReadings: number; sensitivity?: Sensitivity }) {
    const sensitivity = options.sensitivity ?? 'normal'
    this.#lines = LINES[sensitivity]
    this.#single = new ZScore({ warmUpReadings: options.warmUpReadings })
    this.stateBytes = this.#single.stateBytes + ROW_VIEWS_BYTES + NUMBERS * 4
    const { warmUpReadings } = this.#single.params
    this.params = { warmUpReadings, sensitivity }
  }

  reserve(slots: number): void {
    this.#single.reserve(slots)
    this.#rows.reserve(slots)
    if (slots * NUMBERS <= this.#numbers.length) return
    const grown = new Float32Array(slots * NUMBERS)
    grown.set(this.#numbers)
    this.#numbers = grown
    this.#words = new Int32Array(grown.buffer)
  }

  learning(slot: number): boolean {
    return this.#single.learning(slot)
  }

  paceMs(slot: number): number {
    const interval = this.#single.paceMs(slot)
    return interval === 0 ? 0 : Math.max(PACE_MS_MIN, interval)
  }

  score(slot: number, at: number, value: number): number {
    if (this.learning(slot)) return 0
    const rows = this.#rowScore(slot, at, value)
    return scoreOfRatio(Math.max(this.#singleRatio(slot, at, value, rows), rows / this.#lines.rows))
  }

  learn(slot: number, at: number, value: number): void {
    const n = this.#numbers
    const base = slot * NUMBERS
    if (this.#single.readings(slot) === 0) {
      n[base + ORIGIN] = clamp(value)
      n[base + ROW] = rowOf(at)
      hillBegin(n, base + SURPRISES)
    }
    if (!this.learning(slot)) {
      const surprise = this.#single.surprise(slot, at, value)
      hillLearn(n, base + SURPRISES, surprise, this.#single.readings(slot))
    }
    n[base + BURST] = this.#burst(slot, value)
    this.#single.learn(slot, at, value)
    this.#learnRow(slot, at, value)
  }

  explain(slot: number, at: number, value: number): Explanation {
    const rows = this.#rowScore(slot, at, value)
    // Where both stand out, the reading says it plainer.
    if (this.#singleRatio(slot, at, value, rows) >= Math.min(1, rows / this.#lines.rows)) {
      return this.#single.explain(slot, at, value)
    }
    const apart = this.#apart(slot)
    const verdict = apart ? this.#judge(slot, at, value) : this.#judgePending(slot)
    const rowAt = apart ? at : this.#pending(slot).at
    const expected = this.#numbers[slot * NUMBERS + ORIGIN] + verdict.expected
    const reach = SCALES_A_DEVIATION * this.#lines.sigmas * verdict.scale
    return {
      ...{ expected, lower: expected - reach, upper: expected + reach },
      reason: rowReason(verdict, rowAt, apart ? 'readings' : 'five-minute means')
    }
  }

  reset(slot: number): void {
    this.#single.reset(slot)
    this.#rows.reset(slot)
    this.#numbers.fill(0, slot * NUMBERS, (slot + 1) * NUMBERS)
  }

  save(slot: number, words: Int32Array, at: number): void {
    const ownAt = at + this.#single.stateBytes / 4
    this.#single.save(slot, words, at)
    copyWords(this.#words, slot * NUMBERS, words, ownAt, NUMBERS)
    this.#rows.save(slot, words, ownAt + NUMBERS)
  }

  load(slot: number, words: Int32Array, at: number): boolean {
    const ownAt = at + this.#single.stateBytes / 4
    copyWords(words, ownAt, this.#words, slot * NUMBERS, NUMBERS)
    const sound =
      allFinite(this.#numbers, slot * NUMBERS, NUMBERS) &&
      this.#single.load(slot, words, at) &&
      this.#rows.load(slot, words, ownAt + NUMBERS)
    if (!sound) this.reset(slot)
    return sound
  }

  snapshot(slot: number): Uint8Array {
    return snapshotOf(this, slot)
  }

  restore(slot: number, state: Uint8Array): boolean {
    return restoreTo(this, slot, state)
  }

  /** Readings come so seldom that each is a row. */
  #apart(slot: number): boolean {
    return this.#single.paceMs(slot) >= ROW_MS / 2
  }

  /** Of the last whole row: this reading, the row that it ends, or the one before. */
  #rowScore(slot: number, at: number, value: number): number {
    if (this.#apart(slot)) return this.#judge(slot, at, value).score
    if (this.#pausedBefore(slot, at)) return 0
    const ends = rowOf(at) > this.#numbers[slot * NUMBERS + ROW] && this.#isWhole(slot)
    return ends ? this.#judgePending(slot).score : this.#numbers[slot * NUMBERS + HELD]
  }

  /** A reading that is a row of its own. */
  #judge(slot: number, at: number, value: number): RowVerdict {
    const pause = this.#pausedBefore(slot, at)
    return this.#rows.judge(slot, at, this.#deviation(slot, value), floorOf(value), pause)
  }

  #judgePending(slot: number): RowVerdict {
    const { at, deviation, floor } = this.#pending(slot)
    return this.#rows.judge(slot, at, deviation, floor, false)
  }

  #pending(slot: number) {
    const n = this.#numbers
    const base = slot * NUMBERS
    const deviation = n[base + PENDING]
    const floor = floorOf(n[base + ORIGIN] + deviation)
    return { at: (n[base + ROW] + 0.5) * ROW_MS, deviation, floor }
  }

  #deviation(slot: number, value: number): number {
    return clamp(value - this.#numbers[slot * NUMBERS + ORIGIN])
  }

  /** Long after the last row, or long before it: a clock was set back. */
  #pausedBefore(slot: number, at: number): boolean {
    const passedMs = Math.abs(rowOf(at) - this.#numbers[slot * NUMBERS + ROW]) * ROW_MS
    return passedMs > PAUSE_ROWS * Math.max(ROW_MS, this.#single.paceMs(slot))
  }

  /** A row of few readings would be judged as if it were as sure as the others. */
  #isWhole(slot: number): boolean {
    const count = this.#numbers[slot * NUMBERS + PENDING_COUNT]
    return count > 0 && 4 * count * this.#single.paceMs(slot) >= ROW_MS
  }

  #learnRow(slot: number, at: number, value: number): void {
    const n = this.#numbers
    const base = slot * NUMBERS
    const row = rowOf(at)
    const apart = this.#apart(slot)
    const paused = this.#pausedBefore(slot, at)
    const ended = apart || paused || (row > n[base + ROW] && this.#isWhole(slot))
    if (ended && n[base + PENDING_COUNT] > 0) this.#endRow(slot, paused)
    if (apart) {
      this.#rows.learn(slot, at, this.#deviation(slot, value), floorOf(value), paused)
      n[base + HELD] = 0
    } else {
      const count = ++n[base + PENDING_COUNT]
      n[base + PENDING] += (this.#deviation(slot, value) - n[base + PENDING]) / count
    }
    n[base + ROW] = paused ? row : Math.max(row, n[base + ROW])
  }

  #endRow(slot: number, paused: boolean): void {
    const n = this.#numbers
    const base = slot * NUMBERS
    n[base + HELD] = paused ? 0 : this.#judgePending(slot).score
    if (this.#isWhole(slot)) {
      const { at, deviation, floor } = this.#pending(slot)
      this.#rows.learn(slot, at, deviation, floor, false)
    }
    if (paused) this.#rows.pause(slot)
    n[base + PENDING] = 0
    n[base + PENDING_COUNT] = 0
  }

  /**
   * 1 on the line: as rare as the line's deviations are in a normal. Where the rows know better, they
   * are heard: a reading near what its time of the day leads to expect is no surprise, however far
   * it jumped; and one that is a row must be beyond the rows' usual extremes, too.
   */
  #singleRatio(slot: number, at: number, value: number, rowScore: number): number {
    const line = hillLine(this.#numbers, slot * NUMBERS + SURPRISES, this.#lines.sigmas)
    const ratio = this.#single.surprise(slot, at, value) / line
    // Below, it decides nothing.
    if (ratio < 0.4 || !this.#rows.warm(slot)) return ratio
    const scale = this.#rows.scale(slot, floorOf(value))
    const distance = this.#rows.distance(slot, at, this.#deviation(slot, value)) / scale
    if (this.#apart(slot)) return Math.min(ratio, rowScore, distance / EXPECTED_DISTANCE)
    const burst = this.#burstDistance(slot, at, value, scale) / (BURST_SHARE * line)
    return Math.max(Math.min(ratio, distance / EXPECTED_DISTANCE), burst)
  }

  /** Of the last few readings from the pattern, in deviations of what such a mean usually shows. */
  #burstDistance(slot: number, at: number, value: number, rowScale: number): number {
    const distance = this.#rows.distance(slot, at, this.#burst(slot, value))
    // A row is the mean of more readings, so less of their noise is left in its scale.
    const noise = BURST_NOISE - Math.min(BURST_NOISE, this.#single.paceMs(slot) / ROW_MS)
    const deviation = Math.hypot(
      SCALES_A_DEVIATION * rowScale,
      Math.sqrt(noise) * this.#single.scale(slot, at)
    )
    return distance / deviation
  }

  /** Mean of the last few readings and this one. */
  #burst(slot: number, value: number): number {
    const last = this.#numbers[slot * NUMBERS + BURST]
    return ewmaStep(last, this.#deviation(slot, value), BURST_GAIN)
  }
}

/** Exact for instants until 2129; beyond, rows are a little longer. */
function rowOf(at: number): number {
  return Math.fround(Math.floor(at / ROW_MS))
}

function floorOf(value: number): number {
  return Math.max(FLOOR * Math.abs(value), 1e-12)
}

function clamp(value: number): number {
  return Math.min(DEVIATION_MAX, Math.max(-DEVIATION_MAX, value))
}
