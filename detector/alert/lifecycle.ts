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
import { severityOf, worse } from './severity.ts'

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
  /** `fl-id` of the reading. */
  eventId?: string
  late: boolean
  /** Asked for only when an event is made. */
  details: () => AlertDetails
}

export interface AlertDetails {
  expected?: number
  lower?: number
  upper?: number
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
  severity: Severity
  peak: { score: number; value?: number; at: number }
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
  /** Least event time between two `updated`, unless the severity rises. */
  updateIntervalMs: number
}

/**
 * Pure: the same alert and the same observation give the same event, byte for byte.
 *
 * @param hits Readings counted by the on-delay, oldest first; the last is the observation's.
 */
export function raiseAlert(
  rule: LifecycleRule,
  subject: AlertSubject,
  hits: readonly Hit[],
  seen: Observation,
  severityMin: Severity = 'info'
): { alert: OpenAlert; event: AlertEvent } {
  const worst = hits.reduce((a, b) => (b.score > a.score ? b : a))
  const alert: Omit<OpenAlert, 'last'> = {
    subject,
    startedAt: hits[0].at,
    transition: 1,
    severity: worse(severityOf(worst.score), severityMin),
    peak: peakOf(worst),
    samples: hits.length,
    transitionAt: seen.at
  }
  const event = transition(rule, alert, 'raised', seen)
  return { alert: { ...alert, last: event }, event }
}

/** Counts a reading of an open alert. @returns The `updated` event, if there is reason for one. */
export function observeAlert(
  rule: LifecycleRule & { clear: number },
  alert: OpenAlert,
  seen: Observation
): AlertEvent | undefined {
  alert.samples++
  if (seen.score > alert.peak.score) alert.peak = peakOf(seen)
  const severity = worse(alert.severity, severityOf(seen.score))
  const rises = severity !== alert.severity
  const due = seen.at - alert.transitionAt >= rule.updateIntervalMs && seen.score >= rule.clear
  if (!rises && !due) return undefined
  alert.severity = severity
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

function peakOf(hit: Hit): OpenAlert['peak'] {
  return { score: hit.score, ...(hit.value === undefined ? {} : { value: hit.value }), at: hit.at }
}

function transition(
  rule: LifecycleRule,
  alert: Omit<OpenAlert, 'last'>,
  state: AlertState,
  seen: Observation
): AlertEvent {
  const { site, device, metric, kind } = alert.subject
  const { detector, contributions, reason, ...band } = seen.details()
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
    ...band,
    score: rounded(seen.score),
    threshold: rule.threshold,
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
