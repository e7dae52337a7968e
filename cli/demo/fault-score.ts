import type { AlertEvent } from '../../core/contract/alert-event.ts'
import type { FaultKind } from '../../firmware-sim/fault.ts'
import { type Label, WHOLE_DEVICE } from '../../firmware-sim/truth.ts'

/** An alert at the moment it was raised. */
export interface RaisedAlert {
  alertId: string
  site: string
  device: string
  metric: string
  kind: string
  /** Event time of the transition, epoch ms. */
  at: number
  /** Of a device's alert (metric `-`): its series, each when it was first told. */
  series?: { metric: string; at: number }[]
}

export interface FaultRow {
  kind: FaultKind
  /** Range of magnitudes, with its unit. */
  magnitude: string
  injected: number
  detected: number
  /** From the fault's first reading to the alert, event time; undefined when none was detected. */
  medianDelayMs: number | undefined
  /** Whether the detector claims to find this kind at all. */
  lookedFor: boolean
}

export interface FaultScore {
  rows: FaultRow[]
  alerts: number
  /** Alerts that no injected fault explains. */
  falseAlerts: number
  falseExamples: RaisedAlert[]
  /** Faults that were cut short by the fleet's end before they were found: not judged. */
  cutShort: number
}

export interface FaultScoreOptions {
  /** Kinds that the detector claims to find. */
  lookedFor: readonly FaultKind[]
  /** An alert so long after a fault's end is still about it: the way back to normal is a jump too. */
  graceMs: number
  /** Event time of the fleet's end. */
  endAt: number
}

/** Times of labels are rounded to whole ms. */
const BEFORE_MS = 50
const EXAMPLES_MAX = 5

/** Rows of the table, in this order. `end` is exclusive. */
const MAGNITUDES: readonly { kind: FaultKind; end: number; text: string }[] = [
  { kind: 'spike', end: 9, text: '6–9 σ' },
  { kind: 'spike', end: Number.POSITIVE_INFINITY, text: '9–12 σ' },
  { kind: 'shift', end: 4.5, text: '3–4.5 σ' },
  { kind: 'shift', end: Number.POSITIVE_INFINITY, text: '4.5–6 σ' },
  { kind: 'silence', end: 30, text: '20–29 readings' },
  { kind: 'silence', end: Number.POSITIVE_INFINITY, text: '30–40 readings' },
  { kind: 'drift', end: Number.POSITIVE_INFINITY, text: '0.05 σ/min' },
  { kind: 'stuck', end: Number.POSITIVE_INFINITY, text: '20–40 readings' },
  { kind: 'clock_skew', end: Number.POSITIVE_INFINITY, text: '5–60 min' },
  { kind: 'duplicates', end: Number.POSITIVE_INFINITY, text: 'all twice' }
]

/**
 * Holds alerts against the faults that were injected.
 *
 * An alert is about a fault when it was raised on its device, and on its metric unless the whole
 * device is concerned, between the fault's first reading and `graceMs` after its last; an alert of
 * the device is about a metric from when it first names it. A silence is detected by an alert of
 * kind `silent` only. Alerts about no fault are false.
 */
export function scoreFaults(
  labels: readonly Label[],
  alerts: readonly RaisedAlert[],
  { lookedFor, graceMs, endAt }: FaultScoreOptions
): FaultScore {
  const explained = new Set<RaisedAlert>()
  const cells = MAGNITUDES.map(() => ({ injected: 0, delaysMs: [] as number[] }))
  let cutShort = 0
  for (const label of labels) {
    const about = alerts.flatMap(alert =>
      tellingsOf(alert, label)
        .filter(at => isWithin(at, label, graceMs))
        .map(at => ({ alert, at }))
    )
    for (const { alert } of about) explained.add(alert)
    const delaysMs = about
      .filter(({ alert }) => label.kind !== 'silence' || alert.kind === 'silent')
      .map(({ at }) => Math.max(0, eventTime(at, label) - label.from))
    if (delaysMs.length === 0 && label.to >= endAt && lookedFor.includes(label.kind)) {
      cutShort++
      continue
    }
    const cell = cells[rowOf(label)]
    cell.injected++
    if (delaysMs.length > 0) cell.delaysMs.push(Math.min(...delaysMs))
  }
  const rows = MAGNITUDES.map(({ kind, text }, index) => ({
    kind,
    magnitude: text,
    injected: cells[index].injected,
    detected: cells[index].delaysMs.length,
    medianDelayMs: median(cells[index].delaysMs),
    lookedFor: lookedFor.includes(kind)
  }))
  const unexplained = alerts.filter(alert => !explained.has(alert))
  return {
    rows: rows.filter(({ injected }) => injected > 0),
    alerts: alerts.length,
    falseAlerts: unexplained.length,
    falseExamples: unexplained.slice(0, EXAMPLES_MAX),
    cutShort
  }
}

/** @returns Alerts in the order of their raising, each once, however often it was told. */
export function raisedAlerts(events: Iterable<AlertEvent>): RaisedAlert[] {
  const raised = new Map<string, RaisedAlert>()
  for (const { data } of events) {
    const { alertId, site, device, metric, kind, state } = data
    if (state === 'cleared') continue
    let alert = raised.get(alertId)
    // Whoever looks now and then may see an alert only after its first update.
    const at = Date.parse(alert || state === 'raised' ? data.at : data.startedAt)
    if (!alert) {
      alert = { alertId, site, device, metric, kind, at }
      raised.set(alertId, alert)
    }
    if (metric !== '-') continue
    alert.series ??= []
    for (const contribution of data.contributions) {
      if (alert.series.some(s => s.metric === contribution.metric)) continue
      alert.series.push({ metric: contribution.metric, at })
    }
  }
  return [...raised.values()]
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/** When an alert spoke of what a label concerns. */
function tellingsOf(
  { site, device, metric, at, series = [] }: RaisedAlert,
  label: Label
): number[] {
  if (site !== label.site || device !== label.device) return []
  if (label.metric === WHOLE_DEVICE || metric === label.metric) return [at]
  return series.filter(s => s.metric === label.metric).map(s => s.at)
}

function isWithin(at: number, label: Label, graceMs: number): boolean {
  const within = (t: number): boolean => t >= label.from - BEFORE_MS && t <= label.to + graceMs
  return within(at) || within(eventTime(at, label))
}

/** A device with a wrong clock dates its alerts by it. */
function eventTime(at: number, label: Label): number {
  return label.kind === 'clock_skew' ? at - label.magnitude : at
}

function rowOf(label: Label): number {
  const size = Math.abs(label.magnitude)
  const row = MAGNITUDES.findIndex(
    ({ kind, end }) => kind === label.kind && (size < end || end === Number.POSITIVE_INFINITY)
  )
  if (row < 0) throw new Error(`no row for faults of kind ${label.kind}`)
  return row
}
