import { SEVERITIES, type Severity } from '../../../core/contract/alert-event.ts'
import type { JudgedLabel } from '../labels.ts'
import type { ReplayedAlert } from '../tally.ts'
import { type Scale, timeTicks } from './chart.ts'
import { escaped, percent } from './html.ts'

const BINS = 140
const ROWS_MAX = 40
/** Of 12: severity is told by height, too. */
const HEIGHTS: Readonly<Record<Severity, number>> = { info: 5, warning: 8, critical: 12 }

export interface OverviewParts {
  time: Scale
  alerts: readonly ReplayedAlert[]
  labels: readonly JudgedLabel[]
  /** Address of the first chart of a device, where it has one. */
  anchor: (site: string, device: string) => string | undefined
}

interface Row {
  site: string
  device: string
  alerts: ReplayedAlert[]
}

/** When which device raised what: a row a device, the loudest first. */
export function overview({ time, alerts, labels, anchor }: OverviewParts): string {
  const rows = rowsOf(alerts)
  if (rows.length === 0) return ''
  const shown = rows.slice(0, ROWS_MAX)
  const cells = shown.map(row => {
    const about = labels.filter(l => l.device === row.device)
    const name = `${row.site}/${row.device}`
    const link = anchor(row.site, row.device)
    const label = link
      ? `<a class="name" href="#${link}" title="${escaped(name)}">${escaped(row.device)}</a>`
      : `<span class="name" title="${escaped(name)}">${escaped(row.device)}</span>`
    const hatches = about.map(l => hatch(l, time)).join('')
    const n = row.alerts.length
    return `${label}<div class="row" role="img" aria-label="${escaped(`${name}: ${alertCount(n)}`)}">${hatches}${strip(row, time)}</div><span class="total">${n.toLocaleString('en-US')}</span>`
  })
  const more = rows.length > ROWS_MAX ? ` The ${ROWS_MAX} loudest of ${rows.length} are shown.` : ''
  const labelled = labels.length > 0 ? ' Hatched: what the labels say was wrong.' : ''
  return `<h2>When, and which device</h2>
<p class="sub">Alerts as they were raised, the higher the more severe.${labelled}${more}</p>
<div class="card"><div class="heat">${cells.join('\n')}<span></span>${tickRow(time)}<span></span></div></div>`
}

export function alertCount(n: number): string {
  return `${n.toLocaleString('en-US')} alert${n === 1 ? '' : 's'}`
}

/** A labelled stretch of time, behind what is drawn. */
export function hatch(label: { from: number; to: number; kind: string }, time: Scale): string {
  const left = share(label.from, time)
  const width = share(label.to, time) - left
  if (label.to < time.low || label.from > time.high) return ''
  return `<i class="hatch" style="left:${percent(left)};width:${percent(width)}" title="${escaped(label.kind)}"></i>`
}

export function tickRow(time: Scale): string {
  const ticks = timeTicks(time).map(({ share, text, strong }) => {
    const edge = share < 0.03 ? 'first' : share > 0.97 ? 'last' : ''
    const names = [strong ? 'strong' : '', edge].filter(name => name !== '').join(' ')
    return `<span${names ? ` class="${names}"` : ''} style="left:${percent(share)}">${text}</span>`
  })
  return `<div class="ticks">${ticks.join('')}</div>`
}

export function share(at: number, { low, high }: Scale): number {
  return high > low ? Math.min(1, Math.max(0, (at - low) / (high - low))) : 0
}

function rowsOf(alerts: readonly ReplayedAlert[]): Row[] {
  const rows = new Map<string, Row>()
  for (const alert of alerts) {
    const { site, device } = alert.raised
    const key = `${site}\0${device}`
    const row = rows.get(key) ?? { site, device, alerts: [] }
    rows.set(key, row)
    row.alerts.push(alert)
  }
  return [...rows.values()].sort((a, b) => b.alerts.length - a.alerts.length)
}

function strip({ alerts }: Row, time: Scale): string {
  const worst = new Map<number, Severity>()
  for (const { raised, last } of alerts) {
    const bin = Math.min(BINS - 1, Math.floor(share(Date.parse(raised.at), time) * BINS))
    const rank = (s: Severity | undefined) => (s === undefined ? -1 : SEVERITIES.indexOf(s))
    if (rank(last.severity) > rank(worst.get(bin))) worst.set(bin, last.severity)
  }
  const rects = [...worst].map(
    ([bin, severity]) =>
      `<rect class="${severity}" x="${bin}" y="${12 - HEIGHTS[severity]}" width="1" height="${HEIGHTS[severity]}"/>`
  )
  return `<svg viewBox="0 0 ${BINS} 12" preserveAspectRatio="none" aria-hidden="true">${rects.join('')}</svg>`
}
