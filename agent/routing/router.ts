import { formatEventId } from '../../core/contract/event-id.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { type DecodedPayload, decodePayload, type Value } from '../../core/contract/reading.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import {
  type ClockMark,
  decodeStoredRecord,
  type StoredMessage
} from '../../core/contract/stored-message.ts'
import type { LogRecord } from '../../core/log/reader.ts'
import type { Sighting } from '../devices/device-registry.ts'
import type { OutgoingRecord } from '../uplink/outgoing-record.ts'
import { type Arrival, type Branch, Branches, type BranchOptions, bufferOf } from './branches.ts'
import type { RouteMatch } from './route-table.ts'

export interface RouterOptions extends BranchOptions {
  agentId: string
  /** Older readings are marked as replayed. */
  replayedAfterMs: number
  /**
   * What is known of a boot's clock beside the marks read so far. The uplink gives it, so that
   * readings are corrected as soon as time is known; the detector must not: what it sees is to
   * depend on the log alone.
   */
  knownMark?: (bootId: bigint) => ClockMark | undefined
}

/** A reading as the detector wants it, decoded with the route that the uplink uses. */
export interface RoutedReading {
  epoch: string
  offset: number
  agentId: string
  eventId: string
  site: string
  device: string
  /** Event time, epoch ms. */
  at: number
  receivedAt: number
  /** What the device's clock said, believed or not. */
  observedAt?: number
  values: Value[]
  /** Metrics that are null or text. */
  unusable?: string[]
  /** Its message had more values or readings than are decoded. */
  overfull?: true
}

/** What a route kept from Kafka because it was told to. */
export interface FilteredCounters {
  dropped: number
  sampledOut: number
}

/** A stored message and whose it is, its payload not read yet. */
export interface RoutedSighting extends Sighting {
  /** None when nothing reads it, or nothing can. */
  decode(): readonly DecodedPayload[]
}

/** Clock marks of this many boots are kept: the newest are the ones that readings still need. */
const MARKS_MAX = 16

/**
 * Stored record → Kafka records, one per matching route, or one dead letter. Nothing is lost here
 * but what a route drops or samples out, and that is counted: what no route wants, or nobody can
 * read, leaves as a dead letter with its bytes.
 */
export class Router {
  readonly #options: RouterOptions
  #branches: Branches
  readonly #marks = new Map<bigint, ClockMark>()
  /** Told of what `readings` decodes, and of messages that no route decodes but one wants. */
  onSighting:
    | ((sighting: Sighting, record: LogRecord, payloads: readonly DecodedPayload[]) => void)
    | undefined
  readonly deadLetters: Partial<Record<string, number>> = {}
  /** By name of the route; of those that drop or sample. */
  readonly filtered: Record<string, FilteredCounters> = {}

  constructor(options: RouterOptions) {
    this.#options = options
    this.#branches = new Branches(options)
    this.#countFiltered(options.routes)
  }

  /** From the next record on. What is known of clocks stays, and so do counts of routes that stay. */
  useRoutes(routes: readonly RouteConfig[]): void {
    this.#branches = new Branches({ ...this.#options, routes })
    this.#countFiltered(routes)
  }

  /** @param now Agent's wall clock, epoch ms: tells what is sent late. */
  route(record: LogRecord, now: number): OutgoingRecord[] {
    const records: OutgoingRecord[] = []
    for (const branch of this.branches(record, now)) {
      if (branch.kind === 'dropped') this.filtered[branch.route.name].dropped++
      else if (branch.kind === 'sampled_out') this.filtered[branch.route.name].sampledOut++
      else {
        if (branch.kind === 'dead_letter') this.#countDeadLetter(branch.reason)
        records.push(branch.record)
      }
    }
    return records
  }

  /** What each route makes of a stored record; counts nothing. A clock mark is kept, and gives none. */
  branches(record: LogRecord, now: number): Branch[] {
    const stored = decodeStoredRecord(record.payload)
    if (stored.kind === 'clock-mark') {
      this.#keepMark(stored.mark)
      return []
    }
    if (stored.kind === 'unknown') return [this.#unknown(record, now)]
    return this.#branches.of(this.#arrivalOf(record, stored.message, now))
  }

  /**
   * The numbers in a stored record, for the detector. Marks, dead letters and what is dropped give
   * none; what is sampled out does: it is kept from Kafka, not from this box.
   */
  readings(record: LogRecord): RoutedReading[] {
    const stored = decodeStoredRecord(record.payload)
    if (stored.kind === 'clock-mark') this.#keepMark(stored.mark)
    if (stored.kind !== 'message') return []
    const { message } = stored
    const match = this.#reader(message)
    if (!match) return []
    const { receivedAt, corrected } = this.#receivedAt(message)
    const decoded = decodePayload(
      match.config.codec,
      message.payload,
      match.metric,
      match.fields,
      true
    )
    const payloads = decoded.ok ? decoded.payloads : []
    this.onSighting?.(sightingOf(message, match, receivedAt, corrected), record, payloads)
    if (match.config.codec === 'raw' || payloads.length === 0) return []
    const eventId = this.#eventIdOf(record)
    return payloads.map(payload => ({
      epoch: record.epoch,
      offset: record.offset,
      agentId: this.#options.agentId,
      eventId,
      site: match.site,
      device: match.device,
      at: this.#branches.believedTime(payload.observedAt, receivedAt),
      receivedAt,
      ...payload
    }))
  }

  /**
   * Whose a stored message is, its payload left alone until it is asked for. Nothing for marks, and
   * for what no route wants. A clock mark is kept.
   */
  sighting(record: LogRecord): RoutedSighting | undefined {
    const stored = decodeStoredRecord(record.payload)
    if (stored.kind === 'clock-mark') this.#keepMark(stored.mark)
    if (stored.kind !== 'message') return undefined
    const { message } = stored
    const match = this.#reader(message)
    if (!match) return undefined
    const { receivedAt, corrected } = this.#receivedAt(message)
    const { metric, fields, config } = match
    const decode = () => {
      const decoded = decodePayload(config.codec, message.payload, metric, fields)
      return decoded.ok ? decoded.payloads : []
    }
    // A spread and a key behind it would make a hidden class a message in Node.js 20: 400 bytes of the
    // old heap, whose collections then hold up PUBACKs.
    return Object.assign(sightingOf(message, match, receivedAt, corrected), { decode })
  }

  /**
   * The first route that decodes a message: several routes are one reading. Where none does, the first
   * that wants it.
   */
  #reader(message: StoredMessage): RouteMatch | undefined {
    const { wanted } = this.#branches.table.match(message)
    return wanted.find(({ config }) => config.codec !== 'raw') ?? wanted[0]
  }

  #arrivalOf(record: LogRecord, message: StoredMessage, now: number): Arrival {
    const { receivedAt, corrected } = this.#receivedAt(message)
    const eventId = this.#eventIdOf(record)
    const headers: Record<string, string> = {
      [HEADERS.id]: eventId,
      [HEADERS.topic]: message.topic,
      [HEADERS.received]: String(receivedAt)
    }
    if (message.dup) headers[HEADERS.dup] = '1'
    if (message.retain && message.upstream) headers[HEADERS.retained] = '1'
    if (now - receivedAt > this.#options.replayedAfterMs) headers[HEADERS.replayed] = '1'
    if (message.clockUnsynced && !corrected) headers[HEADERS.clock] = 'unsynced'
    const { topic, payload, qos, retain, clientId, properties } = message
    const arrival = { eventId, topic, payload, qos, retain, clientId, receivedAt, headers }
    return properties ? Object.assign(arrival, { properties }) : arrival
  }

  /** Readings taken before time was known are corrected by the monotonic clock once it is. */
  #receivedAt(message: StoredMessage): { receivedAt: number; corrected: boolean } {
    const mark = message.clockUnsynced ? this.#markOf(message.bootId) : undefined
    if (!mark) return { receivedAt: message.receivedAt, corrected: false }
    return {
      receivedAt: mark.wallAt - (mark.monotonicMs - message.monotonicMs),
      corrected: true
    }
  }

  #markOf(bootId: bigint): ClockMark | undefined {
    return this.#marks.get(bootId) ?? this.#options.knownMark?.(bootId)
  }

  #keepMark(mark: ClockMark): void {
    this.#marks.delete(mark.bootId)
    this.#marks.set(mark.bootId, mark)
    if (this.#marks.size > MARKS_MAX) this.#marks.delete(this.#marks.keys().next().value!)
  }

  #eventIdOf({ epoch, offset }: LogRecord): string {
    return formatEventId(this.#options.agentId, epoch, offset)
  }

  #unknown(record: LogRecord, now: number): Branch {
    const unread: OutgoingRecord = {
      topic: '',
      key: this.#options.agentId,
      value: bufferOf(record.payload),
      timestampMs: now,
      headers: { [HEADERS.id]: this.#eventIdOf(record) }
    }
    const detail = 'the stored record has a kind that this version does not know'
    return this.#branches.deadLetter(undefined, unread, 'decode', 'unknown_record', detail)
  }

  #countFiltered(routes: readonly RouteConfig[]): void {
    const names = routes.filter(filters).map(({ name }) => name)
    for (const name of Object.keys(this.filtered)) {
      if (!names.includes(name)) delete this.filtered[name]
    }
    for (const name of names) this.filtered[name] ??= { dropped: 0, sampledOut: 0 }
  }

  #countDeadLetter(reason: string): void {
    this.deadLetters[reason] = (this.deadLetters[reason] ?? 0) + 1
  }
}

function sightingOf(
  { topic, clientId, upstream, clockUnsynced }: StoredMessage,
  { site, device }: RouteMatch,
  receivedAt: number,
  corrected: boolean
): Sighting {
  const unsynced = clockUnsynced && !corrected
  return { site, device, topic, clientId, upstream, receivedAt, unsynced }
}

function filters({ drop, sample }: RouteConfig): boolean {
  return drop === true || sample !== undefined
}
