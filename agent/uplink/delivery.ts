import type { Cursor } from '../../core/log/reader.ts'
import type { OutgoingRecord } from './outgoing-record.ts'

/** How a lane's batches become durable in Kafka: the difference between the delivery modes. */
export interface Delivery {
  /**
   * Called once before the first batch; waits for Kafka as long as that takes.
   *
   * @returns How far this lane has come, as Kafka or a file of the mode's own tells; undefined when
   *   neither does, or the signal aborted. It counts if it is later than the log's checkpoint.
   */
  start(signal: AbortSignal): Promise<Cursor | undefined>
  /**
   * Resolves once every record is stored in Kafka, as itself or as a dead letter: tries the same
   * batch until then, with no limit of time or attempts. One call at a time.
   *
   * @param upTo Just behind the batch.
   * @returns false when the signal aborted first: then the outcome is unknown.
   */
  deliver(records: OutgoingRecord[], upTo: Cursor, signal: AbortSignal): Promise<boolean>
  close(): Promise<void>
}

/** What a lane tells about itself while it waits. */
export type LaneState =
  | { kind: 'connecting' }
  | { kind: 'streaming' }
  /** Kafka does not answer, or cannot store just now; heals by itself. */
  | { kind: 'waiting'; code: string; message: string; sinceAt: number }
  /** A person must act: the topic, an ACL, a login. Heals by itself afterwards. */
  | { kind: 'parked'; code: string; message: string; topic?: string; sinceAt: number }
