/** The record as kafkajs' batch encoder wants it: an `Encoder` as far as anybody looks. */
export interface EncodedRecord {
  buf: Buffer
  readonly buffer: Buffer
}

export interface RecordInput {
  offsetDelta?: number
  timestampDelta?: number
  key?: Buffer | Uint8Array | string | null
  value: Buffer | Uint8Array | string | null
  headers?: Record<string, HeaderValue | HeaderValue[]>
}

type HeaderValue = Buffer | string | null | undefined

export type RecordEncoder = (record: RecordInput) => EncodedRecord

/** Below it a zig-zag coded difference is a 31-bit number, and its varlong the same as its varint. */
const DELTA_END = 2 ** 30

/**
 * Replaces `protocol/recordBatch/record/v0`: measures, then writes into one buffer of the exact size.
 * What it does not know (a difference of times over 12 days, a value that is neither text nor bytes)
 * goes to the original.
 *
 * Bytes: Kafka protocol guide, record format v2.
 */
export function encodeRecordWith(original: RecordEncoder): RecordEncoder {
  return record => {
    const { offsetDelta = 0, timestampDelta = 0, key, value, headers = {} } = record
    if (!isSmall(timestampDelta) || !isSmall(offsetDelta) || !isBytes(key) || !isBytes(value)) {
      return original(record)
    }

    let headerCount = 0
    let headerBytes = 0
    const names = Object.keys(headers)
    for (const name of names) {
      const nameBytes = bytesOf(name)
      const values = headers[name]
      if (Array.isArray(values)) {
        for (const each of values) {
          if (!isBytes(each)) return original(record)
          headerCount++
          headerBytes += nameBytes + bytesOf(each)
        }
      } else {
        if (!isBytes(values)) return original(record)
        headerCount++
        headerBytes += nameBytes + bytesOf(values)
      }
    }

    const bodyBytes =
      1 + // attributes, none in use
      sizeOfVarInt(timestampDelta) +
      sizeOfVarInt(offsetDelta) +
      bytesOf(key) +
      bytesOf(value) +
      sizeOfVarInt(headerCount) +
      headerBytes
    const buf = Buffer.allocUnsafe(sizeOfVarInt(bodyBytes) + bodyBytes)

    let at = writeVarInt(buf, 0, bodyBytes)
    buf[at++] = 0
    at = writeVarInt(buf, at, timestampDelta)
    at = writeVarInt(buf, at, offsetDelta)
    at = writeBytes(buf, at, key)
    at = writeBytes(buf, at, value)
    at = writeVarInt(buf, at, headerCount)
    for (const name of names) {
      const values = headers[name]
      if (Array.isArray(values)) {
        for (const each of values) at = writeBytes(buf, writeBytes(buf, at, name), each)
      } else at = writeBytes(buf, writeBytes(buf, at, name), values)
    }
    return { buf, buffer: buf }
  }
}

type Bytes = Uint8Array | string | null | undefined

function isSmall(delta: number): boolean {
  return Number.isInteger(delta) && delta > -DELTA_END && delta < DELTA_END
}

function isBytes(value: unknown): value is Bytes {
  return value == null || typeof value === 'string' || value instanceof Uint8Array
}

function zigZag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0
}

function sizeOfVarInt(value: number): number {
  let rest = zigZag(value)
  let bytes = 1
  while (rest > 0x7f) {
    rest >>>= 7
    bytes++
  }
  return bytes
}

function writeVarInt(buf: Buffer, start: number, value: number): number {
  let at = start
  let rest = zigZag(value)
  while (rest > 0x7f) {
    buf[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  buf[at++] = rest
  return at
}

/** Length prefix included; null is the length -1 and nothing after it. */
function bytesOf(value: Bytes): number {
  if (value == null) return 1
  const length = typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength
  return sizeOfVarInt(length) + length
}

function writeBytes(buf: Buffer, at: number, value: Bytes): number {
  if (value == null) return writeVarInt(buf, at, -1)
  if (typeof value === 'string') {
    const length = Buffer.byteLength(value)
    const start = writeVarInt(buf, at, length)
    buf.write(value, start, length, 'utf8')
    return start + length
  }
  const start = writeVarInt(buf, at, value.byteLength)
  buf.set(value, start)
  return start + value.byteLength
}
