import path from 'node:path'
import { systemCode } from '../runtime/errors.ts'
import { readChecked, replaceChecked } from './checked-file.ts'
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

/** A crash leaves the old one or the new one. @returns Bytes written. */
export async function saveCheckpoint(
  disk: Disk,
  directory: string,
  checkpoint: Checkpoint
): Promise<number> {
  const text = JSON.stringify({ version: VERSION, ...checkpoint })
  return replaceChecked(disk, directory, { name: NAME, asideName: ASIDE_NAME, text })
}

export type CheckpointFound =
  | { kind: 'valid'; checkpoint: Checkpoint }
  | { kind: 'absent' }
  | { kind: 'damaged' }

export async function loadCheckpoint(disk: Disk, directory: string): Promise<CheckpointFound> {
  let text: string | undefined
  try {
    text = await readChecked(disk, path.join(directory, NAME), BYTES_MAX)
  } catch (error) {
    return { kind: systemCode(error) === 'ENOENT' ? 'absent' : 'damaged' }
  }
  if (text === undefined) return { kind: 'damaged' }
  const checkpoint = JSON.parse(text) as Checkpoint & { version: number }
  return checkpoint.version === VERSION ? { kind: 'valid', checkpoint } : { kind: 'damaged' }
}

export const CHECKPOINT_NAME = NAME
export const CHECKPOINT_ASIDE_NAME = ASIDE_NAME
