import { crc32 } from 'node:zlib'

/**
 * Bytes of a snapshot (little-endian): what is small and of many shapes as JSON, what is large and
 * of one shape as doubles.
 *
 *   0  8  "FLDSNAP1"
 *   8  4  CRC-32 of all that follows
 *  12  4  bytes of JSON, j
 *  16  j  JSON, UTF-8
 *      8n doubles
 */
const MAGIC = Buffer.from('FLDSNAP1')
const FIXED_BYTES = 16

export function encodeSnapshot(header: unknown, states: readonly Float64Array[]): Buffer {
  const json = Buffer.from(JSON.stringify(header))
  const doubles = states.reduce((sum, s) => sum + s.length, 0)
  const bytes = Buffer.alloc(FIXED_BYTES + json.length + doubles * 8)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(json.length, 12)
  json.copy(bytes, FIXED_BYTES)
  let at = FIXED_BYTES + json.length
  for (const state of states) {
    for (const value of state) at = bytes.writeDoubleLE(value, at)
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(12)), 8)
  return bytes
}

/** @returns undefined when the bytes are damaged, or of another format. */
export function decodeSnapshot(
  input: Uint8Array
): { header: unknown; doubles: Float64Array } | undefined {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength)
  if (bytes.length < FIXED_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return undefined
  if (crc32(bytes.subarray(12)) !== bytes.readUInt32LE(8)) return undefined
  const first = FIXED_BYTES + bytes.readUInt32LE(12)
  if (first > bytes.length || (bytes.length - first) % 8 !== 0) return undefined
  const doubles = new Float64Array((bytes.length - first) / 8)
  for (let i = 0; i < doubles.length; i++) doubles[i] = bytes.readDoubleLE(first + 8 * i)
  try {
    return { header: JSON.parse(bytes.toString('utf8', FIXED_BYTES, first)), doubles }
  } catch {
    return undefined
  }
}
