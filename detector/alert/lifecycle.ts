import {
  type AlertData,
  type AlertEvent,
  type AlertKind,
  type AlertState,
  alertEvent,
  alertId,
  type Severity,
  seriesSubject
} from '../../core/contract/alert-event.ts'
import type { Hit } from './decision.ts'
import { type SeverityBands, severityOf, worse } from './severity.ts'

/** What an alert is about. */
export interface AlertSubject {
  site: string
  device: string
  /** `-`: the device as a whole. */
  metric: string
  kind: AlertKind
}

/** One reading, as the lifecycle sees it. */
export interface Observation extends Hit {
  /** Whose reading tells the time of it. */
  agentId: string
  /** `fl-id` of the reading. */
  eventId?: string
  late: boolean
  /** Of `value`, where its route declares one. */
  unit?: string | undefined
  /** Asked for only when an event is made, and then before the reading is learned. */
  details: () => AlertDetails
}

export interface AlertDetails {
  expected?: number
  lower?: number
  upper?: number
  /** The judge's own line; the configured `raise` when absent. */
  threshold?: number
  contributions: { metric: string; share: number }[]
  reason: string
  detector: AlertData['detector']
}

/** An alert that was raised and not yet cleared. Plain data: snapshots hold it as JSON. */
export interface OpenAlert {
  subject: AlertSubject
  startedAt: number
  /** Number of the last transition made, from 1. */
  transition: number
  /** Rises, never falls. */
  severity: Severity
  peak: { score: number; value?: number; metric?: string; at: number }
  samples: number
  /** Event time of the last transition. */
  transitionAt: number
  /** The last event, as it was sent. */
  last: AlertEvent
}

export interface LifecycleRule {
  /** `/fieldline/gateway-7` */
  source: string
  threshold: number
  /** Score below which an open alert has nothing to update. */
  clear: number
  /** Least event time between two `updated`, unless the severity rises or a series joins. */
  updateIntervalMs: number
  severity: SeverityBands
}

/** The part of a configuration that tells. */
export function lifecycleRuleOf(
  config: Pick<LifecycleRule, 'clear' | 'updateIntervalMs' | 'severity'> & { raise: number },
  source: string
): LifecycleRule {
  const { raise, clear, updateIntervalMs, severity } = config
  return { source, threshold: raise, clear, updateIntervalMs, severity }
}

/**
 * Pure, as the others here: the same alert and the same observation give the same event, byte for
 * byte.
 *
 * @param startedAt Event time of the first reading counted: names the alert.
 * @param hits Readings counted by the on-delay, oldest first; the last is the observation's.
 */
export function raiseAlert(
  rule: LifecycleRule,
  subject: AlertSubject,
  startedAt: number,
  hits: readonly Hit[],
  seen: Observation,
  severityMin: Severity = 'info'
): OpenAlert {
  const alert: Omit<OpenAlert, 'last'> = {
    ...{ subject, startedAt, transition: 1, severity: severityMin, samples: 0 },
    ...{ peak: { score: Number.NEGATIVE_INFINITY, at: seen.at }, transitionAt: seen.at }
  }
  countHits(rule, alert, hits)
  return { ...alert, last: transition(rule, alert, 'raised', seen) }
}

/** Counts readings of an alert, without a word. @returns Whether the severity rose. */
export function countHits(
  rule: LifecycleRule,
  alert: Omit<OpenAlert, 'last'>,
  hits: readonly Hit[],
  severityMin: Severity = 'info'
): boolean {
  const before = alert.severity
  alert.samples += hits.length
  for (const hit of hits) {
    if (hit.score > alert.peak.score) alert.peak = peakOf(hit)
    alert.severity = worse(alert.severity, severityOf(hit.score, rule.severity))
  }
  alert.severity = worse(alert.severity, severityMin)
  return alert.severity !== before
}

/** Counts a reading of an open alert. @returns The `updated` event, if there is reason for one. */
export function observeAlert(
  rule: LifecycleRule,
  alert: OpenAlert,
  seen: Observation
): AlertEvent | undefined {
  const rises = countHits(rule, alert, [seen])
  const due = seen.at - alert.transitionAt >= rule.updateIntervalMs && seen.score >= rule.clear
  return rises || due ? updateAlert(rule, alert, seen) : undefined
}

export function updateAlert(rule: LifecycleRule, alert: OpenAlert, seen: Observation): AlertEvent {
  alert.transition++
  alert.transitionAt = seen.at
  alert.last = transition(rule, alert, 'updated', seen)
  return alert.last
}

export function clearAlert(rule: LifecycleRule, alert: OpenAlert, seen: Observation): AlertEvent {
  alert.transition++
  alert.last = transition(rule, alert, 'cleared', seen)
  return alert.last
}

function peakOf({ score, value, metric, at }: Hit): OpenAlert['peak'] {
  return { score, ...(value === undefined ? {} : { value }), ...(metric ? { metric } : {}), at }
}

function transition(
  rule: LifecycleRule,
  alert: Omit<OpenAlert, 'last'>,
  state: AlertState,
  seen: Observation
): AlertEvent {
  const { site, device, metric, kind } = alert.subject
  const { detector, contributions, reason, threshold, ...band } = seen.details()
  const at = new Date(seen.at).toISOString()
  const data: AlertData = {
    alertId: alertId(seriesSubject(site, device, metric), kind, alert.startedAt),
    state,
    kind,
    severity: alert.severity,
    site,
    device,
    metric,
    ...(seen.value === undefined ? {} : { value: seen.value }),
    ...(seen.unit === undefined ? {} : { unit: seen.unit }),
    ...band,
    score: rounded(seen.score),
    threshold: threshold ?? rule.threshold,
    detector,
    startedAt: new Date(alert.startedAt).toISOString(),
    at,
    ...(state === 'cleared'
      ? { clearedAt: at, durationMs: Math.max(0, seen.at - alert.startedAt) }
      : {}),
    peak: {
      ...alert.peak,
      score: rounded(alert.peak.score),
      at: new Date(alert.peak.at).toISOString()
    },
    samples: alert.samples,
    contributions,
    reason,
    ...(seen.eventId === undefined ? {} : { eventId: seen.eventId }),
    late: seen.late
  }
  return alertEvent(rule.source, alert.transition, data)
}

/** Four digits are enough for a person, and hide what differs between processors' last bits. */
function rounded(score: number): number {
  return Math.round(score * 1e4) / 1e4
}
