import { renderAlerts } from '../../agent/routing/alert-renderer.ts'
import { type Arrival, type Branch, Branches } from '../../agent/routing/branches.ts'
import type { OutgoingRecord } from '../../agent/uplink/outgoing-record.ts'
import { ALERT_CONTENT_TYPE } from '../../core/contract/alert-event.ts'
import { parseEventId } from '../../core/contract/event-id.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import { decodeStoredRecord } from '../../core/contract/stored-message.ts'
import type { FieldlineConfig } from '../config.ts'
import { cutFrom, type DeadLetter, placeOf, reasonOf, receivedAtOf } from './letter.ts'

/** What becomes of a dead letter that is to be sent again. */
export type Resent =
  | { kind: 'send'; records: OutgoingRecord[] }
  /** A route drops it now, or samples it out: nothing is left to be done. */
  | { kind: 'settled'; how: 'dropped' | 'sampled_out'; route: string }
  /** It still fails. `cause` is of a closed list. */
  | { kind: 'left'; cause: LeftCause; detail: string }

export type LeftCause =
  | 'cut'
  | 'no_dead_letter'
  | 'in_kafka'
  | 'route_gone'
  | 'route_unknown'
  | 'still_fails'
  | 'topic_missing'
  | 'refused'

type Config = Pick<FieldlineConfig, 'routes' | 'uplink' | 'clock'>

/**
 * Renders dead letters anew, by today's routes and the agent's own rules. Only the route that failed
 * is run again: the others have delivered. A letter goes out whole or not at all.
 */
export class Resending {
  readonly #config: Config
  readonly #via: RouteConfig | undefined
  readonly #branches = new Map<RouteConfig | undefined, Branches>()

  /** @param via Run this route, whichever failed. */
  constructor(config: Config, via?: RouteConfig) {
    this.#config = config
    this.#via = via
  }

  /** @param now Epoch ms. */
  of(letter: DeadLetter, now: number): Resent {
    const { headers } = letter
    const record = headers[HEADERS.record]
    if (record !== undefined) {
      return left('in_kafka', `a detector's letter about ${record}: the record is in Kafka already`)
    }
    const id = parseEventId(headers[HEADERS.id] ?? '')
    if (!id || headers[HEADERS.reason] === undefined) {
      return left('no_dead_letter', "no dead letter of an agent's: fl-id or fl-reason is missing")
    }
    const whole = cutFrom(letter)
    if (whole !== undefined) {
      return left('cut', `only ${letter.value.length} of ${whole} bytes were kept`)
    }
    if (headers['content-type'] === ALERT_CONTENT_TYPE && id.index !== undefined) {
      return { kind: 'send', records: [this.#alert(letter, now)] }
    }
    if (reasonOf(letter) === 'unknown_record') return this.#unreadRecord(letter, now)
    if (headers[HEADERS.topic] === undefined) {
      return left('no_dead_letter', "no dead letter of an agent's: fl-topic is missing")
    }
    return this.#telemetry(letter, arrivalOf(letter, this.#lateHeaders(letter, now)))
  }

  #telemetry(letter: DeadLetter, arrival: Arrival): Resent {
    const route = this.#via ?? this.#routeOf(letter, arrival)
    if (route && 'kind' in route) return route
    return outcomeOf(this.#branchesOf(route).of(arrival))
  }

  /** @returns undefined: all of them. */
  #routeOf(letter: DeadLetter, arrival: Arrival): RouteConfig | Resent | undefined {
    const { routes } = this.#config
    const failed = letter.headers[HEADERS.route]
    if (failed !== undefined) {
      const route = routes.find(({ name }) => name === failed)
      const detail = `route '${failed}', which failed, is no longer in the configuration`
      return route ?? left('route_gone', detail)
    }
    if (reasonOf(letter) === 'no_route' || reasonOf(letter) === 'unknown_record') return undefined
    const { wanted } = this.#branchesOf(undefined).table.match(arrival)
    const detail = `it does not name the route that failed, and ${wanted.length} match`
    return wanted.length === 1 ? wanted[0].config : left('route_unknown', detail)
  }

  #branchesOf(route: RouteConfig | undefined): Branches {
    let branches = this.#branches.get(route)
    if (!branches) {
      const { uplink, clock, routes } = this.#config
      branches = new Branches({
        routes: route ? [unconditional(route)] : routes,
        deadLetterTopic: uplink.deadLetterTopic,
        alertTopic: uplink.alertTopic,
        statusTopic: uplink.statusTopic,
        pastMsMax: clock.pastMaxMs,
        futureMsMax: clock.futureMaxMs
      })
      this.#branches.set(route, branches)
    }
    return branches
  }

  #lateHeaders(letter: DeadLetter, now: number): Record<string, string> {
    const late = now - receivedAtOf(letter) > this.#config.uplink.replayedAfterMs
    return {
      ...(late ? { [HEADERS.replayed]: '1' } : {}),
      [HEADERS.replayOf]: placeOf(letter)
    }
  }

  #alert(letter: DeadLetter, now: number): OutgoingRecord {
    return {
      topic: this.#config.uplink.alertTopic,
      key: letter.key,
      value: letter.value,
      timestampMs: now,
      headers: {
        'content-type': ALERT_CONTENT_TYPE,
        [HEADERS.id]: letter.headers[HEADERS.id],
        [HEADERS.replayOf]: placeOf(letter)
      }
    }
  }

  /** The value is a stored record: of a version that was newer than the agent's, as a rule. */
  #unreadRecord(letter: DeadLetter, now: number): Resent {
    const stored = decodeStoredRecord(letter.value)
    if (stored.kind === 'message') {
      const { message } = stored
      const headers = {
        ...letter.headers,
        [HEADERS.topic]: message.topic,
        [HEADERS.received]: String(message.receivedAt),
        ...(message.dup ? { [HEADERS.dup]: '1' } : {}),
        ...(message.retain && message.upstream ? { [HEADERS.retained]: '1' } : {}),
        ...(message.clockUnsynced ? { [HEADERS.clock]: 'unsynced' } : {})
      }
      const read = { ...letter, headers, key: message.clientId, value: bytesOf(message.payload) }
      const { qos, retain, properties = {} } = message
      const arrival = arrivalOf(read, this.#lateHeaders(read, now))
      return this.#telemetry(read, { ...arrival, qos, retain, properties })
    }
    const { agentId, epoch, offset } = parseEventId(letter.headers[HEADERS.id])!
    const { alertTopic, deadLetterTopic } = this.#config.uplink
    const render = renderAlerts(agentId, alertTopic, deadLetterTopic)
    const records = render({ epoch, offset, payload: letter.value }, now)
    if (records.some(({ topic }) => topic !== alertTopic)) {
      return left('still_fails', 'this version does not know its kind either: upgrade')
    }
    for (const { headers } of records) headers[HEADERS.replayOf] = placeOf(letter)
    return { kind: 'send', records }
  }
}

function outcomeOf(branches: readonly Branch[]): Resent {
  const records: OutgoingRecord[] = []
  let settled: Resent | undefined
  for (const branch of branches) {
    if (branch.kind === 'dead_letter') {
      return left('still_fails', `${branch.reason}: ${branch.detail}`)
    }
    if (branch.kind === 'deliver') records.push(branch.record)
    else settled = { kind: 'settled', how: branch.kind, route: branch.route.name }
  }
  return records.length === 0 && settled ? settled : { kind: 'send', records }
}

/** Headers that say what the message was, and stay; the route's own are made anew. */
const KEPT = [HEADERS.dup, HEADERS.retained, HEADERS.clock]

function arrivalOf(letter: DeadLetter, extra: Record<string, string>): Arrival {
  const { headers, value, key } = letter
  const eventId = headers[HEADERS.id]
  const topic = headers[HEADERS.topic]
  const receivedAt = receivedAtOf(letter)
  const kept = KEPT.flatMap(name => (headers[name] === undefined ? [] : [[name, headers[name]]]))
  const qos = headers[HEADERS.qos]
  return {
    ...{ eventId, topic, payload: value, clientId: key, receivedAt },
    // As headers they have kept their names: a route that asks for them finds them.
    properties: { userProperties: headers },
    // Told together: where the one is missing nothing is known of the other.
    qos: qos === undefined ? undefined : Number(qos),
    retain: qos === undefined ? undefined : headers[HEADERS.retain] === '1',
    headers: {
      [HEADERS.id]: eventId,
      [HEADERS.topic]: topic,
      [HEADERS.received]: String(receivedAt),
      ...Object.fromEntries(kept),
      ...extra
    }
  }
}

/** The message met its conditions when the route failed. */
function unconditional({ where, ...route }: RouteConfig): RouteConfig {
  return route
}

function left(cause: LeftCause, detail: string): Resent & { kind: 'left' } {
  return { kind: 'left', cause, detail }
}

function bytesOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
