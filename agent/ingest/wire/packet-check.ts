import { isWireFilter, isWireText, isWireTopic } from './text-check.ts'

/** Control packet types by the upper half of their first byte (MQTT 3.1.1 §2.2.1). */
export const TYPE = {
  connect: 1,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  unsubscribe: 10,
  pingreq: 12,
  disconnect: 14
} as const

/** Why a PUBLISH is refused for its topic: counted as a refusal, not as a broken packet. */
export const TOPIC_MALFORMED = 'topic_malformed'

/**
 * What is wrong with the first byte of a packet, before anything behind it is collected: a type that
 * no client sends, or flags that are reserved (§2.2.2).
 */
export function headerFault(first: number): string | undefined {
  const flags = first & 15
  switch (first >> 4) {
    case TYPE.publish:
      if ((flags & 6) === 6) return 'PUBLISH of QoS 3'
      // §3.3.1.1
      return (flags & 14) === 8 ? 'DUP with QoS 0' : undefined
    case TYPE.pubrel:
    case TYPE.subscribe:
    case TYPE.unsubscribe:
      return flags === 2 ? undefined : 'reserved flags in the header'
    case TYPE.connect:
      // MQTT 3.1 says "not used" of them; which one it is the body tells.
      return undefined
    case TYPE.puback:
    case TYPE.pubrec:
    case TYPE.pubcomp:
    case TYPE.pingreq:
    case TYPE.disconnect:
      return flags === 0 ? undefined : 'reserved flags in the header'
    default:
      return 'a packet that no client sends'
  }
}

/**
 * What is wrong with a packet other than CONNECT. Says nothing of whether it comes at the right time.
 *
 * @param body What follows the remaining length, whole.
 */
export function packetFault(first: number, body: Uint8Array): string | undefined {
  switch (first >> 4) {
    case TYPE.publish:
      return publishFault(first, body)
    case TYPE.puback:
    case TYPE.pubrec:
    case TYPE.pubrel:
    case TYPE.pubcomp:
      if (body.length !== 2) return 'an acknowledgement of another length than two'
      return idAt(body, 0) === 0 ? PACKET_ID_0 : undefined
    case TYPE.subscribe:
    case TYPE.unsubscribe:
      return filtersFault(first >> 4 === TYPE.subscribe, body)
    default:
      return body.length === 0 ? undefined : 'bytes behind a packet that has no body'
  }
}

const PACKET_ID_0 = 'packet id 0'
/** In one request: no client may have more (`mqtt.subscriptions_per_client_max`), and each costs time that all wait. */
const FILTERS_MAX = 10_000

function publishFault(first: number, body: Uint8Array): string | undefined {
  if (body.length < 2) return 'PUBLISH without a topic'
  const topicEnd = 2 + idAt(body, 0)
  if ((first & 6) !== 0) {
    if (topicEnd + 2 > body.length) return 'PUBLISH shorter than its topic'
    if (idAt(body, topicEnd) === 0) return PACKET_ID_0
  } else if (topicEnd > body.length) return 'PUBLISH shorter than its topic'
  if (isWireTopic(body, 2, topicEnd)) return undefined
  // As a wildcard or nothing at all is no slip of the pen, but no MQTT.
  return isWireText(body, 2, topicEnd) ? 'PUBLISH on no topic, or on a filter' : TOPIC_MALFORMED
}

function filtersFault(withQos: boolean, body: Uint8Array): string | undefined {
  if (body.length < 2) return 'a request without packet id'
  if (idAt(body, 0) === 0) return PACKET_ID_0
  if (body.length === 2) return 'a request without filters'
  let filters = 0
  for (let at = 2; at < body.length; ) {
    if (++filters > FILTERS_MAX) return `a request of more than ${FILTERS_MAX} filters`
    if (at + 2 > body.length) return 'a request that ends within a filter'
    const end = at + 2 + idAt(body, at)
    if (end + (withQos ? 1 : 0) > body.length) return 'a request that ends within a filter'
    if (!isWireFilter(body, at + 2, end)) return 'a filter that is none'
    if (withQos && body[end] > 2) return 'SUBSCRIBE of a QoS beyond 2'
    at = end + (withQos ? 1 : 0)
  }
  return undefined
}

/** In place of an index: the length of the packet has not come yet, or has more than four bytes. */
export const UNFINISHED = -1
export const OVERLONG = -2

/** @returns Where the body of the packet at `at` begins, behind type and remaining length (§2.2.3). */
export function bodyStart(bytes: Uint8Array, at: number): number {
  for (let next = at + 1; next <= at + 4; next++) {
    if (next >= bytes.length) return UNFINISHED
    if ((bytes[next] & 0x80) === 0) return next + 1
  }
  return OVERLONG
}

/** Bytes of the body of the packet at `at` that begins at `bodyAt`: seven bits a byte, the lowest first. */
export function remainingLength(bytes: Uint8Array, at: number, bodyAt: number): number {
  let length = 0
  for (let next = bodyAt - 1; next > at; next--) length = (length << 7) | (bytes[next] & 0x7f)
  return length
}

/** Two bytes, the higher first: a packet id, or the length of a text. */
export function idAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1]
}
