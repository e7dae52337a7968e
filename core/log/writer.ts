import path from 'node:path'
import type { Clock } from '../runtime/clock.ts'
import { systemCode } from '../runtime/errors.ts'
import type { Disk } from './disk.ts'
import { frameBytes, writeFrame } from './frame.ts'
import { type ActiveSegment, createSegment } from './recovery.ts'
import { FRAMES_POSITION, segmentName } from './segment.ts'

export interface WriterCounters {
  records: number
  /** Payload bytes. */
  payloadBytes: number
  /** Bytes handed to the disk, headers included. */
  writtenBytes: number
  syncs: number
  /** Total time spent in syncs, ms. */
  syncMs: number
}

/**
 * The end of the log that takes frames: the active segment, and how a new one follows it.
 *
 * A failed sync leaves the kernel free to have dropped the dirty pages, so nothing behind the last
 * good sync is believed again, not even if it can be read: the segment is cut there and what was
 * pending goes to a new one.
 */
export class SegmentWriter {
  readonly counters: WriterCounters = {
    records: 0,
    payloadBytes: 0,
    writtenBytes: 0,
    syncs: 0,
    syncMs: 0
  }
  readonly #disk: Disk
  readonly #directory: string
  readonly #clock: Clock
  #active: ActiveSegment
  /** Frames up to here are synced. */
  #synced: number
  #scratch = Buffer.allocUnsafe(1 << 16)

  constructor(disk: Disk, directory: string, clock: Clock, active: ActiveSegment) {
    this.#disk = disk
    this.#directory = directory
    this.#clock = clock
    this.#active = active
    this.#synced = active.position
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
      await file.truncate(position)
      throw error
    }
    this.#active.position += end
    this.counters.records += payloads.length
    this.counters.payloadBytes += end - payloads.length * 16
    this.counters.writtenBytes += end
    // One burst of large groups should not pin its memory for ever.
    if (this.#scratch.length > 1 << 22) this.#scratch = Buffer.allocUnsafe(1 << 16)
  }

  async sync(): Promise<void> {
    const from = this.#clock.monotonic()
    const position = this.#active.position
    await this.#active.file.sync()
    this.#synced = position
    this.counters.syncs++
    this.counters.syncMs += this.#clock.monotonic() - from
  }

  /**
   * Seals the active segment and begins the next. The old one is synced first, in every sync mode:
   * recovery reads the last segment alone.
   */
  async roll(first: number): Promise<{ firstOffset: number; bytes: number }> {
    await this.sync()
    return this.#replace(first)
  }

  /** After a failed sync: cuts what may be lost and goes on in a new segment. */
  async abandon(first: number): Promise<{ firstOffset: number; bytes: number } | undefined> {
    const { file, header } = this.#active
    await file.truncate(this.#synced)
    this.#active.position = this.#synced
    if (this.#synced > FRAMES_POSITION) return this.#replace(first)
    // It holds no record, so the next segment takes its name.
    await file.close()
    await this.#disk.unlink(path.join(this.#directory, segmentName(header.firstOffset)))
    await this.#begin(first)
    return undefined
  }

  async close(): Promise<void> {
    await this.#active.file.close()
  }

  async #replace(first: number): Promise<{ firstOffset: number; bytes: number }> {
    const sealed = { firstOffset: this.firstOffset, bytes: this.bytes }
    const { file } = this.#active
    await this.#begin(first)
    await file.close()
    return sealed
  }

  async #begin(first: number): Promise<void> {
    const name = path.join(this.#directory, segmentName(first))
    try {
      await this.#disk.unlink(name)
    } catch (error) {
      // A half-made one is there only if an earlier attempt failed.
      if (systemCode(error) !== 'ENOENT') throw error
    }
    this.#active = await createSegment(
      this.#disk,
      this.#directory,
      first,
      this.epoch,
      this.#clock.now()
    )
    this.#synced = this.#active.position
    this.counters.writtenBytes += FRAMES_POSITION
    this.counters.syncs++
  }
}
