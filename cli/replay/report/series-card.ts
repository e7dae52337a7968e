import { SEVERITIES } from '../../../core/contract/alert-event.ts'
import { durationText } from '../../log/text.ts'
import type { ChartPoint } from '../chart-recorder.ts'
import type { JudgedLabel } from '../labels.ts'
import type { ReplayedAlert, SeriesTally } from '../tally.ts'
import {
  chartPaths,
  numberText,
  PLOT_HEIGHT,
  PLOT_WIDTH,
  place,
  type Scale,
  valueScale,
  valueTicks
} from './chart.ts'
import { escaped, percent } from './html.ts'
import { hatch, share, tickRow } from './overview.ts'

/** More marks than this hide what they mark: the most severe are drawn. */
const MARKS_MAX = 60
const LABELS_MAX = 60

export interface SeriesCard {
  /** Address on the page. */
  id: string
  series: SeriesTally
  points: readonly ChartPoint[]
  widthMs: number
  /** With its number in the report's table. */
  alerts: readonly { alert: ReplayedAlert; number: number }[]
  labels: readonly JudgedLabel[]
  /** Score from which a reading counts. */
  raise: number
  /** Is the mark of an alert that has several the one that the table leads to? */
  first: (number: number) => boolean
}

/** One series: value in its expected range, score below, alerts and labels on both. */
export function seriesCard(card: SeriesCard): string {
  const { id, series, points, widthMs, alerts, labels } = card
  const time: Scale = { low: series.firstAt, high: Math.max(series.lastAt, series.firstAt + 1) }
  const scale = valueScale(points)
  const paths = chartPaths(points, widthMs, time, scale)
  const name = `${series.site}/${series.device} ${series.metric}`
  const shown = labels.slice(0, LABELS_MAX)
  const hatches = shown.map(label => hatch(label, time)).join('')
  const idle = alerts.length > 0 ? 'Point at the chart, or at a mark, to read it.' : ''
  return `<section class="card chart" id="${id}" aria-label="${escaped(name)}" data-from="${time.low}" data-to="${time.high}" data-low="${scale.low}" data-high="${scale.high}">
<header><h3><small>${escaped(series.site)}/</small>${escaped(series.device)} <small>·</small> ${escaped(series.metric)}</h3>${countsOf(alerts)}<p class="meta">${metaOf(series)}</p></header>
<div class="axes"><div class="plot" tabindex="0" aria-label="${escaped(`${name}: arrow keys read values`)}">${learning(points, time)}${grid(scale)}${hatches}
${svg(`${openSpans(alerts, time)}<path class="band" d="${paths.band}"/><path class="value" d="${paths.value}"/>`)}
${faultNames(shown, time)}${marks(card, time, scale)}<div class="hair" hidden></div></div>
<div class="strip">${hatches}${svg(`<path class="score" d="${paths.score}"/>${aboveLine(paths.score, card.raise)}`)}<div class="threshold" style="top:${percent(1 - card.raise)}"></div><span class="side" style="top:${percent(1 - card.raise)}">${card.raise}</span><span class="side" style="top:88%">score</span></div>
${tickRow(time)}</div>
<p class="readout">${idle}</p>
</section>`
}

function svg(inner: string): string {
  return `<svg viewBox="0 0 ${PLOT_WIDTH} ${PLOT_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">${inner}</svg>`
}

function countsOf(alerts: SeriesCard['alerts']): string {
  if (alerts.length === 0) return ''
  const counts = SEVERITIES.toReversed().flatMap(severity => {
    const n = alerts.filter(({ alert }) => alert.last.severity === severity).length
    if (n === 0) return []
    return [`<span class="${severity}"><i class="sign"></i><b>${n} ${severity}</b></span>`]
  })
  return `<p class="counts">${counts.join('')}</p>`
}

function metaOf({ values, learning, backward }: SeriesTally): string {
  const parts = [`${values.toLocaleString('en-US')} values`]
  if (learning) parts.push('still learning at the end')
  if (backward > 0) parts.push(`${backward.toLocaleString('en-US')} out of order`)
  return parts.join(' · ')
}

/** From the first value to the first expected range. */
function learning(points: readonly ChartPoint[], time: Scale): string {
  const first = points.find(({ band }) => band !== undefined)
  const until = first === undefined ? 1 : share(first.at, time)
  if (until < 0.004) return ''
  const text = until > 0.08 ? '<span>learning</span>' : ''
  return `<div class="learning" style="width:${percent(until)}">${text}</div>`
}

function grid(scale: Scale): string {
  return valueTicks(scale)
    .map(
      ({ share, text }) =>
        `<div class="grid" style="top:${percent(1 - share)}"><span>${text}</span></div>`
    )
    .join('')
}

/** Raised to cleared. */
function openSpans(alerts: SeriesCard['alerts'], time: Scale): string {
  return alerts
    .map(({ alert: { raised, last } }) => {
      const from = place(Date.parse(raised.startedAt), time, PLOT_WIDTH)
      const end = last.state === 'cleared' ? Date.parse(last.at) : time.high
      const width = Math.max(2, place(end, time, PLOT_WIDTH) - from)
      return `<rect class="open ${last.severity}" x="${from}" y="0" width="${width}" height="${PLOT_HEIGHT}"/>`
    })
    .join('')
}

/** The part of the score that counts, in another colour. */
function aboveLine(score: string, raise: number): string {
  const line = PLOT_HEIGHT - Math.round(raise * PLOT_HEIGHT)
  const above = [...score.matchAll(/M(\d+) \d+V(\d+)/g)].flatMap(([, x, y]) =>
    Number(y) <= line ? [`M${x} ${line}V${y}`] : []
  )
  return `<path class="above" d="${above.join('')}"/>`
}

/** Beside their beginning; one that would lie over another is told by its hatch alone. */
function faultNames(labels: readonly JudgedLabel[], time: Scale): string {
  let until = -1
  return [...labels]
    .sort((a, b) => a.from - b.from)
    .map(label => {
      const from = share(label.from, time)
      const west = from > 0.68
      const room = 0.2
      if ((west ? from - room : from) < until) return ''
      until = west ? from : from + room
      return `<span class="faultname${west ? ' west' : ''}" style="left:${percent(from)}">${escaped(label.kind)}</span>`
    })
    .join('')
}

function marks({ id, alerts, points, first }: SeriesCard, time: Scale, scale: Scale): string {
  const rank = ({ alert }: SeriesCard['alerts'][number]) => SEVERITIES.indexOf(alert.last.severity)
  const shown = [...alerts].sort((a, b) => rank(b) - rank(a)).slice(0, MARKS_MAX)
  shown.sort((a, b) => a.number - b.number)
  return shown
    .map(({ alert: { raised, last }, number }) => {
      const left = share(Date.parse(raised.at), time)
      const top = 1 - share(valueAt(points, Date.parse(raised.at)), scale)
      const place = first(number) ? `a${number}` : `${id}a${number}`
      const tip = `<b>${escaped(last.severity)} · ${raised.at.slice(0, 19).replace('T', ' ')}</b>${escaped(sentenceOf(raised))}${rangeOf(raised)}`
      const east = left > 0.5 ? ' east' : ''
      return `<a class="mark ${last.severity}" id="${place}" href="#r${number}" style="left:${percent(left)};top:${percent(Math.min(0.96, Math.max(0.05, top)))}"><i class="sign"></i><span class="tip${east}">${tip}</span></a>`
    })
    .join('')
}

/** Of what was drawn at the time, the extreme that is farther from what was expected. */
function valueAt(points: readonly ChartPoint[], at: number): number {
  const after = points.findIndex(point => point.at > at)
  const { min, max, band } = points.at(after < 0 ? -1 : Math.max(0, after - 1)) as ChartPoint
  if (!band) return max
  return max - band.upper > band.lower - min ? max : min
}

/** The alert's own sentence, with its kind where it is not the usual one. */
export function sentenceOf({ kind, reason }: ReplayedAlert['raised']): string {
  return kind === 'anomaly' ? reason : `${kind}: ${reason}`
}

function rangeOf({ value, lower, upper }: ReplayedAlert['raised']): string {
  if (value === undefined || lower === undefined || upper === undefined) return ''
  return `<br>${numberText(value)}, expected ${numberText(lower)} to ${numberText(upper)}`
}

export function lastedText({ raised, last }: ReplayedAlert): string {
  if (last.state !== 'cleared') return 'open at the end'
  return durationText(last.durationMs ?? Date.parse(last.at) - Date.parse(raised.startedAt))
}
