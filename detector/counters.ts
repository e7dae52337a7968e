import type { AlertEvent, AlertKind, Severity } from '../core/contract/alert-event.ts'

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
    raisedBySeverity: { info: 0, warning: 0, critical: 0 },
    updated: 0,
    cleared: 0
  }
}

export function countEvent(counters: DetectorCounters, { data }: AlertEvent): void {
  if (data.state === 'raised') {
    counters.raised[data.kind]++
    counters.raisedBySeverity[data.severity]++
  } else {
    counters[data.state]++
  }
}
