import { quantileSorted } from 'simple-statistics'
import { contributionWhitening, ridgeTowards, shrunkCovariance } from './linear-algebra.ts'

/** Rows that a forecast looks back on. */
export const LAGS = 3
/** How many rows of data the simple forecast, that is leant on, is worth. */
const RIDGE_ROWS = 200
/** One wild reading counts as so many standard deviations at most. */
const CLIP = 5
/** Of the weights of an exponential mean: behind that a fiftieth of the weight is left. */
const MEMORIES = 3.2
/** Standard deviations that are smaller, in scaled units, are rounding. */
const INNOVATION_MIN = 1e-3
const ORDINARY = 0.99

/**
 * Notices that a device no longer moves as it did: every metric is forecast from the last rows of all;
 * what the forecasts missed is averaged over a while, and measured against how such averages used to
 * lie together.
 *
 * Works when training saw ordinary operation. Metrics that wander (temperatures) are forecast from
 * themselves, so that wandering is no surprise; a lasting step of a steady one is. Does not see what
 * comes more slowly than the forecast follows. A row costs some metrics² × 3 multiplications.
 *
 *     z  = (value − mean) / std                                     per metric
 *     e  = clip((z − Σ lag · coefficients) / deviation, ±5)          what the forecast missed
 *     s  = Σ decay · e                                               over the last `decay.length` rows
 *     T  = |s · whitening|                                           the score; its squares by metric
 *
 * Sources: H. Hotelling, Multivariate quality control, 1947 (T²); C. A. Lowry et al., A multivariate
 * exponentially weighted moving average control chart, Technometrics 34 (1992); R. B. Litterman,
 * Forecasting with Bayesian vector autoregressions, 1986 (leaning on each metric's own last value).
 */
export interface InnovationModel {
  metrics: readonly string[]
  mean: Float64Array
  std: Float64Array
  /** [lag × metric, metric], lag 1 first. */
  coefficients: Float64Array
  /** Standard deviation of what the forecasts missed, scaled units. */
  deviation: Float64Array
  clip: number
  /** Weights that sum to 1, the newest row's first. */
  decay: Float64Array
  /** [metric, metric] */
  whitening: Float64Array
  /** 0.99 quantile of T over the training rows. */
  ordinary: number
}

/** Rows of a window: what a score depends on. */
export function windowRows(model: Pick<InnovationModel, 'decay'>): number {
  return LAGS + model.decay.length
}

export function windowRowsFor(smoothRows: number): number {
  return LAGS + decayLength(smoothRows)
}

/**
 * @param stretches Rows of ordinary operation, each stretch without gaps. At least one is longer than a
 *   window.
 * @param smoothRows Memory of the exponential mean.
 * @param persistence Per metric: what its next value has of this one, from elsewhere. Absent: as here.
 */
export function fitModel(
  metrics: readonly string[],
  stretches: readonly (readonly Float64Array[])[],
  smoothRows: number,
  persistence?: Float64Array
): InnovationModel {
  const m = metrics.length
  const { mean, std } = scalingOf(stretches, m)
  const scaled = stretches.map(rows => scale(rows, mean, std))
  const target = simpleForecast(persistence ?? persistenceOf(scaled, m))
  const coefficients = forecastFit(scaled, target, m)
  const missed = scaled.map(rows => innovations(rows, coefficients, m))
  const deviation = deviationOf(missed, m)
  const decay = decayWeights(smoothRows)
  const averages = missed.map(rows => smooth(clip(rows, deviation, CLIP), decay, m))
  const whitening = contributionWhitening(shrunkCovariance(averages, m))
  const scores = averages.flatMap(rows => [...lengths(times(rows, whitening, m), m)])
  const ordinary = quantileSorted(
    scores.sort((a, b) => a - b),
    ORDINARY
  )
  const parts = { mean, std, coefficients, deviation, decay, whitening, ordinary }
  return { metrics, clip: CLIP, ...parts }
}

/** @returns T of each row from the first with a whole window on: `windowRows` − 1 fewer than rows. */
export function scoresOf(model: InnovationModel, rows: readonly Float64Array[]): Float64Array {
  return lengths(componentsOf(model, rows), model.metrics.length)
}

/**
 * The same before it is summed up: the squares are the metrics' shares in T².
 *
 * @returns Rows × metrics, row by row.
 */
export function componentsOf(
  { metrics, mean, std, coefficients, deviation, clip: most, decay, whitening }: InnovationModel,
  rows: readonly Float64Array[]
): Float64Array {
  const m = metrics.length
  const missed = innovations(scale(rows, mean, std), coefficients, m)
  return times(smooth(clip(missed, deviation, most), decay, m), whitening, m)
}

export function scalingOf(stretches: readonly (readonly Float64Array[])[], m: number) {
  const count = stretches.reduce((sum, rows) => sum + rows.length, 0)
  const mean = new Float64Array(m)
  const std = new Float64Array(m)
  for (const rows of stretches) {
    for (const row of rows) for (let i = 0; i < m; i++) mean[i] += row[i] / count
  }
  for (const rows of stretches) {
    for (const row of rows) for (let i = 0; i < m; i++) std[i] += (row[i] - mean[i]) ** 2
  }
  for (let i = 0; i < m; i++) {
    std[i] = Math.sqrt(std[i] / Math.max(1, count - 1))
    // It did not move: any step is then one of a millionth of its level, and clipped.
    if (std[i] <= 1e-12 * Math.abs(mean[i])) std[i] = 1e-6 * Math.abs(mean[i]) || 1
  }
  return { mean, std }
}

// From here on tables are rows × metrics, one row after the other: a history has a million of them.

export function scale(
  rows: readonly Float64Array[],
  mean: Float64Array,
  std: Float64Array
): Float64Array {
  const m = mean.length
  const out = new Float64Array(rows.length * m)
  for (let t = 0; t < rows.length; t++) {
    const row = rows[t]
    for (let i = 0; i < m; i++) out[t * m + i] = (row[i] - mean[i]) / std[i]
  }
  return out
}

/** Per metric: how much of a scaled value the next has, 0…1. */
export function persistenceOf(scaled: readonly Float64Array[], m: number): Float64Array {
  return Float64Array.from({ length: m }, (_, i) => {
    let product = 0
    let square = 0
    for (const table of scaled) {
      for (let at = m + i; at < table.length; at += m) {
        product += table[at] * table[at - m]
        square += table[at - m] ** 2
      }
    }
    return square > 0 ? Math.min(1, Math.max(0, product / square)) : 0
  })
}

/** Each metric from its own last value, and nothing else. */
function simpleForecast(persistence: Float64Array): Float64Array {
  const m = persistence.length
  const target = new Float64Array(LAGS * m * m)
  for (let i = 0; i < m; i++) target[i * m + i] = persistence[i]
  return target
}

function forecastFit(
  scaled: readonly Float64Array[],
  target: Float64Array,
  m: number
): Float64Array {
  const k = LAGS * m
  const squares = new Float64Array(k * k)
  const products = new Float64Array(k * m)
  const x = new Float64Array(k)
  for (const table of scaled) {
    for (let at = k; at < table.length; at += m) {
      for (let lag = 0; lag < LAGS; lag++) {
        for (let i = 0; i < m; i++) x[lag * m + i] = table[at - (lag + 1) * m + i]
      }
      for (let a = 0; a < k; a++) {
        for (let b = 0; b <= a; b++) squares[a * k + b] += x[a] * x[b]
        for (let j = 0; j < m; j++) products[a * m + j] += x[a] * table[at + j]
      }
    }
  }
  for (let a = 0; a < k; a++) for (let b = 0; b < a; b++) squares[b * k + a] = squares[a * k + b]
  return ridgeTowards(squares, products, target, RIDGE_ROWS)
}

/** What the forecasts missed, from row `LAGS` on. */
function innovations(scaled: Float64Array, coefficients: Float64Array, m: number): Float64Array {
  const k = LAGS * m
  const missed = scaled.slice(Math.min(k, scaled.length))
  for (let at = 0; at < missed.length; at += m) {
    for (let lag = 0; lag < LAGS; lag++) {
      for (let i = 0; i < m; i++) {
        const past = scaled[at + k - (lag + 1) * m + i]
        const from = (lag * m + i) * m
        for (let j = 0; j < m; j++) missed[at + j] -= coefficients[from + j] * past
      }
    }
  }
  return missed
}

function deviationOf(missed: readonly Float64Array[], m: number): Float64Array {
  const squares = new Float64Array(m)
  let n = 0
  for (const table of missed) {
    for (let at = 0; at < table.length; at++) squares[at % m] += table[at] ** 2
    n += table.length / m
  }
  return squares.map(s => Math.max(INNOVATION_MIN, Math.sqrt(s / Math.max(1, n))))
}

/** In standard deviations; in place. */
function clip(missed: Float64Array, deviation: Float64Array, most: number): Float64Array {
  const m = deviation.length
  for (let at = 0; at < missed.length; at++) {
    missed[at] = Math.max(-most, Math.min(most, missed[at] / deviation[at % m]))
  }
  return missed
}

function decayLength(smoothRows: number): number {
  return Math.max(1, Math.ceil(MEMORIES * smoothRows))
}

function decayWeights(smoothRows: number): Float64Array {
  const keep = 1 - 1 / smoothRows
  const weights = Float64Array.from({ length: decayLength(smoothRows) }, (_, age) => keep ** age)
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map(w => w / sum)
}

/** Weighted mean of the last `decay.length` rows, for each row that has as many. */
function smooth(table: Float64Array, decay: Float64Array, m: number): Float64Array {
  const length = decay.length
  const count = table.length / m
  const out = new Float64Array(Math.max(0, count - length + 1) * m)
  const keep = length > 1 ? decay[1] / decay[0] : 0
  const leaving = keep * decay[length - 1]
  // As a running sum: what is too old is taken off again.
  for (let i = 0; i < m; i++) {
    let sum = 0
    for (let t = 0; t < count; t++) {
      const old = t >= length ? table[(t - length) * m + i] : 0
      sum = keep * sum + decay[0] * table[t * m + i] - leaving * old
      if (t >= length - 1) out[(t - length + 1) * m + i] = sum
    }
  }
  return out
}

function times(table: Float64Array, matrix: Float64Array, m: number): Float64Array {
  const out = new Float64Array(table.length)
  for (let at = 0; at < table.length; at += m) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < m; j++) out[at + j] += table[at + i] * matrix[i * m + j]
    }
  }
  return out
}

/** Of each row. */
function lengths(table: Float64Array, m: number): Float64Array {
  const out = new Float64Array(table.length / m)
  for (let at = 0; at < table.length; at++) out[Math.floor(at / m)] += table[at] ** 2
  return out.map(Math.sqrt)
}
