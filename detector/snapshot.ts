import { crc32 } from 'node:zlib'
import { StateReader, StateWriter } from './state-bytes.ts'

/**
 * Bytes of a snapshot (little-endian): what is small and of many shapes as JSON, what is large and
 * of one shape as records of `StateWriter`.
 *
 *   0  8  "FLDSNAP1"
 *   8  4  CRC-32 of all that follows
 *  12  4  bytes of JSON, j
 *  16  j  JSON, UTF-8, then 0 up to a multiple of 4
 *      n  records
 */
const MAGIC = Buffer.from('FLDSNAP1')
const CRC_AT = 8
const JSON_AT = 12
const FIXED_BYTES = 16

/**
 * @param bytesMax What `write` will write at most.
 * @param write The records.
 */
export function encodeSnapshot(
  header: unknown,
  bytesMax: number,
  write: (writer: StateWriter) => void
): Buffer {
  const json = JSON.stringify(header)
  const writer = new StateWriter(FIXED_BYTES + StateWriter.textBytesMax(json) + bytesMax)
  writer.bytes(MAGIC)
  writer.count(0)
  // Its length first: as `JSON_AT` says.
  writer.text(json)
  write(writer)
  const bytes = writer.end()
  bytes.writeUInt32LE(crc32(bytes.subarray(JSON_AT)), CRC_AT)
  return bytes
}

/** @returns undefined when the bytes are damaged, or of another format. */
export function decodeSnapshot(
  input: Uint8Array
): { header: unknown; reader: StateReader } | undefined {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength)
  if (bytes.length < FIXED_BYTES || !bytes.subarray(0, CRC_AT).equals(MAGIC)) return undefined
  if (crc32(bytes.subarray(JSON_AT)) !== bytes.readUInt32LE(CRC_AT)) return undefined
  try {
    const reader = new StateReader(input)
    reader.at = JSON_AT
    return { header: JSON.parse(reader.text()), reader }
  } catch {
    return undefined
  }
}
