import {
  ALERT_KINDS,
  type AlertData,
  type AlertEvent,
  type AlertKind,
  SEVERITIES,
  type Severity
} from '../../core/contract/alert-event.ts'
import type { ScoredValue } from '../../detector/detector.ts'

/** More series than this are counted together, without names. */
export const SERIES_MAX = 200_000
/** Alerts kept for the table, the charts and the labels; later ones are only counted. */
export const ALERTS_MAX = 20_000

export interface SeriesTally {
  site: string
  device: string
  metric: string
  values: number
  firstAt: number
  lastAt: number
  /** Scored nothing yet at the last value. */
  learning: boolean
  /** Values before the one ahead of them, and at the same time. */
  backward: number
  repeated: number
  raised: number
}

/** One alert from its raise to what is known of it at the end. */
export interface ReplayedAlert {
  raised: AlertData
  /** Of the reading that raised it: right even if the device's clock is not. */
  receivedAt: number
  /** The last event of it. */
  last: AlertData
  /** All that it ever spoke of; none: of the device as a whole. */
  metrics: Set<string>
}

/** What a replay counts, a few numbers a series. */
export class Tally {
  readonly series = new Map<string, SeriesTally>()
  /** In the order of their raise. */
  readonly alerts: ReplayedAlert[] = []
  readonly byKind = new Map<AlertKind, Record<Severity, number>>()
  raised = 0
  /** Values of series beyond SERIES_MAX. */
  unnamed = 0
  readonly #open = new Map<string, ReplayedAlert>()
  readonly #known = new WeakMap<object, SeriesTally>()

  value({ series, at, learning }: ScoredValue): void {
    const tally = this.#known.get(series) ?? this.#tallyOf(series)
    if (!tally) {
      this.unnamed++
      return
    }
    if (tally.values++ > 0) {
      if (at < tally.lastAt) tally.backward++
      else if (at === tally.lastAt) tally.repeated++
    }
    tally.firstAt = Math.min(tally.firstAt, at)
    tally.lastAt = Math.max(tally.lastAt, at)
    tally.learning = learning
  }

  event({ data }: AlertEvent, receivedAt: number): void {
    if (data.state === 'raised') {
      this.#raise(data, receivedAt)
      return
    }
    const alert = this.#open.get(data.alertId)
    if (alert) {
      alert.last = data
      for (const metric of metricsOf(data)) alert.metrics.add(metric)
    }
    if (data.state === 'cleared') this.#open.delete(data.alertId)
  }

  /** Event time of the first and the last value; undefined when there was none. */
  span(): { firstAt: number; lastAt: number } | undefined {
    let firstAt = Infinity
    let lastAt = -Infinity
    for (const each of this.series.values()) {
      firstAt = Math.min(firstAt, each.firstAt)
      lastAt = Math.max(lastAt, each.lastAt)
    }
    return firstAt <= lastAt ? { firstAt, lastAt } : undefined
  }

  devices(): number {
    return new Set(Array.from(this.series.values(), s => seriesKey(s.site, s.device, ''))).size
  }

  bySeverity(): Record<Severity, number> {
    const all = noSeverities()
    for (const counts of this.byKind.values()) for (const s of SEVERITIES) all[s] += counts[s]
    return all
  }

  /** Kinds with alerts, in the contract's order. */
  kinds(): [AlertKind, Record<Severity, number>][] {
    return ALERT_KINDS.flatMap((kind): [AlertKind, Record<Severity, number>][] => {
      const counts = this.byKind.get(kind)
      return counts ? [[kind, counts]] : []
    })
  }

  #raise(data: AlertData, receivedAt: number): void {
    this.raised++
    const counts = this.byKind.get(data.kind) ?? noSeverities()
    this.byKind.set(data.kind, counts)
    counts[data.severity]++
    for (const metric of metricsOf(data)) {
      const tally = this.series.get(seriesKey(data.site, data.device, metric))
      if (tally) tally.raised++
    }
    if (this.alerts.length >= ALERTS_MAX) return
    const alert = { raised: data, receivedAt, last: data, metrics: new Set(metricsOf(data)) }
    this.alerts.push(alert)
    this.#open.set(data.alertId, alert)
  }

  #tallyOf(series: ScoredValue['series']): SeriesTally | undefined {
    const { site, device, metric } = series
    const key = seriesKey(site, device, metric)
    let tally = this.series.get(key)
    if (!tally) {
      if (this.series.size >= SERIES_MAX) return undefined
      tally = {
        ...{ site, device, metric, values: 0, firstAt: Infinity, lastAt: -Infinity },
        ...{ learning: true, backward: 0, repeated: 0, raised: 0 }
      }
      this.series.set(key, tally)
    }
    this.#known.set(series, tally)
    return tally
  }
}

/** The metrics that an event speaks of: of a device's alert, those that it names. */
function metricsOf({ metric, contributions }: AlertData): string[] {
  return metric === '-' ? contributions.map(c => c.metric) : [metric]
}

export function seriesKey(site: string, device: string, metric: string): string {
  return `${site}\0${device}\0${metric}`
}

function noSeverities(): Record<Severity, number> {
  return { info: 0, warning: 0, critical: 0 }
}
