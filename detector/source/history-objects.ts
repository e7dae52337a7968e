import { parseEventId } from '../../core/contract/event-id.ts'
import {
  type Codec,
  decodePayload,
  type Fields,
  parseInstant
} from '../../core/contract/reading.ts'
import { DEFAULT_ROUTE } from '../../core/contract/route-config.ts'
import { TopicTemplate } from '../../core/contract/topic-template.ts'
import { nearestName } from '../../core/runtime/nearest.ts'
import type { HistoryParser, HistoryReading, ParserContext, StoredIdentity } from './history.ts'
import { type HistoryColumns, quoted } from './history-table.ts'
import { epochMs, instantOf } from './history-time.ts'

/** How the route of a message reads it. */
export interface MessageRoute {
  site: string
  device: string
  metric?: string
  codec: Codec
  fields?: Fields
}

/** An MQTT message, as `fieldline log export` writes it. */
export interface ExportedMessage {
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
  clientId: string
  receivedAt: number
}

export interface ObjectOptions {
  columns: HistoryColumns
  /** The route that decodes a message, undefined: none. Default: the default route's. */
  match?: (message: ExportedMessage) => MessageRoute | undefined
  /** Event time of what was observed and received then. Default: what was observed. */
  believe?: (observedAt: number | undefined, receivedAt: number) => number
}

const TIME_NAMES = ['ts', 'timestamp', 'time', 'observedAt', 'datetime', 'date', 'at', 'receivedAt']

type Measured = Pick<HistoryReading, 'values' | 'unusable'>
type JsonObject = Record<string, unknown>

/**
 * One JSON object a line, or an array of objects:
 *
 * - what `fieldline log export` writes (`topic`, `payload`, `receivedAt`): decoded by its route;
 * - `value: reading` records (`values` is an object);
 * - any other object is a payload as devices send it, with its time in `ts`, `timestamp` or `time`;
 *   the texts `site`, `device` and `metric` in it say whose it is.
 */
export class ObjectParser implements HistoryParser {
  readonly #options: ObjectOptions
  readonly #context: ParserContext
  readonly #match: (message: ExportedMessage) => MessageRoute | undefined
  readonly #believe: (observedAt: number | undefined, receivedAt: number) => number
  readonly #fields: ReadonlySet<string> | undefined
  /** Fields that say when and whose. */
  readonly #aside: ReadonlySet<string>

  constructor(options: ObjectOptions, context: ParserContext) {
    this.#options = options
    this.#context = context
    this.#match = options.match ?? defaultMatch()
    this.#believe = options.believe ?? ((observedAt, receivedAt) => observedAt ?? receivedAt)
    this.#fields = options.columns.values && new Set(options.columns.values)
    const { time = 'ts', site = 'site', device = 'device' } = options.columns
    this.#aside = new Set([...TIME_NAMES, time, site, device])
  }

  take(text: string, line: number): HistoryReading[] {
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      this.#context.bad(line, `no JSON: ${quoted(text)}`)
      return []
    }
    const elements = Array.isArray(json) ? json : [json]
    return elements.flatMap(element => {
      const taken = isObject(element) ? this.#takeObject(element, line) : 'no JSON object'
      if (typeof taken !== 'string') return taken
      this.#context.bad(line, taken)
      return []
    })
  }

  end(): HistoryReading[] {
    return []
  }

  /** @returns Why not, if not. */
  #takeObject(object: JsonObject, line: number): HistoryReading[] | string {
    if (object.specversion !== undefined) return 'an alert event, no reading'
    if (typeof object.topic === 'string' && typeof object.payload === 'string') {
      return this.#takeMessage(object, line)
    }
    if (typeof object.record === 'string' && object.epoch !== undefined) {
      return 'a record that the exporting version could not read'
    }
    const at = this.#timeOf(object)
    if (at === undefined) return this.#noTime(object)
    const measured = this.#valuesOf(object)
    if (typeof measured === 'string') return measured
    return [{ at, ...this.#deviceOf(object), ...measured, file: this.#context.file, line }]
  }

  #takeMessage(object: JsonObject, line: number): HistoryReading[] | string {
    const { topic, payload, payloadEncoding, receivedAt, qos, retain, clientId } = object
    if (typeof receivedAt !== 'number') return 'an exported record without receivedAt'
    const encoding = payloadEncoding === 'base64' ? 'base64' : 'utf8'
    const bytes = Buffer.from(payload as string, encoding)
    const route = this.#match({
      ...{ topic: topic as string, payload: bytes, receivedAt, retain: retain === true },
      qos: qos === 1 || qos === 2 ? qos : 0,
      clientId: typeof clientId === 'string' ? clientId : ''
    })
    if (!route) return `no route decodes topic ${quoted(topic as string)}`
    const { site, device } = route
    const decoded = decodePayload(route.codec, bytes, route.metric, route.fields, true)
    if (!decoded.ok) return `the payload cannot be decoded: ${decoded.reason}`
    return decoded.payloads.map(({ observedAt, values, unusable }, index) => ({
      at: this.#believe(observedAt, receivedAt),
      ...{ site, device, line, file: this.#context.file },
      ...this.#wanted({ values, ...(unusable ? { unusable } : {}) }),
      ...identityOf(object, receivedAt, observedAt, index)
    }))
  }

  #timeOf(object: JsonObject): number | undefined {
    const { time } = this.#options.columns
    const believed = isObject(object.values) && time === undefined
    if (believed && typeof object.receivedAt === 'number') {
      const observedAt = parseInstant(object.observedAt)
      return this.#believe(observedAt, object.receivedAt)
    }
    for (const name of time === undefined ? TIME_NAMES : [time]) {
      const written = Object.hasOwn(object, name) ? object[name] : undefined
      const at =
        typeof written === 'number'
          ? epochMs(written)
          : typeof written === 'string'
            ? instantOf(written)
            : Number.NaN
      if (Number.isFinite(at)) return at
    }
    return undefined
  }

  #noTime(object: JsonObject): string {
    const { time } = this.#options.columns
    if (time === undefined) return 'no time: name its field with --time'
    const near = nearestName(time, Object.keys(object))
    const hint = near === undefined || near === time ? '' : `; did you mean ${quoted(near)}?`
    return `no time in its field ${quoted(time)}${hint}`
  }

  #valuesOf(object: JsonObject): Measured | string {
    if (isObject(object.values)) {
      const values = Object.entries(object.values).flatMap(([metric, value]) =>
        typeof value === 'number' && Number.isFinite(value) ? [{ metric, value }] : []
      )
      return this.#wanted({ values })
    }
    const named = this.#options.columns.metric ?? 'metric'
    const metric = textOf(object[named])
    const entries = Object.entries(object).filter(
      ([name]) => !this.#aside.has(name) && (name !== named || metric === undefined)
    )
    const payload = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
    const decoded = decodePayload('json', payload, metric, this.#fields, true)
    if (!decoded.ok) return decoded.detail
    const { values = [], unusable } = decoded.payloads[0] ?? {}
    return { values, ...(unusable ? { unusable } : {}) }
  }

  #wanted({ values, unusable }: Measured): Measured {
    const fields = this.#fields
    if (!fields) return { values, ...(unusable ? { unusable } : {}) }
    const known = unusable?.filter(metric => fields.has(metric)) ?? []
    return {
      values: values.filter(({ metric }) => fields.has(metric)),
      ...(known.length > 0 ? { unusable: known } : {})
    }
  }

  #deviceOf(object: JsonObject): { site: string; device: string } {
    const { columns } = this.#options
    return {
      site: textOf(object[columns.site ?? 'site']) ?? this.#context.site,
      device: textOf(object[columns.device ?? 'device']) ?? this.#context.device
    }
  }
}

function defaultMatch(): (message: ExportedMessage) => MessageRoute | undefined {
  const templates = DEFAULT_ROUTE.match.map(text => new TopicTemplate(text))
  return ({ topic }) => {
    for (const template of templates) {
      const found = template.match(topic)
      if (found) {
        const { site, device, metric } = found
        return { site, device, codec: 'json', ...(metric === undefined ? {} : { metric }) }
      }
    }
    return undefined
  }
}

function identityOf(
  { id, epoch, offset }: JsonObject,
  receivedAt: number,
  observedAt: number | undefined,
  index: number
): { record?: StoredIdentity } {
  if (typeof epoch !== 'string' || typeof offset !== 'number') return {}
  const eventId = typeof id === 'string' ? id : ''
  const agentId = parseEventId(eventId)?.agentId ?? ''
  const observed = observedAt === undefined ? {} : { observedAt }
  return { record: { agentId, eventId, epoch, offset, index, receivedAt, ...observed } }
}

/** A device's number is a name, too. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isObject(node: unknown): node is JsonObject {
  return typeof node === 'object' && node !== null && !Array.isArray(node)
}
