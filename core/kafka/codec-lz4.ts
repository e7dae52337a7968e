import { findMatches } from './codec-matches.ts'
import { DecodedBytes } from './codec-output.ts'

/*
 * LZ4 frames as Kafka's own clients write them: version 1, independent blocks, no content checksum
 * (Kafka's batch has its CRC), the header's checksum correct (KIP-57).
 *
 * Source: LZ4 frame format 1.6.4 and block format (Y. Collet); Kafka's `Lz4BlockOutputStream`.
 */

const MAGIC = 0x184d2204
const VERSION_INDEPENDENT = 0x60
/** Block sizes by their code in the frame: 64 KiB, 256 KiB, 1 MiB, 4 MiB. */
const BLOCK_BYTES_MAX = [65_536, 262_144, 1_048_576, 4_194_304]
const BLOCK_CODE_FIRST = 4
const UNCOMPRESSED = 0x8000_0000
const HEADER_BYTES = 7

export function compressLz4(source: Uint8Array): Buffer {
  const fitting = BLOCK_BYTES_MAX.findIndex(bytes => bytes >= source.length)
  const size = fitting < 0 ? BLOCK_BYTES_MAX.length - 1 : fitting
  const blockBytes = BLOCK_BYTES_MAX[size]
  const blocks = Math.ceil(source.length / blockBytes)
  const out = Buffer.allocUnsafe(
    HEADER_BYTES + 4 + source.length + blocks * (4 + worstGrowth(blockBytes))
  )
  out.writeUInt32LE(MAGIC, 0)
  out[4] = VERSION_INDEPENDENT
  out[5] = (BLOCK_CODE_FIRST + size) << 4
  out[6] = headerChecksum(out.subarray(4, 6))
  let at = HEADER_BYTES
  for (let from = 0; from < source.length; from += blockBytes) {
    const end = Math.min(from + blockBytes, source.length)
    const written = writeBlock(source, from, end, out, at + 4)
    if (written < end - from) {
      out.writeUInt32LE(written, at)
      at += 4 + written
    } else {
      out.writeUInt32LE((UNCOMPRESSED | (end - from)) >>> 0, at)
      out.set(source.subarray(from, end), at + 4)
      at += 4 + end - from
    }
  }
  out.writeUInt32LE(0, at)
  return out.subarray(0, at + 4)
}

/**
 * Also reads what other writers may do: linked blocks, sizes and checksums, which are skipped but
 * for the header's.
 *
 * @throws {RangeError} when it is no LZ4 frame, or a damaged one.
 */
export function decompressLz4(frame: Buffer): Buffer {
  if (frame.length < HEADER_BYTES || frame.readUInt32LE(0) !== MAGIC) {
    throw new RangeError('no LZ4 frame')
  }
  const flags = frame[4]
  if (flags >> 6 !== 1) throw new RangeError('unknown version of LZ4 frames')
  const headerEnd = 6 + (flags & 0x08 ? 8 : 0) + (flags & 0x01 ? 4 : 0)
  if (frame[headerEnd] !== headerChecksum(frame.subarray(4, headerEnd))) {
    throw new RangeError("the LZ4 frame's header is damaged")
  }
  const blockChecksumBytes = flags & 0x10 ? 4 : 0
  const out = new DecodedBytes(frame.length * 4)
  let at = headerEnd + 1
  for (;;) {
    if (at + 4 > frame.length) throw new RangeError('compressed data ends too early')
    const head = frame.readUInt32LE(at)
    if (head === 0) return out.bytes
    at += 4
    const length = head & 0x7fff_ffff
    if (at + length > frame.length) throw new RangeError('compressed data ends too early')
    if (head >= UNCOMPRESSED) out.append(frame, at, length)
    else readBlock(frame, at, at + length, out)
    at += length + blockChecksumBytes
  }
}

/** Bytes that a block of noise can be longer than its content. */
function worstGrowth(bytes: number): number {
  return Math.ceil(bytes / 255) + 16
}

function writeBlock(
  source: Uint8Array,
  from: number,
  end: number,
  out: Buffer,
  outFrom: number
): number {
  let at = outFrom
  const writeLength = (rest: number): void => {
    let left = rest
    for (; left >= 255; left -= 255) out[at++] = 255
    out[at++] = left
  }
  const writeLiterals = (literalsFrom: number, literalsEnd: number, matchCode: number): void => {
    const count = literalsEnd - literalsFrom
    out[at++] = (Math.min(count, 15) << 4) | Math.min(matchCode, 15)
    if (count >= 15) writeLength(count - 15)
    // Few bytes at a time as a rule: a loop is faster than a subarray and a set.
    if (count < 32) for (let n = literalsFrom; n < literalsEnd; n++) out[at++] = source[n]
    else {
      out.set(source.subarray(literalsFrom, literalsEnd), at)
      at += count
    }
  }
  const rest = findMatches(source, from, end, (literalsFrom, matchFrom, distance, length) => {
    writeLiterals(literalsFrom, matchFrom, length - 4)
    out[at++] = distance & 255
    out[at++] = distance >> 8
    if (length - 4 >= 15) writeLength(length - 4 - 15)
  })
  writeLiterals(rest, end, 0)
  return at - outFrom
}

function readBlock(source: Uint8Array, from: number, end: number, out: DecodedBytes): void {
  let at = from
  const readLength = (start: number): number => {
    let length = start
    if (start !== 15) return length
    for (;;) {
      if (at >= end) throw new RangeError('compressed data ends too early')
      const byte = source[at++]
      length += byte
      if (byte !== 255) return length
    }
  }
  while (at < end) {
    const token = source[at++]
    const literals = readLength(token >> 4)
    if (at + literals > end) throw new RangeError('compressed data ends too early')
    out.append(source, at, literals)
    at += literals
    if (at === end) return
    if (at + 2 > end) throw new RangeError('compressed data ends too early')
    const distance = source[at] | (source[at + 1] << 8)
    at += 2
    out.repeat(distance, readLength(token & 15) + 4)
  }
}

function headerChecksum(descriptor: Uint8Array): number {
  return (xxHash32OfFew(descriptor) >>> 8) & 255
}

/** xxHash32 with seed 0 of fewer than 16 bytes: a header has no more. Source: xxHash spec 0.1.1. */
function xxHash32OfFew(bytes: Uint8Array): number {
  const [prime1, prime2, prime3, prime4, prime5] = [
    0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1
  ]
  let hash = (prime5 + bytes.length) | 0
  let at = 0
  for (; at + 4 <= bytes.length; at += 4) {
    const word = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
    hash = Math.imul(rotate(hash + Math.imul(word, prime3), 17), prime4)
  }
  for (; at < bytes.length; at++) {
    hash = Math.imul(rotate(hash + Math.imul(bytes[at], prime5), 11), prime1)
  }
  hash = Math.imul(hash ^ (hash >>> 15), prime2)
  hash = Math.imul(hash ^ (hash >>> 13), prime3)
  return (hash ^ (hash >>> 16)) >>> 0
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits))
}
