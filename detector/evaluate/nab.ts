/**
 * Judges alerts as the Numenta Anomaly Benchmark does. A window of rows around each anomaly; each
 * counts once, by its first alert, the earlier the better; every alert row outside costs; the first
 * rows of a file, in which a detector may learn, count for nothing.
 *
 * Source: A. Lavin & S. Ahmad, Evaluating real-time anomaly detection algorithms, ICMLA 2015; NAB's
 * own scorer and sweeper (numenta/NAB, nab/scorer.py, nab/sweeper.py), with which this agrees.
 */
export interface NabSeries {
  /** `realTweets/Twitter_volume_FB.csv` */
  name: string
  rows: number
  /**
   * Rows of each window, first and last, both in it; by first row. A row of two windows belongs to
   * the one that ends first.
   */
  windows: readonly (readonly [first: number, last: number])[]
}

export interface NabProfile {
  name: string
  truePositive: number
  falseNegative: number
  falsePositive: number
}

const PROBATION_SHARE = 0.15
const PROBATION_ROWS_MAX = 750
/** Window widths after a window at which a false alarm costs all. */
const FULL_COST_WIDTHS = 3
const EARLIEST = sigmoid(-1)

/** Rows at the beginning of a file that are not judged. */
export function probationRows(rows: number): number {
  return Math.min(Math.floor(PROBATION_SHARE * rows), PROBATION_ROWS_MAX)
}

export interface RowValue {
  /** Index of the window that the row lies in; −1 outside. */
  window: number
  /** Inside: share of the window's credit, 1 on its first row. Outside: cost of an alert, −1…0. */
  value: number
}

/** What an alert on a row is worth, for every row of a file. */
export function rowValues({ rows, windows }: NabSeries): RowValue[] {
  const values: RowValue[] = []
  let next = 0
  for (let row = 0; row < rows; row++) {
    while (next < windows.length && windows[next][1] < row) next++
    const [first, last] = windows[next] ?? [rows, rows]
    if (row >= first) {
      const position = -(last - row + 1) / (last - first + 1)
      values.push({ window: next, value: sigmoid(position) / EARLIEST })
    } else {
      values.push({ window: -1, value: next === 0 ? -1 : costAfter(windows[next - 1], row) })
    }
  }
  return values
}

function costAfter([first, last]: readonly [number, number], row: number): number {
  const widths = (row - last) / (last - first)
  return widths > FULL_COST_WIDTHS ? -1 : sigmoid(widths)
}

/** 1 far before, 0 at, −1 far after the end of a window. */
function sigmoid(position: number): number {
  return 2 / (1 + Math.exp(5 * position)) - 1
}

/** What the alerts of one file, or of several, add up to. */
export interface NabTally {
  windows: number
  found: number
  /** Credits of the windows found. */
  credit: number
  /** Alert rows outside all windows, and their costs, negative. */
  falseRows: number
  cost: number
}

/** @param alerts Rows with an alert; those in probation are passed over. */
export function tally(series: NabSeries, alerts: Iterable<number>, values = rowValues(series)) {
  const probation = probationRows(series.rows)
  const best = new Map<number, number>()
  const total: NabTally = { ...NOTHING, windows: series.windows.length }
  for (const row of alerts) {
    if (row < probation) continue
    const { window, value } = values[row]
    if (window >= 0) best.set(window, Math.max(value, best.get(window) ?? 0))
    else {
      total.falseRows++
      total.cost += value
    }
  }
  for (const credit of best.values()) total.credit += credit
  total.found = best.size
  return total
}

const NOTHING: NabTally = { windows: 0, found: 0, credit: 0, falseRows: 0, cost: 0 }

export function sum(tallies: Iterable<NabTally>): NabTally {
  const total = { ...NOTHING }
  for (const one of tallies) {
    for (const key of Object.keys(total) as (keyof NabTally)[]) total[key] += one[key]
  }
  return total
}

/** @returns 100 for every window found on its first row and no false alert; 0 for no alert at all. */
export function nabScore(profile: NabProfile, total: NabTally): number {
  const { truePositive, falseNegative, falsePositive } = profile
  const missed = total.windows - total.found
  const raw = truePositive * total.credit + falsePositive * total.cost - falseNegative * missed
  const none = -falseNegative * total.windows
  const perfect = truePositive * total.windows
  return total.windows === 0 ? 0 : (100 * (raw - none)) / (perfect - none)
}

export interface Swept {
  /** The best score any one threshold reaches over all files together. */
  score: number
  /** An alert is a row of this score or more. */
  threshold: number
}

/**
 * NAB's way to a threshold: the best one for these very files, one for all of them.
 *
 * @param scores One a row of each series, 0…1.
 */
export function sweep(
  profile: NabProfile,
  files: readonly { series: NabSeries; scores: ArrayLike<number> }[]
): Swept {
  const judged: { score: number; file: number; at: RowValue }[] = []
  let windows = 0
  for (const [file, { series, scores }] of files.entries()) {
    windows += series.windows.length
    const values = rowValues(series)
    for (let row = probationRows(series.rows); row < series.rows; row++) {
      judged.push({ score: scores[row], file, at: values[row] })
    }
  }
  judged.sort((a, b) => b.score - a.score)
  const best = files.map(({ series }) => new Float64Array(series.windows.length).fill(-1))
  const total = { ...NOTHING, windows }
  const answer: Swept = { score: nabScore(profile, total), threshold: 1.1 }
  for (const [i, { score, file, at }] of judged.entries()) {
    if (at.window < 0) total.cost += at.value
    else if (at.value > best[file][at.window]) {
      if (best[file][at.window] < 0) total.found++
      total.credit += at.value - Math.max(0, best[file][at.window])
      best[file][at.window] = at.value
    }
    if (judged[i + 1]?.score === score) continue
    const reached = nabScore(profile, total)
    if (reached > answer.score) Object.assign(answer, { score: reached, threshold: score })
  }
  return answer
}
