import { isUtf8 } from 'node:buffer'
import { alertMqttTopic, decodeAlertFrame } from '../../core/contract/alert-event.ts'
import { formatEventId } from '../../core/contract/event-id.ts'
import { decodeStoredRecord } from '../../core/contract/stored-message.ts'
import type { LogRecord } from '../../core/log/reader.ts'
import type { LogPlace } from './places.ts'

/** What of a record is exported, shown or filtered: one message, or one alert event. */
export interface Entry {
  epoch: string
  offset: number
  /** MQTT; absent where nobody can tell. */
  topic?: string
  /** Epoch ms: when the agent received it; of an alert, when it happened. */
  at?: number
  /** The line's object: made when it is wanted. */
  json: () => object
  /** As it came in; of an alert, its event. */
  raw: Uint8Array
}

/**
 * A record as its lane understands it. An alert frame is an entry for each of its events; a clock
 * mark, the agent's note to itself, is none. What cannot be read is one too, with its bytes as they
 * stand: a newer version may know them.
 */
export function entriesOf(place: LogPlace, { epoch, offset, payload }: LogRecord): Entry[] {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  if (place.lane === 'alerts') {
    const frame = decodeAlertFrame(bytes)
    return frame
      ? frame.events.map(event => ({
          epoch,
          offset,
          topic: alertMqttTopic(event.data),
          at: Date.parse(event.time),
          json: () => event,
          raw: Buffer.from(JSON.stringify(event))
        }))
      : [unknown(place, epoch, offset, bytes)]
  }
  const stored = decodeStoredRecord(bytes)
  if (stored.kind === 'clock-mark') return []
  if (stored.kind === 'unknown') return [unknown(place, epoch, offset, bytes)]
  const { topic, clientId, qos, dup, retain, receivedAt, payload: raw, properties } = stored.message
  const json = () => ({
    id: idOf(place, epoch, offset),
    epoch,
    offset,
    topic,
    clientId,
    qos,
    dup,
    retain,
    receivedAt,
    ...textOf(raw),
    ...(properties && { properties })
  })
  return [{ epoch, offset, topic, at: receivedAt, json, raw }]
}

/** When a record was received, epoch ms. */
export function timeOf(place: LogPlace, payload: Buffer): number | undefined {
  if (place.lane === 'alerts') {
    const time = decodeAlertFrame(payload)?.events[0]?.time
    return time === undefined ? undefined : Date.parse(time)
  }
  const stored = decodeStoredRecord(payload)
  if (stored.kind === 'message') return stored.message.receivedAt
  return stored.kind === 'clock-mark' ? stored.mark.wallAt : undefined
}

function unknown(place: LogPlace, epoch: string, offset: number, bytes: Buffer): Entry {
  const json = () => ({
    ...{ id: idOf(place, epoch, offset), epoch, offset },
    record: bytes.toString('base64')
  })
  return { epoch, offset, json, raw: bytes }
}

function idOf({ agentId }: LogPlace, epoch: string, offset: number): string | null {
  return agentId === undefined ? null : formatEventId(agentId, epoch, offset)
}

/** Text where it is text, else base64, and then it says so. */
function textOf(payload: Uint8Array): { payload: string; payloadEncoding?: 'base64' } {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  if (isUtf8(bytes)) return { payload: bytes.toString('utf8') }
  return { payload: bytes.toString('base64'), payloadEncoding: 'base64' }
}

const CONTROLS = /[\p{Cc}\u2028\u2029]/gu

/** One line of JSON that no terminal takes for an order, whatever a stranger has sent. */
export function jsonLine(value: object): string {
  const text = JSON.stringify(value)
  const escaped = text.replace(CONTROLS, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return `${escaped}\n`
}

/**
 * Whether a topic is among those that an MQTT filter means.
 *
 * Source: MQTT 3.1.1 §4.7.
 */
export function topicMatches(filter: string, topic: string): boolean {
  const levels = topic.split('/')
  const wanted = filter.split('/')
  // §4.7.2: a wildcard in the first place means no topic that begins with $.
  if (topic.startsWith('$') && (wanted[0] === '#' || wanted[0] === '+')) return false
  const rest = wanted.at(-1) === '#'
  if (rest) wanted.pop()
  if (rest ? levels.length < wanted.length : levels.length !== wanted.length) return false
  return wanted.every((level, index) => level === '+' || level === levels[index])
}

/** @returns What is wrong with it as a filter. */
export function topicFilterFault(filter: string): string | undefined {
  if (filter === '') return 'it is empty'
  const levels = filter.split('/')
  if (levels.slice(0, -1).includes('#')) return "'#' stands for the rest, so it comes last"
  const mixed = levels.find(level => level.length > 1 && /[+#]/.test(level))
  return mixed && `'${mixed}' mixes a wildcard with other characters`
}
