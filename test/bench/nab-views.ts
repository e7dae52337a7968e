import type { LabelledSeries } from '../../detector/evaluate/nab-report.ts'
import { ewmaGain, ewmaStep } from '../../detector/stats/ewma.ts'
import { TAIL_SIZE, tailDoubt, tailLearn, tailScore } from '../../detector/stats/tail.ts'
import { winsorize } from '../../detector/stats/winsorize.ts'

/**
 * The parts that a univariate detector can be put together from, in plain form: what the search
 * chooses among, and what the ablation takes away. The product's own is scorer/auto-rows.ts.
 */
export interface ViewOptions {
  forecast: Forecast
  /** Average over so many rows; of |z|, or of z and then its size. */
  rows: number
  signed: boolean
  scale: 'deviation' | 'root'
  calibration: 'tail' | 'likelihood'
  transform: 'none' | 'sqrt'
}

export type Forecast =
  /** Slow mean; last value. */
  | 'level'
  | 'last'
  /** Running mean of a slot of the day or week, fed row by row. */
  | 'day24'
  | 'day48'
  | 'week168'
  /** Level, day and week, weighted by their usual errors; fed row by row, or visit by visit. */
  | 'blend'
  | 'blend by visit'

const DAY_MS = 86_400_000
const LEVEL_GAIN = 0.002
const SCALE_GAIN = 0.0006
const TRIAL = 50

/** @returns A score a row: how far beyond the usual, in units of the calibration; 0 early. */
export function viewScores(series: LabelledSeries, options: ViewOptions): Float32Array {
  const forecaster = forecasterOf(options.forecast)
  const calibrate = options.calibration === 'tail' ? tailCalibration() : likelihood()
  const root = options.scale === 'root'
  const limit = root ? 40 : 25
  const scores = new Float32Array(series.rows)
  let size = 0
  let average = 0
  let seen = 0
  for (let row = 0; row < series.rows; row++) {
    const value = transformed(series.values[row], options.transform)
    if (!Number.isFinite(value)) continue
    const expected = forecaster.expect(series.at[row])
    if (!Number.isNaN(expected)) {
      const residual = value - expected
      seen++
      if (seen > 2) {
        const scale = Math.max(root ? size * size : Math.sqrt(size), 1e-9)
        const z = winsorize(residual / scale, limit)
        average = ewmaStep(
          average,
          options.signed ? z : Math.abs(z),
          ewmaGain(seen, 1 / options.rows)
        )
        if (forecaster.changed?.()) calibrate.doubt?.()
        scores[row] = calibrate.score(Math.abs(average), seen)
      }
      const part = root ? Math.sqrt(Math.abs(residual)) : residual * residual
      size = ewmaStep(size, part, ewmaGain(seen, SCALE_GAIN))
    }
    forecaster.learn(value)
  }
  return scores
}

function transformed(value: number, transform: ViewOptions['transform']): number {
  return transform === 'sqrt' ? Math.sign(value) * Math.sqrt(Math.abs(value)) : value
}

interface Calibration {
  score: (value: number, seen: number) => number
  doubt?: () => void
}

function tailCalibration(): Calibration {
  const state = new Float32Array(TAIL_SIZE)
  return {
    score: (value, seen) => {
      const score = tailScore(state, 0, value)
      tailLearn(state, 0, value, seen)
      return score
    },
    doubt: () => tailDoubt(state, 0)
  }
}

/** Deviations of the average from its own mean. Source: Ahmad et al., 2017 (anomaly likelihood). */
function likelihood(): Calibration {
  let mean = 0
  let square = 0
  return {
    score: (value, seen) => {
      const residual = value - mean
      const score = seen > 20 ? Math.max(0, residual) / Math.max(Math.sqrt(square), 1e-6) / 2.5 : 0
      square = ewmaStep(square, residual * residual, ewmaGain(seen, 0.001))
      mean = ewmaStep(mean, value, ewmaGain(seen, 0.001))
      return score
    }
  }
}

interface Forecaster {
  /** @returns NaN where it has no opinion. */
  expect: (at: number) => number
  /** The value at the instant last asked for. */
  learn: (value: number) => void
  /** A forecaster has joined in: what is usual will soon be otherwise. Asked once a row. */
  changed?: () => boolean
}

function forecasterOf(forecast: Forecast): Forecaster {
  if (forecast === 'level') return meanOf(LEVEL_GAIN)
  if (forecast === 'last') return meanOf(1)
  if (forecast === 'day24') return slotsOf(24, 1, 0.2, 6)
  if (forecast === 'day48') return slotsOf(48, 1, 0.2, 6)
  if (forecast === 'week168') return slotsOf(24, 7, 0.3, 2)
  return forecast === 'blend'
    ? blendOf([meanOf(LEVEL_GAIN), slotsOf(48, 1, 0.2, 1), slotsOf(12, 7, 0.3, 1)])
    : blendOf([meanOf(LEVEL_GAIN), visitsOf(48, 1, 0.3), visitsOf(12, 7, 0.3)])
}

function meanOf(gain: number): Forecaster {
  let mean = 0
  let seen = 0
  return {
    expect: () => (seen > 2 ? mean : Number.NaN),
    learn: value => {
      mean = ewmaStep(mean, value, ewmaGain(++seen, gain))
    }
  }
}

function slotOf(at: number, slotsADay: number, days: number): number {
  const span = days * DAY_MS
  return Math.floor(((at - Math.floor(at / span) * span) * slotsADay) / DAY_MS)
}

/** @param trust Rows that a slot must have had. */
function slotsOf(slotsADay: number, days: number, gain: number, trust: number): Forecaster {
  const means = new Float64Array(slotsADay * days)
  const seen = new Float64Array(slotsADay * days)
  let slot = 0
  return {
    expect: at => {
      slot = slotOf(at, slotsADay, days)
      return seen[slot] >= trust ? means[slot] : Number.NaN
    },
    learn: value => {
      means[slot] = ewmaStep(means[slot], value, ewmaGain(++seen[slot], gain))
    }
  }
}

function visitsOf(slotsADay: number, days: number, gain: number): Forecaster {
  const means = new Float64Array(slotsADay * days).fill(Number.NaN)
  let slot = 0
  let visited = -1
  let visit = 0
  let rows = 0
  return {
    expect: at => {
      slot = slotOf(at, slotsADay, days)
      return means[slot]
    },
    learn: value => {
      if (slot !== visited) {
        if (rows > 0) {
          means[visited] = Number.isNaN(means[visited])
            ? visit
            : ewmaStep(means[visited], visit, gain)
        }
        visited = slot
        rows = 0
      }
      visit = ewmaStep(rows === 0 ? value : visit, value, 1 / ++rows)
    }
  }
}

function blendOf(parts: readonly Forecaster[]): Forecaster {
  const errors = parts.map(() => 0)
  const tried = parts.map(() => 0)
  const expected = parts.map(() => Number.NaN)
  let joined = false
  return {
    changed: () => {
      const was = joined
      joined = false
      return was
    },
    expect: at => {
      let sum = 0
      let weights = 0
      for (const [i, part] of parts.entries()) {
        expected[i] = part.expect(at)
        if (tried[i] < TRIAL || Number.isNaN(expected[i])) continue
        const weight = 1 / (errors[i] ** 2 + 1e-30)
        sum += weight * expected[i]
        weights += weight
      }
      return weights > 0 ? sum / weights : Number.NaN
    },
    learn: value => {
      for (const [i, part] of parts.entries()) {
        if (!Number.isNaN(expected[i])) {
          const error = Math.abs(value - expected[i])
          const counted = tried[i] > TRIAL ? Math.min(error, 8 * errors[i]) : error
          errors[i] = ewmaStep(errors[i], counted, ewmaGain(++tried[i], 0.001))
          if (i > 0 && tried[i] === TRIAL) joined = true
        }
        part.learn(value)
      }
    }
  }
}
