import type { Clock } from '../runtime/clock.ts'
import { messageOf, OperationalError } from '../runtime/errors.ts'
import type { Logger } from '../runtime/log.ts'
import { type Checkpoint, saveCheckpoint } from './checkpoint.ts'
import { CheckpointRhythm } from './checkpoint-rhythm.ts'
import type { ControlBlock } from './control-block.ts'
import type { CursorTable } from './cursor-table.ts'
import type { Disk } from './disk.ts'
import { OverflowLines } from './overflow-lines.ts'
import { isNoSpace, type Quarantine } from './quarantine.ts'
import { RESERVE_BYTES, type Reserve } from './reserve.ts'
import { FRAMES_POSITION } from './segment.ts'
import type { SegmentList } from './segment-list.ts'
import type { SegmentWriter } from './writer.ts'

/** What happens to a record that the log has no room for. */
export type Overflow = 'drop_oldest' | 'drop_newest' | 'block'

export interface RetentionOptions {
  disk: Disk
  directory: string
  clock: Clock
  logger: Logger
  control: ControlBlock
  writer: SegmentWriter
  segments: SegmentList
  cursors: CursorTable
  reserve: Reserve
  quarantine: Quarantine
  notes: Map<string, string>
  bytesMax: number
  /** Of files beside the log that share its limit. */
  sharedBytes: () => number
  overflow: Overflow
  /** For the checkpoint: what an acknowledgement means. */
  sync: string
  sleep: (ms: number) => Promise<void>
  /** Why waiting makes no sense any more; undefined while it does. */
  refusal: () => OperationalError | undefined
}

/** How often a blocked append looks whether readers made room. */
const BLOCKED_CHECK_MS = 20
/** So long a disk counts as full: whoever stays away because of it must come for it to be tried again. */
const DISK_FULL_MS = 60_000

/** What stays and what goes: the byte limit, the age limit, the checkpoint and what lies behind. */
export class Retention {
  readonly counters = { droppedFull: 0, droppedAge: 0 }
  readonly #options: RetentionOptions
  readonly #control: ControlBlock
  readonly #writer: SegmentWriter
  readonly #segments: SegmentList
  readonly #cursors: CursorTable
  #saving: Promise<void> = Promise.resolve()
  readonly #rhythm = new CheckpointRhythm()
  readonly #lines: OverflowLines
  #checkpointBytes = 0
  /** Of the batch that found no room last; 0 once one has. */
  #wantedBytes = 0
  /** Monotonic: when it last took nothing; undefined once it has taken something. */
  #diskFullAt: number | undefined

  constructor(options: RetentionOptions) {
    this.#options = options
    this.#lines = new OverflowLines(options)
    this.#control = options.control
    this.#writer = options.writer
    this.#segments = options.segments
    this.#cursors = options.cursors
  }

  /**
   * What the limit counts: segments, quarantine, reserve, the checkpoint twice while saved, and what
   * shares the limit.
   */
  get bytes(): number {
    return this.#bytesBeside(this.#sharedBytes)
  }

  /**
   * Whether a record that comes now would be stored: not in a log, or on a disk, that is full and gives
   * up nothing for it. What a disk has is known from what was tried within the last minute.
   */
  get takesRecords(): boolean {
    if (this.#diskIsFull) return false
    if (this.#options.overflow === 'drop_oldest' || this.#hasToGive || this.#isEmpty) return true
    return this.#bytesOver(this.#wantedBytes, this.#sharedBytes) <= 0
  }

  get #diskIsFull(): boolean {
    const at = this.#diskFullAt
    return at !== undefined && this.#options.clock.monotonic() - at < DISK_FULL_MS
  }

  /** Something can go that no reader misses. */
  get #hasToGive(): boolean {
    return this.#trimmable() > 0 || this.#isReadThrough || this.#options.quarantine.bytes > 0
  }

  /** All of it has been read: only the active segment is in the way. */
  get #isReadThrough(): boolean {
    return this.#writer.holdsRecords && this.#cursors.heldFrom >= this.#control.durableEnd
  }

  get #isEmpty(): boolean {
    return this.#segments.count === 0 && !this.#writer.holdsRecords
  }

  /** How many too many they would be; the next segment's header counts: a crash may add one. */
  #bytesOver(bytes: number, sharedBytes: number): number {
    return this.#bytesBeside(sharedBytes) + bytes + FRAMES_POSITION - this.#options.bytesMax
  }

  #bytesBeside(sharedBytes: number): number {
    const { quarantine } = this.#options
    const records = this.#segments.bytes + this.#writer.bytes
    return records + quarantine.bytes + this.#fixedBytes + sharedBytes
  }

  get #fixedBytes(): number {
    return RESERVE_BYTES + 2 * this.#checkpointBytes
  }

  /** Half the limit at most: the log must go on whatever stands beside it. */
  get #sharedBytes(): number {
    const { sharedBytes, bytesMax } = this.#options
    return Math.min(sharedBytes(), Math.floor(bytesMax / 2))
  }

  /**
   * Resolves when `bytes` more stay within the limit.
   *
   * @throws {OperationalError} LOG_FULL under `drop_newest`, and when they never will.
   */
  async makeRoom(bytes: number): Promise<void> {
    const { bytesMax, overflow, quarantine } = this.#options
    const shared = this.#sharedBytes
    const most = bytesMax - this.#fixedBytes - shared - 2 * FRAMES_POSITION
    if (bytes > Math.min(bytesMax / 2, most)) {
      throw this.#full(`a batch of ${bytes} bytes is more than half of it, or than the rest leaves`)
    }
    for (;;) {
      const over = this.#bytesOver(bytes, shared)
      this.#wantedBytes = over > 0 ? bytes : 0
      if (over <= 0) {
        if (this.#diskFullAt === undefined) this.#lines.room()
        return
      }
      if (this.#trimmable() > 0) {
        await this.checkpoint()
      } else if (this.#isReadThrough) {
        await this.roll()
      } else if (quarantine.bytes > 0) {
        // Records come before what is none.
        await quarantine.shrink(Math.max(0, quarantine.bytes - over))
      } else if (this.#isEmpty) {
        // The checkpoint has grown meanwhile: nothing is left that could go.
        return
      } else if (overflow === 'drop_oldest') {
        if (this.#segments.count === 0) await this.roll()
        await this.#dropOldest('droppedFull')
      } else {
        await this.#waitForRoom()
      }
    }
  }

  /**
   * Runs what needs room on the disk, and again when room was made: ENOSPC takes the same path as
   * our own limit.
   */
  async withRoom<T>(operation: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const result = await operation()
        if (this.#diskFullAt !== undefined) {
          this.#diskFullAt = undefined
          this.#lines.room()
        }
        return result
      } catch (error) {
        if (!isNoSpace(error)) throw error
        if (this.#trimmable() > 0) await this.checkpoint()
        else if (this.#options.overflow !== 'drop_oldest') await this.#waitForRoom(error)
        else if (this.#segments.count > 0) await this.#dropOldest('droppedFull')
        else {
          this.#diskFullAt = this.#options.clock.monotonic()
          this.#lines.full(messageOf(error))
          throw this.#full(messageOf(error), error)
        }
      }
    }
  }

  /** Seals the active segment. */
  async roll(): Promise<void> {
    await this.withRoom(() => this.#writer.roll(this.#control.durableEnd))
  }

  async dropAged(before: number): Promise<void> {
    while (this.#segments.isOlder(before)) await this.#dropOldest('droppedAge')
  }

  /** Saves cursors and notes now, then unlinks what every reader has passed. */
  checkpoint(clean = false): Promise<void> {
    return this.#inTurn(() => this.#save(clean, true))
  }

  /** The same if it is worth it: see `CheckpointRhythm`. */
  checkpointIfDue(): Promise<void> {
    return this.#inTurn(() => this.#save(false, false))
  }

  #inTurn(save: () => Promise<void>): Promise<void> {
    this.#saving = this.#saving.catch(() => {}).then(save)
    return this.#saving
  }

  /** Resolves when no save is under way. */
  settled(): Promise<void> {
    return this.#saving.catch(() => {})
  }

  async #waitForRoom(cause?: unknown): Promise<void> {
    this.#diskFullAt = cause === undefined ? undefined : this.#options.clock.monotonic()
    const why = cause ? messageOf(cause) : `its limit of ${this.#options.bytesMax} bytes is reached`
    this.#lines.full(why)
    if (this.#options.overflow !== 'block') throw this.#full(why, cause)
    await this.#options.sleep(BLOCKED_CHECK_MS)
    const refusal = this.#options.refusal()
    if (refusal) throw refusal
  }

  /** Gives up the oldest segment; what no reader has delivered is counted. */
  async #dropOldest(reason: 'droppedFull' | 'droppedAge'): Promise<void> {
    // One of a newer format does not go: its room may be enough.
    if (this.#segments.firstIsUnread) return this.#segments.readFirst()
    const end = this.#segments.endOfFirst(this.#writer.firstOffset)
    const first = this.#cursors.heldFrom
    const records = this.#segments.firstIsAside ? 0 : Math.max(0, end - first)
    this.counters[reason] += records
    this.#control.firstKept = Math.max(this.#control.firstKept, end)
    if (records > 0) {
      this.#lines.dropped(reason, { records, first, end, sinceOpened: this.counters[reason] })
    }
    await this.checkpoint()
  }

  /** Sealed segments that no reader needs. */
  #trimmable(): number {
    return this.#segments.countBefore(this.#cursors.heldFrom, this.#writer.firstOffset)
  }

  async #save(clean: boolean, wanted: boolean): Promise<void> {
    // Taken once, all at the same moment: what is unlinked below must be behind what is saved here.
    const trimmable = this.#trimmable()
    const firstKept =
      trimmable === 0
        ? this.#control.firstKept
        : (this.#segments.firstAfter(trimmable) ?? this.#writer.firstOffset)
    const checkpoint: Checkpoint = {
      // Soft cursors are moved on with what goes: a power loss may keep any part of it.
      cursors: this.#cursors.save(firstKept, offset => this.cursorEpoch(offset, firstKept)),
      end: { epoch: this.#writer.epoch, offset: this.#control.durableEnd },
      tail: this.#writer.tail,
      clean,
      sync: this.#options.sync,
      notes: Object.fromEntries(this.#options.notes),
      savedAt: this.#options.clock.now()
    }
    const now = this.#options.clock.monotonic()
    if (trimmable === 0 && !this.#rhythm.isDue(checkpoint, now, wanted)) return
    const saved = await this.#write(checkpoint)
    if (trimmable === 0) return
    this.#control.firstKept = Math.max(this.#control.firstKept, firstKept)
    await this.#segments.unlinkFirst(trimmable)
    // Whether that was enough, the next record finds out.
    if (this.#diskFullAt !== undefined) this.#diskFullAt = Number.NEGATIVE_INFINITY
    if (!saved) await this.#write(checkpoint)
  }

  /** @returns Whether there was room for it. */
  async #write(checkpoint: Checkpoint): Promise<boolean> {
    const { disk, directory, reserve, clock } = this.#options
    try {
      this.#checkpointBytes = await reserve.spend(() => saveCheckpoint(disk, directory, checkpoint))
      this.#rhythm.saved(checkpoint, clock.monotonic())
      return true
    } catch (error) {
      this.#options.logger.warn(
        { event: 'log.checkpoint_failed', error: messageOf(error) },
        'The checkpoint could not be saved: after a crash more records would be delivered again.'
      )
      // Without room for it the segments behind must go all the same: that costs repeats, not loss.
      if (!isNoSpace(error)) throw error
      return false
    }
  }

  /**
   * The epoch that a cursor is saved under: its last record's, which stays, not the next one's: the
   * segment for that may be empty, and be replaced by one of another epoch. That holds also when the
   * last record's segment is about to be unlinked: power loss may bring it back.
   */
  cursorEpoch(offset: number, firstKept = this.#control.firstKept): string {
    const sealed =
      offset <= this.#writer.firstOffset ? this.#segments.epochAt(offset - 1) : undefined
    return sealed ?? this.#epochAt(offset > firstKept ? offset - 1 : offset)
  }

  #epochAt(offset: number): string {
    if (offset >= this.#writer.firstOffset) return this.#writer.epoch
    return this.#segments.epochAt(offset) ?? this.#writer.epoch
  }

  #full(why: string, cause?: unknown): OperationalError {
    return new OperationalError(
      'LOG_FULL',
      `The log in ${this.#options.directory} is full: ${why}.`,
      { cause }
    )
  }
}
