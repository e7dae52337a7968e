/**
 * Where a reader goes on: the next offset to read, believed only within its epoch.
 */
export interface Cursor {
  /** Text form of the epoch: see `formatEpoch` in the contract. */
  readonly epoch: string
  readonly offset: number
}

/** An opaque unit in the log. */
export interface LogRecord {
  readonly epoch: string
  readonly offset: number
  /** A view into the read buffer; valid as long as the batch is referenced. */
  readonly payload: Uint8Array
}

export interface LogBatch {
  /** At least one; offsets ascend, epochs in the order of their generation. */
  readonly records: readonly LogRecord[]
  /** Just behind the last record. */
  readonly end: Cursor
}

/**
 * Reads a log in order, at its own pace, and says how far its work is durable elsewhere.
 *
 * A batch is read once; after a crash reading resumes at the last checkpointed commit, so a record
 * may be read again but none is skipped. A reader sees only records that are synced.
 */
export interface LogReader {
  readonly name: string
  /** Where the next read begins. */
  readonly position: Cursor
  /**
   * Waits for at least one record.
   *
   * @returns undefined once the reader is closed, or when the signal is aborted and there is nothing
   *   to read just now: so what is there can still be drained.
   */
  read(options: ReadOptions): Promise<LogBatch | undefined>
  /** Everything before the cursor is done with: it may be trimmed, and is not read again. */
  commit(cursor: Cursor): void
  /**
   * Reads on from here, or from the oldest record kept when the cursor is not believable: not
   * within its epoch, or already trimmed. Not while a read is under way.
   *
   * @returns Whether the cursor was believed.
   */
  seek(cursor: Cursor): Promise<boolean>
  close(): void
}

export interface ReadOptions {
  /** A single larger record is returned alone. */
  bytesMax: number
  recordsMax?: number
  signal?: AbortSignal
}
