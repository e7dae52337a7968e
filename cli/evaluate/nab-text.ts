import type { NabReport } from '../../detector/evaluate/nab-report.ts'
import { table } from '../log/text.ts'

/** A table for people: one line a detector. */
export function nabText(reports: readonly NabReport[], chosen: string): string {
  const profiles = reports[0].profiles.map(p => p.profile)
  const header = ['', ...profiles, 'windows', 'false alerts', 'a series and week', 'delay']
  const rows = reports.map(report => [
    report.detector === chosen ? `* ${chosen}` : `  ${report.detector}`,
    ...report.profiles.map(p => `${p.score.toFixed(1)} (${p.swept.toFixed(1)})`),
    `${report.windowsFound} of ${report.windows}`,
    `${report.falseEpisodes}`,
    (7 * report.falseEpisodesPerSeriesDay).toFixed(2),
    report.delayMsMedian === null ? '-' : `${(report.delayMsMedian / 3_600_000).toFixed(1)} h`
  ])
  const lines = table(
    header.map((title, i) => ({ title, right: i > 0 })),
    rows
  )
  return `${lines.join('\n')}

Scores: every row on which an alert is raised counts (in brackets: only those from the best
threshold for these files on, as NAB does it). False alerts within ten rows are one. Delay: median,
from the beginning of a window.
`
}
