import { findMatches } from './codec-matches.ts'
import { DecodedBytes } from './codec-output.ts'

/*
 * Snappy in the frames of `snappy-java`, which Kafka's Java clients write and everybody reads:
 * header, then chunks of { length (int32, big-endian), raw Snappy }.
 *
 * Source: Snappy format description 2011-10-05 (Google); snappy-java's `SnappyOutputStream`.
 */

/** Magic, version 1, compatible with 1. */
const HEADER = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])
const MAGIC_BYTES = 8
const MAGIC = HEADER.subarray(0, MAGIC_BYTES)
/** Both the chunk of a frame and how far Snappy's own encoder looks back. */
const CHUNK_BYTES = 65_536

export function compressSnappy(source: Uint8Array): Buffer {
  const chunks = Math.ceil(source.length / CHUNK_BYTES)
  // Source of the bound: snappy::MaxCompressedLength.
  const bytesMax = chunks * (4 + 32) + source.length + Math.ceil(source.length / 6)
  const out = Buffer.allocUnsafe(HEADER.length + bytesMax)
  HEADER.copy(out)
  let at = HEADER.length
  for (let from = 0; from < source.length; from += CHUNK_BYTES) {
    const end = Math.min(from + CHUNK_BYTES, source.length)
    const written = writeChunk(source, from, end, out, at + 4)
    out.writeUInt32BE(written, at)
    at += 4 + written
  }
  return out.subarray(0, at)
}

/**
 * Also reads raw Snappy without a frame, which some clients send.
 *
 * @throws {RangeError} when it is damaged.
 */
export function decompressSnappy(source: Buffer): Buffer {
  const out = new DecodedBytes(source.length * 4)
  if (!source.subarray(0, MAGIC_BYTES).equals(MAGIC)) {
    readChunk(source, 0, source.length, out)
    return out.bytes
  }
  for (let at = HEADER.length; at < source.length; ) {
    if (at + 4 > source.length) throw new RangeError('compressed data ends too early')
    const length = source.readUInt32BE(at)
    at += 4
    if (at + length > source.length) throw new RangeError('compressed data ends too early')
    readChunk(source, at, at + length, out)
    at += length
  }
  return out.bytes
}

function writeChunk(
  source: Uint8Array,
  from: number,
  end: number,
  out: Buffer,
  outFrom: number
): number {
  let at = outFrom
  for (let left = end - from; ; left >>>= 7) {
    out[at++] = left < 128 ? left : (left & 127) | 128
    if (left < 128) break
  }
  const writeLiterals = (literalsFrom: number, literalsEnd: number): void => {
    const count = literalsEnd - literalsFrom
    if (count === 0) return
    if (count <= 60) out[at++] = (count - 1) << 2
    else if (count <= 256) {
      out[at++] = 60 << 2
      out[at++] = count - 1
    } else {
      out[at++] = 61 << 2
      out[at++] = (count - 1) & 255
      out[at++] = (count - 1) >> 8
    }
    if (count < 32) for (let n = literalsFrom; n < literalsEnd; n++) out[at++] = source[n]
    else {
      out.set(source.subarray(literalsFrom, literalsEnd), at)
      at += count
    }
  }
  const rest = findMatches(source, from, end, (literalsFrom, matchFrom, distance, length) => {
    writeLiterals(literalsFrom, matchFrom)
    for (let left = length; left > 0; ) {
      if (left >= 4 && left <= 11 && distance < 2048) {
        out[at++] = ((distance >> 8) << 5) | ((left - 4) << 2) | 1
        out[at++] = distance & 255
        return
      }
      const count = Math.min(left, 64)
      out[at++] = ((count - 1) << 2) | 2
      out[at++] = distance & 255
      out[at++] = distance >> 8
      left -= count
    }
  })
  writeLiterals(rest, end)
  return at - outFrom
}

function readChunk(source: Uint8Array, from: number, end: number, out: DecodedBytes): void {
  let at = from
  const byte = (): number => {
    if (at >= end) throw new RangeError('compressed data ends too early')
    return source[at++]
  }
  const number = (bytes: number): number => {
    let value = 0
    for (let n = 0; n < bytes; n++) value += byte() * 2 ** (8 * n)
    return value
  }
  const before = out.bytes.length
  let expected = 0
  for (let shift = 0; ; shift += 7) {
    const part = byte()
    expected += (part & 127) * 2 ** shift
    if (part < 128) break
    if (shift > 28) throw new RangeError('no Snappy data')
  }
  while (at < end) {
    const tag = byte()
    if ((tag & 3) === 0) {
      const code = tag >> 2
      const length = 1 + (code < 60 ? code : number(code - 59))
      if (at + length > end) throw new RangeError('compressed data ends too early')
      out.append(source, at, length)
      at += length
    } else if ((tag & 3) === 1) {
      out.repeat(((tag >> 5) << 8) + byte(), ((tag >> 2) & 7) + 4)
    } else out.repeat(number((tag & 3) === 2 ? 2 : 4), (tag >> 2) + 1)
  }
  if (out.bytes.length - before !== expected) throw new RangeError('damaged Snappy data')
}
