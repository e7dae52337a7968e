import { OperationalError } from '../../core/runtime/errors.ts'
import { type AlarmBudget, thresholdFor } from './alarm-budget.ts'
import { pick, rowsOf, type TrainingHistory } from './history-rows.ts'
import { fitModel, type InnovationModel, scoresOf, windowRowsFor } from './innovation-model.ts'
import { priorPersistence, type Rehearsal, rehearse } from './rehearsal.ts'

export interface TrainingOptions {
  budget: AlarmBudget
  /** Memory of the average of what forecasts missed. Default: `smoothRowsFor`. */
  smoothRows?: number
  /** The same metrics, without anomalies: what to lean on where the history is short. */
  prior?: TrainingHistory
}

/** A detector for one kind of device. */
export interface TrainedDetector {
  model: InnovationModel
  /** Of the model's T: an alarm from here on. */
  threshold: number
  smoothRows: number
  everyMs: number
  ageMsMax: number
  budget: AlarmBudget
  rehearsal: Rehearsal
  /** Metrics that never changed and are left out. */
  constant: readonly string[]
}

const SMOOTH_MS = 20_000
const SMOOTH_ROWS_MIN = 5
const SMOOTH_ROWS_MAX = 200
/** Windows that training needs at least, in rows with a whole window behind them. */
const WINDOWS_MIN = 3
/** Beyond, the equations take minutes; a device's own kinds of readings are fewer. */
export const METRICS_MAX = 64

/** Twenty seconds, where rows come by the second; five rows where they come by the minute. */
export function smoothRowsFor(everyMs: number): number {
  const rows = Math.round(SMOOTH_MS / everyMs)
  return Math.max(SMOOTH_ROWS_MIN, Math.min(SMOOTH_ROWS_MAX, rows))
}

/**
 * Learns what is ordinary, and where an alarm would begin: see `InnovationModel`, `rehearse` and
 * `thresholdFor`. The same history gives the same detector, bit for bit.
 *
 * @throws {OperationalError} HISTORY_UNFIT: too few rows, no metric that changes, or a prior that
 *   lacks one.
 */
export function train(history: TrainingHistory, options: TrainingOptions): TrainedDetector {
  const { budget, smoothRows = smoothRowsFor(history.everyMs) } = options
  const moving = history.metrics.filter((_, column) => changes(history, column))
  if (moving.length === 0) throw unfit('None of its metrics ever changes.')
  if (moving.length > METRICS_MAX) {
    throw unfit(`It has ${moving.length} metrics, ${METRICS_MAX} at most can be learned together.`)
  }
  const used = moving.length === history.metrics.length ? history : pick(history, moving)
  checkLength(used, smoothRows)
  const prior = options.prior && priorFor(options.prior, moving)
  const stretches = used.stretches.map(s => s.rows)
  const model = fitModel(moving, stretches, smoothRows, prior && priorPersistence(prior))
  const rehearsal = rehearse(used, smoothRows, prior)
  const { everyMs, ageMsMax } = history
  // Rows it learned from can only flatter it; where they do not, a calm rehearsal has no last word.
  const learned = stretches.map(rows => scoresOf(model, rows).map(s => s / model.ordinary))
  const lines = [rehearsal.runs, learned].map(runs =>
    thresholdFor(budget, { runs, everyMs, windowRows: windowRowsFor(smoothRows) })
  )
  return {
    model,
    threshold: model.ordinary * Math.max(...lines),
    ...{ smoothRows, everyMs, ageMsMax, budget, rehearsal },
    constant: history.metrics.filter(metric => !moving.includes(metric))
  }
}

function changes({ stretches }: TrainingHistory, column: number): boolean {
  const first = stretches[0]?.rows[0]?.[column]
  return stretches.some(({ rows }) => rows.some(row => row[column] !== first))
}

function checkLength(history: TrainingHistory, smoothRows: number): void {
  const window = windowRowsFor(smoothRows)
  const judged = history.stretches.reduce(
    (sum, { rows }) => sum + Math.max(0, rows.length - window + 1),
    0
  )
  if (judged >= WINDOWS_MIN * window) return
  throw unfit(
    `It has ${rowsOf(history)} rows in ${history.stretches.length} stretches without gaps; a window ` +
      `takes ${window} rows, and ${WINDOWS_MIN * window} rows with a whole window behind them are ` +
      `needed, there are ${judged}. Give a longer history, or a shorter memory with --smooth.`
  )
}

function priorFor(prior: TrainingHistory, metrics: readonly string[]): TrainingHistory {
  const missing = metrics.filter(metric => !prior.metrics.includes(metric))
  if (missing.length === 0) return pick(prior, metrics)
  throw unfit(`The prior recording lacks ${missing.join(', ')}: it must have every metric.`)
}

function unfit(why: string): OperationalError {
  return new OperationalError('HISTORY_UNFIT', `The history cannot be learned from. ${why}`)
}
