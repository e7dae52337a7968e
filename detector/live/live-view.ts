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

export type HeardLately = Pick<LiveDevice, 'site' | 'device' | 'heardAt' | 'usualMs' | 'silent'>

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
  devices: {
    total: number
    silent: number
    matching: number
    shown: LiveDevice[]
    /** Of the matching: whose last reading is the longest ago, the longest first. */
    quietest: HeardLately[]
  }
  series?: LiveSeries
}

export type DeviceName = Pick<SeriesName, 'site' | 'device'>

/** What of a detector is looked at. */
export interface LiveSource {
  openAlerts(): AlertEvent[]
  counters(): DetectorCounters
  /** It may hand out one object again and again. */
  heardDevices(): Iterable<HeardDevice>
  /** In the order of metrics. */
  seriesOf(device: DeviceName): readonly SeriesName[]
}

const ALERTS_MAX = 60
const CLEARED_MAX = 30
const DEVICES_MAX = 25
const QUIETEST_MAX = 10
const METRICS_MAX = 60
const VALUES_MAX = 3
/** Without a question for so long, nobody looks. */
const LOOKING_MS = 10_000

/**
 * Answers what people see of a detector. Costs it nothing while nobody asks but the histories. One
 * pass over the devices serves all who look for the same, and makes nothing of those that are not shown.
 */
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

  /** @returns An answer to each; what is the same in two of them is one object. */
  look(requests: readonly LiveRequest[]): LiveLook[] {
    this.#keepLooking()
    const open = this.#source.openAlerts().map(({ data }) => data)
    const loud = loudDevices(open)
    const alerts: LiveLook['alerts'] = {
      total: open.length,
      devices: [...loud.values()].reduce((sum, devices) => sum + devices.size, 0),
      critical: open.filter(({ severity }) => severity === 'critical').length,
      shown: firstOf(open, ALERTS_MAX, byWeight)
    }
    const counters = this.#source.counters()
    const found = new Map<string, LiveLook['devices']>()
    return requests.map(request => {
      const wanted = (request.find ?? '').toLowerCase()
      const devices = found.get(wanted) ?? this.#devices(wanted, loud)
      found.set(wanted, devices)
      const series = this.#series(request, alerts.shown)
      return { counters, alerts, cleared: this.#cleared, devices, ...(series ? { series } : {}) }
    })
  }

  #devices(wanted: string, loud: LoudDevices): LiveLook['devices'] {
    let [total, silent, matching] = [0, 0, 0]
    const first = new FirstFew<Ranked>(DEVICES_MAX, byRank, seen => ({ ...seen }))
    const quietest = new FirstFew<HeardLately>(QUIETEST_MAX, byHeard, heardLately)
    const seen: Ranked = {
      ...{ site: '', device: '', heardAt: 0, usualMs: 0, silent: false },
      ...{ rank: 0, alerts: 0, severity: undefined }
    }
    for (const heard of this.#source.heardDevices()) {
      const { site, device } = heard
      total++
      if (heard.silent) silent++
      if (wanted !== '' && !`${site}/${device}`.toLowerCase().includes(wanted)) continue
      matching++
      const known = loud.get(site)?.get(device)
      seen.site = site
      seen.device = device
      seen.heardAt = heard.receivedAt
      seen.usualMs = heard.intervalMs
      seen.silent = heard.silent
      seen.alerts = known?.count ?? 0
      seen.severity = known?.severity
      seen.rank = (known ? 2 + rankOf(known.severity) : 0) + (heard.silent ? 8 : 0)
      first.offer(seen)
      quietest.offer(seen)
    }
    const shown = first.all.map(ranked => this.#row(ranked))
    return { total, silent, matching, shown, quietest: quietest.all }
  }

  #row(ranked: Ranked): LiveDevice {
    const values: LiveDevice['values'] = []
    let metrics = 0
    for (const series of this.#source.seriesOf(ranked)) {
      if (series.metric === '-') continue
      metrics++
      const value = values.length < VALUES_MAX ? this.#history.latest(series) : undefined
      if (value !== undefined) values.push({ metric: series.metric, value })
    }
    const { alerts, severity } = ranked
    return { ...heardLately(ranked), alerts, metrics, values, ...(severity ? { severity } : {}) }
  }

  /** @param worst Alerts, the worst first. */
  #series({ series, sinceAt }: LiveRequest, worst: readonly AlertData[]): LiveSeries | undefined {
    const wanted = series ?? this.#worthALook(worst)
    if (!wanted) return undefined
    const all = this.#source.seriesOf(wanted).filter(({ metric }) => metric !== '-')
    const metrics = all.slice(0, METRICS_MAX).map(({ metric }) => metric)
    const found = all.find(({ metric }) => metric === wanted.metric)
    if (!found) return series && { name: { ...series }, metrics, points: [] }
    this.#history.claim(found)
    const { site, device, metric } = found
    const points = this.#history.points(found, sinceAt ?? Number.NEGATIVE_INFINITY)
    return { name: { site, device, metric }, metrics, points }
  }

  /** What the worst alert is about, else what was looked at last, or surprised. */
  #worthALook(worst: readonly AlertData[]): SeriesName | undefined {
    for (const alert of worst) {
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

interface Ranked extends HeardLately {
  rank: number
  alerts: number
  severity: AlertData['severity'] | undefined
}

/** By site and device, without making a text of the two. */
type LoudDevices = Map<string, Map<string, { count: number; severity: AlertData['severity'] }>>

function loudDevices(open: readonly AlertData[]): LoudDevices {
  const loud: LoudDevices = new Map()
  for (const { site, device, severity } of open) {
    const ofSite = loud.get(site) ?? new Map()
    loud.set(site, ofSite)
    const known = ofSite.get(device)
    if (!known) ofSite.set(device, { count: 1, severity })
    else {
      known.count++
      if (rankOf(severity) > rankOf(known.severity)) known.severity = severity
    }
  }
  return loud
}

function heardLately({ site, device, heardAt, usualMs, silent }: HeardLately): HeardLately {
  return { site, device, heardAt, usualMs, silent }
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
  return b.rank - a.rank || compare(a.site, b.site) || compare(a.device, b.device)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function byHeard(a: HeardLately, b: HeardLately): number {
  return a.heardAt - b.heardAt
}

/** The first `max` in order of all that are offered, without keeping the others. */
export class FirstFew<T> {
  readonly all: T[] = []
  readonly #max: number
  readonly #order: (a: T, b: T) => number
  readonly #kept: (item: T) => T

  /** @param kept What is kept of one that is among them: its copy where one object is offered again. */
  constructor(max: number, order: (a: T, b: T) => number, kept: (item: T) => T = item => item) {
    this.#max = max
    this.#order = order
    this.#kept = kept
  }

  offer(item: T): void {
    const { all } = this
    if (all.length === this.#max && this.#order(item, all[all.length - 1]) >= 0) return
    let low = 0
    let high = all.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#order(all[middle], item) <= 0) low = middle + 1
      else high = middle
    }
    all.splice(low, 0, this.#kept(item))
    if (all.length > this.#max) all.pop()
  }
}

/** The first `max` in order, without sorting all of a large fleet. */
export function firstOf<T>(all: readonly T[], max: number, order: (a: T, b: T) => number): T[] {
  const few = new FirstFew(max, order)
  for (const item of all) few.offer(item)
  return few.all
}
