import { crc32 } from 'node:zlib'

/**
 * A frame: one record as it stands in a segment. Bytes, big-endian (FORMAT.md):
 *
 *    0  4  CRC-32 of bytes 4 to the frame's end, seeded with the segment's salt
 *    4  1  flags, none defined yet: a frame with an unknown flag is no valid frame
 *    5  3  payload bytes, n ≥ 1
 *    8  2  check of length and offset, seeded with the salt
 *   10  6  offset
 *   16  n  payload
 *
 * The salt is random and secret to strangers: a frame forged inside a payload does not pass when
 * recovery looks for the next valid one. The header's own check makes that search cheap, however
 * many headers a payload imitates, and lets a length be believed before its bytes are read.
 */
export const FRAME_HEADER_BYTES = 16
/** 24 bits of length. */
export const PAYLOAD_BYTES_MAX = 0xff_ffff
/** 48 bits of offset: 89 years of 100,000 records a second. */
export const OFFSET_MAX = 0xffff_ffff_ffff

export function frameBytes(payload: Uint8Array): number {
  return FRAME_HEADER_BYTES + payload.length
}

/**
 * @returns Bytes that the payloads' frames take together.
 * @throws {RangeError} where there are too few or too many of them, or one has no fitting length.
 */
export function batchBytes(payloads: readonly Uint8Array[], recordsMax: number): number {
  if (payloads.length === 0 || payloads.length > recordsMax) {
    throw new RangeError(`a batch has 1..${recordsMax} records, not ${payloads.length}`)
  }
  let bytes = 0
  for (const payload of payloads) {
    if (payload.length === 0 || payload.length > PAYLOAD_BYTES_MAX) {
      throw new RangeError(`a record has 1..${PAYLOAD_BYTES_MAX} bytes, not ${payload.length}`)
    }
    bytes += frameBytes(payload)
  }
  return bytes
}

/** @returns Position just behind the frame. */
export function writeFrame(
  into: Buffer,
  position: number,
  salt: number,
  offset: number,
  payload: Uint8Array
): number {
  const end = position + FRAME_HEADER_BYTES + payload.length
  const high = Math.floor(offset / 0x1_0000_0000)
  const low = offset >>> 0
  into.writeUInt32BE(payload.length, position + 4)
  into.writeUInt16BE(headerCheck(salt, payload.length, high, low), position + 8)
  into.writeUInt16BE(high, position + 10)
  into.writeUInt32BE(low, position + 12)
  into.set(payload, position + FRAME_HEADER_BYTES)
  into.writeUInt32BE(crc32(payload, headerSum(into, position, salt)), position)
  return end
}

export type FrameCheck =
  /** `payload` is a view. */
  | { kind: 'valid'; offset: number; end: number; payload: Buffer }
  /** The bytes end before the frame does; `end` is where it would. */
  | { kind: 'short'; end: number }
  | { kind: 'invalid' }

const INVALID: FrameCheck = { kind: 'invalid' }

/** Checks the frame at `position` of `bytes`. Never throws. */
export function checkFrame(bytes: Buffer, position: number, salt: number): FrameCheck {
  if (position + FRAME_HEADER_BYTES > bytes.length) {
    return { kind: 'short', end: position + FRAME_HEADER_BYTES }
  }
  const word = bytes.readUInt32BE(position + 4)
  if (word === 0 || word > PAYLOAD_BYTES_MAX) return INVALID
  const high = bytes.readUInt16BE(position + 10)
  const low = bytes.readUInt32BE(position + 12)
  if (bytes.readUInt16BE(position + 8) !== headerCheck(salt, word, high, low)) return INVALID
  const end = position + FRAME_HEADER_BYTES + word
  if (end > bytes.length) return { kind: 'short', end }
  const payload = bytes.subarray(position + FRAME_HEADER_BYTES, end)
  const sum = crc32(payload, headerSum(bytes, position, salt))
  if (sum !== bytes.readUInt32BE(position)) return INVALID
  return { kind: 'valid', offset: high * 0x1_0000_0000 + low, end, payload }
}

/**
 * 16 bits of the length and the offset, mixed with the salt: a screen, not the proof, which is the
 * CRC-32. Source of the constants: murmur3's finalizer.
 */
function headerCheck(salt: number, length: number, high: number, low: number): number {
  let h = salt ^ Math.imul(length, 0x9e3779b1)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b) ^ low
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35) ^ high
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  return (h ^ (h >>> 15)) & 0xffff
}

/**
 * CRC-32 of the header's bytes from 4 on, to be continued over the payload. By table: a view of
 * header and payload together, only for zlib to see it, would cost more than these twelve bytes.
 */
function headerSum(bytes: Buffer, position: number, salt: number): number {
  let sum = ~salt
  for (let at = position + 4; at < position + FRAME_HEADER_BYTES; at++) {
    sum = CRC_TABLE[(sum ^ bytes[at]) & 0xff] ^ (sum >>> 8)
  }
  return ~sum >>> 0
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte
  for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
  return sum
})
