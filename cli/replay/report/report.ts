import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { SEVERITIES } from '../../../core/contract/alert-event.ts'
import { durationText, timeText } from '../../log/text.ts'
import type { ChartRecorder } from '../chart-recorder.ts'
import { concerns, type JudgedLabel, type Verdict } from '../labels.ts'
import { median, type SummaryParts } from '../replay-text.ts'
import { type ReplayedAlert, type SeriesTally, seriesKey } from '../tally.ts'
import { breakable, escaped } from './html.ts'
import { alertCount, overview } from './overview.ts'
import { SCRIPT } from './script.ts'
import { lastedText, sentenceOf, seriesCard } from './series-card.ts'
import { STYLE } from './style.ts'

const DAY_MS = 86_400_000
const ROWS_MAX = 500

export interface ReportParts extends SummaryParts {
  files: readonly string[]
  /** By `seriesKey`; series without one are not drawn. */
  charts: ReadonlyMap<string, ChartRecorder>
  chartsMax: number
  verdict: Verdict | undefined
  /** Score from which a reading counts. */
  raise: number
  version: string
}

/**
 * The replay as one page that needs nothing else: no request leaves it, and only its own script runs
 * in it. The same replay gives the same bytes.
 */
export function htmlReport(parts: ReportParts): string {
  const { tally, verdict } = parts
  const span = tally.span()
  const time = span ? { low: span.firstAt, high: span.lastAt } : { low: 0, high: 1 }
  const chosen = chooseSeries(parts)
  const addresses = new Map(chosen.map((series, i) => [keyOf(series), `s${i + 1}`]))
  const anchor = (site: string, device: string) => {
    const found = chosen.find(s => s.site === site && s.device === device)
    return found && addresses.get(keyOf(found))
  }
  const charts = chartsOf(parts, chosen, addresses)
  const hash = createHash('sha256').update(SCRIPT).digest('base64')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'">
<title>Fieldline replay: ${alertCount(tally.raised)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${head(parts)}
${overview({ time, alerts: tally.alerts, labels: verdict?.labels ?? [], anchor })}
${alertTable(parts, charts.marked)}
${chartSection(parts, chosen.length, charts.html)}
${foot(parts)}
</main>
<script>${SCRIPT}</script>
</body>
</html>
`
}

function keyOf({ site, device, metric }: SeriesTally): string {
  return seriesKey(site, device, metric)
}

/** With alerts first, then with labels that nothing was raised about, then by name. */
function chooseSeries({ tally, charts, chartsMax, verdict }: ReportParts): SeriesTally[] {
  const missed = (verdict?.labels ?? []).filter(l => l.delayMs === undefined)
  const whole = new Set(
    tally.alerts.flatMap(({ metrics, raised: { site, device } }) =>
      metrics.size === 0 ? [seriesKey(site, device, '')] : []
    )
  )
  const rank = (s: SeriesTally) => {
    if (s.raised > 0) return 2 + s.raised
    if (whole.has(seriesKey(s.site, s.device, ''))) return 2
    return missed.some(l => concerns(l, s)) ? 1 : 0
  }
  return [...tally.series.values()]
    .filter(s => charts.has(keyOf(s)))
    .map(series => ({ series, rank: rank(series), name: keyOf(series) }))
    .sort((a, b) => b.rank - a.rank || (a.name < b.name ? -1 : 1))
    .slice(0, chartsMax)
    .map(({ series }) => series)
}

function chartsOf(
  { tally, charts, verdict, raise }: ReportParts,
  chosen: readonly SeriesTally[],
  addresses: ReadonlyMap<string, string>
): { html: string[]; marked: ReadonlySet<number> } {
  const byDevice = new Map<string, { alert: ReplayedAlert; number: number }[]>()
  for (const [i, alert] of tally.alerts.entries()) {
    const key = seriesKey(alert.raised.site, alert.raised.device, '')
    const of = byDevice.get(key) ?? []
    byDevice.set(key, of)
    of.push({ alert, number: i + 1 })
  }
  const marked = new Set<number>()
  const html = chosen.map(series => {
    const recorder = charts.get(keyOf(series))
    const alerts = (byDevice.get(seriesKey(series.site, series.device, '')) ?? []).filter(
      ({ alert: { metrics } }) => metrics.size === 0 || metrics.has(series.metric)
    )
    const mine = new Set<number>()
    const first = (number: number) => {
      if (marked.has(number) && !mine.has(number)) return false
      marked.add(number)
      mine.add(number)
      return true
    }
    return seriesCard({
      ...{ id: addresses.get(keyOf(series)) ?? '', series, alerts, raise, first },
      points: recorder?.points() ?? [],
      widthMs: recorder?.widthMs ?? 1,
      labels: (verdict?.labels ?? []).filter(label => concerns(label, series))
    })
  })
  return { html, marked }
}

function head({ tally, files, detector, counters, verdict }: ReportParts): string {
  const span = tally.span()
  const spanMs = span ? span.lastAt - span.firstAt : 0
  const when = span ? `${timeText(span.firstAt)} to ${timeText(span.lastAt)} UTC` : ''
  const rate = spanMs >= DAY_MS ? `${(tally.raised / (spanMs / DAY_MS)).toFixed(1)} a day` : ''
  const severities = tally.bySeverity()
  const tiles = [
    ...SEVERITIES.toReversed().map(severity =>
      tile(
        severities[severity].toLocaleString('en-US'),
        `<i class="sign ${severity}" style="color:var(--${severity})"></i>${severity}`
      )
    ),
    ...(rate === '' ? [] : [tile(rate.replace(' a day', ''), 'alerts a day')]),
    tile(
      `${[...tally.series.values()].filter(s => s.raised > 0).length} of ${tally.series.size.toLocaleString('en-US')}`,
      'series with alerts'
    ),
    ...(verdict ? verdictTiles(verdict) : [])
  ]
  const names =
    files
      .slice(0, 4)
      .map(file => basename(file))
      .join(', ') + (files.length > 4 ? ` and ${files.length - 4} more` : '')
  return `<h1>What Fieldline would have told you</h1>
<p class="headline">${alertCount(tally.raised)} in ${spanText(spanMs)}, from ${tally.devices().toLocaleString('en-US')} device${tally.devices() === 1 ? '' : 's'}</p>
<p class="sub">${escaped(names)} · ${counters.readings.toLocaleString('en-US')} readings · ${when} · ${escaped(detector)}</p>
<div class="tiles">${tiles.join('')}</div>`
}

/** As one says it: `10 days`. */
function spanText(ms: number): string {
  const units: [number, string][] = [
    [DAY_MS, 'days'],
    [3_600_000, 'hours'],
    [60_000, 'minutes'],
    [1000, 'seconds']
  ]
  const [size, unit] = units.find(([size]) => ms >= 2 * size) ?? units[3]
  return `${Math.round(ms / size).toLocaleString('en-US')} ${unit}`
}

function tile(figure: string, what: string): string {
  return `<div class="tile"><b>${escaped(figure)}</b><span>${what}</span></div>`
}

function verdictTiles({ labels, false: unexplained }: Verdict): string[] {
  const delays = labels.flatMap(l => (l.delayMs === undefined ? [] : [l.delayMs]))
  const delay = delays.length > 0 ? `, median delay ${durationText(median(delays))}` : ''
  return [
    tile(`${delays.length} of ${labels.length}`, `labels found${delay}`),
    tile(unexplained.size.toLocaleString('en-US'), 'alerts without a label')
  ]
}

function alertTable({ tally, verdict }: ReportParts, marked: ReadonlySet<number>): string {
  if (tally.raised === 0) {
    return '<div class="card none">Nothing to tell: no alert would have been raised.</div>'
  }
  const shown = tally.alerts.slice(0, ROWS_MAX)
  const rows = shown.map((alert, i) => {
    const { raised, last } = alert
    const number = i + 1
    const at = timeText(Date.parse(raised.at))
    const when = marked.has(number) ? `<a href="#a${number}">${at}</a>` : at
    const metric =
      raised.metric === '-' ? '' : ` <span class="faint">·</span> ${breakable(raised.metric)}`
    const judged = verdict
      ? `<td class="verdict" data-name="label">${verdictOf(alert, verdict)}</td>`
      : ''
    return `<tr id="r${number}"><td class="nowrap">${when}</td><td><span class="severity ${last.severity}"><i class="sign"></i><b>${last.severity}</b></span></td><td class="who">${breakable(raised.device)}${metric}</td><td class="what">${escaped(sentenceOf(raised))}</td><td class="number" data-name="score">${last.peak.score.toFixed(2)}</td><td class="number" data-name="lasted">${lastedText(alert)}</td>${judged}</tr>`
  })
  const more =
    tally.raised > shown.length
      ? ` The first ${shown.length} of ${tally.raised.toLocaleString('en-US')} are listed.`
      : ''
  const judged = verdict ? '<th>Label</th>' : ''
  return `<h2>Alerts</h2>
<p class="sub">In the order of their raise, times in UTC; a time leads to its mark.${more}</p>
<div class="card" style="padding:0"><div class="scroll"><table class="alerts"><thead><tr><th>Raised</th><th>Severity</th><th>Series</th><th>What</th><th class="number">Peak</th><th class="number">Lasted</th>${judged}</tr></thead><tbody>
${rows.join('\n')}
</tbody></table></div></div>`
}

function verdictOf(alert: ReplayedAlert, verdict: Verdict): string {
  if (verdict.false.has(alert)) return '<span class="faint">none</span>'
  const at = Math.max(alert.receivedAt, Date.parse(alert.raised.at))
  const about = verdict.labels.filter(l => concerns(l, alert.raised) && l.from <= at)
  const nearest = about.reduce<JudgedLabel | undefined>(
    (best, l) => (best && best.from >= l.from ? best : l),
    undefined
  )
  return escaped(nearest?.kind ?? '')
}

function chartSection(parts: ReportParts, drawn: number, cards: readonly string[]): string {
  const total = parts.tally.series.size
  if (total === 0) return ''
  const order = parts.verdict ? 'then those with a label that was missed' : 'then by name'
  const rest =
    drawn < total
      ? `${drawn} of ${total.toLocaleString('en-US')} series are drawn: those with alerts first, ${order}.`
      : 'Series with alerts come first.'
  const labels = parts.verdict
    ? '<li><i class="key"><i class="hatch" style="left:0;right:0"></i></i>labelled fault</li>'
    : ''
  const signs = SEVERITIES.toReversed().map(
    s => `<li class="${s}"><i class="sign"></i><span style="color:var(--muted)">${s}</span></li>`
  )
  return `<h2>Series</h2>
<p class="sub">${rest} Times are UTC.</p>
<ul class="legend"><li><i class="key value"></i>value</li><li><i class="key band"></i>expected range</li><li><i class="key line"></i>score from which a reading counts</li><li><i class="key rest"></i>learning</li>${labels}${signs.join('')}</ul>
${cards.join('\n')}`
}

function foot({ counters, lines, version }: ReportParts): string {
  const odd: [number, string][] = [
    [counters.learning, 'values were only learned from'],
    [counters.duplicates, 'duplicate readings passed over'],
    [counters.unusable, 'values unusable'],
    [lines.bad, 'bad lines or cells passed over']
  ]
  const told = odd.filter(([n]) => n > 0).map(([n, what]) => `${n.toLocaleString('en-US')} ${what}`)
  return `<footer>${told.length > 0 ? `${told.join(' · ')} · ` : ''}Fieldline ${escaped(version)}. A range is the mean over what falls on one pixel; a value and a score are its extremes.</footer>`
}
