import { Prng } from '../../core/runtime/prng.ts'
import { Decider, type DecisionRule } from '../../detector/alert/decision.ts'
import {
  type NabProfile,
  type NabTally,
  nabScore,
  type RowValue,
  rowValues,
  sum,
  tally
} from '../../detector/evaluate/nab.ts'
import type { LabelledSeries } from '../../detector/evaluate/nab-report.ts'
import { scoreOfRatio } from '../../detector/scorer/scorer.ts'
import { type Forecast, type ViewOptions, viewScores } from './nab-views.ts'

/** One way to put a detector together. */
export interface Candidate {
  name: string
  /** Each group's views are averaged; the groups are then combined. */
  groups: readonly (readonly ViewOptions[])[]
  combine: 'mean' | 'power' | 'max'
  decision: keyof typeof DECISIONS
}

/** What happens after an alert. */
export const DECISIONS = {
  habituation: { offDelayReadings: 5, refractoryReadings: 10, habituation: 1 },
  'fixed rest': { offDelayReadings: 5, refractoryReadings: 40, habituation: 0 },
  none: { offDelayReadings: 1, refractoryReadings: 0, habituation: 0 }
} as const satisfies Record<string, Partial<DecisionRule>>

export const THRESHOLDS = Array.from({ length: 30 }, (_, i) => 0.35 * 1.12 ** i)

export interface Options {
  forecasts: readonly Forecast[]
  level: boolean
  rows: number
  scale: ViewOptions['scale']
  calibration: ViewOptions['calibration']
  transform: ViewOptions['transform']
  combine: Candidate['combine']
  decision: Candidate['decision']
}

export function candidate(options: Options): Candidate {
  const { forecasts, level, rows, scale, calibration, transform, combine, decision } = options
  const common = { rows, scale, calibration, transform }
  const groups = [
    forecasts.map((forecast): ViewOptions => ({ ...common, forecast, signed: false })),
    level ? [{ ...common, forecast: 'level' as const, signed: true }] : []
  ].filter(group => group.length > 0)
  const views = [...forecasts, ...(level ? ['level'] : [])].join(' + ')
  const name = [views, calibration, scale, `${rows} rows`, transform, combine, decision].join(', ')
  return { name, groups, combine, decision }
}

/** Files with everything about them that does not depend on the candidate. */
export class Corpus {
  readonly files: readonly LabelledSeries[]
  readonly #values: readonly RowValue[][]
  readonly #views = new Map<string, Float32Array[]>()

  constructor(files: readonly LabelledSeries[]) {
    this.files = files
    this.#values = files.map(rowValues)
  }

  /** @returns Of each threshold, of each file. */
  tallies(candidate: Candidate): NabTally[][] {
    const scores = this.#scores(candidate)
    return THRESHOLDS.map(threshold =>
      this.files.map((series, i) => {
        const alerts = alertsOf(series, scores[i], threshold, candidate.decision)
        return tally(series, alerts, this.#values[i])
      })
    )
  }

  #scores({ groups, combine }: Candidate): Float32Array[] {
    const of = groups.map(group => group.map(view => this.#view(view)))
    return this.files.map((series, file) => {
      const combined = new Float32Array(series.rows)
      for (let row = 0; row < series.rows; row++) {
        const means = of.map(
          views => views.reduce((all, v) => all + v[file][row], 0) / views.length
        )
        combined[row] = together(means, combine)
      }
      return combined
    })
  }

  #view(options: ViewOptions): Float32Array[] {
    const key = JSON.stringify(options)
    const known = this.#views.get(key) ?? this.files.map(series => viewScores(series, options))
    this.#views.set(key, known)
    return known
  }
}

function together(values: readonly number[], combine: Candidate['combine']): number {
  if (combine === 'max') return Math.max(...values)
  const power = combine === 'power' ? 1.5 : 1
  return (values.reduce((all, v) => all + v ** power, 0) / values.length) ** (1 / power)
}

/** The product's decision over scores in units of a threshold. */
function alertsOf(
  series: LabelledSeries,
  scores: Float32Array,
  threshold: number,
  decision: Candidate['decision']
): number[] {
  const rule = { raise: 0.8, clear: 0.5, onDelay: { readings: 1, of: 1 }, ...DECISIONS[decision] }
  const decider = new Decider(rule)
  decider.reserve(1)
  const paceMs = (series.at[series.rows - 1] - series.at[0]) / series.rows
  const alerts: number[] = []
  let resting = 0
  for (let row = 0; row < series.rows; row++) {
    const ratio = scores[row] / threshold
    // A quiet decider forgets a low score at once.
    if (ratio < 1 && resting === 0 && !decider.isOpen(0)) continue
    if (resting > 0) resting--
    const { state } = decider.decide(0, { at: series.at[row], score: scoreOfRatio(ratio) }, paceMs)
    if (state === 'raise') alerts.push(row)
    if (state === 'clear') resting = rule.refractoryReadings
  }
  return alerts
}

export interface Choice {
  candidate: number
  threshold: number
  /** Its robust score on the files it was chosen on. */
  score: number
}

const BOOTSTRAPS = 10
const NEIGHBOURS = 2

/**
 * Chooses structure, constants and threshold on some files alone: the best mean over resampled files
 * and neighbouring thresholds, so that a lucky combination does not win.
 *
 * @param tallies Of each candidate, threshold and file.
 */
export function choose(
  tallies: readonly NabTally[][][],
  files: readonly number[],
  profile: NabProfile,
  prng: Prng
): Choice {
  const samples = [files]
  for (let i = 0; i < BOOTSTRAPS; i++) samples.push(files.map(() => prng.pick(files)))
  let best: Choice = { candidate: 0, threshold: 0, score: Number.NEGATIVE_INFINITY }
  for (const [candidate, byThreshold] of tallies.entries()) {
    const scores = byThreshold.map(byFile =>
      meanOf(samples.map(sample => nabScore(profile, sum(sample.map(file => byFile[file])))))
    )
    for (const threshold of scores.keys()) {
      const near = scores.slice(Math.max(0, threshold - NEIGHBOURS), threshold + NEIGHBOURS + 1)
      const score = meanOf(near)
      if (score > best.score) best = { candidate, threshold, score }
    }
  }
  return best
}

export interface CrossScore {
  /** Of the parts' scores; and of all parts together, as if they were one. */
  mean: number
  pooled: number
  winners: Map<number, number>
}

/** Chooses on one part, scores on the other, for each pair of parts. */
export function crossValidate(
  tallies: readonly NabTally[][][],
  parts: readonly (readonly [chosenOn: number[], scoredOn: number[]])[],
  profile: NabProfile,
  seed: number
): CrossScore {
  const prng = new Prng(seed)
  const winners = new Map<number, number>()
  const totals = parts.map(([chosenOn, scoredOn]) => {
    const { candidate, threshold } = choose(tallies, chosenOn, profile, prng)
    winners.set(candidate, (winners.get(candidate) ?? 0) + 1)
    return sum(scoredOn.map(file => tallies[candidate][threshold][file]))
  })
  const mean = meanOf(totals.map(total => nabScore(profile, total)))
  return { mean, pooled: nabScore(profile, sum(totals)), winners }
}

/** Both halves of so many random splits. */
export function halves(files: number, splits: number, seed: number): [number[], number[]][] {
  const prng = new Prng(seed)
  return Array.from({ length: splits }, () => {
    const order = Array.from({ length: files }, (_, i) => i)
    for (let i = files - 1; i > 0; i--) {
      const j = prng.int(i + 1)
      ;[order[i], order[j]] = [order[j], order[i]]
    }
    const [a, b] = [order.slice(0, files >> 1), order.slice(files >> 1)]
    return [
      [a, b],
      [b, a]
    ] as [number[], number[]][]
  }).flat()
}

export function meanOf(values: readonly number[]): number {
  return values.reduce((all, v) => all + v, 0) / values.length
}
