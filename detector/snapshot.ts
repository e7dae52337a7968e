import { crc32 } from 'node:zlib'

/**
 * Bytes of a snapshot (little-endian): what is small and of many shapes as JSON, what is large and
 * of one shape as its bytes.
 *
 *   0  8  "FLDSNAP1"
 *   8  4  CRC-32 of all that follows
 *  12  4  bytes of JSON, j
 *  16  j  JSON, UTF-8
 *      n  scorers' states, one after the other
 */
const MAGIC = Buffer.from('FLDSNAP1')
const FIXED_BYTES = 16

export function encodeSnapshot(header: unknown, states: readonly Uint8Array[]): Buffer {
  const json = Buffer.from(JSON.stringify(header))
  const stateBytes = states.reduce((sum, s) => sum + s.length, 0)
  const bytes = Buffer.alloc(FIXED_BYTES + json.length + stateBytes)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(json.length, 12)
  json.copy(bytes, FIXED_BYTES)
  let at = FIXED_BYTES + json.length
  for (const state of states) {
    bytes.set(state, at)
    at += state.length
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(12)), 8)
  return bytes
}

/** @returns undefined when the bytes are damaged, or of another format. */
export function decodeSnapshot(
  input: Uint8Array
): { header: unknown; states: Uint8Array } | undefined {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength)
  if (bytes.length < FIXED_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return undefined
  if (crc32(bytes.subarray(12)) !== bytes.readUInt32LE(8)) return undefined
  const first = FIXED_BYTES + bytes.readUInt32LE(12)
  if (first > bytes.length) return undefined
  try {
    const header = JSON.parse(bytes.toString('utf8', FIXED_BYTES, first))
    return { header, states: bytes.subarray(first) }
  } catch {
    return undefined
  }
}
