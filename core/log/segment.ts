import { crc32 } from 'node:zlib'
import type { DiskFile } from './disk.ts'
import { OFFSET_MAX } from './frame.ts'

/**
 * A segment: one append-only file of the log, named for its first offset.
 *
 * Invariants:
 *   1. Offsets ascend; the first is in the file's name and in its header.
 *   2. Bytes before the durable end are synced and never change again.
 *   3. Bytes after it may be torn: recovery cuts them off, syncs, and only then lets a reader in.
 *
 * The header stands twice, in different sectors and pages, since without its salt no frame of
 * the segment can be believed. Bytes, big-endian (FORMAT.md):
 *
 *    0  8  magic "FLDLNSEG"
 *    8  2  format version, 1
 *   10  2  zero
 *   12  4  salt
 *   16  8  first offset
 *   24  8  epoch, generation
 *   32  8  epoch, random bits
 *   40  8  created at, epoch ms
 *   48  8  zero
 *   56  4  zero
 *   60  4  CRC-32 of bytes 0..60
 */
export interface SegmentHeader {
  /** Seeds the frames' CRC-32. */
  salt: number
  firstOffset: number
  /** Text form, `generation-16 hex digits`. */
  epoch: string
  createdAt: number
}

const MAGIC = Buffer.from('FLDLNSEG')
const VERSION = 1
const HEADER_BYTES = 64
const COPY_POSITION = 4096
/** Where the first frame begins. */
export const FRAMES_POSITION = COPY_POSITION + HEADER_BYTES

export function segmentName(firstOffset: number): string {
  return `${String(firstOffset).padStart(20, '0')}.seg`
}

/** @returns First offset, or undefined when it is no segment's name. */
export function parseSegmentName(name: string): number | undefined {
  const offset = /^(\d{20})\.seg$/.test(name) ? Number(name.slice(0, 20)) : Number.NaN
  return offset <= OFFSET_MAX ? offset : undefined
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(FRAMES_POSITION)
  const [generation, random] = header.epoch.split('-')
  MAGIC.copy(bytes)
  bytes.writeUInt16BE(VERSION, 8)
  bytes.writeUInt32BE(header.salt, 12)
  bytes.writeBigUInt64BE(BigInt(header.firstOffset), 16)
  bytes.writeBigUInt64BE(BigInt(generation), 24)
  bytes.writeBigUInt64BE(BigInt(`0x${random}`), 32)
  bytes.writeBigUInt64BE(BigInt(header.createdAt), 40)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 60)), 60)
  bytes.copy(bytes, COPY_POSITION, 0, HEADER_BYTES)
  return bytes
}

export type HeaderCheck =
  | { kind: 'valid'; header: SegmentHeader }
  /** Written by a later Fieldline: left untouched. */
  | { kind: 'newer'; version: number }
  | { kind: 'invalid' }

/** @returns The first copy that is valid. */
export async function readSegmentHeader(file: DiskFile): Promise<HeaderCheck> {
  const bytes = Buffer.alloc(FRAMES_POSITION)
  const got = await file.read(bytes, 0)
  const first = checkHeader(bytes.subarray(0, Math.min(got, HEADER_BYTES)))
  if (first.kind !== 'invalid') return first
  return checkHeader(bytes.subarray(COPY_POSITION, Math.max(got, COPY_POSITION)))
}

function checkHeader(bytes: Buffer): HeaderCheck {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return { kind: 'invalid' }
  if (crc32(bytes.subarray(0, 60)) !== bytes.readUInt32BE(60)) return { kind: 'invalid' }
  const version = bytes.readUInt16BE(8)
  if (version > VERSION) return { kind: 'newer', version }
  const firstOffset = bytes.readBigUInt64BE(16)
  if (version !== VERSION || firstOffset > OFFSET_MAX) return { kind: 'invalid' }
  const random = bytes.readBigUInt64BE(32).toString(16).padStart(16, '0')
  return {
    kind: 'valid',
    header: {
      salt: bytes.readUInt32BE(12),
      firstOffset: Number(firstOffset),
      epoch: `${bytes.readBigUInt64BE(24)}-${random}`,
      createdAt: Number(bytes.readBigUInt64BE(40))
    }
  }
}
