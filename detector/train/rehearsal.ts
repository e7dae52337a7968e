import { before, instantAt, rowsOf, type TrainingHistory } from './history-rows.ts'
import {
  fitModel,
  type InnovationModel,
  persistenceOf,
  scale,
  scalingOf,
  scoresOf,
  windowRowsFor
} from './innovation-model.ts'

/** What a training like the real one would have said about rows it had not seen. */
export interface Rehearsal {
  /**
   * `history`: trained on its first quarter, half and three quarters, where that is enough, judged on
   * the quarter that followed.
   * `prior`: trained on as many rows of the prior recording as the history has, in many places, and
   * judged on as many that followed.
   */
  on: 'history' | 'prior'
  trainings: number
  /** Scores over the training's own `ordinary`, a run for each training and stretch. */
  runs: Float64Array[]
}

const STEPS_PER_LENGTH = 4
const PLACES_MAX = 100
/** Fewer rows than this many windows teach nothing. */
const WINDOWS_MIN = 2

/**
 * A model does not judge its own training rows fairly: it was made so that they are ordinary, and
 * what wanders has not wandered far yet. So the training is rehearsed, with time moving on as it will.
 *
 * @param prior A recording without anomalies; used where it has room for trainings of this length.
 */
export function rehearse(
  history: TrainingHistory,
  smoothRows: number,
  prior?: TrainingHistory
): Rehearsal {
  return (
    (prior && onPrior(prior, rowsOf(history), smoothRows)) ??
    onHistory(history, smoothRows, prior && priorPersistence(prior))
  )
}

/** How each metric follows itself in a recording, for `fitModel`. */
export function priorPersistence({ metrics, stretches }: TrainingHistory): Float64Array {
  const rows = stretches.map(s => s.rows)
  const { mean, std } = scalingOf(rows, metrics.length)
  const scaled = rows.map(each => scale(each, mean, std))
  return persistenceOf(scaled, metrics.length)
}

/** Of a prior: many histories of one length are rehearsed on it alike. */
const rehearsed = new WeakMap<TrainingHistory, Map<string, Rehearsal>>()

/** @returns Undefined where the prior has not enough room. */
function onPrior(prior: TrainingHistory, length: number, smoothRows: number) {
  const known = rehearsed.get(prior) ?? new Map<string, Rehearsal>()
  rehearsed.set(prior, known)
  const key = `${length}/${smoothRows}`
  const places = known.has(key) ? [] : placesIn(prior, length)
  if (places.length >= STEPS_PER_LENGTH) known.set(key, rehearseAt(places, prior, smoothRows))
  return known.get(key)
}

function rehearseAt(
  places: readonly (readonly Float64Array[])[],
  prior: TrainingHistory,
  smoothRows: number
): Rehearsal {
  const { metrics } = prior
  const persistence = priorPersistence(prior)
  const every = Math.ceil(places.length / PLACES_MAX)
  const chosen = places.filter((_, i) => i % every === 0)
  const runs = chosen.map(rows => {
    const length = rows.length / 2
    const model = fitModel(metrics, [rows.slice(0, length)], smoothRows, persistence)
    return inOwnUnits(model, scoresOf(model, rows)).slice(-length)
  })
  return { on: 'prior', trainings: runs.length, runs }
}

/** Stretches of twice the length: to learn from, and to judge. */
function placesIn({ stretches }: TrainingHistory, length: number): Float64Array[][] {
  const step = Math.max(1, Math.floor(length / STEPS_PER_LENGTH))
  return stretches.flatMap(({ rows }) => {
    const places: Float64Array[][] = []
    for (let first = 0; first + 2 * length <= rows.length; first += step) {
      places.push(rows.slice(first, first + 2 * length))
    }
    return places
  })
}

function onHistory(
  history: TrainingHistory,
  smoothRows: number,
  persistence: Float64Array | undefined
): Rehearsal {
  const rehearsal: Rehearsal = { on: 'history', trainings: 0, runs: [] }
  const lookBack = windowRowsFor(smoothRows) - 1
  const rowAt = (firstAt: number, at: number) =>
    Math.max(0, Math.ceil((at - firstAt) / history.everyMs))
  for (const [learned, judged] of [
    [0.25, 0.5],
    [0.5, 0.75],
    [0.75, 1]
  ]) {
    const from = instantAt(history, learned)
    const until = judged === 1 ? Infinity : instantAt(history, judged)
    const stretches = before(history, from).stretches.map(s => s.rows)
    const rows = stretches.reduce((sum, s) => sum + Math.max(0, s.length - lookBack), 0)
    if (rows < WINDOWS_MIN * lookBack) continue
    const model = fitModel(history.metrics, stretches, smoothRows, persistence)
    rehearsal.trainings++
    for (const { firstAt, rows } of history.stretches) {
      const first = rowAt(firstAt, from)
      const judgedRows = rows.slice(Math.max(0, first - lookBack), rowAt(firstAt, until))
      const run = inOwnUnits(model, scoresOf(model, judgedRows))
      if (run.length > 0) rehearsal.runs.push(run)
    }
  }
  return rehearsal
}

function inOwnUnits({ ordinary }: InnovationModel, scores: Float64Array): Float64Array {
  return scores.map(score => score / ordinary)
}
