import {
  ALERT_KINDS,
  type AlertEvent,
  type AlertKind,
  SEVERITIES,
  type Severity
} from '../core/contract/alert-event.ts'

/** What the detector did since it started. Closed sets of names: fit for metric labels. */
export interface DetectorCounters {
  readings: number
  /** Readings seen before. */
  duplicates: number
  /** Values given twice for one instant: not scored again. */
  repeated: number
  /** Values scored, with warm-up or without. */
  scored: number
  /** Of these: series still warming up. */
  learning: number
  /** Values that are no finite number below 1e100, and readings without a usable time. */
  unusable: number
  /** Readings cut short: their message had more values or readings than are decoded. */
  overfull: number
  /** Readings behind their agent's watermark. */
  late: number
  /** Values within a window that pauses learning. */
  notLearned: number
  evicted: number
  /** Rows scored by a model, and rows that it was asked for in vain. */
  modelRows: number
  modelFallbacks: number
  /** Now. */
  series: number
  /** Of these: still warming up, so that nothing is found in them yet. */
  seriesLearning: number
  openAlerts: number
  /** Conditions that last and that a silence hides. */
  mutedAlerts: number
  /** Conditions that a silence kept from being told, or from being told any longer. */
  suppressed: Record<AlertKind, number>
  raised: Record<AlertKind, number>
  /** Of raised alerts, at the time. */
  raisedBySeverity: Record<Severity, number>
  /** Both at once. */
  raisedAs: Record<AlertKind, Record<Severity, number>>
  updated: number
  cleared: number
}

export function noCounters(): DetectorCounters {
  return {
    readings: 0,
    duplicates: 0,
    repeated: 0,
    scored: 0,
    learning: 0,
    unusable: 0,
    overfull: 0,
    late: 0,
    notLearned: 0,
    evicted: 0,
    modelRows: 0,
    modelFallbacks: 0,
    series: 0,
    seriesLearning: 0,
    openAlerts: 0,
    mutedAlerts: 0,
    suppressed: { anomaly: 0, silent: 0, stuck: 0, range: 0, rate: 0, data_quality: 0 },
    raised: { anomaly: 0, silent: 0, stuck: 0, range: 0, rate: 0, data_quality: 0 },
    raisedBySeverity: noneBySeverity(),
    raisedAs: Object.fromEntries(
      ALERT_KINDS.map(kind => [kind, noneBySeverity()])
    ) as DetectorCounters['raisedAs'],
    updated: 0,
    cleared: 0
  }
}

export function countEvent(counters: DetectorCounters, { data }: AlertEvent): void {
  if (data.state === 'raised') {
    counters.raised[data.kind]++
    counters.raisedBySeverity[data.severity]++
    counters.raisedAs[data.kind][data.severity]++
  } else {
    counters[data.state]++
  }
}

/** Adds every count of `part`, also those that are there beside `DetectorCounters`. */
export function addCounters(sum: object, part: object): void {
  const [into, from] = [sum as Counts, part as Counts]
  for (const [name, value] of Object.entries(from)) {
    if (typeof value === 'number') into[name] = (into[name] as number) + value
    else addCounters(into[name] as Counts, value)
  }
}

type Counts = { [name: string]: number | Counts }

/** What stays of the counters of a detector that is gone: what it did, not what it held. */
export function pastOf<T extends DetectorCounters>(counters: T): T {
  return { ...counters, series: 0, seriesLearning: 0, openAlerts: 0, mutedAlerts: 0 }
}

export function bySeverity(alerts: Iterable<AlertEvent>): Record<Severity, number> {
  const counts = noneBySeverity()
  for (const { data } of alerts) counts[data.severity]++
  return counts
}

function noneBySeverity(): Record<Severity, number> {
  return Object.fromEntries(SEVERITIES.map(severity => [severity, 0])) as Record<Severity, number>
}
