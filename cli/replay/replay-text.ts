import { type AlertEvent, SEVERITIES } from '../../core/contract/alert-event.ts'
import type { DetectorCounters } from '../../detector/counters.ts'
import { count, durationText, printable, table, timeText } from '../log/text.ts'
import type { JudgedLabel, Verdict } from './labels.ts'
import type { SeriesTally, Tally } from './tally.ts'

const DAY_MS = 86_400_000
const NOISIEST = 5
const MISSED_TOLD = 10

/** An alert as it would have come, in one line; undefined for an update. */
export function eventLine({ data }: AlertEvent): string | undefined {
  const at = timeText(Date.parse(data.at))
  const name = seriesName(data)
  if (data.state === 'raised') {
    const what = data.kind === 'anomaly' ? '' : `${data.kind}: `
    return `${at}  ${data.severity.padEnd(8)}  ${name}  ${printable(what + data.reason)}`
  }
  if (data.state === 'updated') return undefined
  const peak = `peak ${data.peak.score.toFixed(2)}${valueText(data.peak.value)}`
  return `${at}  cleared   ${name}  after ${durationText(data.durationMs ?? 0)}, ${peak}`
}

export interface SummaryParts {
  tally: Tally
  counters: DetectorCounters
  lines: { bad: number; files: number }
  /** `auto, normal` */
  detector: string
}

/** What was played, and what it would have meant to live with. */
export function summaryText({ tally, counters, lines, detector }: SummaryParts): string {
  const span = tally.span()
  const spanMs = span ? span.lastAt - span.firstAt : 0
  const days = Math.max(1, spanMs / DAY_MS)
  const all = [...tally.series.values()]
  const learning = all.filter(s => s.learning).length
  const counted = [
    count(counters.readings, 'reading'),
    `${tally.series.size.toLocaleString('en-US')} series`,
    count(tally.devices(), 'device'),
    span ? `${timeText(span.firstAt)} to ${timeText(span.lastAt)} UTC, ${durationText(spanMs)}` : ''
  ]
  const text = [
    '',
    counted.filter(part => part !== '').join(', '),
    `Detector: ${detector}`,
    `Learning: ${count(counters.learning, 'value')} only learned from; ${learning} series not past it`,
    ...oddities(all, counters, lines),
    '',
    `${count(tally.raised, 'alert')}, ${(tally.raised / days).toFixed(2)} a day` +
      (spanMs < DAY_MS ? ' (the history is shorter than one)' : '')
  ]
  if (tally.raised > 0) {
    const rows = tally.kinds().map(([kind, by]) => [kind, ...SEVERITIES.map(s => String(by[s]))])
    const columns = [{ title: 'kind' }, ...SEVERITIES.map(title => ({ title, right: true }))]
    text.push('', ...table(columns, rows), '', ...noisiest(all))
  }
  return `${text.join('\n')}\n`
}

function noisiest(all: readonly SeriesTally[]): string[] {
  const loud = all.filter(s => s.raised > 0).sort((a, b) => b.raised - a.raised)
  const columns = [{ title: 'alerts', right: true }, { title: 'most alerts' }]
  return table(
    columns,
    loud.slice(0, NOISIEST).map(s => [String(s.raised), seriesName(s)])
  )
}

function oddities(
  all: readonly SeriesTally[],
  counters: DetectorCounters,
  lines: SummaryParts['lines']
): string[] {
  const sum = (of: (s: SeriesTally) => number) => all.reduce((n, s) => n + of(s), 0)
  const odd: [number, string][] = [
    [sum(s => s.backward), 'earlier than the one before'],
    [sum(s => s.repeated), 'at the time of the one before'],
    [counters.duplicates, 'duplicate readings passed over'],
    [counters.unusable, 'unusable'],
    [lines.bad, 'bad lines or cells passed over']
  ]
  const told = odd.filter(([n]) => n > 0).map(([n, what]) => `${n.toLocaleString('en-US')} ${what}`)
  return told.length > 0 ? [`Order and quality of values: ${told.join(', ')}`] : []
}

/** Found, missed and false, by the kind of label. */
export function verdictText(verdict: Verdict, spanMs: number, devices: number): string {
  const kinds = [...new Set(verdict.labels.map(l => l.kind))].sort()
  const rows = kinds.map(kind => {
    const of = verdict.labels.filter(l => l.kind === kind)
    const delays = of.flatMap(l => (l.delayMs === undefined ? [] : [l.delayMs]))
    const delay = delays.length > 0 ? durationText(median(delays)) : '-'
    return [kind, of.length, delays.length, of.length - delays.length, delay].map(String)
  })
  const columns = [
    { title: 'label' },
    ...['labels', 'found', 'missed', 'median delay'].map(title => ({ title, right: true }))
  ]
  const weeks = (spanMs / (7 * DAY_MS)) * Math.max(1, devices)
  const rate = weeks > 0 ? `, ${(verdict.false.size / weeks).toFixed(2)} a device and week` : ''
  const missed = verdict.labels.filter(l => l.delayMs === undefined)
  const text = [
    '',
    ...table(columns, rows),
    '',
    `${count(verdict.false.size, 'false alert')}${rate}`
  ]
  if (verdict.outside > 0) {
    text.push(`${count(verdict.outside, 'label')} of what this history does not hold`)
  }
  if (missed.length > 0) text.push('', 'Missed:', ...missedLines(missed))
  return `${text.join('\n')}\n`
}

function missedLines(missed: readonly JudgedLabel[]): string[] {
  const told = missed.slice(0, MISSED_TOLD).map(label => {
    const span = `${timeText(label.from)} to ${timeText(label.to)}`
    return `  ${span}  ${seriesName(label)}  ${printable(label.kind)}`
  })
  const more = missed.length - told.length
  return more > 0 ? [...told, `  and ${more} more`] : told
}

export function seriesName(of: { site: string; device: string; metric: string }): string {
  const metric = of.metric === '-' ? '' : ` ${of.metric}`
  return printable(`${of.site}/${of.device}${metric}`)
}

function valueText(value: number | undefined): string {
  return value === undefined ? '' : ` (${Number(value.toPrecision(5))})`
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}
