import path from 'node:path'
import type { Clock } from '../runtime/clock.ts'
import { type ActiveSegment, createSegment } from './active-segment.ts'
import type { SyncedTail } from './checkpoint.ts'
import type { Disk } from './disk.ts'
import { diskFailed } from './disk-errors.ts'
import { markNewEpoch, unmarkNewEpoch } from './epoch.ts'
import { FRAME_HEADER_BYTES, frameBytes, writeFrame } from './frame.ts'
import { FRAMES_POSITION, segmentName } from './segment.ts'
import type { SealedSegment } from './segment-list.ts'

export interface WriterCounters {
  records: number
  /** Payload bytes. */
  payloadBytes: number
  /** Total time spent in syncs, ms. */
  syncMs: number
}

/**
 * The end of the log that takes frames: the active segment, and how a new one follows it.
 *
 * A failed sync leaves the kernel free to have dropped the dirty pages, so nothing behind the last
 * good sync is believed again, not even if it can be read: the segment is cut there and what was
 * pending goes to a new one. Not for concurrent use.
 */
export class SegmentWriter {
  readonly counters: WriterCounters = {
    records: 0,
    payloadBytes: 0,
    syncMs: 0
  }
  readonly #disk: Disk
  readonly #directory: string
  readonly #clock: Clock
  readonly #salt: () => number
  readonly #syncCuts: boolean
  readonly #onSealed: (segment: SealedSegment) => void
  #active: ActiveSegment
  /** Frames up to here are synced. */
  #synced: number
  #syncedEnd: number
  /** A sync of the active segment failed. */
  #suspect = false
  #scratch = Buffer.allocUnsafe(1 << 16)

  constructor(options: {
    disk: Disk
    directory: string
    clock: Clock
    salt: () => number
    /**
     * Makes a cut durable before its offsets are given to others. Needed where acknowledged does not
     * mean synced: power could bring back the refused record in the place of the acknowledged.
     */
    syncCuts: boolean
    /** Called in the same moment in which the next segment becomes the active one. */
    onSealed: (segment: SealedSegment) => void
    active: ActiveSegment
  }) {
    this.#disk = options.disk
    this.#directory = options.directory
    this.#clock = options.clock
    this.#salt = options.salt
    this.#syncCuts = options.syncCuts
    this.#onSealed = options.onSealed
    this.#active = options.active
    this.#synced = options.active.position
    this.#syncedEnd = options.active.end
  }

  get epoch(): string {
    return this.#active.header.epoch
  }

  get firstOffset(): number {
    return this.#active.header.firstOffset
  }

  get bytes(): number {
    return this.#active.position
  }

  get holdsRecords(): boolean {
    return this.#active.position > FRAMES_POSITION
  }

  get tail(): SyncedTail {
    return { first: this.firstOffset, position: this.#synced, end: this.#syncedEnd }
  }

  /** Takes nothing more before `abandon`. */
  get suspect(): boolean {
    return this.#suspect
  }

  /** Writes frames behind the last; not durable before `sync`. On error nothing of it stays. */
  async write(first: number, payloads: readonly Uint8Array[]): Promise<void> {
    let size = 0
    for (const payload of payloads) size += frameBytes(payload)
    if (this.#scratch.length < size) this.#scratch = Buffer.allocUnsafe(Math.ceil(size * 1.25))
    let end = 0
    let offset = first
    for (const payload of payloads) {
      end = writeFrame(this.#scratch, end, this.#active.header.salt, offset++, payload)
    }
    const { file, position } = this.#active
    try {
      await file.write(this.#scratch.subarray(0, end), position)
    } catch (error) {
      // Half a record must not stay: it would stand between this one and the next.
      await this.#cut(position)
      if (this.#syncCuts) await this.#syncCut()
      throw error
    }
    this.#active.position += end
    this.#active.end = offset
    this.counters.records += payloads.length
    this.counters.payloadBytes += end - payloads.length * FRAME_HEADER_BYTES
    // One burst of large groups should not pin its memory for ever.
    if (this.#scratch.length > 1 << 22) this.#scratch = Buffer.allocUnsafe(1 << 16)
  }

  async sync(): Promise<void> {
    const from = this.#clock.monotonic()
    const { position, end } = this.#active
    try {
      await this.#active.file.sync()
    } catch (error) {
      this.#suspect = true
      throw error
    }
    this.#synced = position
    this.#syncedEnd = end
    this.counters.syncMs += this.#clock.monotonic() - from
  }

  /**
   * Seals the active segment and begins the next. The old one is synced first, in every sync mode:
   * recovery reads the last segment alone. On error the old one stays the active one.
   */
  async roll(first: number): Promise<void> {
    if (this.#synced < this.#active.position) await this.sync()
    await this.#replace(first)
  }

  /**
   * Seals the active segment and begins a new epoch at `first`, which is not below its end. On error
   * the old one stays the active one, or the log has failed.
   */
  async beginEpoch(first: number, epoch: string): Promise<void> {
    // Of what was cut nothing may come back: offsets are left out between here and the next segment.
    if (this.#suspect) await this.cutUnsynced()
    await this.sync()
    await (this.holdsRecords ? this.#replace(first, epoch) : this.#remake(first, epoch))
  }

  /** After a failed sync: cuts what may be lost, goes on in a new segment. May be tried again. */
  async abandon(first: number): Promise<void> {
    await this.cutUnsynced()
    await (this.holdsRecords ? this.#replace(first) : this.#remake(first))
  }

  /** Takes back what no sync has covered. */
  async cutUnsynced(): Promise<void> {
    await this.#cut(this.#synced)
    this.#active.position = this.#synced
    this.#active.end = this.#syncedEnd
  }

  async close(): Promise<void> {
    await this.#active.file.close()
  }

  async #cut(position: number): Promise<void> {
    try {
      await this.#active.file.truncate(position)
    } catch (error) {
      throw diskFailed(this.#directory, error)
    }
  }

  async #syncCut(): Promise<void> {
    try {
      await this.sync()
    } catch (error) {
      throw diskFailed(this.#directory, error)
    }
  }

  /**
   * The active segment holds no record: the next one takes its place. Without it the one before
   * would be the last, maybe of an epoch whose offsets from here on were given away: a crash in
   * between must begin a new one.
   */
  async #remake(first: number, epoch?: string): Promise<void> {
    try {
      await markNewEpoch(this.#disk, this.#directory)
      await this.#active.file.close()
      await this.#disk.unlink(path.join(this.#directory, segmentName(this.firstOffset)))
      this.#begin(await this.#create(first, epoch))
      await unmarkNewEpoch(this.#disk, this.#directory)
    } catch (error) {
      throw diskFailed(this.#directory, error)
    }
  }

  async #replace(first: number, epoch?: string): Promise<void> {
    const next = await this.#create(first, epoch)
    const { file, header, position } = this.#active
    this.#onSealed({
      firstOffset: header.firstOffset,
      bytes: position,
      epoch: header.epoch,
      sealedAt: this.#clock.now()
    })
    this.#begin(next)
    await file.close()
  }

  #create(first: number, epoch = this.epoch): Promise<ActiveSegment> {
    return createSegment(this.#disk, this.#directory, {
      salt: this.#salt(),
      firstOffset: first,
      epoch,
      createdAt: this.#clock.now()
    })
  }

  #begin(active: ActiveSegment): void {
    this.#active = active
    this.#synced = active.position
    this.#syncedEnd = active.end
    this.#suspect = false
  }
}
