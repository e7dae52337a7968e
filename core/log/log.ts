import path from 'node:path'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { messageOf, OperationalError, systemCode } from '../runtime/errors.ts'
import type { Logger } from '../runtime/log.ts'
import { type Checkpoint, saveCheckpoint } from './checkpoint.ts'
import { ControlBlock, READERS_MAX } from './control-block.ts'
import type { Disk } from './disk.ts'
import { FileReader, type ReaderGap } from './file-reader.ts'
import { frameBytes, PAYLOAD_BYTES_MAX } from './frame.ts'
import { nodeDisk } from './node-disk.ts'
import { Quarantine } from './quarantine.ts'
import type { Cursor, LogReader } from './reader.ts'
import { type Recovered, recover } from './recovery.ts'
import { segmentName } from './segment.ts'
import { SegmentList } from './segment-list.ts'
import { SegmentWriter, type WriterCounters } from './writer.ts'

export type Overflow = 'drop_oldest' | 'drop_newest' | 'block'
export type SyncMode = 'group' | 'interval' | 'never'

export interface LogOptions {
  directory: string
  logger: Logger
  /** Segments together; 4 MiB at least. Exceeded by at most one segment. */
  bytesMax: number
  overflow: Overflow
  /**
   * `group`: acknowledged means synced. `interval`: up to `syncIntervalMs` of acknowledged records
   * may be lost with power. `never`: whatever the kernel had not written.
   */
  sync: SyncMode
  /** Bounded extra wait for company before a sync: fewer syncs at low rates. */
  syncWindowMs?: number
  syncIntervalMs?: number
  /** Records older than this are dropped, a segment at a time. */
  ageMsMax?: number | null
  checkpointIntervalMs?: number
  forceNewEpoch?: boolean
  /** The log can take nothing more: the disk refused a write or a sync for good. */
  onFailure?: (error: OperationalError) => void
  disk?: Disk
  clock?: Clock
}

export const LOG_BYTES_MIN = 4 << 20
const SEGMENT_BYTES_MIN = 256 << 10
const SEGMENT_BYTES_MAX = 64 << 20
const GROUP_BYTES_MAX = 4 << 20
const GROUP_RECORDS_MAX = 4096
/** How often a blocked append looks whether readers made room. */
const BLOCKED_CHECK_MS = 20

interface PendingAppend {
  payloads: readonly Uint8Array[]
  bytes: number
  resolve: (first: number) => void
  reject: (error: OperationalError) => void
}

interface CursorEntry {
  slot: number
  /** Soft cursors hold no more than this many records back; undefined: hard. */
  lagRecordsMax: number | undefined
}

export interface LogStatus {
  epoch: string
  end: number
  firstKept: number
  bytes: number
  bytesMax: number
  segments: number
  state: 'open' | 'failed' | 'closed'
  counters: Readonly<WriterCounters> & {
    droppedFull: number
    droppedAge: number
    damaged: number
    lagged: number
  }
}

/**
 * The durable log: one writer, many readers, segment files in one directory.
 *
 * What is promised: a resolved append survives power loss (`sync: group`); each reader sees every
 * record once, in order, bytes intact, save what the overflow policy dropped, which is counted; no
 * (epoch, offset) ever names two records; opening never fails for what is in the files.
 *
 * Bytes and states on disk: FORMAT.md.
 */
export class DurableLog {
  readonly #options: LogOptions
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #control = new ControlBlock()
  readonly #writer: SegmentWriter
  readonly #segments: SegmentList
  readonly #segmentBytes: number
  readonly #cursors = new Map<string, CursorEntry>()
  readonly #readers = new Set<FileReader>()
  /** Cursors of the checkpoint whose reader has not come yet: they hold data all the same. */
  readonly #waitingCursors: Map<string, Cursor>
  readonly #notes: Map<string, string>
  readonly #counters = { droppedFull: 0, droppedAge: 0, damaged: 0, lagged: 0 }
  #pending: PendingAppend[] = []
  #end: number
  #flushing: Promise<void> | undefined
  #rollWanted = false
  #unsynced = false
  #state: 'open' | 'failed' | 'closed' = 'open'
  #saving: Promise<void> = Promise.resolve()
  #savedText = ''
  #timers: NodeJS.Timeout[] = []

  /**
   * Recovers the directory and opens it for appending.
   *
   * @throws {OperationalError} DIRECTORY_UNUSABLE when it cannot be created, read or written.
   *   Damage inside never throws: it is set aside, logged and counted.
   */
  static async open(options: LogOptions): Promise<DurableLog> {
    const disk = options.disk ?? nodeDisk
    const clock = options.clock ?? systemClock
    const quarantine = new Quarantine(
      disk,
      options.directory,
      Math.min(16 << 20, Math.floor(options.bytesMax / 8))
    )
    try {
      const recovered = await recover({
        disk,
        directory: options.directory,
        quarantine,
        clock,
        ackMeansSynced: options.sync === 'group',
        forceNewEpoch: options.forceNewEpoch ?? false
      })
      for (const { event, message, ...where } of recovered.findings) {
        options.logger.error({ event, directory: options.directory, ...where }, message)
      }
      const log = new DurableLog(options, disk, clock, recovered)
      await log.checkpoint()
      return log
    } catch (error) {
      if (error instanceof OperationalError || !systemCode(error)) throw error
      throw new OperationalError(
        'DIRECTORY_UNUSABLE',
        `The log directory ${options.directory} cannot be used: ${messageOf(error)}. Check that it exists on a writable disk and belongs to this user.`,
        { cause: error }
      )
    }
  }

  private constructor(options: LogOptions, disk: Disk, clock: Clock, recovered: Recovered) {
    this.#options = options
    this.#disk = disk
    this.#clock = clock
    this.#logger = options.logger
    this.#writer = new SegmentWriter(disk, options.directory, clock, recovered.active)
    this.#segments = new SegmentList(disk, options.directory, recovered.sealed)
    this.#segmentBytes = Math.max(
      SEGMENT_BYTES_MIN,
      Math.min(SEGMENT_BYTES_MAX, Math.floor(options.bytesMax / 16))
    )
    this.#end = recovered.end
    this.#waitingCursors = new Map(Object.entries(recovered.checkpoint?.cursors ?? {}))
    this.#notes = new Map(Object.entries(recovered.checkpoint?.notes ?? {}))
    this.#control.firstKept = this.#segments.first ?? this.#writer.firstOffset
    this.#control.durableEnd = this.#end
    const every = (ms: number, task: () => void) => {
      this.#timers.push(setInterval(task, ms).unref())
    }
    every(options.checkpointIntervalMs ?? 500, () => void this.#maintain())
    if (options.sync === 'interval') every(options.syncIntervalMs ?? 1000, () => this.#wantSync())
  }

  get control(): ControlBlock {
    return this.#control
  }

  /**
   * Stores records and resolves once they would survive power loss (`sync: group`). What arrives
   * while a sync runs goes with the next one. Appends settle in the order of their calls.
   *
   * @param payloads 1..4096 records of 1..16,777,215 bytes; kept by reference until settled.
   * @returns Offset of the first record; the batch is [first, first + payloads.length).
   * @throws {OperationalError} LOG_FULL: nothing stored; retry when readers have made room.
   *   DISK_FAILED: outcome unknown; the log takes nothing more and must be opened again.
   *   LOG_CLOSED: nothing stored.
   */
  append(payloads: readonly Uint8Array[]): Promise<number> {
    if (payloads.length === 0 || payloads.length > GROUP_RECORDS_MAX) {
      throw new RangeError(`a batch has 1..${GROUP_RECORDS_MAX} records, not ${payloads.length}`)
    }
    let bytes = 0
    for (const payload of payloads) {
      if (payload.length === 0 || payload.length > PAYLOAD_BYTES_MAX) {
        throw new RangeError(`a record has 1..${PAYLOAD_BYTES_MAX} bytes, not ${payload.length}`)
      }
      bytes += frameBytes(payload)
    }
    if (this.#state !== 'open') return Promise.reject(this.#refusal())
    return new Promise((resolve, reject) => {
      this.#pending.push({ payloads, bytes, resolve, reject })
      this.#kick()
    })
  }

  /**
   * Opens the reader of this name where its cursor stands: at the checkpoint's if that is
   * believable, else at the oldest record kept.
   *
   * @param lagRecordsMax Makes the cursor soft: behind by more, it holds nothing back and is moved
   *   on when its records go, counted as `lagged`. Without it nothing it has not passed is trimmed.
   */
  async reader(name: string, lagRecordsMax?: number): Promise<LogReader> {
    const used = new Set([...this.#cursors.values()].map(entry => entry.slot))
    const slot =
      this.#cursors.get(name)?.slot ?? [...Array(READERS_MAX).keys()].find(s => !used.has(s))
    if (slot === undefined) throw new RangeError(`a log has at most ${READERS_MAX} readers`)
    const oldest = { epoch: this.#writer.epoch, offset: this.#control.firstKept }
    const reader = new FileReader({
      name,
      disk: this.#disk,
      directory: this.#options.directory,
      control: this.#control,
      slot,
      from: oldest,
      onGap: gap => this.#onGap(name, gap)
    })
    const saved = this.#waitingCursors.get(name)
    if (saved && !(await reader.seek(saved))) {
      this.#logger.warn(
        { event: 'log.cursor_unbelievable', reader: name, cursor: saved, oldest: oldest.offset },
        'A saved cursor does not lie within its epoch: the reader begins at the oldest record kept; records may be delivered again.'
      )
    }
    this.#control.setCursor(slot, reader.position.offset)
    this.#cursors.set(name, { slot, lagRecordsMax })
    this.#waitingCursors.delete(name)
    this.#readers.add(reader)
    return reader
  }

  /** Lets go of cursors in the checkpoint whose reader is configured no longer. */
  releaseWaitingCursors(): void {
    for (const name of this.#waitingCursors.keys()) {
      this.#logger.info(
        { event: 'log.cursor_released', reader: name },
        'A cursor without a reader is released: it holds no records back any more.'
      )
    }
    this.#waitingCursors.clear()
  }

  /** A small text that is saved with every checkpoint and outlives trimming. */
  note(key: string): string | undefined {
    return this.#notes.get(key)
  }

  setNote(key: string, value: string): void {
    this.#notes.set(key, value)
  }

  /** Records that the reader has not committed. */
  backlog(name: string): number {
    const entry = this.#cursors.get(name)
    const cursor = entry && this.#control.cursor(entry.slot)
    return cursor === undefined
      ? 0
      : this.#control.durableEnd - Math.max(cursor, this.#control.firstKept)
  }

  get status(): LogStatus {
    return {
      epoch: this.#writer.epoch,
      end: this.#control.durableEnd,
      firstKept: this.#control.firstKept,
      bytes: this.#segments.bytes + this.#writer.bytes,
      bytesMax: this.#options.bytesMax,
      segments: this.#segments.count + 1,
      state: this.#state,
      counters: { ...this.#writer.counters, ...this.#counters }
    }
  }

  /** Saves cursors and notes now, then unlinks what every reader has passed. */
  checkpoint(): Promise<void> {
    this.#saving = this.#saving.catch(() => {}).then(() => this.#save(false))
    return this.#saving
  }

  /** Appends what is pending, saves the checkpoint, and lets go of the files. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    for (const timer of this.#timers) clearInterval(timer)
    while (this.#flushing) await this.#flushing
    const orderly = this.#state === 'open'
    this.#state = 'closed'
    this.#control.close()
    for (const reader of this.#readers) reader.close()
    if (orderly) {
      if (this.#unsynced) await this.#writer.sync()
      this.#saving = this.#saving.catch(() => {}).then(() => this.#save(true))
    }
    await this.#saving
    await this.#writer.close()
  }

  // Group commit ------------------------------------------------------------------------------

  #kick(): void {
    if (this.#flushing) return
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = undefined
      if (this.#state === 'open' && (this.#pending.length > 0 || this.#rollWanted)) this.#kick()
    })
  }

  async #flush(): Promise<void> {
    const windowMs = this.#options.syncWindowMs ?? 0
    if (windowMs > 0) await new Promise(resolve => setTimeout(resolve, windowMs))
    // Appends of this turn of the event loop join the first group.
    else await Promise.resolve()
    while (this.#pending.length > 0 && this.#state === 'open') {
      const group = this.#takeGroup()
      try {
        const first = await this.#commitGroup(group)
        let offset = first
        for (const append of group) {
          append.resolve(offset)
          offset += append.payloads.length
        }
      } catch (error) {
        const refusal = this.#asRefusal(error)
        for (const append of group) append.reject(refusal)
        if (refusal.code === 'DISK_FAILED') this.#fail(refusal)
      }
    }
    if (this.#rollWanted && this.#state === 'open') {
      this.#rollWanted = false
      if (this.#writer.holdsRecords)
        await this.#roll().catch(error => this.#fail(this.#asRefusal(error)))
    }
  }

  #takeGroup(): PendingAppend[] {
    let bytes = 0
    let records = 0
    let count = 0
    for (const append of this.#pending) {
      bytes += append.bytes
      records += append.payloads.length
      if (count > 0 && (bytes > GROUP_BYTES_MAX || records > GROUP_RECORDS_MAX)) break
      count++
    }
    return this.#pending.splice(0, count)
  }

  async #commitGroup(group: PendingAppend[]): Promise<number> {
    const payloads = group.flatMap(append => append.payloads)
    const bytes = group.reduce((sum, append) => sum + append.bytes, 0)
    const first = this.#end
    await this.#makeRoom(bytes)
    if (this.#writer.holdsRecords && this.#writer.bytes + bytes > this.#segmentBytes) {
      await this.#roll()
    }
    await this.#writeOrMakeRoom(first, payloads)
    if (this.#options.sync === 'group') {
      try {
        await this.#writer.sync()
      } catch (error) {
        this.#logger.error(
          { event: 'log.sync_failed', directory: this.#options.directory, error: messageOf(error) },
          'A sync failed: nothing since the last good one is believed; going on in a new segment.'
        )
        const sealed = await this.#writer.abandon(first)
        if (sealed) this.#segments.add(sealed, this.#writer.epoch, this.#clock.now())
        await this.#writer.write(first, payloads)
        await this.#writer.sync()
      }
    } else {
      this.#unsynced = true
    }
    this.#end = first + payloads.length
    this.#control.durableEnd = this.#end
    return first
  }

  async #roll(): Promise<void> {
    const sealed = await this.#writer.roll(this.#end)
    this.#unsynced = false
    this.#segments.add(sealed, this.#writer.epoch, this.#clock.now())
  }

  #wantSync(): void {
    if (!this.#unsynced || this.#state !== 'open') return
    this.#unsynced = false
    this.#writer.sync().catch(error => this.#fail(this.#asRefusal(error)))
  }

  // Room --------------------------------------------------------------------------------------

  /** @throws {OperationalError} LOG_FULL under `drop_newest`. */
  async #makeRoom(bytes: number): Promise<void> {
    while (this.#segments.bytes + this.#writer.bytes + bytes > this.#options.bytesMax) {
      if (this.#trimmable() > 0) {
        await this.checkpoint()
        continue
      }
      if (this.#options.overflow === 'drop_newest') throw this.#full()
      if (this.#options.overflow === 'block') {
        if (this.#writer.holdsRecords && this.#heldFrom() >= this.#end) await this.#roll()
        else await new Promise(resolve => setTimeout(resolve, BLOCKED_CHECK_MS))
        if (this.#state !== 'open') throw this.#refusal()
        continue
      }
      if (this.#segments.count === 0) {
        if (!this.#writer.holdsRecords) return
        await this.#roll()
      }
      await this.#dropOldest('droppedFull')
    }
  }

  /** ENOSPC takes the same path as our own limit. */
  async #writeOrMakeRoom(first: number, payloads: readonly Uint8Array[]): Promise<void> {
    for (;;) {
      try {
        return await this.#writer.write(first, payloads)
      } catch (error) {
        if (systemCode(error) !== 'ENOSPC' && systemCode(error) !== 'EDQUOT') throw error
        if (this.#options.overflow !== 'drop_oldest' || this.#segments.count === 0) {
          throw this.#full(error)
        }
        await this.#dropOldest('droppedFull')
      }
    }
  }

  /** Gives up the oldest segment; what no reader has delivered is counted. */
  async #dropOldest(reason: 'droppedFull' | 'droppedAge'): Promise<void> {
    const end = this.#segments.endOfFirst(this.#writer.firstOffset)
    const first = Math.max(this.#control.firstKept, this.#heldFrom())
    const records = Math.max(0, end - first)
    this.#counters[reason] += records
    this.#control.firstKept = end
    if (records > 0) {
      const why = reason === 'droppedFull' ? 'the log is full' : 'they are older than log.age_max'
      this.#logger.error(
        {
          event: 'log.dropped',
          reason: reason === 'droppedFull' ? 'full' : 'age',
          records,
          first,
          end
        },
        `Dropped the oldest records: ${why}.`
      )
    }
    await this.checkpoint()
  }

  /** First offset that a reader still needs: hard cursors always, soft ones within their lag. */
  #heldFrom(): number {
    let held = Number.POSITIVE_INFINITY
    for (const { slot, lagRecordsMax } of this.#cursors.values()) {
      const cursor = this.#control.cursor(slot)
      if (cursor === undefined) continue
      held = Math.min(
        held,
        lagRecordsMax === undefined ? cursor : Math.max(cursor, this.#end - lagRecordsMax)
      )
    }
    for (const cursor of this.#waitingCursors.values()) held = Math.min(held, cursor.offset)
    return held === Number.POSITIVE_INFINITY ? this.#control.firstKept : held
  }

  /** Sealed segments that no reader needs. */
  #trimmable(): number {
    return this.#segments.countBefore(
      Math.max(this.#heldFrom(), this.#control.firstKept),
      this.#writer.firstOffset
    )
  }

  // Checkpoints -------------------------------------------------------------------------------

  async #maintain(): Promise<void> {
    if (this.#state !== 'open') return
    const { ageMsMax } = this.#options
    while (ageMsMax && this.#segments.isOlder(this.#clock.now() - ageMsMax)) {
      await this.#dropOldest('droppedAge')
    }
    // Fully drained: give the disk back, not only the sealed segments.
    if (this.#heldFrom() >= this.#end && this.#writer.bytes > this.#segmentBytes / 4) {
      this.#rollWanted = true
      this.#kick()
    }
    await this.checkpoint().catch(() => {})
  }

  async #save(clean: boolean): Promise<void> {
    const held = Math.max(this.#heldFrom(), this.#control.firstKept)
    const end = { epoch: this.#writer.epoch, offset: this.#control.durableEnd }
    const cursors: Record<string, Cursor> = Object.fromEntries(this.#waitingCursors)
    for (const [name, { slot }] of this.#cursors) {
      const offset = Math.max(this.#control.cursor(slot) ?? 0, this.#control.firstKept)
      cursors[name] = { epoch: await this.#epochAt(offset), offset }
    }
    const notes = Object.fromEntries(this.#notes)
    const text = JSON.stringify({ cursors, notes, clean, epoch: end.epoch })
    const trimmable = this.#segments.countBefore(held, this.#writer.firstOffset)
    if (text === this.#savedText && trimmable === 0) return
    const checkpoint: Checkpoint = { cursors, end, clean, notes, savedAt: this.#clock.now() }
    try {
      this.#writer.counters.writtenBytes += await saveCheckpoint(
        this.#disk,
        this.#options.directory,
        checkpoint
      )
      this.#savedText = text
    } catch (error) {
      this.#logger.warn(
        { event: 'log.checkpoint_failed', error: messageOf(error) },
        'The checkpoint could not be saved: after a crash more records would be delivered again.'
      )
      // Without room for it the segments behind must go all the same: that costs repeats, not loss.
      if (systemCode(error) !== 'ENOSPC') throw error
    }
    if (trimmable === 0) return
    this.#control.firstKept = Math.max(
      this.#control.firstKept,
      this.#segments.firstAfter(trimmable) ?? this.#writer.firstOffset
    )
    await this.#segments.unlinkFirst(trimmable)
  }

  async #epochAt(offset: number): Promise<string> {
    if (offset >= this.#writer.firstOffset) return this.#writer.epoch
    return (await this.#segments.epochAt(offset)) ?? this.#writer.epoch
  }

  // Trouble -----------------------------------------------------------------------------------

  #onGap(reader: string, gap: ReaderGap): void {
    const records = gap.end - gap.first
    if (gap.reason === 'dropped') {
      if (this.#cursors.get(reader)?.lagRecordsMax !== undefined) this.#counters.lagged += records
      return
    }
    this.#counters.damaged += records
    this.#logger.error(
      { event: 'log.damaged', reader, records, ...gap },
      'Records cannot be read: their bytes on disk are damaged. Reading goes on behind them.'
    )
  }

  #full(cause?: unknown): OperationalError {
    const limit = `${this.#options.bytesMax} bytes`
    const why = cause ? messageOf(cause) : `its limit of ${limit} is reached`
    return new OperationalError(
      'LOG_FULL',
      `The log in ${this.#options.directory} is full: ${why}.`,
      { cause }
    )
  }

  #refusal(): OperationalError {
    return this.#state === 'failed'
      ? new OperationalError('DISK_FAILED', 'The log failed and must be opened again.')
      : new OperationalError('LOG_CLOSED', 'The log is closed.')
  }

  #asRefusal(error: unknown): OperationalError {
    if (error instanceof OperationalError) return error
    return new OperationalError(
      'DISK_FAILED',
      `The disk under ${path.resolve(this.#options.directory)} refused: ${messageOf(error)}.`,
      { cause: error }
    )
  }

  #fail(error: OperationalError): void {
    if (this.#state !== 'open') return
    this.#state = 'failed'
    this.#logger.error({ event: 'log.failed', code: error.code }, error.message)
    const pending = this.#pending
    this.#pending = []
    for (const append of pending) append.reject(this.#refusal())
    this.#options.onFailure?.(error)
  }
}

export { segmentName }
