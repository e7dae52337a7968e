import type { Clock } from '../runtime/clock.ts'
import type { OperationalError } from '../runtime/errors.ts'
import type { Logger } from '../runtime/log.ts'
import type { Disk } from './disk.ts'
import type { Overflow } from './retention.ts'
import type { WriterCounters } from './writer.ts'

export type SyncMode = 'group' | 'interval' | 'never'

export interface LogOptions {
  directory: string
  logger: Logger
  /** All files of the log together; 4 MiB at least. Exceeded by at most one segment. */
  bytesMax: number
  /** Bytes of files beside it that share `bytesMax`; half of it counts at most. */
  sharedBytes?: () => number
  overflow: Overflow
  /**
   * `group`: acknowledged means synced. `interval`: up to `syncIntervalMs` of acknowledged records
   * may be lost with power. `never`: whatever the kernel had not written.
   */
  sync: SyncMode
  /** Bounded extra wait for company before a sync: fewer syncs at low rates. */
  syncWindowMs?: number
  /** 0: only when `maintain` is called. */
  syncIntervalMs?: number
  /** Records older than this are dropped, a segment at a time. */
  ageMsMax?: number | null
  /** How often `maintain` is called. 0: only by the owner. */
  checkpointIntervalMs?: number
  /** A 16th of `bytesMax`, from 256 KiB to 64 MiB, if not given. */
  segmentBytes?: number
  forceNewEpoch?: boolean
  /** The log can take nothing more: the disk refused a write or a sync for good. */
  onFailure?: (error: OperationalError) => void
  disk?: Disk
  clock?: Clock
  /** Salts and epochs: must be unpredictable to whoever makes the payloads. */
  random?: (bytes: number) => Buffer
  sleep?: (ms: number) => Promise<void>
}

export const LOG_BYTES_MIN = 4 << 20

export interface LogStatus {
  epoch: string
  end: number
  /** Its end when it was opened: what lies behind was appended since. */
  openedEnd: number
  firstKept: number
  /** Of everything that `bytesMax` counts. */
  bytes: number
  bytesMax: number
  quarantine: { files: number; bytes: number }
  /** Whole pages, at the rate since it was opened; undefined in the first minute. Flash wear. */
  writtenBytesPerDay: number | undefined
  segments: number
  state: 'open' | 'failed' | 'closed'
  /**
   * A record that comes now would be stored: it is open, and not full without giving anything up. A disk
   * counts as full for a minute after it refused something, or until delivered segments have gone.
   */
  takesRecords: boolean
  counters: Readonly<WriterCounters> & {
    /** Handed to the disk: frames, headers, checkpoints, reserve. */
    writtenBytes: number
    /** The same in pages of 4 KiB; the file system's journal comes on top. */
    pageBytes: number
    /** Of files and directories. */
    syncs: number
    droppedFull: number
    droppedAge: number
    damaged: number
    lagged: number
  }
}
