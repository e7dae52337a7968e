/**
 * Alert events: CloudEvents 1.0, structured JSON, as they stand in the topic `fieldline.alerts`,
 * under MQTT `alerts/#` and, at the edge, in the alert log.
 *
 * Sources: CloudEvents 1.0.2 §3; alarm words of ANSI/ISA-18.2-2016.
 */
export const ALERT_STATES = ['raised', 'updated', 'cleared'] as const
export type AlertState = (typeof ALERT_STATES)[number]

export const ALERT_KINDS = ['anomaly', 'silent', 'stuck', 'range', 'rate', 'data_quality'] as const
export type AlertKind = (typeof ALERT_KINDS)[number]

export const SEVERITIES = ['info', 'warning', 'critical'] as const
export type Severity = (typeof SEVERITIES)[number]

export interface AlertData {
  alertId: string
  state: AlertState
  kind: AlertKind
  severity: Severity
  site: string
  device: string
  /** `-` when the alert is of the device as a whole. */
  metric: string
  value?: number
  unit?: string
  expected?: number
  lower?: number
  upper?: number
  /** 0…1 */
  score: number
  threshold: number
  detector: { name: string; version: string; params: Record<string, unknown> }
  /** RFC 3339, event time of the first reading counted. */
  startedAt: string
  /** RFC 3339, event time of this transition. */
  at: string
  clearedAt?: string
  /** Of a cleared alert: clearedAt − startedAt. */
  durationMs?: number
  /** `metric`: whose value it is, in an alert of the device. */
  peak: { score: number; value?: number; metric?: string; at: string }
  /** Readings counted while open. */
  samples: number
  /** Series that take part, largest share first; of a cleared alert, all that ever did. */
  contributions: { metric: string; share: number }[]
  /** One sentence for a person. */
  reason: string
  /** `fl-id` of the reading that caused the transition. */
  eventId?: string
  /** Received behind the watermark. */
  late: boolean
}

export interface AlertEvent {
  specversion: '1.0'
  /** `alertId#n`, n the transition's number, from 1: a repeat is the same event. */
  id: string
  /** `/fieldline/{agentId}` at the edge, `/fieldline/{group}` centrally. */
  source: string
  type: `io.fieldline.alert.${AlertState}`
  /** `site/device/metric`, of the device as a whole `site/device`; parts through encodeURIComponent. */
  subject: string
  /** RFC 3339, event time. */
  time: string
  datacontenttype: 'application/json'
  dataschema: typeof ALERT_SCHEMA_ID
  data: AlertData
}

export const ALERT_SCHEMA_ID = 'urn:fieldline:schema:alert-v1.json'
export const ALERT_CONTENT_TYPE = 'application/cloudevents+json'

/** None of MQTT's `/ + #` is left; a lone surrogate, which JSON may hold, becomes U+FFFD. */
function encodePart(part: string): string {
  return encodeURIComponent(part.toWellFormed())
}

/** The stem of a series' alert ids; `-` for the device as a whole. */
export function seriesSubject(site: string, device: string, metric: string): string {
  return [site, device, metric].map(encodePart).join('/')
}

function subjectOf({ site, device, metric }: AlertData): string {
  return (metric === '-' ? [site, device] : [site, device, metric]).map(encodePart).join('/')
}

/** @param startedAt Event time of the first reading counted, epoch ms. */
export function alertId(subject: string, kind: AlertKind, startedAt: number): string {
  return `${subject}/${kind}/${startedAt}`
}

/** `alerts/{site}/{device}/{metric or -}/{kind}`: where the alert is retained while open. */
export function alertMqttTopic(
  data: Pick<AlertData, 'site' | 'device' | 'metric' | 'kind'>
): string {
  return `alerts/${seriesSubject(data.site, data.device, data.metric)}/${data.kind}`
}

/** Wraps a transition in its envelope. Pure: the same data gives the same bytes. */
export function alertEvent(source: string, transition: number, data: AlertData): AlertEvent {
  return {
    specversion: '1.0',
    id: `${data.alertId}#${transition}`,
    source,
    type: `io.fieldline.alert.${data.state}`,
    subject: subjectOf(data),
    time: data.at,
    datacontenttype: 'application/json',
    dataschema: ALERT_SCHEMA_ID,
    data
  }
}

/**
 * One frame of the alert log: every event that one telemetry record caused, with the position of
 * that record, so that a crash neither repeats nor skips an alert.
 */
export interface AlertFrame {
  source: { epoch: string; offset: number }
  events: AlertEvent[]
}

export function encodeAlertFrame(frame: AlertFrame): Buffer {
  return Buffer.from(JSON.stringify(frame))
}

/** @returns undefined when the bytes are no alert frame. */
export function decodeAlertFrame(bytes: Uint8Array): AlertFrame | undefined {
  try {
    const frame = JSON.parse(Buffer.from(bytes).toString('utf8')) as AlertFrame
    const whole =
      typeof frame.source.epoch === 'string' &&
      Number.isSafeInteger(frame.source.offset) &&
      Array.isArray(frame.events) &&
      frame.events.every(({ id, data }) =>
        [id, data.site, data.device].every(text => typeof text === 'string')
      )
    return whole ? frame : undefined
  } catch {
    return undefined
  }
}
