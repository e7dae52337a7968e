import { median } from 'simple-statistics'
import {
  type NabProfile,
  type NabSeries,
  nabScore,
  probationRows,
  rowValues,
  sum,
  sweep,
  tally
} from './nab.ts'

/** A file with what is measured in it, and the alerts of a detector. */
export interface LabelledSeries extends NabSeries {
  /** Event time of each row, epoch ms. */
  at: Float64Array
  /** NaN where the file has no number. */
  values: Float64Array
}

export interface JudgedSeries {
  series: LabelledSeries
  /** One a row: 0, or the score with which an alert is raised there. */
  scores: Float64Array
}

export interface ProfileScore {
  profile: string
  /** Every row with an alert counts. */
  score: number
  /** Only alerts from the best threshold for these files on: what NAB prints. */
  swept: number
  threshold: number
}

export interface NabReport {
  detector: string
  profiles: ProfileScore[]
  windows: number
  windowsFound: number
  /** Alerts outside all windows; as episodes, those within ten rows of each other are one. */
  falseRows: number
  falseEpisodes: number
  falseEpisodesPerSeriesDay: number
  /** From the beginning of a window to its first alert. */
  delayMsMedian: number | null
}

const EPISODE_ROWS = 10
const DAY_MS = 86_400_000

export function nabReport(
  detector: string,
  profiles: readonly NabProfile[],
  judged: readonly JudgedSeries[]
): NabReport {
  const alerts = judged.map(({ scores }) => [...scores.keys()].filter(row => scores[row] > 0))
  const total = sum(judged.map(({ series }, i) => tally(series, alerts[i])))
  let days = 0
  let falseEpisodes = 0
  const delays: number[] = []
  for (const [i, { series }] of judged.entries()) {
    const probation = probationRows(series.rows)
    days += Math.max(0, series.at[series.rows - 1] - series.at[probation]) / DAY_MS
    falseEpisodes += episodes(series, alerts[i])
    for (const [first, last] of series.windows) {
      const row = alerts[i].find(r => r >= Math.max(first, probation) && r <= last)
      if (row !== undefined) delays.push(series.at[row] - series.at[first])
    }
  }
  return {
    detector,
    profiles: profiles.map(profile => {
      const swept = sweep(profile, judged)
      const score = nabScore(profile, total)
      return { profile: profile.name, score, swept: swept.score, threshold: swept.threshold }
    }),
    windows: total.windows,
    windowsFound: total.found,
    falseRows: total.falseRows,
    falseEpisodes,
    falseEpisodesPerSeriesDay: days > 0 ? falseEpisodes / days : 0,
    delayMsMedian: delays.length > 0 ? median(delays) : null
  }
}

function episodes(series: LabelledSeries, alerts: readonly number[]): number {
  const values = rowValues(series)
  const probation = probationRows(series.rows)
  let count = 0
  let last = Number.NEGATIVE_INFINITY
  for (const row of alerts) {
    if (row < probation || values[row].window >= 0) continue
    if (row - last > EPISODE_ROWS) count++
    last = row
  }
  return count
}
