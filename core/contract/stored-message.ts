import assert from 'node:assert'

/**
 * One MQTT PUBLISH as the agent received it: what the telemetry log holds. Nothing of it is
 * interpreted before the PUBACK; a payload that nobody can read is a reader's finding.
 */
export interface StoredMessage {
  topic: string
  payload: Uint8Array
  qos: 0 | 1 | 2
  retain: boolean
  /** The device set DUP: it may have sent this reading before. Never a reason to drop it. */
  dup: boolean
  /** MQTT packet identifier; 0 for QoS 0. */
  packetId: number
  clientId: string
  /** Came through the upstream client, not from a device connected to the box. */
  upstream: boolean
  /** Agent's wall clock at receipt, epoch ms. */
  receivedAt: number
  /** Agent's monotonic clock at receipt, whole ms since some point of this boot. */
  monotonicMs: number
  /** First 64 bits of the boot's random id: monotonic times compare only within one boot. */
  bootId: bigint
  /** The wall clock was not yet believed when this was received. */
  clockUnsynced: boolean
  /** MQTT 5 properties worth keeping (user properties, content type, …); absent for MQTT 3.1.1. */
  properties?: Record<string, unknown>
}

/**
 * Tells what the wall clock was at a monotonic instant of a boot, once time is known. Readings of
 * that boot flagged `clockUnsynced` are corrected with the mark that precedes their reader.
 */
export interface ClockMark {
  bootId: bigint
  /** Epoch ms. */
  wallAt: number
  monotonicMs: number
}

/**
 * Layout (big-endian), version 1:
 *
 *   0   1  kind: 1 message, 2 clock mark
 *   1   1  flags: bits 0-1 QoS, 2 retain, 3 DUP, 4 properties present, 5 clock unsynced, 6 upstream
 *   2   2  packet id
 *   4   6  receivedAt, epoch ms
 *  10   6  monotonic, ms
 *  16   8  boot id
 *  24   2  client id bytes, c
 *  26   2  topic bytes, t
 *  28   c  client id, UTF-8
 *      t  topic, UTF-8
 *     [4  properties bytes, p; p  properties, JSON]   when bit 4 is set
 *         payload: the rest
 *
 * A clock mark uses bytes 0..24 alone, with receivedAt as its wall time.
 */
const KIND_MESSAGE = 1
const KIND_CLOCK_MARK = 2
const FIXED_BYTES = 28
const CLOCK_MARK_BYTES = 24
const FLAG_RETAIN = 4
const FLAG_DUP = 8
const FLAG_PROPERTIES = 16
const FLAG_UNSYNCED = 32
const FLAG_UPSTREAM = 64

export function encodeStoredMessage(message: StoredMessage): Buffer {
  const properties = message.properties && Buffer.from(JSON.stringify(message.properties))
  const clientBytes = Buffer.byteLength(message.clientId)
  const topicBytes = Buffer.byteLength(message.topic)
  assert(clientBytes <= 0xffff && topicBytes <= 0xffff)
  const size =
    FIXED_BYTES +
    clientBytes +
    topicBytes +
    (properties ? 4 + properties.length : 0) +
    message.payload.length
  const bytes = Buffer.allocUnsafe(size)
  bytes[0] = KIND_MESSAGE
  bytes[1] =
    message.qos |
    (message.retain ? FLAG_RETAIN : 0) |
    (message.dup ? FLAG_DUP : 0) |
    (properties ? FLAG_PROPERTIES : 0) |
    (message.clockUnsynced ? FLAG_UNSYNCED : 0) |
    (message.upstream ? FLAG_UPSTREAM : 0)
  bytes.writeUInt16BE(message.packetId, 2)
  bytes.writeUIntBE(message.receivedAt, 4, 6)
  bytes.writeUIntBE(message.monotonicMs, 10, 6)
  bytes.writeBigUInt64BE(message.bootId, 16)
  bytes.writeUInt16BE(clientBytes, 24)
  bytes.writeUInt16BE(topicBytes, 26)
  let at = FIXED_BYTES
  at += bytes.write(message.clientId, at)
  at += bytes.write(message.topic, at)
  if (properties) {
    at = bytes.writeUInt32BE(properties.length, at)
    bytes.set(properties, at)
    at += properties.length
  }
  bytes.set(message.payload, at)
  return bytes
}

export function encodeClockMark(mark: ClockMark): Buffer {
  const bytes = Buffer.alloc(CLOCK_MARK_BYTES)
  bytes[0] = KIND_CLOCK_MARK
  bytes.writeUIntBE(mark.wallAt, 4, 6)
  bytes.writeUIntBE(mark.monotonicMs, 10, 6)
  bytes.writeBigUInt64BE(mark.bootId, 16)
  return bytes
}

export type StoredRecord =
  | { kind: 'message'; message: StoredMessage }
  | { kind: 'clock-mark'; mark: ClockMark }
  /** Written by a newer version, or not by us: the reader sets it aside as a dead letter. */
  | { kind: 'unknown' }

/** The payload is a view into `record`, not a copy. Never throws: strangers' bytes end as `unknown`. */
export function decodeStoredRecord(record: Uint8Array): StoredRecord {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength)
  if (bytes[0] === KIND_CLOCK_MARK && bytes.length === CLOCK_MARK_BYTES) {
    return {
      kind: 'clock-mark',
      mark: {
        wallAt: bytes.readUIntBE(4, 6),
        monotonicMs: bytes.readUIntBE(10, 6),
        bootId: bytes.readBigUInt64BE(16)
      }
    }
  }
  if (bytes[0] !== KIND_MESSAGE || bytes.length < FIXED_BYTES) return { kind: 'unknown' }
  const flags = bytes[1]
  const clientEnd = FIXED_BYTES + bytes.readUInt16BE(24)
  const topicEnd = clientEnd + bytes.readUInt16BE(26)
  if (topicEnd > bytes.length || (flags & 3) === 3) return { kind: 'unknown' }
  let payloadFirst = topicEnd
  let properties: Record<string, unknown> | undefined
  if (flags & FLAG_PROPERTIES) {
    if (topicEnd + 4 > bytes.length) return { kind: 'unknown' }
    payloadFirst = topicEnd + 4 + bytes.readUInt32BE(topicEnd)
    if (payloadFirst > bytes.length) return { kind: 'unknown' }
    try {
      properties = JSON.parse(bytes.toString('utf8', topicEnd + 4, payloadFirst))
    } catch {
      return { kind: 'unknown' }
    }
  }
  return {
    kind: 'message',
    message: {
      topic: bytes.toString('utf8', clientEnd, topicEnd),
      payload: bytes.subarray(payloadFirst),
      qos: (flags & 3) as 0 | 1 | 2,
      retain: (flags & FLAG_RETAIN) !== 0,
      dup: (flags & FLAG_DUP) !== 0,
      packetId: bytes.readUInt16BE(2),
      clientId: bytes.toString('utf8', FIXED_BYTES, clientEnd),
      upstream: (flags & FLAG_UPSTREAM) !== 0,
      receivedAt: bytes.readUIntBE(4, 6),
      monotonicMs: bytes.readUIntBE(10, 6),
      bootId: bytes.readBigUInt64BE(16),
      clockUnsynced: (flags & FLAG_UNSYNCED) !== 0,
      ...(properties ? { properties } : {})
    }
  }
}
