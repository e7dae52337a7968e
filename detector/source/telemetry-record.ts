import { parseEventId } from '../../core/contract/event-id.ts'
import { type DeadLetterReason, HEADERS } from '../../core/contract/headers.ts'
import {
  type DecodedPayload,
  decodePayload,
  type Fields,
  parseInstant
} from '../../core/contract/reading.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import { compileFields } from '../../core/contract/route-fields.ts'
import { TopicTemplate } from '../../core/contract/topic-template.ts'
import type { DetectorReading } from '../detector.ts'
import { matchesAny } from '../pattern.ts'

/** A record of a telemetry topic, as far as it matters here. */
export interface TelemetryRecord {
  /** Kafka's. */
  topic: string
  key: Uint8Array | null
  value: Uint8Array | null
  /** Kafka's, epoch ms. */
  timestampMs: number
  header: (name: string) => string | undefined
}

export type TelemetryDecoding =
  /** `unrouted`: no route of the configuration explains it. None is a reading of a `raw` route. */
  | { ok: true; readings: DetectorReading[]; unrouted?: true }
  /**
   * It can never be read. `unknown_record`: written by somebody else, or stripped of its headers on
   * the way.
   */
  | { ok: false; reason: PoisonReason; detail: string }

export const POISON_REASONS = [
  'unknown_record',
  'no_values',
  'not_json',
  'not_a_number',
  'too_deep'
] as const satisfies readonly DeadLetterReason[]
export type PoisonReason = (typeof POISON_REASONS)[number]

/**
 * Reads telemetry records as the routes wrote them: key `site/device`, metric from the MQTT topic in
 * `fl-topic`, payload by the codec of the route that leads to the record's own topic, event time from
 * the record's timestamp.
 */
export class TelemetryDecoder {
  readonly #routes: Route[]

  constructor(routes: readonly RouteConfig[]) {
    this.#routes = routes
      .filter(({ drop }) => !drop)
      .map(config => ({
        config,
        // What stands for a part may be any text: routes to one topic do not take the same messages.
        topics: [config.topic.replaceAll(/\{[^}]*\}/g, '*')],
        templates: config.match.map(text => new TopicTemplate(text)),
        fields: compileFields(config.fields)
      }))
  }

  decode(record: TelemetryRecord): TelemetryDecoding {
    const eventId = record.header(HEADERS.id)
    const id = eventId === undefined ? undefined : parseEventId(eventId)
    if (!id || eventId === undefined) return poison('unknown_record', 'it has no fl-id of an agent')
    const device = deviceOf(record.key)
    if (!device) return poison('unknown_record', 'its key is not site/device')
    const mqttTopic = record.header(HEADERS.topic)
    if (mqttTopic === undefined) return poison('unknown_record', 'it has no fl-topic')
    if (!record.value) return poison('no_values', 'it has no value')
    const found = this.#route(record.topic, mqttTopic)
    if (!found) return { ok: true, readings: [], unrouted: true }
    const decoded = decodeValue(found, record.value)
    if (!decoded.ok) return decoded
    const { payloads } = decoded
    const first = payloads[0]?.observedAt
    const readings = payloads.map((payload, index) => ({
      epoch: id.epoch,
      offset: id.offset,
      index,
      agentId: id.agentId,
      eventId,
      ...device,
      // The timestamp is the first element's believed time; others keep their distance to it.
      at: record.timestampMs + distance(first, payload.observedAt),
      receivedAt: Number(record.header(HEADERS.received) ?? record.timestampMs),
      ...payload,
      ...(record.header(HEADERS.replayOf) === undefined ? {} : { resent: true })
    }))
    return { ok: true, readings }
  }

  /** Several routes may match one message: the one that leads to this topic has written it. */
  #route(topic: string, mqttTopic: string): Match | undefined {
    for (const route of this.#routes) {
      if (!matchesAny(route.topics, topic)) continue
      for (const template of route.templates) {
        const match = template.match(mqttTopic)
        if (match) return { route, metric: match.metric }
      }
    }
    return undefined
  }
}

interface Route {
  config: RouteConfig
  /** Patterns of the Kafka topics it leads to. */
  topics: string[]
  templates: TopicTemplate[]
  fields: Fields | undefined
}

interface Match {
  route: Route
  metric: string | undefined
}

type DecodedValue = { ok: true; payloads: DecodedPayload[] } | (TelemetryDecoding & { ok: false })

function decodeValue({ route, metric }: Match, value: Uint8Array): DecodedValue {
  const { config, fields } = route
  if (config.value === 'payload') return decodePayload(config.codec, value, metric, fields, true)
  const payloads = decodeReadings(value)
  return payloads ? { ok: true, payloads } : poison('not_json', 'it is no reading of an agent')
}

function poison(reason: PoisonReason, detail: string): TelemetryDecoding & { ok: false } {
  return { ok: false, reason, detail }
}

/** `site/device`, the site without a slash. */
function deviceOf(key: Uint8Array | null): { site: string; device: string } | undefined {
  const text = key ? Buffer.from(key).toString('utf8') : ''
  const slash = text.indexOf('/')
  if (slash < 1 || slash === text.length - 1) return undefined
  return { site: text.slice(0, slash), device: text.slice(slash + 1) }
}

/** The value of a route with `value: reading`: one reading, or an array of them. */
function decodeReadings(value: Uint8Array): DecodedPayload[] | undefined {
  try {
    const json: unknown = JSON.parse(Buffer.from(value).toString('utf8'))
    const payloads: DecodedPayload[] = []
    for (const element of Array.isArray(json) ? json : [json]) {
      const { values, observedAt, unit, units } = element as Record<string, unknown>
      if (typeof values !== 'object' || values === null) return undefined
      const at = parseInstant(observedAt)
      const named = typeof units === 'object' ? (units as Record<string, unknown> | null) : null
      // Scaled and named by the agent already.
      const valueFor = (metric: string, value: number) => {
        const own = named && Object.hasOwn(named, metric) ? named[metric] : unit
        return typeof own === 'string' ? { metric, value, unit: own } : { metric, value }
      }
      payloads.push({
        values: Object.entries(values).flatMap(([metric, v]) =>
          typeof v === 'number' ? [valueFor(metric, v)] : []
        ),
        ...(at === undefined ? {} : { observedAt: at })
      })
    }
    return payloads
  } catch {
    return undefined
  }
}

function distance(from: number | undefined, to: number | undefined): number {
  return from === undefined || to === undefined ? 0 : to - from
}
