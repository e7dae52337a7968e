import type { Cursor } from '../../core/log/reader.ts'
import type { DetectorReading } from '../detector.ts'

/**
 * Where readings come from, in order within a *stream*: the agent's log is one stream, a Kafka
 * partition is one. A position is a cursor just behind a record; of Kafka the epoch is empty and the
 * offset is the broker's.
 *
 * The source owns no state of the detector and decides nothing about it: on assignment it asks where
 * to begin, then hands over batches, one at a time for each stream.
 */
export interface Source {
  /** Runs until the signal aborts, then waits for the batch in hand; rejects if it cannot go on. */
  run(consumer: SourceConsumer, signal: AbortSignal): Promise<void>
  /** Everything before the position is done with. May be kept back for a while. */
  commit(stream: string, position: Cursor): Promise<void>
}

export interface SourceConsumer {
  /**
   * The stream is ours now, or again.
   *
   * @param resume Where the source would go on: the position committed last.
   * @returns Where to go on instead: at a snapshot, before or behind it.
   */
  assigned(stream: string, resume: Cursor): Promise<Cursor>
  handle(batch: SourceBatch): Promise<void>
  /** The stream is somebody else's now. */
  revoked(stream: string): Promise<void>
}

export interface SourceBatch {
  stream: string
  /** May be empty: records that hold nothing to score move the position, too. */
  readings: readonly DetectorReading[]
  /** Of each reading, the position of its record (at it, not behind it). */
  positions: readonly Cursor[]
  /** Just behind the last record. */
  end: Cursor
  /** Tells the source's other side that we live, where it wants to know. */
  heartbeat?: () => Promise<void>
}
