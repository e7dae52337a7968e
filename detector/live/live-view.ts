import { type AlertData, type AlertEvent, SEVERITIES } from '../../core/contract/alert-event.ts'
import type { HeardDevice } from '../alert/silence.ts'
import type { DetectorCounters } from '../counters.ts'
import type { SeriesName } from '../series-table.ts'
import type { LivePoint, SeriesHistory } from './series-history.ts'

/** What somebody wants to see; all of it plain data, as it may come from another thread. */
export interface LiveRequest {
  /** Draw this one; without it one that is worth it. */
  series?: SeriesName
  /** Points before this are known already. */
  sinceAt?: number
  /** Devices whose `site/device` holds this text. */
  find?: string
}

export interface LiveDevice {
  site: string
  device: string
  /** Agent's receive time of the last reading, epoch ms. */
  heardAt: number
  /** How long it usually pauses at most; 0 while unknown. */
  usualMs: number
  silent: boolean
  alerts: number
  severity?: AlertData['severity']
  metrics: number
  values: { metric: string; value: number }[]
}

export interface LiveSeries {
  name: SeriesName
  /** Of the same device. */
  metrics: string[]
  points: LivePoint[]
}

/** Bounded whatever the fleet is: the counts are of all, the lists of the first. */
export interface LiveLook {
  counters: DetectorCounters
  alerts: { total: number; devices: number; critical: number; shown: AlertData[] }
  cleared: AlertData[]
  devices: { total: number; silent: number; matching: number; shown: LiveDevice[] }
  series?: LiveSeries
}

/** What of a detector is looked at. */
export interface LiveSource {
  openAlerts(): AlertEvent[]
  counters(): DetectorCounters
  heardDevices(): Iterable<HeardDevice>
  seriesNames(): Iterable<SeriesName>
}

const ALERTS_MAX = 60
const CLEARED_MAX = 30
const DEVICES_MAX = 25
const METRICS_MAX = 60
const VALUES_MAX = 3
/** Without a question for so long, nobody looks. */
const LOOKING_MS = 10_000

/** Answers what a person sees of a detector. Costs it nothing while nobody asks but the histories. */
export class LiveView {
  readonly #source: LiveSource
  readonly #history: SeriesHistory
  /** Newest first. */
  readonly #cleared: AlertData[] = []
  #looking: NodeJS.Timeout | undefined

  constructor(source: LiveSource, history: SeriesHistory) {
    this.#source = source
    this.#history = history
  }

  /** Told of every event, in its order. */
  note(events: readonly AlertEvent[]): void {
    for (const { data } of events) if (data.state === 'cleared') this.#cleared.unshift(data)
    this.#cleared.length = Math.min(this.#cleared.length, CLEARED_MAX)
  }

  look(request: LiveRequest): LiveLook {
    this.#keepLooking()
    const open = this.#source.openAlerts().map(({ data }) => data)
    const series = this.#series(request, open)
    const loud = new Set(open.map(keyOf))
    return {
      counters: this.#source.counters(),
      alerts: {
        total: open.length,
        devices: loud.size,
        critical: open.filter(({ severity }) => severity === 'critical').length,
        shown: firstOf(open, ALERTS_MAX, byWeight)
      },
      cleared: this.#cleared,
      devices: this.#devices(request.find ?? '', open),
      ...(series ? { series } : {})
    }
  }

  #devices(find: string, open: readonly AlertData[]): LiveLook['devices'] {
    const alerts = new Map<string, { count: number; severity: AlertData['severity'] }>()
    for (const data of open) {
      const known = alerts.get(keyOf(data))
      const { severity } = data
      if (!known) alerts.set(keyOf(data), { count: 1, severity })
      else {
        known.count++
        if (rankOf(severity) > rankOf(known.severity)) known.severity = severity
      }
    }
    const wanted = find.toLowerCase()
    let total = 0
    let silent = 0
    const matching: Ranked[] = []
    for (const heard of this.#source.heardDevices()) {
      total++
      if (heard.silent) silent++
      const name = `${heard.site}/${heard.device}`
      if (wanted !== '' && !name.toLowerCase().includes(wanted)) continue
      const found = alerts.get(keyOf(heard))
      const rank = (found ? 2 + rankOf(found.severity) : 0) + (heard.silent ? 8 : 0)
      // The table may hand out one object again and again.
      const { site, device, receivedAt: heardAt, intervalMs: usualMs } = heard
      const own = { site, device, heardAt, usualMs, silent: heard.silent }
      matching.push({
        heard: own,
        name,
        rank,
        alerts: found?.count ?? 0,
        severity: found?.severity
      })
    }
    const first = firstOf(matching, DEVICES_MAX, byRank)
    return { total, silent, matching: matching.length, shown: this.#rows(first) }
  }

  #rows(first: readonly Ranked[]): LiveDevice[] {
    const rows = new Map<string, LiveDevice>()
    for (const { heard, alerts, severity } of first) {
      rows.set(keyOf(heard), {
        ...{ ...heard, alerts, metrics: 0, values: [] },
        ...(severity ? { severity } : {})
      })
    }
    for (const series of this.#source.seriesNames()) {
      const row = series.metric === '-' ? undefined : rows.get(keyOf(series))
      if (!row) continue
      row.metrics++
      const latest = this.#history.latest(series)
      if (latest && row.values.length < VALUES_MAX) {
        row.values.push({ metric: series.metric, value: latest.value })
      }
    }
    // In the order of last use they would change places all the time.
    for (const { values } of rows.values()) values.sort((a, b) => (a.metric < b.metric ? -1 : 1))
    return [...rows.values()]
  }

  #series({ series, sinceAt }: LiveRequest, open: readonly AlertData[]): LiveSeries | undefined {
    const wanted = series ?? this.#worthALook(open)
    if (!wanted) return undefined
    const metrics: string[] = []
    let found: SeriesName | undefined
    for (const name of this.#source.seriesNames()) {
      if (name.metric === '-' || !isSameDevice(name, wanted)) continue
      if (metrics.length < METRICS_MAX) metrics.push(name.metric)
      if (name.metric === wanted.metric) found = name
    }
    if (!found) return series && { name: { ...series }, metrics: metrics.sort(), points: [] }
    this.#history.claim(found)
    const { site, device, metric } = found
    const points = this.#history.points(found, sinceAt ?? Number.NEGATIVE_INFINITY)
    return { name: { site, device, metric }, metrics: metrics.sort(), points }
  }

  /** What the worst alert is about, else what was looked at last, or surprised. */
  #worthALook(open: readonly AlertData[]): SeriesName | undefined {
    for (const alert of firstOf(open, ALERTS_MAX, byWeight)) {
      const { site, device } = alert
      const metric = alert.metric === '-' ? alert.contributions[0]?.metric : alert.metric
      if (metric !== undefined && alert.kind !== 'silent') return { site, device, metric }
    }
    return this.#history.lastClaimed()
  }

  #keepLooking(): void {
    this.#history.keepsLatest = true
    clearTimeout(this.#looking)
    this.#looking = setTimeout(() => {
      this.#history.keepsLatest = false
    }, LOOKING_MS).unref()
  }
}

interface Ranked {
  heard: Pick<LiveDevice, 'site' | 'device' | 'heardAt' | 'usualMs' | 'silent'>
  name: string
  rank: number
  alerts: number
  severity: AlertData['severity'] | undefined
}

/** MQTT forbids U+0000 in topics. */
function keyOf({ site, device }: { site: string; device: string }): string {
  return `${site}\0${device}`
}

function isSameDevice(a: SeriesName, b: SeriesName): boolean {
  return a.site === b.site && a.device === b.device
}

function rankOf(severity: AlertData['severity']): number {
  return SEVERITIES.indexOf(severity)
}

/** The most severe first, of those the newest. */
function byWeight(a: AlertData, b: AlertData): number {
  return rankOf(b.severity) - rankOf(a.severity) || (a.startedAt < b.startedAt ? 1 : -1)
}

/** What needs a person first, then by name: a list that does not jump. */
function byRank(a: Ranked, b: Ranked): number {
  return b.rank - a.rank || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
}

/** The first `max` in order, without sorting all of a large fleet. */
export function firstOf<T>(all: readonly T[], max: number, order: (a: T, b: T) => number): T[] {
  const first: T[] = []
  for (const item of all) {
    if (first.length === max && order(item, first[max - 1]) >= 0) continue
    let low = 0
    let high = first.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (order(first[middle], item) <= 0) low = middle + 1
      else high = middle
    }
    first.splice(low, 0, item)
    if (first.length > max) first.pop()
  }
  return first
}
