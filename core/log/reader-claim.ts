import { ControlBlock } from './control-block.ts'
import type { Disk } from './disk.ts'
import { FileReader, type ReaderGap } from './file-reader.ts'
import { nodeDisk } from './node-disk.ts'
import type { Cursor, LogReader } from './reader.ts'

export type { ReaderGap }

/**
 * A place among the log's readers, to be read from in any thread of the process: plain data that a
 * message to a worker may carry. Made by `DurableLog.claim`.
 */
export interface ReaderClaim {
  readonly name: string
  readonly directory: string
  /** The log's control block. */
  readonly control: SharedArrayBuffer
  readonly slot: number
  /** Which claim of the slot this is: a later one closes the readers of all before. */
  readonly turn: number
  readonly from: Cursor
}

export interface ClaimedReaderOptions {
  /** Told in the reader's thread; the writer's counts it with `DurableLog.reportGap`. */
  onGap: (gap: ReaderGap) => void
  /** The real one if not given. */
  disk?: Disk
}

/**
 * Opens the reader of a claim, in any thread. One at a time: its cursor is the claim's. It ends when
 * the log is closed and what is in it has been read, or when its name is claimed again.
 */
export function openClaimedReader(claim: ReaderClaim, options: ClaimedReaderOptions): LogReader {
  const { name, directory, control, slot, turn, from } = claim
  return new FileReader({
    name,
    disk: options.disk ?? nodeDisk,
    directory,
    control: new ControlBlock(control),
    slot,
    turn,
    from,
    onGap: options.onGap
  })
}
