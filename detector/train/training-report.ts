import { pick, rowsOf, type TrainingHistory } from './history-rows.ts'
import { componentsOf, type InnovationModel, scoresOf, windowRows } from './innovation-model.ts'
import type { TrainedDetector } from './train.ts'

/** A time in which the detector would have had an alert open. */
export interface WouldBeAlert {
  device: string
  /** Epoch ms: the first row at or above the threshold, and the last. */
  startedAt: number
  endedAt: number
  /** Largest score, in thresholds. */
  peak: number
  /** With the largest part in that score. */
  metric: string
  share: number
}

export interface MetricReport {
  metric: string
  mean: number
  std: number
  /** Part of the variance that the forecast from the row before explains, 0…1. */
  forecast: number
}

export interface TrainingReport {
  rows: number
  devices: number
  stretches: number
  everyMs: number
  windowRows: number
  smoothRows: number
  metrics: MetricReport[]
  constant: readonly string[]
  threshold: {
    value: number
    budget: string
    /** Of the rows learned from, so many thresholds is their 0.99 quantile. */
    ordinary: number
    rehearsedOn: 'history' | 'prior'
    trainings: number
    heldOutRows: number
    heldOutMs: number
    /** Part of the held-out rows in alarm. */
    heldOutShare: number
    /** Alerts on held-out rows. */
    heldOutAlerts: number
    /** The held-out rows are too few to show so rare an alarm: extended from the largest scores. */
    extended: boolean
  }
  /** On the history itself, which it has learned from: what it would have said. */
  alerts: WouldBeAlert[]
}

/** As the engine's defaults: an alert ends with so many rows in a row below half the threshold. */
const CLEAR = 0.5
const CLEAR_ROWS = 5

export function reportOf(history: TrainingHistory, detector: TrainedDetector): TrainingReport {
  const { model, threshold, rehearsal, smoothRows, everyMs, budget } = detector
  const heldOut = rehearsal.runs.reduce((sum, run) => sum + run.length, 0)
  const line = threshold / model.ordinary
  const passed = rehearsal.runs.reduce((sum, run) => sum + run.filter(s => s >= line).length, 0)
  return {
    rows: rowsOf(history),
    devices: new Set(history.stretches.map(s => s.device)).size,
    stretches: history.stretches.length,
    everyMs,
    windowRows: windowRows(model),
    smoothRows,
    metrics: model.metrics.map((metric, i) => ({
      metric,
      mean: model.mean[i],
      std: model.std[i],
      forecast: Math.max(0, 1 - model.deviation[i] ** 2)
    })),
    constant: detector.constant,
    threshold: {
      value: threshold,
      budget: budget.text,
      ordinary: 1 / line,
      rehearsedOn: rehearsal.on,
      trainings: rehearsal.trainings,
      heldOutRows: heldOut,
      heldOutMs: heldOut * everyMs,
      heldOutShare: heldOut > 0 ? passed / heldOut : 0,
      heldOutAlerts: rehearsal.runs.reduce((sum, run) => sum + alertRanges(run, line).length, 0),
      extended: budget.kind === 'rate' && heldOut * everyMs * budget.alarms < budget.perMs
    },
    alerts: pick(history, model.metrics).stretches.flatMap(({ device, firstAt, rows }) => {
      return alertsOf(model, threshold, rows).map(({ first, last, peak, metric, share }) => ({
        device,
        startedAt: firstAt + first * everyMs,
        endedAt: firstAt + last * everyMs,
        ...{ peak, metric, share }
      }))
    })
  }
}

function alertsOf(model: InnovationModel, threshold: number, rows: readonly Float64Array[]) {
  const m = model.metrics.length
  const parts = componentsOf(model, rows)
  const scores = scoresOf(model, rows)
  const offset = rows.length - scores.length
  return alertRanges(scores, threshold).map(([first, last]) => {
    let top = first
    for (let t = first; t <= last; t++) if (scores[t] > scores[top]) top = t
    const squares = parts.slice(top * m, (top + 1) * m).map(p => p * p)
    const largest = squares.indexOf(Math.max(...squares))
    return {
      first: first + offset,
      last: last + offset,
      peak: scores[top] / threshold,
      metric: model.metrics[largest],
      share: squares[largest] / scores[top] ** 2
    }
  })
}

/** @returns First and last row at or above the threshold, of each alert. */
export function alertRanges(
  scores: Float64Array,
  threshold: number
): [first: number, last: number][] {
  const ranges: [number, number][] = []
  let open: [number, number] | undefined
  let quiet = 0
  for (const [t, score] of scores.entries()) {
    if (score >= threshold) {
      if (open) open[1] = t
      else {
        open = [t, t]
        ranges.push(open)
      }
    }
    quiet = score < CLEAR * threshold ? quiet + 1 : 0
    if (quiet >= CLEAR_ROWS) open = undefined
  }
  return ranges
}
