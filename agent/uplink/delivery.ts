import type { Cursor } from '../../core/log/reader.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { Driver } from './driver.ts'
import type { OutgoingRecord } from './outgoing-record.ts'

/** Bytes as `outgoingBytes` counts them. */
export interface Room {
  bytes: number
  records: number
}

/** A place within a batch where everything before it may count as delivered. */
export interface Cut {
  /** Of the batch, before the cut. */
  records: number
  upTo: Cursor
}

/** How a lane's batches become durable in Kafka: the difference between the delivery modes. */
export interface Delivery {
  /** What the next batch may hold, as the link is just now; a single larger record goes alone. */
  readonly room: Room
  /** What the one after it may have grown to: worth reading while a batch is under way. */
  readonly roomAhead: Room
  /** How long the link is thought to need for a batch, ms; 0 while nothing is known. */
  expectedMs(bytes: number): number
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
   * @param cuts Where it may be taken apart if the link turns out to be slower than thought.
   * @returns false when the signal aborted first: then the outcome is unknown.
   */
  deliver(
    records: OutgoingRecord[],
    upTo: Cursor,
    signal: AbortSignal,
    cuts?: () => readonly Cut[]
  ): Promise<boolean>
  close(): Promise<void>
}

/** What both modes are given. */
export interface DeliveryOptions {
  lane: string
  driver: Driver
  deadLetterTopic: string
  onDeadLetter: (reason: string) => void
  onState: (state: LaneState) => void
  /** Of one send. */
  batchBytesMax: number
  batchRecordsMax: number
  logger: Logger
  /** Of the waits between attempts. */
  seed: number
}

/** What a lane tells about itself while it waits. */
export type LaneState =
  | { kind: 'connecting' }
  | { kind: 'streaming' }
  /** Kafka does not answer, or cannot store just now; heals by itself. */
  | { kind: 'waiting'; code: string; message: string; sinceAt: number }
  /** A person must act: the topic, an ACL, a login. Heals by itself afterwards. */
  | { kind: 'parked'; code: string; message: string; topic?: string; sinceAt: number }
