import type { DeadLetterReason, DeadLetterStage } from '../../core/contract/headers.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { propertyText } from '../../core/contract/message-properties.ts'
import {
  type DecodedPayload,
  type DecodeResult,
  decodePayload,
  READINGS_MAX,
  VALUES_MAX,
  type Value
} from '../../core/contract/reading.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import { deviceKey } from '../../core/contract/topics.ts'
import type { OutgoingRecord } from '../uplink/outgoing-record.ts'
import { toDeadLetter } from './dead-letter.ts'
import { type RoutedMessage, type RouteMatch, RouteTable } from './route-table.ts'
import { isKept } from './sample.ts'
import { fillTopic, forbiddenTopics } from './topic-name.ts'

export interface BranchOptions {
  routes: readonly RouteConfig[]
  deadLetterTopic: string
  /** Of edge alerts: no telemetry may go there. */
  alertTopic?: string
  /** Of the agents' words: likewise. */
  statusTopic?: string | null
  /** A device's time is believed this far before and after the agent's. */
  pastMsMax: number
  futureMsMax: number
}

/** A message whose time is settled, on its way to its routes. */
export interface Arrival extends RoutedMessage {
  readonly eventId: string
  readonly clientId: string
  /** Epoch ms. */
  readonly receivedAt: number
  /** Headers of each of its records, `fl-id` among them. */
  readonly headers: Record<string, string>
  /** MQTT 5 properties as they were stored, for routes that name some. */
  readonly properties?: Readonly<Record<string, unknown>>
}

/** What one route makes of one message. */
export type Branch =
  | {
      kind: 'deliver'
      route: RouteConfig
      record: OutgoingRecord
      /** Absent with codec `raw`. */
      decoded: DecodeResult | undefined
    }
  | {
      kind: 'dead_letter'
      /** Absent when no route matches. */
      route: RouteConfig | undefined
      record: OutgoingRecord
      reason: DeadLetterReason
      detail: string
    }
  | { kind: 'dropped'; route: RouteConfig }
  | { kind: 'sampled_out'; route: RouteConfig }

/** Message → what each of its routes makes of it; pure. The agent and `dlq replay` share it. */
export class Branches {
  readonly table: RouteTable
  readonly #options: BranchOptions
  readonly #forbidden: ReadonlySet<string>

  constructor(options: BranchOptions) {
    this.#options = options
    this.table = new RouteTable(options.routes)
    this.#forbidden = forbiddenTopics([
      options.deadLetterTopic,
      options.alertTopic,
      options.statusTopic
    ])
  }

  /** At least one: what no route wants is a dead letter. */
  of(arrival: Arrival): Branch[] {
    const { wanted, droppedBy } = this.table.match(arrival)
    const branches: Branch[] = []
    for (const match of wanted) branches.push(this.#branch(match, arrival, branches))
    if (droppedBy) branches.push({ kind: 'dropped', route: droppedBy })
    if (branches.length === 0) branches.push(this.#unwanted(arrival))
    return branches
  }

  /** The device's time where it can be true, else the agent's. */
  believedTime(observedAt: number | undefined, receivedAt: number): number {
    if (observedAt === undefined) return receivedAt
    const { pastMsMax, futureMsMax } = this.#options
    const believed = observedAt >= receivedAt - pastMsMax && observedAt <= receivedAt + futureMsMax
    return believed ? observedAt : receivedAt
  }

  deadLetter(
    route: RouteConfig | undefined,
    record: OutgoingRecord,
    stage: DeadLetterStage,
    reason: DeadLetterReason,
    detail: string
  ): Branch {
    const letter = toDeadLetter(record, this.#options.deadLetterTopic, stage, reason, detail)
    return { kind: 'dead_letter', route, record: letter, reason, detail }
  }

  #branch(match: RouteMatch, arrival: Arrival, before: readonly Branch[]): Branch {
    const { config } = match
    if (config.sample !== undefined && !isKept(arrival.eventId, config.sample)) {
      return { kind: 'sampled_out', route: config }
    }
    const decoded =
      config.codec === 'raw'
        ? undefined
        : decodePayload(config.codec, arrival.payload, match.metric, match.fields)
    const payloads = decoded?.ok ? decoded.payloads : []
    const observedAt = payloads[0]?.observedAt
    const record: OutgoingRecord = {
      topic: '',
      key: deviceKey(match.site, match.device),
      value: bufferOf(arrival.payload),
      timestampMs: this.believedTime(observedAt, arrival.receivedAt),
      headers: headersOf(config, arrival, observedAt),
      route: config.name
    }
    const filled = fillTopic(config.topic, match, this.#forbidden)
    if (!filled.ok) return this.deadLetter(config, record, 'route', 'topic_invalid', filled.detail)
    const taken = before.find(
      branch => branch.kind === 'deliver' && branch.record.topic === filled.topic
    )
    if (taken) {
      // One id twice in one topic: only a template and a device's name can bring it about.
      const detail = `route '${taken.route?.name}' leads it to '${filled.topic}' already`
      return this.deadLetter(config, record, 'route', 'topic_invalid', detail)
    }
    if (config.value === 'reading') {
      if (decoded && !decoded.ok) {
        return this.deadLetter(config, record, 'decode', decoded.reason, decoded.detail)
      }
      if (payloads.every(payload => payload.values.length === 0)) {
        const detail = 'the payload holds no number'
        return this.deadLetter(config, record, 'decode', 'no_values', detail)
      }
      if (payloads.some(payload => payload.overfull)) {
        // What would be left out of the value would be lost; the dead letter has every byte.
        const detail = `more than ${READINGS_MAX} readings, or ${VALUES_MAX} values in one: name the wanted ones in the route's fields`
        return this.deadLetter(config, record, 'decode', 'too_many_values', detail)
      }
      record.original = record.value
      const several = decoded?.ok && decoded.several === true
      record.value = readingValue(match, payloads, several === true, arrival.receivedAt)
    }
    record.topic = filled.topic
    return { kind: 'deliver', route: config, record, decoded }
  }

  #unwanted(arrival: Arrival): Branch {
    const { qos, retain, headers } = arrival
    const record: OutgoingRecord = {
      topic: '',
      key: arrival.clientId,
      value: bufferOf(arrival.payload),
      timestampMs: arrival.receivedAt,
      headers: {
        ...headers,
        ...(qos === undefined ? {} : { [HEADERS.qos]: String(qos) }),
        ...(retain ? { [HEADERS.retain]: '1' } : {})
      }
    }
    const detail = `no route matches '${arrival.topic}'`
    return this.deadLetter(undefined, record, 'route', 'no_route', detail)
  }
}

/** A view, no copy: the record's bytes live as long as its batch. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function headersOf(
  { headers, mqttProperties }: RouteConfig,
  arrival: Arrival,
  observedAt: number | undefined
): Record<string, string> {
  const properties = mqttProperties && arrival.properties
  if (headers === undefined && observedAt === undefined && !properties) return arrival.headers
  const all: Record<string, string> = Object.assign({}, arrival.headers, headers)
  if (properties) {
    for (const name of mqttProperties) {
      const value = propertyText(properties, name)
      if (value !== undefined) all[name] = value
    }
  }
  if (observedAt !== undefined) all[HEADERS.observed] = String(observedAt)
  return all
}

/** `value: reading`: one object, or an array of such for a payload of several. */
function readingValue(
  match: RouteMatch,
  payloads: readonly DecodedPayload[],
  several: boolean,
  receivedAt: number
): Buffer {
  const readings = payloads.map(payload => ({
    site: match.site,
    device: match.device,
    // JSON leaves out what is undefined.
    metric: match.metric,
    values: Object.fromEntries(payload.values.map(({ metric, value }) => [metric, value])),
    observedAt: payload.observedAt,
    receivedAt,
    ...unitsOf(payload.values)
  }))
  return Buffer.from(JSON.stringify(several ? readings : readings[0]))
}

/** One `unit` where all values have the same; else `units`, by name, of those that have one. */
function unitsOf(values: readonly Value[]): object {
  const named = values.filter(({ unit }) => unit !== undefined)
  if (named.length === 0) return {}
  const [{ unit }] = named
  if (named.length === values.length && named.every(value => value.unit === unit)) return { unit }
  return { units: Object.fromEntries(named.map(value => [value.metric, value.unit])) }
}
