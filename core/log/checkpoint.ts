import path from 'node:path'
import { crc32 } from 'node:zlib'
import { systemCode } from '../runtime/errors.ts'
import type { Disk } from './disk.ts'
import type { Cursor } from './reader.ts'

/** Up to where the active segment was synced: a start need not look at what lies before. */
export interface SyncedTail {
  /** First offset of the segment. */
  first: number
  position: number
  /** Offset of the frame that comes there. */
  end: number
}

/** What outlives a restart beside the segments: small, rewritten whole, atomically. */
export interface Checkpoint {
  /** Where each reader goes on, by name. */
  cursors: Record<string, Cursor>
  /** Durable end when this was written. */
  end: Cursor
  /** Absent in one that an older version saved. */
  tail?: SyncedTail
  /** The log was closed in order; nothing was appended since. */
  clean: boolean
  /** What an acknowledgement meant to the writer: `group` alone means synced. */
  sync: string
  /** Small texts of the log's owner, for example the position its last record stems from. */
  notes: Record<string, string>
  /** Epoch ms. */
  savedAt: number
}

const NAME = 'checkpoint'
const ASIDE_NAME = 'checkpoint.tmp'
const VERSION = 1
const BYTES_MAX = 1 << 20

/** Written aside, synced, renamed, directory synced: a crash leaves the old one or the new one. */
export async function saveCheckpoint(
  disk: Disk,
  directory: string,
  checkpoint: Checkpoint
): Promise<number> {
  const body = JSON.stringify({ version: VERSION, ...checkpoint })
  const sum = crc32(body).toString(16).padStart(8, '0')
  const bytes = Buffer.from(`${sum} ${body}\n`)
  const aside = path.join(directory, ASIDE_NAME)
  await unlinkIfPresent(disk, aside)
  const file = await disk.open(aside, 'create')
  try {
    await file.write(bytes, 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(aside, path.join(directory, NAME))
  await disk.syncDirectory(directory)
  return bytes.length
}

export type CheckpointFound =
  | { kind: 'valid'; checkpoint: Checkpoint }
  | { kind: 'absent' }
  | { kind: 'damaged' }

export async function loadCheckpoint(disk: Disk, directory: string): Promise<CheckpointFound> {
  let text: string
  try {
    text = await readSmall(disk, path.join(directory, NAME))
  } catch (error) {
    return { kind: systemCode(error) === 'ENOENT' ? 'absent' : 'damaged' }
  }
  const body = text.slice(9).trimEnd()
  if (crc32(body).toString(16).padStart(8, '0') !== text.slice(0, 8)) return { kind: 'damaged' }
  const checkpoint = JSON.parse(body) as Checkpoint & { version: number }
  return checkpoint.version === VERSION ? { kind: 'valid', checkpoint } : { kind: 'damaged' }
}

export const CHECKPOINT_NAME = NAME
export const CHECKPOINT_ASIDE_NAME = ASIDE_NAME

async function readSmall(disk: Disk, name: string): Promise<string> {
  const file = await disk.open(name, 'read')
  try {
    const bytes = Buffer.alloc(Math.min(await file.size(), BYTES_MAX))
    return bytes.toString('utf8', 0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}

export async function unlinkIfPresent(disk: Disk, name: string): Promise<void> {
  try {
    await disk.unlink(name)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
}
