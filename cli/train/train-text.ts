import { formatDuration } from '../../core/runtime/units.ts'
import type { MetricReport, TrainingReport } from '../../detector/train/training-report.ts'
import { table } from '../log/text.ts'
import type { Recorded } from './recorded-history.ts'

const ALERTS_SHOWN = 20

/** What was learned and how it would have alerted, for people. */
export function trainText(report: TrainingReport, recorded: Recorded, files: string[]): string {
  return [
    learnedText(report, recorded),
    metricsTable(report.metrics),
    thresholdText(report),
    alertsText(report),
    `Wrote ${files.join(' and ')}.`
  ].join('\n\n')
}

function learnedText(report: TrainingReport, recorded: Recorded): string {
  const { rows, devices, stretches, everyMs, windowRows, smoothRows, constant } = report
  const lines = [
    `Learned from ${rows} rows of ${counted(devices, 'device')}, a row every ` +
      `${formatDuration(everyMs)}, in ${counted(stretches, 'stretch', 'stretches')} without gaps.`,
    `A score looks back on ${windowRows} rows; forecast errors are averaged over ${smoothRows}.`
  ]
  const silent = recorded.devices - devices
  if (silent > 0) lines.push(`${counted(silent, 'device')} never had all metrics at once.`)
  if (constant.length > 0) lines.push(`Left out, as they never change: ${constant.join(', ')}.`)
  if (recorded.seldom.length > 0) {
    lines.push(`Left out, as they come too seldom: ${recorded.seldom.join(', ')}.`)
  }
  if (recorded.unusable > 0) {
    lines.push(`${recorded.unusable} lines or cells could not be used: ${recorded.firstUnusable}.`)
  }
  return lines.join('\n')
}

function metricsTable(metrics: readonly MetricReport[]): string {
  const rows = metrics.map(({ metric, mean, std, forecast }) => [
    metric,
    short(mean),
    short(std),
    percent(forecast)
  ])
  const columns = ['metric', 'mean', 'sd', 'forecast'].map((title, i) => ({ title, right: i > 0 }))
  return table(columns, rows).join('\n')
}

function thresholdText({ threshold }: TrainingReport): string {
  const { budget, ordinary, rehearsedOn, trainings, heldOutRows, heldOutMs } = threshold
  const how =
    rehearsedOn === 'prior'
      ? `${counted(trainings, 'training')} of this length on the prior recording, each judged on what followed`
      : `${counted(trainings, 'training')} on the beginning of it, judged on what followed`
  return [
    `Threshold ${short(threshold.value)} for false alarms of ${budget}, from ${how}:`,
    `${heldOutRows} rows (${duration(heldOutMs)}), ${percent(threshold.heldOutShare)} of them in alarm, ` +
      `${counted(threshold.heldOutAlerts, 'alert')}.`,
    ...(threshold.extended
      ? ['They are too few to show so rare an alarm: it is extended from their largest scores.']
      : []),
    `99 % of the rows it learned from stay below ${short(ordinary)} thresholds.`
  ].join('\n')
}

function alertsText({ alerts, rows, everyMs }: TrainingReport): string {
  const all = duration(rows * everyMs)
  if (alerts.length === 0) return `On this history (${all}) it would not have alerted.`
  const lines = alerts.slice(0, ALERTS_SHOWN).map(alert => {
    const { device, startedAt, endedAt, peak, metric, share } = alert
    const lasted = duration(endedAt - startedAt + everyMs)
    return `  ${new Date(startedAt).toISOString()}  ${device}  ${lasted}, up to ${peak.toFixed(1)} thresholds, ${percent(share)} of it from ${metric}`
  })
  const more = alerts.length - lines.length
  if (more > 0) lines.push(`  and ${more} more`)
  const title = `On this history (${all}) it would have alerted ${alerts.length} times:`
  return [title, ...lines].join('\n')
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0 && share < 0.01 ? 2 : 0)} %`
}

function short(value: number): string {
  return String(Number(value.toPrecision(4)))
}

/** Two figures of the largest unit. */
function duration(ms: number): string {
  for (const [unit, length] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000]
  ] as const) {
    if (ms >= 2 * length) return `${(ms / length).toFixed(ms < 10 * length ? 1 : 0)} ${unit}`
  }
  return `${Math.round(ms / 1000)} s`
}
