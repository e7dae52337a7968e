import type { Cursor } from '../../core/log/reader.ts'
import type { DetectorReading } from '../detector.ts'

/**
 * Where an edge detector's readings come from, in order. A position is a cursor just behind a record.
 *
 * The source owns no state of the detector and decides nothing about it: it asks where to begin, then
 * hands over batches, one at a time. (Centrally each Kafka partition is one such order, and its offset
 * is committed with its alerts: `kafka-source.ts`.)
 */
export interface Source {
  /** Runs until the signal aborts, then waits for the batch in hand; rejects if it cannot go on. */
  run(consumer: SourceConsumer, signal: AbortSignal): Promise<void>
  /** Everything before the position is done with. */
  commit(position: Cursor): void
}

export interface SourceConsumer {
  /**
   * @param resume Where the source would go on: the position committed last.
   * @returns Where to go on instead: at a snapshot, before or behind it.
   */
  begin(resume: Cursor): Promise<Cursor>
  handle(batch: SourceBatch): Promise<void>
}

export interface SourceBatch {
  /** May be empty: records that hold nothing to score move the position, too. */
  readings: readonly DetectorReading[]
  /** Of each reading, the position of its record (at it, not behind it). */
  positions: readonly Cursor[]
  /** Just behind the last record. */
  end: Cursor
}
