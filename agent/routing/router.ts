import { formatEventId } from '../../core/contract/event-id.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { type DecodedPayload, decodePayload } from '../../core/contract/reading.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import {
  type ClockMark,
  decodeStoredRecord,
  type StoredMessage
} from '../../core/contract/stored-message.ts'
import { TopicTemplate } from '../../core/contract/topic-template.ts'
import { deviceKey, TOPICS } from '../../core/contract/topics.ts'
import type { LogRecord } from '../../core/log/reader.ts'
import type { OutgoingRecord } from '../uplink/outgoing-record.ts'
import { toDeadLetter } from './dead-letter.ts'

export interface RouterOptions {
  agentId: string
  routes: readonly RouteConfig[]
  deadLetterTopic: string
  /** A device's time is believed this far before and after the agent's. */
  pastMsMax: number
  futureMsMax: number
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
  values: { metric: string; value: number }[]
}

interface Match {
  route: CompiledRoute
  site: string
  device: string
  metric: string | undefined
}

interface CompiledRoute {
  config: RouteConfig
  templates: TopicTemplate[]
  fields: Set<string> | undefined
}

/** Clock marks of this many boots are kept: the newest are the ones that readings still need. */
const MARKS_MAX = 16

/**
 * Stored record → Kafka records, one per matching route, or one dead letter. Nothing is lost
 * here: what no route wants, or nobody can read, leaves as a dead letter with its bytes.
 */
export class Router {
  readonly #options: RouterOptions
  readonly #routes: CompiledRoute[]
  readonly #marks = new Map<bigint, ClockMark>()
  readonly deadLetters: Partial<Record<string, number>> = {}

  constructor(options: RouterOptions) {
    this.#options = options
    this.#routes = options.routes.map(config => ({
      config,
      templates: config.match.map(text => new TopicTemplate(text)),
      fields: config.fields && new Set(config.fields)
    }))
  }

  /** @param now Agent's wall clock, epoch ms: tells what is sent late. */
  route(record: LogRecord, now: number): OutgoingRecord[] {
    const stored = decodeStoredRecord(record.payload)
    if (stored.kind === 'clock-mark') {
      this.#keepMark(stored.mark)
      return []
    }
    if (stored.kind === 'unknown') return [this.#unknown(record, now)]
    const { message } = stored
    const matches = this.#match(message.topic)
    const { receivedAt, corrected } = this.#receivedAt(message)
    const headers = this.#headers(record, message, receivedAt, corrected, now)
    if (matches.length === 0) {
      return [
        this.#deadLetter(
          {
            topic: '',
            key: message.clientId,
            value: bufferOf(message.payload),
            timestampMs: receivedAt,
            headers
          },
          'route',
          'no_route',
          `no route matches '${message.topic}'`
        )
      ]
    }
    return matches.map(match => this.#outgoing(match, message, receivedAt, headers))
  }

  /** The numbers in a stored record, for the detector. Marks and dead letters give none. */
  readings(record: LogRecord): RoutedReading[] {
    const stored = decodeStoredRecord(record.payload)
    if (stored.kind === 'clock-mark') this.#keepMark(stored.mark)
    if (stored.kind !== 'message') return []
    const { message } = stored
    // Scored once, by the first route that decodes it: several routes are one reading.
    const match = this.#match(message.topic).find(m => m.route.config.codec !== 'raw')
    if (!match) return []
    const { codec } = match.route.config
    const decoded = decodePayload(codec, message.payload, match.metric, match.route.fields)
    if (!decoded.ok) return []
    const { receivedAt } = this.#receivedAt(message)
    const eventId = formatEventId(this.#options.agentId, record.epoch, record.offset)
    return decoded.payloads.map(payload => ({
      epoch: record.epoch,
      offset: record.offset,
      agentId: this.#options.agentId,
      eventId,
      site: match.site,
      device: match.device,
      at: this.#believedTime(payload.observedAt, receivedAt),
      receivedAt,
      values: payload.values
    }))
  }

  #outgoing(
    match: Match,
    message: StoredMessage,
    receivedAt: number,
    common: Record<string, string>
  ): OutgoingRecord {
    const { config } = match.route
    const decoded =
      config.codec === 'raw'
        ? undefined
        : decodePayload(config.codec, message.payload, match.metric, match.route.fields)
    const payloads = decoded?.ok ? decoded.payloads : []
    const observedAt = payloads[0]?.observedAt
    const headers =
      observedAt === undefined ? common : { ...common, [HEADERS.observed]: String(observedAt) }
    const record: OutgoingRecord = {
      topic: '',
      key: deviceKey(match.site, match.device),
      value: bufferOf(message.payload),
      timestampMs: this.#believedTime(observedAt, receivedAt),
      headers
    }
    const topic = kafkaTopic(config.topic, match)
    if (topic === undefined || topic === this.#options.deadLetterTopic) {
      const detail = `'${config.topic}' gives no valid Kafka topic for '${message.topic}'`
      return this.#deadLetter(record, 'route', 'topic_invalid', detail)
    }
    if (config.value === 'reading') {
      if (decoded && !decoded.ok) {
        return this.#deadLetter(record, 'decode', decoded.reason, decoded.detail)
      }
      if (payloads.every(payload => payload.values.length === 0)) {
        return this.#deadLetter(record, 'decode', 'no_values', 'the payload holds no number')
      }
      record.value = readingValue(match, payloads, receivedAt)
    }
    record.topic = topic
    return record
  }

  #headers(
    record: LogRecord,
    message: StoredMessage,
    receivedAt: number,
    corrected: boolean,
    now: number
  ): Record<string, string> {
    const headers: Record<string, string> = {
      [HEADERS.id]: formatEventId(this.#options.agentId, record.epoch, record.offset),
      [HEADERS.topic]: message.topic,
      [HEADERS.received]: String(receivedAt)
    }
    if (message.dup) headers[HEADERS.dup] = '1'
    if (message.retain && message.upstream) headers[HEADERS.retained] = '1'
    if (now - receivedAt > this.#options.replayedAfterMs) headers[HEADERS.replayed] = '1'
    if (message.clockUnsynced && !corrected) headers[HEADERS.clock] = 'unsynced'
    return headers
  }

  #match(topic: string): Match[] {
    const matches: Match[] = []
    for (const route of this.#routes) {
      for (const template of route.templates) {
        const names = template.match(topic)
        if (!names) continue
        const site = names.site ?? route.config.site
        if (site === undefined || names.device === undefined) continue
        matches.push({ route, site, device: names.device, metric: names.metric })
        break
      }
    }
    return matches
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

  /** The device's time where it can be true, else the agent's. */
  #believedTime(observedAt: number | undefined, receivedAt: number): number {
    if (observedAt === undefined) return receivedAt
    const { pastMsMax, futureMsMax } = this.#options
    const believed = observedAt >= receivedAt - pastMsMax && observedAt <= receivedAt + futureMsMax
    return believed ? observedAt : receivedAt
  }

  #keepMark(mark: ClockMark): void {
    this.#marks.delete(mark.bootId)
    this.#marks.set(mark.bootId, mark)
    if (this.#marks.size > MARKS_MAX) this.#marks.delete(this.#marks.keys().next().value!)
  }

  #unknown(record: LogRecord, now: number): OutgoingRecord {
    return this.#deadLetter(
      {
        topic: '',
        key: this.#options.agentId,
        value: bufferOf(record.payload),
        timestampMs: now,
        headers: {
          [HEADERS.id]: formatEventId(this.#options.agentId, record.epoch, record.offset)
        }
      },
      'decode',
      'unknown_record',
      'the stored record has a kind that this version does not know'
    )
  }

  #deadLetter(
    record: OutgoingRecord,
    stage: Parameters<typeof toDeadLetter>[2],
    reason: Parameters<typeof toDeadLetter>[3],
    detail: string
  ): OutgoingRecord {
    this.deadLetters[reason] = (this.deadLetters[reason] ?? 0) + 1
    return toDeadLetter(record, this.#options.deadLetterTopic, stage, reason, detail)
  }
}

/** A view, no copy: the record's bytes live as long as its batch. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const TOPIC_NAME = /^[A-Za-z0-9._-]{1,249}$/
/** A device called `cursors` must not write into `fieldline.{device}`'s namesake. */
const OWN_TOPICS = new Set<string>(Object.values(TOPICS).filter(name => name !== TOPICS.telemetry))

/** Fills a topic template; parts come from strangers and are sanitised to Kafka's alphabet. */
function kafkaTopic(template: string, match: Match): string | undefined {
  if (!template.includes('{')) return template
  let missing = false
  const topic = template.replace(/\{(site|device|metric)\}/g, (_, name: string) => {
    const part = match[name as 'site' | 'device' | 'metric']
    if (part === undefined) missing = true
    return (part ?? '').replace(/[^A-Za-z0-9_-]/g, '_')
  })
  return missing || !TOPIC_NAME.test(topic) || OWN_TOPICS.has(topic) ? undefined : topic
}

/** `value: reading`: one object, or an array of such for a payload of several. */
function readingValue(match: Match, payloads: DecodedPayload[], receivedAt: number): Buffer {
  const readings = payloads.map(payload => ({
    site: match.site,
    device: match.device,
    ...(match.metric === undefined ? {} : { metric: match.metric }),
    values: Object.fromEntries(payload.values.map(({ metric, value }) => [metric, value])),
    ...(payload.observedAt === undefined ? {} : { observedAt: payload.observedAt }),
    receivedAt
  }))
  return Buffer.from(JSON.stringify(readings.length === 1 ? readings[0] : readings))
}
