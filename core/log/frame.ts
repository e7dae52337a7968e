import { crc32 } from 'node:zlib'

/**
 * A frame: one record as it stands in a segment. Bytes, big-endian (FORMAT.md):
 *
 *    0  4  CRC-32 of bytes 4 to the frame's end, seeded with the segment's salt
 *    4  1  flags, none defined yet: a frame with an unknown flag is no valid frame
 *    5  3  payload bytes, n ≥ 1
 *    8  8  offset
 *   16  n  payload
 *
 * The salt is random and secret to strangers: a frame forged inside a payload does not pass when
 * recovery looks for the next valid one.
 */
export const FRAME_HEADER_BYTES = 16
/** 24 bits of length. */
export const PAYLOAD_BYTES_MAX = 0xff_ffff

export function frameBytes(payload: Uint8Array): number {
  return FRAME_HEADER_BYTES + payload.length
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
  into.writeUInt32BE(payload.length, position + 4)
  into.writeUInt32BE(Math.floor(offset / 0x1_0000_0000), position + 8)
  into.writeUInt32BE(offset >>> 0, position + 12)
  into.set(payload, position + FRAME_HEADER_BYTES)
  into.writeUInt32BE(crc32(into.subarray(position + 4, end), salt), position)
  return end
}

export type FrameCheck =
  | { kind: 'valid'; offset: number; end: number }
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
  const end = position + FRAME_HEADER_BYTES + word
  const high = bytes.readUInt32BE(position + 8)
  if (high > 0x1f_ffff) return INVALID
  if (end > bytes.length) return { kind: 'short', end }
  const sum = bytes.readUInt32BE(position)
  if (crc32(bytes.subarray(position + 4, end), salt) !== sum) return INVALID
  return { kind: 'valid', offset: high * 0x1_0000_0000 + bytes.readUInt32BE(position + 12), end }
}

/**
 * Looks for the next valid frame with an offset in [first, end).
 *
 * @returns Its position, or undefined. O(bytes): only plausible headers are summed.
 */
export function findFrame(
  bytes: Buffer,
  from: number,
  salt: number,
  first: number,
  end: number
): number | undefined {
  for (let at = from; at + FRAME_HEADER_BYTES < bytes.length; at++) {
    const offset = bytes.readUInt32BE(at + 8) * 0x1_0000_0000 + bytes.readUInt32BE(at + 12)
    if (offset < first || offset >= end) continue
    if (checkFrame(bytes, at, salt).kind === 'valid') return at
  }
  return undefined
}
