import { quantileSorted } from 'simple-statistics'
import { OperationalError } from '../../core/runtime/errors.ts'

/**
 * How many false alarms are bearable.
 *
 *   rate   alarms of one device in a time
 *   share  part of the rows that may be in alarm
 */
export type AlarmBudget =
  | { kind: 'rate'; alarms: number; perMs: number; text: string }
  | { kind: 'share'; share: number; text: string }

const PERIODS: Readonly<Record<string, number>> = {
  hour: 3_600_000,
  day: 86_400_000,
  week: 7 * 86_400_000,
  month: 30 * 86_400_000,
  year: 365 * 86_400_000
}

/** @param text `1/week`, `2/day`, `0.5/month`, or a share of the time: `1%`. */
export function parseBudget(text: string): AlarmBudget {
  const share = /^(\d+(?:\.\d+)?)\s*%$/.exec(text)
  if (share && Number(share[1]) > 0 && Number(share[1]) < 100) {
    return { kind: 'share', share: Number(share[1]) / 100, text }
  }
  const rate = /^(\d+(?:\.\d+)?)\s*(?:\/|per|an?)\s*(hour|day|week|month|year)$/.exec(text)
  if (rate && Number(rate[1]) > 0) {
    return { kind: 'rate', alarms: Number(rate[1]), perMs: PERIODS[rate[2]], text }
  }
  const message = `A budget of false alarms is "${text}"; write it as 1/week, 2/day (hour, month, year) or, as a share of the time, 1%`
  throw new OperationalError('USAGE', message)
}

/** Scores of rows that a model did not learn from, one run after the other, in units of its own. */
export interface HeldOut {
  runs: readonly Float64Array[]
  everyMs: number
  /** Rows that a score looks back on: scores further apart have nothing in common. */
  windowRows: number
}

/** From so many extremes on the tail is read from the data; otherwise it is extended. */
const EXTREMES_MIN = 10
const EXTREMES_SHARE = 0.1

/**
 * The score that held-out rows pass as often as the budget allows.
 *
 * For a rate, of the maxima of blocks of one window: each block in which the score is passed is an
 * alarm. What is rarer than the rows can show is extended exponentially from the largest tenth, their
 * mean excess taken one standard error larger than it came out.
 *
 * Source: J. Pickands, Statistical inference using extreme order statistics, 1975, with shape 0; for
 * the light tails of T this is on the safe side.
 */
export function thresholdFor(budget: AlarmBudget, heldOut: HeldOut): number {
  if (budget.kind === 'share') {
    return quantileSorted(sorted(heldOut.runs.flatMap(run => [...run])), 1 - budget.share)
  }
  const maxima = sorted(heldOut.runs.flatMap(run => blockMaxima(run, heldOut.windowRows)))
  const blockMs = heldOut.windowRows * heldOut.everyMs
  const passed = Math.min(0.5, (budget.alarms * blockMs) / budget.perMs)
  const extremes = Math.min(
    maxima.length - 1,
    Math.max(EXTREMES_MIN, Math.round(EXTREMES_SHARE * maxima.length))
  )
  if (extremes < 1) return maxima[0]
  if (passed * maxima.length >= extremes) return quantileSorted(maxima, 1 - passed)
  const from = maxima[maxima.length - 1 - extremes]
  const excess = maxima.slice(-extremes).reduce((sum, x) => sum + x - from, 0) / extremes
  const usual = excess * (1 + 1 / Math.sqrt(extremes))
  return from + usual * Math.log(extremes / (passed * maxima.length))
}

function blockMaxima(run: Float64Array, length: number): number[] {
  const maxima: number[] = []
  for (let first = 0; first < run.length; first += length) {
    let largest = 0
    for (let t = first; t < Math.min(run.length, first + length); t++) {
      largest = Math.max(largest, run[t])
    }
    // A short rest counts as a whole block if it is most of one.
    if (run.length - first >= length / 2 || run.length < length) maxima.push(largest)
  }
  return maxima
}

function sorted(values: number[]): number[] {
  return values.sort((a, b) => a - b)
}
