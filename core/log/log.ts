import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { messageOf, OperationalError, systemCode } from '../runtime/errors.ts'
import type { Logger } from '../runtime/log.ts'
import { AppendQueue } from './append-queue.ts'
import { believableCursors } from './believable-cursors.ts'
import { ControlBlock } from './control-block.ts'
import { CursorTable } from './cursor-table.ts'
import { directoryUnusable, diskFailed } from './disk-errors.ts'
import { generation, nextEpoch } from './epoch.ts'
import { batchBytes, OFFSET_MAX } from './frame.ts'
import { LOG_BYTES_MIN, type LogOptions, type LogStatus, type SyncMode } from './log-options.ts'
import { LogReaders } from './log-readers.ts'
import { MeteredDisk } from './metered-disk.ts'
import { NewerSegments } from './newer-segments.ts'
import { nodeDisk } from './node-disk.ts'
import { Quarantine } from './quarantine.ts'
import type { Cursor, LogReader } from './reader.ts'
import type { ReaderClaim, ReaderGap } from './reader-claim.ts'
import { type Recovered, recover } from './recovery.ts'
import { Reserve } from './reserve.ts'
import { type Overflow, Retention } from './retention.ts'
import { segmentName } from './segment.ts'
import { SegmentList } from './segment-list.ts'
import { SegmentWriter } from './writer.ts'

export {
  LOG_BYTES_MIN,
  type LogOptions,
  type LogStatus,
  type Overflow,
  type ReaderClaim,
  type ReaderGap,
  type SyncMode,
  segmentName
}

const SEGMENT_BYTES_MIN = 256 << 10
const SEGMENT_BYTES_MAX = 64 << 20
const GROUP_BYTES_MAX = 4 << 20
const GROUP_RECORDS_MAX = 4096
const DAY_MS = 86_400_000

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
  readonly #disk: MeteredDisk
  readonly #quarantine: Quarantine
  readonly #clock: Clock
  /** Monotonic, ms. */
  readonly #openedAt: number
  readonly #logger: Logger
  readonly #control = new ControlBlock()
  readonly #writer: SegmentWriter
  readonly #segments: SegmentList
  readonly #segmentBytes: number
  readonly #openedEnd: number
  readonly #random: (bytes: number) => Buffer
  readonly #cursors: CursorTable
  readonly #retention: Retention
  readonly #queue: AppendQueue
  readonly #notes: Map<string, string>
  readonly #readers: LogReaders
  readonly #timers: NodeJS.Timeout[] = []
  #rollWanted = false
  #syncWanted = false
  #unsynced = false
  #state: 'open' | 'failed' | 'closed' = 'open'
  #failure: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  /**
   * Recovers the directory and opens it for appending.
   *
   * @throws {OperationalError} DIRECTORY_UNUSABLE when it cannot be created, read or written.
   *   Damage inside never throws: it is set aside, logged and counted.
   */
  static async open(options: LogOptions): Promise<DurableLog> {
    const { directory, logger, clock = systemClock, random = randomBytes } = options
    try {
      const quarantineBytesMax = Math.min(16 << 20, Math.floor(options.bytesMax / 8))
      const disk = new MeteredDisk(options.disk ?? nodeDisk)
      const reserve = new Reserve(disk, directory)
      const quarantine = new Quarantine(disk, directory, quarantineBytesMax, clock)
      const recovered = await recover({
        disk,
        directory,
        quarantine,
        reserve,
        clock,
        random,
        sync: options.sync,
        forceNewEpoch: options.forceNewEpoch ?? false,
        quick: true
      })
      for (const { event, message, ...where } of recovered.findings) {
        logger.error({ event, directory, ...where }, message)
      }
      const log = new DurableLog({ ...options, clock, random }, recovered, disk, quarantine)
      await log.checkpoint()
      await reserve.keep()
      await log.#tidyQuarantine()
      log.#startTimers()
      return log
    } catch (error) {
      if (error instanceof OperationalError || !systemCode(error)) throw error
      throw directoryUnusable(directory, error)
    }
  }

  private constructor(
    options: LogOptions & Required<Pick<LogOptions, 'clock' | 'random'>>,
    recovered: Recovered,
    disk: MeteredDisk,
    quarantine: Quarantine
  ) {
    const { directory, logger, clock, random } = options
    const { sealed, active, checkpoint } = recovered
    this.#options = options
    this.#disk = disk
    this.#quarantine = quarantine
    this.#clock = clock
    this.#openedAt = clock.monotonic()
    this.#logger = logger
    const newer = new NewerSegments({ disk, directory, quarantine, logger })
    this.#segments = new SegmentList(disk, directory, sealed, newer)
    this.#writer = new SegmentWriter({
      disk,
      directory,
      clock,
      salt: () => random(4).readUInt32BE(),
      syncCuts: options.sync !== 'group',
      onSealed: segment => this.#segments.add(segment),
      active
    })
    this.#segmentBytes =
      options.segmentBytes ??
      Math.max(SEGMENT_BYTES_MIN, Math.min(SEGMENT_BYTES_MAX, Math.floor(options.bytesMax / 16)))
    this.#control.firstKept = this.#segments.first ?? this.#writer.firstOffset
    this.#control.durableEnd = recovered.end
    this.#openedEnd = recovered.end
    this.#random = random
    this.#notes = new Map(Object.entries(checkpoint?.notes ?? {}))
    const waiting = believableCursors(checkpoint?.cursors ?? {}, {
      control: this.#control,
      epochAt: offset =>
        offset >= this.#writer.firstOffset ? this.#writer.epoch : this.#segments.epochAt(offset),
      epoch: this.#writer.epoch,
      logger
    })
    this.#cursors = new CursorTable(this.#control, waiting)
    this.#retention = new Retention({
      disk,
      directory,
      clock,
      logger,
      control: this.#control,
      writer: this.#writer,
      segments: this.#segments,
      cursors: this.#cursors,
      reserve: new Reserve(disk, directory),
      quarantine,
      notes: this.#notes,
      bytesMax: options.bytesMax,
      sharedBytes: options.sharedBytes ?? (() => 0),
      overflow: options.overflow,
      sync: options.sync,
      sleep: options.sleep ?? sleep,
      refusal: () => this.#refusal()
    })
    this.#readers = new LogReaders({
      disk: options.disk ?? nodeDisk,
      directory,
      control: this.#control,
      cursors: this.#cursors,
      cursorEpoch: offset => this.#retention.cursorEpoch(offset),
      passedNewer: (name, gap) => void this.#segments.passedNewer(name, gap),
      logger
    })
    this.#queue = new AppendQueue({
      groupBytesMax: Math.min(GROUP_BYTES_MAX, this.#segmentBytes),
      groupRecordsMax: GROUP_RECORDS_MAX,
      gather: () => this.#gather(),
      commit: (payloads, bytes) => this.#commit(payloads, bytes),
      housekeep: () => this.#housekeep()
    })
  }

  get control(): ControlBlock {
    return this.#control
  }

  /**
   * Stores records and resolves once they would survive power loss (`sync: group`). What arrives
   * while a sync runs goes with the next one. Appends settle in the order of their calls.
   *
   * @param payloads 1..4096 records of 1..16,777,215 bytes, several together of 4 MiB at most; kept
   *   by reference until settled.
   * @returns Offset of the first record; the batch is [first, first + payloads.length).
   * @throws {OperationalError} LOG_FULL: nothing stored; retry when readers have made room.
   *   DISK_FAILED: outcome unknown; the log takes nothing more and must be opened again.
   *   LOG_CLOSED: nothing stored.
   */
  append(payloads: readonly Uint8Array[]): Promise<number> {
    const bytes = batchBytes(payloads, GROUP_RECORDS_MAX)
    // Of a larger group a start after a failed sync would not write all again.
    if (payloads.length > 1 && bytes > GROUP_BYTES_MAX) {
      throw new RangeError(`several records have ${GROUP_BYTES_MAX} bytes at most, not ${bytes}`)
    }
    const refusal = this.#refusal()
    return refusal ? Promise.reject(refusal) : this.#queue.push(payloads, bytes)
  }

  /**
   * Opens the reader of this name where its cursor stands: at its last commit, else at the
   * checkpoint's cursor, else at the oldest record kept. An open reader of the name is closed.
   *
   * @param lagRecordsMax Makes the cursor soft: behind by more, it holds nothing back and is moved
   *   on when its records go, counted as `lagged`. Without it nothing it has not passed is trimmed.
   */
  async reader(name: string, lagRecordsMax?: number): Promise<LogReader> {
    return this.#readers.open(name, lagRecordsMax)
  }

  /**
   * The same for a reader in another thread: see `openClaimedReader`. What that finds missing is to
   * be told with `reportGap`.
   */
  claim(name: string, lagRecordsMax?: number): ReaderClaim {
    return this.#readers.claim(name, lagRecordsMax)
  }

  /** Counts and logs records that the reader of this name could not be given. */
  reportGap(name: string, gap: ReaderGap): void {
    this.#readers.reportGap(name, gap)
  }

  /**
   * Begins a new epoch behind everything appended so far, at `atLeast` or later: for an owner who
   * learns elsewhere that offsets beyond the end were given away before (an older copy of the
   * directory was put back). Readers are told the offsets left out as a gap. What
   * was acknowledged before keeps the epoch it had; `status.openedEnd` says since where.
   *
   * @returns Where it begins; durable.
   * @throws {OperationalError} as `append`.
   */
  beginEpoch(atLeast: number): Promise<Cursor> {
    if (!Number.isInteger(atLeast) || atLeast < 0 || atLeast > OFFSET_MAX) {
      throw new RangeError(`an epoch begins at 0..${OFFSET_MAX}, not ${atLeast}`)
    }
    return this.#queue.run(async () => {
      const refusal = this.#refusal()
      if (refusal) throw refusal
      const offset = Math.max(atLeast, this.#control.durableEnd)
      const epoch = nextEpoch([generation(this.#writer.epoch)], this.#random)
      try {
        await this.#retention.withRoom(() => this.#writer.beginEpoch(offset, epoch))
      } catch (error) {
        throw this.#failFor(error)
      }
      this.#unsynced = false
      this.#control.durableEnd = offset
      return { epoch, offset }
    })
  }

  /** Lets go of cursors in the checkpoint whose reader is configured no longer. */
  releaseWaitingCursors(): void {
    this.#readers.releaseWaiting()
  }

  /** Lets go of the cursor of a reader that was closed and will not be opened again. */
  releaseCursor(name: string): void {
    this.#readers.release(name)
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
    return this.#cursors.backlog(name)
  }

  /** The disk they take, about: the records of a segment count alike. */
  backlogBytes(name: string): number {
    return this.#segments.bytesOfLast(this.backlog(name), this.#control.durableEnd, this.#writer)
  }

  get status(): LogStatus {
    const { writtenBytes, pageBytes, syncs } = this.#disk
    const runMs = this.#clock.monotonic() - this.#openedAt
    return {
      epoch: this.#writer.epoch,
      end: this.#control.durableEnd,
      openedEnd: this.#openedEnd,
      firstKept: this.#control.firstKept,
      bytes: this.#retention.bytes,
      bytesMax: this.#options.bytesMax,
      quarantine: { files: this.#quarantine.files, bytes: this.#quarantine.bytes },
      writtenBytesPerDay: runMs < 60_000 ? undefined : (pageBytes / runMs) * DAY_MS,
      segments: this.#segments.count + 1,
      state: this.#state,
      takesRecords: this.#state === 'open' && this.#retention.takesRecords,
      counters: {
        ...this.#writer.counters,
        writtenBytes,
        pageBytes,
        syncs,
        ...this.#retention.counters,
        ...this.#readers.counters
      }
    }
  }

  /** Saves cursors and notes now, then unlinks what every reader has passed. */
  checkpoint(): Promise<void> {
    return this.#retention.checkpoint()
  }

  /**
   * What has to be done now and then, by default twice a second: the age limit, the checkpoint if it
   * is due, and the active segment of a drained log. Never rejects.
   */
  async maintain(): Promise<void> {
    if (this.#refusal()) return
    const { ageMsMax, sync, syncIntervalMs } = this.#options
    // Fully drained: give the disk back, not only the sealed segments.
    if (
      this.#cursors.heldFrom >= this.#control.durableEnd &&
      this.#writer.bytes > this.#segmentBytes / 4
    ) {
      this.#rollWanted = true
      this.#queue.wantHousekeeping()
    }
    if (sync === 'interval' && syncIntervalMs === 0) this.#wantSync()
    try {
      if (this.#quarantine.untidy) await this.#tidyQuarantine()
      if (ageMsMax) await this.#retention.dropAged(this.#clock.now() - ageMsMax)
      await this.#retention.checkpointIfDue()
    } catch {
      // Logged where it happened; the next round tries again.
    }
  }

  /**
   * Appends what is pending, saves the checkpoint, and lets go of the files. Appends that wait for
   * room are refused. Never rejects: what could not be saved is logged.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    await this.#queue.settled()
    await this.#failure
    const orderly = this.#state === 'open'
    this.#state = 'closed'
    this.#control.close()
    this.#readers.close()
    try {
      if (orderly && this.#unsynced) await this.#writer.sync()
      if (orderly) await this.#retention.checkpoint(true)
    } catch (error) {
      this.#logger.error(
        { event: 'log.close_failed', directory: this.#options.directory, error: messageOf(error) },
        'The log could not be closed in order: records may be delivered again after the next start.'
      )
    }
    await this.#retention.settled()
    await this.#segments.settled()
    await this.#writer.close().catch(() => {})
  }

  #tidyQuarantine(): Promise<void> {
    // Over the limit by a segment at most; that much of the records makes room as it goes on.
    const bytesMax = this.#options.bytesMax + this.#segmentBytes
    return this.#quarantine.tidy(() => this.#retention.bytes - bytesMax)
  }

  #startTimers(): void {
    const every = (ms: number, task: () => void) => {
      if (ms > 0) this.#timers.push(setInterval(task, ms).unref())
    }
    const { sync, checkpointIntervalMs, syncIntervalMs } = this.#options
    every(checkpointIntervalMs ?? 500, () => void this.maintain())
    if (sync === 'interval') every(syncIntervalMs ?? 1000, () => this.#wantSync())
  }

  // What the queue does -----------------------------------------------------------------------

  async #gather(): Promise<void> {
    const windowMs = this.#options.syncWindowMs ?? 0
    if (windowMs > 0) await (this.#options.sleep ?? sleep)(windowMs)
    // Appends of this turn of the event loop join the first group.
    else await Promise.resolve()
  }

  async #commit(payloads: Uint8Array[], bytes: number): Promise<number> {
    const first = this.#control.durableEnd
    try {
      if (this.#writer.suspect) await this.#abandon(first)
      await this.#retention.makeRoom(bytes)
      if (this.#writer.holdsRecords && this.#writer.bytes + bytes > this.#segmentBytes) {
        await this.#retention.roll()
        this.#unsynced = false
      }
      await this.#retention.withRoom(() => this.#writer.write(first, payloads))
      this.#unsynced = true
      if (this.#options.sync === 'group') await this.#syncGroup(first, payloads)
    } catch (error) {
      throw this.#failFor(error)
    }
    this.#control.durableEnd = first + payloads.length
    return first
  }

  async #syncGroup(first: number, payloads: Uint8Array[]): Promise<void> {
    try {
      await this.#writer.sync()
    } catch (error) {
      this.#logger.error(
        { event: 'log.sync_failed', directory: this.#options.directory, error: messageOf(error) },
        'A sync failed: nothing since the last good one is believed; going on in a new segment.'
      )
      await this.#abandon(first)
      await this.#retention.withRoom(() => this.#writer.write(first, payloads))
      await this.#writer.sync()
    }
    this.#unsynced = false
  }

  #abandon(first: number): Promise<void> {
    return this.#retention.withRoom(() => this.#writer.abandon(first))
  }

  #wantSync(): void {
    this.#syncWanted = true
    this.#queue.wantHousekeeping()
  }

  async #housekeep(): Promise<void> {
    const [roll, sync] = [this.#rollWanted, this.#syncWanted]
    this.#rollWanted = false
    this.#syncWanted = false
    if (this.#state !== 'open') return
    try {
      if (roll && this.#writer.holdsRecords && !this.#writer.suspect) await this.#retention.roll()
      else if (sync && this.#unsynced) await this.#writer.sync()
      if (roll || sync) this.#unsynced = false
    } catch (error) {
      this.#failFor(error)
    }
  }

  // Trouble -----------------------------------------------------------------------------------

  #refusal(): OperationalError | undefined {
    if (this.#state === 'failed') {
      return new OperationalError('DISK_FAILED', 'The log failed and must be opened again.')
    }
    if (this.#state === 'open' && !this.#closing) return undefined
    return new OperationalError('LOG_CLOSED', 'The log is closed.')
  }

  /** @returns What the caller is told; all but LOG_FULL and LOG_CLOSED is the log's end. */
  #failFor(error: unknown): OperationalError {
    const refusal =
      error instanceof OperationalError ? error : diskFailed(this.#options.directory, error)
    if (refusal.code === 'DISK_FAILED' && this.#state === 'open') this.#fail(refusal)
    return refusal
  }

  #fail(error: OperationalError): void {
    this.#state = 'failed'
    this.#logger.error({ event: 'log.failed', code: error.code }, error.message)
    // What was never acknowledged should not be found by the next start as if it were durable.
    if (this.#options.sync === 'group') this.#failure = this.#writer.cutUnsynced().catch(() => {})
    this.#queue.rejectAll(this.#refusal()!)
    this.#options.onFailure?.(error)
  }
}
