import { parseEventId } from '../../core/contract/event-id.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { type DecodedPayload, decodePayload, parseInstant } from '../../core/contract/reading.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import { TopicTemplate } from '../../core/contract/topic-template.ts'
import type { DetectorReading } from '../detector.ts'

/** A record of a telemetry topic, as far as it matters here. */
export interface TelemetryRecord {
  key: Uint8Array | null
  value: Uint8Array | null
  /** Kafka's, epoch ms. */
  timestampMs: number
  header: (name: string) => string | undefined
}

export type TelemetryDecoding =
  | { ok: true; readings: DetectorReading[] }
  /** Of a closed list. `no_id`: written by somebody else, or stripped of its headers on the way. */
  | { ok: false; reason: 'no_id' | 'no_key' | 'no_value' | 'no_route' | 'unreadable' }

/**
 * Reads telemetry records as the routes wrote them: key `site/device`, metric from the MQTT topic in
 * `fl-topic`, payload by the route's codec, event time from the record's timestamp.
 */
export class TelemetryDecoder {
  readonly #routes: { config: RouteConfig; templates: TopicTemplate[]; fields?: Set<string> }[]

  constructor(routes: readonly RouteConfig[]) {
    this.#routes = routes.map(config => ({
      config,
      templates: config.match.map(text => new TopicTemplate(text)),
      ...(config.fields ? { fields: new Set(config.fields) } : {})
    }))
  }

  decode(record: TelemetryRecord): TelemetryDecoding {
    const eventId = record.header(HEADERS.id)
    const id = eventId === undefined ? undefined : parseEventId(eventId)
    if (!id || eventId === undefined) return { ok: false, reason: 'no_id' }
    const device = deviceOf(record.key)
    if (!device) return { ok: false, reason: 'no_key' }
    if (!record.value) return { ok: false, reason: 'no_value' }
    const topic = record.header(HEADERS.topic)
    const route = topic === undefined ? undefined : this.#route(topic)
    if (!route) return { ok: false, reason: 'no_route' }
    const payloads =
      route.config.value === 'reading'
        ? decodeReadings(record.value)
        : this.#decodePayload(route, record.value)
    if (!payloads) return { ok: false, reason: 'unreadable' }
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
      values: payload.values,
      ...(record.header(HEADERS.replayOf) === undefined ? {} : { resent: true })
    }))
    return { ok: true, readings }
  }

  #route(topic: string) {
    for (const { config, templates, fields } of this.#routes) {
      if (config.codec === 'raw' || config.drop) continue
      for (const template of templates) {
        const match = template.match(topic)
        if (match) return { config, fields, metric: match.metric }
      }
    }
    return undefined
  }

  #decodePayload(
    { config, metric, fields }: { config: RouteConfig; metric?: string; fields?: Set<string> },
    value: Uint8Array
  ): DecodedPayload[] | undefined {
    const decoded = decodePayload(config.codec, value, metric, fields)
    return decoded.ok ? decoded.payloads : undefined
  }
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
      const { values, observedAt } = element as { values: unknown; observedAt?: unknown }
      if (typeof values !== 'object' || values === null) return undefined
      const at = parseInstant(observedAt)
      payloads.push({
        ...(at === undefined ? {} : { observedAt: at }),
        values: Object.entries(values).flatMap(([metric, v]) =>
          typeof v === 'number' ? [{ metric, value: v }] : []
        )
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
