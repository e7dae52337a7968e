import { allFinite, copyWords } from '../state-bytes.ts'
import { lagOneCorrelation } from '../stats/autocorrelation.ts'
import { ewmaDeviation, ewmaGain, ewmaStep } from '../stats/ewma.ts'
import { winsorize } from '../stats/winsorize.ts'
import { type Explanation, type Scorer, type Sensitivity, scoreOfRatio } from './scorer.ts'
import { restoreTo, snapshotOf } from './scorer-state.ts'

/** Where a surprise becomes an alert, in standard deviations; 4.4: about one reading in 150,000. */
const LINES: Readonly<Record<Sensitivity, number>> = { low: 5.5, normal: 4.4, high: 3.7 }
/** A reading counts at most this many deviations in the short average. */
const SHORT_WINSOR = 4.4
/** From here on a reading teaches less, and counts towards a new baseline. */
const OUTLIER = 2.7
/** Baseline: follows over about 100 readings. */
const LEVEL_GAIN = 0.02
/** Scale and correlation: over about 400. */
const SCALE_GAIN = 0.005
/** Short average: over about 9, for shifts too small for a single reading. */
const SHORT_GAIN = 0.2
const SHORT_DEVIATION = ewmaDeviation(SHORT_GAIN)
/** An outlier teaches a quarter as fast, and its square counts as at most this many deviations. */
const OUTLIER_RATE = 0.25
const WINSOR = 5
/** An excursion of this many readings, more or less without a break, is the new normal. */
const REBASE_READINGS = 60
/** Steps seen before the smallest of them is believed to be the sensor's resolution. */
const STEPS_BELIEVED = 3
const STEPS_ALIVE = 8
/** A reading so many usual intervals before the last is no late one: the clock was wrong then. */
const CLOCK_SET_BACK = 100

const SEEN = 0
const LAST_AT = 1
const INTERVAL = 2
const LEVEL = 3
const FAST = 4
const PRODUCT = 5
const SQUARE = 6
const PREVIOUS = 7
const VARIANCE = 8
const SHORT = 9
const SHORT_SQUARE = 10
const RESOLUTION = 11
const LAST_VALUE = 12
const RUN = 13
const LEVEL_COUNT = 14
const SCALE_COUNT = 15
const STEPS = 16
const STRIDE = 17

/**
 * Deviation of a reading from a one-step forecast, in units of how far off the forecast usually is.
 *
 * The forecast is a slow level plus the part of the last residual that usually carries over (AR(1)),
 * so that slow wandering is expected and a jump out of it is not. Two views, the stronger counts:
 * this reading alone (a spike is found at once), and the average of the last few (a lasting shift of
 * 3 σ is found after a few readings), the latter in units of its own usual size.
 *
 * Works for roughly symmetric noise, white to strongly correlated, quantised or not, on a baseline
 * that moves slowly against the sampling interval. Does not work for: counts with heavy tails and
 * bursts (too many alerts), a daily shape sampled so coarsely that it jumps, drifts slower than about
 * 0.01 σ a reading (they are followed), counters that only grow.
 *
 * Cost: 136 bytes and O(1) a reading.
 * Sources: L. C. Alwan & H. V. Roberts, Time-series modeling for statistical process control, 1988
 * (chart of the residuals); S. W. Roberts, 1959 (EWMA chart); winsorised learning after P. J. Huber.
 */
export class ZScore implements Scorer {
  readonly name = 'zscore'
  readonly version = '1'
  readonly params: Readonly<Record<string, unknown>>
  readonly stateBytes = STRIDE * 8
  readonly #warmUpReadings: number
  readonly #line: number
  #state = new Float64Array(0)
  #words = new Int32Array(0)

  /** @param options.warmUpReadings 10…; below, nothing would be known. */
  constructor(options: { warmUpReadings: number; sensitivity?: Sensitivity }) {
    this.#warmUpReadings = Math.max(10, options.warmUpReadings)
    this.#line = LINES[options.sensitivity ?? 'normal']
    this.params = { warmUpReadings: this.#warmUpReadings, sigmas: this.#line }
  }

  reserve(slots: number): void {
    if (slots * STRIDE <= this.#state.length) return
    const grown = new Float64Array(slots * STRIDE)
    grown.set(this.#state)
    this.#state = grown
    this.#words = new Int32Array(grown.buffer)
  }

  learning(slot: number): boolean {
    return this.#state[slot * STRIDE + SEEN] < this.#warmUpReadings
  }

  paceMs(slot: number): number {
    return this.#state[slot * STRIDE + INTERVAL]
  }

  /** Readings learned. */
  readings(slot: number): number {
    return this.#state[slot * STRIDE + SEEN]
  }

  score(slot: number, at: number, value: number): number {
    return scoreOfRatio(this.surprise(slot, at, value) / this.#line)
  }

  /** @returns The stronger of the two views, in standard deviations; 0 while warming up. */
  surprise(slot: number, at: number, value: number): number {
    if (this.learning(slot)) return 0
    const base = slot * STRIDE
    const f = this.#forecast(base, at)
    const z = (value - f.expected) / f.scale
    return Math.max(Math.abs(z), Math.abs(this.#averaged(base, z)))
  }

  /** One deviation of the forecast's error, for a reading at this time. */
  scale(slot: number, at: number): number {
    return this.#forecast(slot * STRIDE, at).scale
  }

  explain(slot: number, at: number, value: number): Explanation {
    const base = slot * STRIDE
    const f = this.#forecast(base, at)
    const z = (value - f.expected) / f.scale
    const averaged = this.#averaged(base, z)
    const single = Math.abs(z) >= Math.abs(averaged)
    const size = single ? z : averaged
    const side = size > 0 ? 'above' : 'below'
    return {
      expected: f.expected,
      lower: f.expected - this.#line * f.scale,
      upper: f.expected + this.#line * f.scale,
      reason: single
        ? `${sigmas(size)} σ ${side} what the readings before it led to expect`
        : `the average of the last few readings is ${sigmas(size)} σ ${side} the usual`
    }
  }

  learn(slot: number, at: number, value: number): void {
    const base = slot * STRIDE
    const s = this.#state
    if (s[base + SEEN] === 0) {
      this.#begin(base, at, value)
      return
    }
    const f = this.#forecast(base, at)
    const z = (value - f.expected) / f.scale
    const warm = s[base + SEEN] >= this.#warmUpReadings
    const outlier = warm && Math.max(Math.abs(z), Math.abs(this.#averaged(base, z))) >= OUTLIER
    this.#learnLevel(base, value, f, outlier)
    this.#learnScale(base, value, f, outlier)
    this.#learnShort(base, z, outlier)
    this.#learnResolution(base, value)
    this.#learnInterval(base, at)
    s[base + FAST] = ewmaStep(s[base + FAST], value, 0.1)
    s[base + SEEN]++
    s[base + RUN] = outlier ? s[base + RUN] + 1 : Math.max(0, s[base + RUN] - 2)
    if (s[base + RUN] >= REBASE_READINGS) this.#rebase(base)
  }

  reset(slot: number): void {
    this.#state.fill(0, slot * STRIDE, (slot + 1) * STRIDE)
  }

  save(slot: number, words: Int32Array, at: number): void {
    copyWords(this.#words, slot * STRIDE * 2, words, at, STRIDE * 2)
  }

  load(slot: number, words: Int32Array, at: number): boolean {
    copyWords(words, at, this.#words, slot * STRIDE * 2, STRIDE * 2)
    if (allFinite(this.#state, slot * STRIDE, STRIDE)) return true
    this.reset(slot)
    return false
  }

  snapshot(slot: number): Uint8Array {
    return snapshotOf(this, slot)
  }

  restore(slot: number, state: Uint8Array): boolean {
    return restoreTo(this, slot, state)
  }

  #begin(base: number, at: number, value: number): void {
    const s = this.#state
    s[base + SEEN] = 1
    s[base + LAST_AT] = at
    s[base + LEVEL] = value
    s[base + FAST] = value
    s[base + LAST_VALUE] = value
    s[base + LEVEL_COUNT] = 1
    s[base + SHORT_SQUARE] = SHORT_DEVIATION ** 2
  }

  #forecast(base: number, at: number): Forecast {
    const s = this.#state
    const correlation = lagOneCorrelation(
      s[base + PRODUCT],
      s[base + SQUARE],
      s[base + SCALE_COUNT]
    )
    const gap = at - s[base + LAST_AT]
    // After a gap, or out of order, the last residual says nothing about this reading.
    const near = gap >= 0 && (s[base + INTERVAL] === 0 || gap <= 3 * s[base + INTERVAL])
    const spread = 1 / Math.sqrt(1 - correlation ** 2)
    const deviation = Math.sqrt(s[base + VARIANCE]) * (near ? 1 : spread)
    const scale = Math.max(deviation, this.#floor(base)) * smallSample(s[base + SCALE_COUNT])
    const carried = near ? correlation * s[base + PREVIOUS] : 0
    return { expected: s[base + LEVEL] + carried, scale, levelScale: near ? scale * spread : scale }
  }

  /**
   * Least scale: the sensor's resolution once steps of it were seen. A signal that has hardly ever
   * changed gets a thousandth of its level, so that its first change is an event of finite size; one
   * that is alive gets only a millionth, or a barometer's σ of 0.2 hPa would drown in 1013.
   */
  #floor(base: number): number {
    const s = this.#state
    const relative = s[base + STEPS] < STEPS_ALIVE ? 1e-3 : 1e-6
    const resolution = s[base + STEPS] < STEPS_BELIEVED ? 0 : s[base + RESOLUTION]
    return Math.max(resolution, relative * Math.abs(s[base + LEVEL]), 1e-12)
  }

  /** The short average with this reading in it, in units of its usual size. */
  #averaged(base: number, z: number): number {
    const s = this.#state
    const short = ewmaStep(s[base + SHORT], winsorize(z, SHORT_WINSOR), SHORT_GAIN)
    const usual = Math.max(SHORT_DEVIATION, Math.sqrt(s[base + SHORT_SQUARE]))
    return short / (usual * smallSample(s[base + SCALE_COUNT]))
  }

  #learnLevel(base: number, value: number, f: Forecast, outlier: boolean): void {
    const s = this.#state
    const limit = s[base + SEEN] < 8 ? Number.POSITIVE_INFINITY : WINSOR * f.levelScale
    const gain = ewmaGain(++s[base + LEVEL_COUNT], LEVEL_GAIN) * (outlier ? OUTLIER_RATE : 1)
    s[base + LEVEL] += gain * winsorize(value - s[base + LEVEL], limit)
  }

  #learnScale(base: number, value: number, f: Forecast, outlier: boolean): void {
    const s = this.#state
    const seen = s[base + SEEN]
    const early = seen < 8
    const gain = ewmaGain(++s[base + SCALE_COUNT], SCALE_GAIN)
    // Measured from a level that is itself an estimate: too large by 1/n.
    const bias = s[base + LEVEL_COUNT] < 50 ? 1 - 1 / s[base + LEVEL_COUNT] : 1
    const error = winsorize(value - f.expected, early ? Number.POSITIVE_INFINITY : WINSOR * f.scale)
    const rate = outlier ? OUTLIER_RATE : 1
    s[base + VARIANCE] = ewmaStep(s[base + VARIANCE], error * error * bias, gain * rate)
    const kept = f.expected + winsorize(value - f.expected, early ? Infinity : 3 * f.scale)
    const residual = kept - s[base + LEVEL]
    if (!outlier) {
      const product = residual * s[base + PREVIOUS]
      s[base + PRODUCT] = ewmaStep(s[base + PRODUCT], product, gain)
      s[base + SQUARE] = ewmaStep(s[base + SQUARE], residual * residual, gain)
    }
    s[base + PREVIOUS] = residual
  }

  #learnShort(base: number, z: number, outlier: boolean): void {
    const s = this.#state
    s[base + SHORT] = ewmaStep(s[base + SHORT], winsorize(z, SHORT_WINSOR), SHORT_GAIN)
    const square = Math.min(s[base + SHORT] ** 2, 16 * s[base + SHORT_SQUARE])
    const gain = SCALE_GAIN * (outlier ? OUTLIER_RATE : 1)
    s[base + SHORT_SQUARE] = ewmaStep(s[base + SHORT_SQUARE], square, gain)
  }

  #learnResolution(base: number, value: number): void {
    const s = this.#state
    const step = Math.abs(value - s[base + LAST_VALUE])
    s[base + LAST_VALUE] = value
    if (step === 0) return
    s[base + RESOLUTION] = s[base + STEPS] === 0 ? step : Math.min(step, s[base + RESOLUTION])
    s[base + STEPS]++
  }

  #learnInterval(base: number, at: number): void {
    const s = this.#state
    const gap = at - s[base + LAST_AT]
    const usual = s[base + INTERVAL]
    if (gap <= 0) {
      if (usual > 0 && -gap > CLOCK_SET_BACK * usual) s[base + LAST_AT] = at
      return
    }
    s[base + LAST_AT] = at
    s[base + INTERVAL] = usual === 0 ? gap : ewmaStep(usual, Math.min(gap, 5 * usual), 0.05)
  }

  /**
   * Takes what the readings have lately been for normal: the alternative is an alert that never ends
   * (a scale frozen by an outlier-shy estimate). Gains begin anew, so that the scale may grow fast.
   */
  #rebase(base: number): void {
    const s = this.#state
    s[base + LEVEL] = s[base + FAST]
    s[base + LEVEL_COUNT] = 10
    s[base + SCALE_COUNT] = Math.min(s[base + SCALE_COUNT], 20)
    s[base + PREVIOUS] = 0
    s[base + SHORT] = 0
    s[base + RUN] = 0
  }
}

interface Forecast {
  expected: number
  /** One deviation of the forecast's error. */
  scale: number
  /** One deviation of the signal around its level. */
  levelScale: number
}

/**
 * A scale from few readings is uncertain: widens it about as Student's t is wider than the normal
 * at 4.5 σ (1.2 at 30 readings, 1.06 at 100).
 */
function smallSample(n: number): number {
  return 1 + 6 / Math.max(5, Math.min(n, 400))
}

function sigmas(size: number): string {
  const magnitude = Math.abs(size)
  return magnitude > 1000 ? 'over 1000' : magnitude.toFixed(1)
}
