import { parseBudget } from '../train/alarm-budget.ts'
import type { TrainingHistory } from '../train/history-rows.ts'
import { scoresOf } from '../train/innovation-model.ts'
import { type TrainedDetector, train } from '../train/train.ts'

/**
 * The Skoltech Anomaly Benchmark: a pump test rig, a reading of eight sensors a second. The first 400
 * rows of each file are learned, the rest is judged row by row.
 *
 * Source: I. D. Katser, V. O. Kozitsin, Skoltech Anomaly Benchmark, 2020 (github.com/waico/SKAB).
 */
export interface SkabFile {
  /** `<folder>/<file>.csv` */
  name: string
  metrics: readonly string[]
  /** As the file writes them. */
  times: readonly string[]
  /** NaN where a number is missing. */
  rows: readonly Float64Array[]
  /** 1: labelled anomalous. */
  labels: Uint8Array
}

export const SKAB_TRAINING_ROWS = 400
const EVERY_MS = 1000
/**
 * An eighth of the rows in alarm, when a training of 400 rows anywhere in the anomaly-free recording
 * is judged on the 400 rows that follow. From a tenth to a sixth the figures hardly change.
 */
export const SKAB_BUDGET = '12.5%'

export interface SkabCounts {
  /** Rows judged, and of them labelled. */
  rows: number
  anomalous: number
  falseAlarms: number
  missed: number
}

export interface SkabResult {
  file: SkabFile
  threshold: number
  /** 0 or 1 for each row of the file; 0 for those learned. */
  alarms: Uint8Array
  counts: SkabCounts
}

/** Trains on a file's first rows and judges the others, each by what came before it. */
export function judgeSkabFile(
  file: SkabFile,
  prior: TrainingHistory | undefined,
  budget: string = SKAB_BUDGET
): SkabResult {
  const rows = filled(file.rows)
  const detector = trainOn(file, rows, prior, budget)
  const used = detector.model.metrics.map(metric => file.metrics.indexOf(metric))
  const wanted = rows.map(row => Float64Array.from(used, column => row[column]))
  const scores = scoresOf(detector.model, wanted)
  const alarms = new Uint8Array(rows.length)
  const first = rows.length - scores.length
  for (let t = SKAB_TRAINING_ROWS; t < rows.length; t++) {
    if (scores[t - first] >= detector.threshold) alarms[t] = 1
  }
  return { file, threshold: detector.threshold, alarms, counts: countAlarms(file.labels, alarms) }
}

function trainOn(
  { name, metrics }: SkabFile,
  rows: readonly Float64Array[],
  prior: TrainingHistory | undefined,
  budget: string
): TrainedDetector {
  const stretch = { device: name, firstAt: 0, rows: rows.slice(0, SKAB_TRAINING_ROWS) }
  const history = { metrics, everyMs: EVERY_MS, ageMsMax: 0, stretches: [stretch] }
  return train(history, { budget: parseBudget(budget), ...(prior ? { prior } : {}) })
}

/** The anomaly-free recording; its rows follow one another, as the benchmark's own readers take them. */
export function skabPrior(file: SkabFile): TrainingHistory {
  const stretches = [{ device: file.name, firstAt: 0, rows: filled(file.rows) }]
  return { metrics: file.metrics, everyMs: EVERY_MS, ageMsMax: 0, stretches }
}

/** A missing number is the last one; before the first, 0 is all that can be said without looking on. */
function filled(rows: readonly Float64Array[]): Float64Array[] {
  let last: Float64Array | undefined
  return rows.map(row => {
    const full = row.map((v, i) => (Number.isFinite(v) ? v : (last?.[i] ?? 0)))
    last = full
    return full
  })
}

/** Over the rows that are not learned. */
export function countAlarms(labels: Uint8Array, alarms: Uint8Array): SkabCounts {
  const counts = { rows: 0, anomalous: 0, falseAlarms: 0, missed: 0 }
  for (let t = SKAB_TRAINING_ROWS; t < labels.length; t++) {
    counts.rows++
    if (labels[t]) {
      counts.anomalous++
      if (!alarms[t]) counts.missed++
    } else if (alarms[t]) counts.falseAlarms++
  }
  return counts
}

export function addCounts(all: readonly SkabCounts[]): SkabCounts {
  const sum = (of: (counts: SkabCounts) => number) => all.reduce((s, counts) => s + of(counts), 0)
  return {
    rows: sum(c => c.rows),
    anomalous: sum(c => c.anomalous),
    falseAlarms: sum(c => c.falseAlarms),
    missed: sum(c => c.missed)
  }
}

/** Percent; null where there is nothing to divide by. F1 0…1. */
export interface SkabFigures {
  far: number | null
  mar: number | null
  f1: number | null
}

export function figuresOf({ rows, anomalous, falseAlarms, missed }: SkabCounts): SkabFigures {
  const found = anomalous - missed
  const ratio = (part: number, all: number) => (all > 0 ? part / all : null)
  const percent = (part: number, all: number) => (all > 0 ? (100 * part) / all : null)
  return {
    far: percent(falseAlarms, rows - anomalous),
    mar: percent(missed, anomalous),
    f1: ratio(2 * found, 2 * found + falseAlarms + missed)
  }
}
