import type { AlertData, AlertEvent } from '../../core/contract/alert-event.ts'

/** One alert as `POST /api/v2/alerts` takes it, in an array. Source: Alertmanager's openapi.yaml. */
export interface AlertmanagerAlert {
  /** Identify it: other labels, another alert. Never a value. */
  labels: Record<string, string>
  annotations: Record<string, string>
  /** RFC 3339. */
  startsAt: string
  /** Only of one that is over. Without it Alertmanager forgets it `resolve_timeout` after its last POST. */
  endsAt?: string
}

const CONTRIBUTIONS_MAX = 5

/**
 * The severity is a label, as routes go by labels. It makes another alert of one whose severity rises:
 * the one of the lower severity is resolved in the same POST, and the higher one is notified at once
 * instead of with the next repetition.
 *
 * @param previous The alert's last event, if the receiver was told it.
 */
export function alertmanagerAlerts(
  agentId: string,
  event: AlertEvent,
  previous: AlertEvent | undefined
): AlertmanagerAlert[] {
  const rises = previous !== undefined && previous.data.severity !== event.data.severity
  return [
    ...(rises ? [alertOf(agentId, previous.data, event.data.at)] : []),
    alertOf(agentId, event.data, event.data.state === 'cleared' ? endOf(event.data) : undefined)
  ]
}

function alertOf(agentId: string, data: AlertData, endsAt: string | undefined): AlertmanagerAlert {
  const { site, device, metric, kind, severity, startedAt } = data
  return {
    labels: { alertname: nameOf(kind), site, device, metric, kind, severity, agent: agentId },
    annotations: annotationsOf(data),
    startsAt: startedAt,
    // It refuses an end before the start; late readings can bring that about.
    ...(endsAt === undefined ? {} : { endsAt: endsAt < startedAt ? startedAt : endsAt })
  }
}

function endOf({ clearedAt, at }: AlertData): string {
  return clearedAt ?? at
}

/** `data_quality` → `FieldlineDataQuality`. */
function nameOf(kind: string): string {
  const words = kind.split('_').map(word => word.slice(0, 1).toUpperCase() + word.slice(1))
  return `Fieldline${words.join('')}`
}

function annotationsOf(data: AlertData): Record<string, string> {
  const { site, device, metric, kind, peak, contributions, detector } = data
  const what = metric === '-' ? `${site}/${device}` : `${site}/${device} ${metric}`
  const shares = contributions
    .slice(0, CONTRIBUTIONS_MAX)
    .map(({ metric: part, share }) => `${part} ${Math.round(share * 100)} %`)
  const facts: Record<string, string | number | undefined> = {
    summary: `${kind} of ${what}`,
    description: data.reason,
    value: data.value,
    unit: data.unit,
    expected: data.expected,
    lower: data.lower,
    upper: data.upper,
    score: data.score,
    threshold: data.threshold,
    peak_score: peak.score,
    peak_value: peak.value,
    samples: data.samples,
    contributions: shares.join(', '),
    detector: `${detector.name} ${detector.version}`,
    alert_id: data.alertId,
    event_id: data.eventId
  }
  const known = Object.entries(facts).filter(([, fact]) => fact !== undefined && fact !== '')
  return Object.fromEntries(known.map(([name, fact]) => [name, String(fact)]))
}
