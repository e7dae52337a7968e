import path from 'node:path'
import { systemCode } from '../runtime/errors.ts'
import type { ControlBlock } from './control-block.ts'
import type { Disk, DiskFile } from './disk.ts'
import { checkFrame } from './frame.ts'
import { newerBetween } from './newer-segments.ts'
import type { Cursor, LogBatch, LogReader, LogRecord, ReadOptions } from './reader.ts'
import {
  FRAMES_POSITION,
  parseSegmentName,
  readSegmentHeader,
  type SegmentHeader,
  segmentName
} from './segment.ts'
import { findFrame } from './tail-scan.ts'

const READ_BYTES_MIN = 4096

/** Records that a reader could not be given, and why. */
export interface ReaderGap {
  /** `newer`: in a segment of a newer format, which is kept. */
  reason: 'dropped' | 'damaged' | 'newer'
  first: number
  end: number
  /** Where the damage is, or the segment of a newer format; absent for dropped records. */
  file?: string
  position?: number
}

interface OpenSegment {
  first: number
  file: DiskFile
  header: SegmentHeader
  /** Of the frame with the reader's offset, or of one before it. */
  position: number
  /** Where the bytes begin that were passed over on the way to `position`. */
  defect: number | undefined
  /**
   * First offset of the segment after it, once there is one. Frames from there on may stand here
   * too, left over from a sync that failed: never acknowledged, not to be read.
   */
  next: number | undefined
}

/**
 * A reader over the segment files and the control block: needs nothing of the writer's memory, so
 * it runs in any thread. Payloads are views into one buffer a batch, copied at most once.
 */
export class FileReader implements LogReader {
  readonly name: string
  readonly #disk: Disk
  readonly #directory: string
  readonly #control: ControlBlock
  readonly #slot: number
  readonly #turn: number | undefined
  readonly #onGap: (gap: ReaderGap) => void
  #offset: number
  #epoch: string
  #segment: OpenSegment | undefined
  /**
   * The last gap passed. No batch ends behind a gap at the log's end, so a commit before it counts
   * for it too; or a full log that blocks would wait for ever for a reader with nothing to read.
   */
  #gap = { first: -1, end: -1 }
  #closed = false
  #stopWaiting: () => void = () => {}
  #reading = false
  /** To read into; given away with what fills half of it, else used again. */
  #space = Buffer.alloc(0)

  constructor(options: {
    name: string
    disk: Disk
    directory: string
    control: ControlBlock
    slot: number
    /** Of the slot's claim; undefined: never closed by a later one, and never commits. */
    turn?: number
    from: Cursor
    onGap: (gap: ReaderGap) => void
  }) {
    this.name = options.name
    this.#disk = options.disk
    this.#directory = options.directory
    this.#control = options.control
    this.#slot = options.slot
    this.#turn = options.turn
    this.#onGap = options.onGap
    this.#offset = options.from.offset
    this.#epoch = options.from.epoch
  }

  get position(): Cursor {
    return { epoch: this.#epoch, offset: this.#offset }
  }

  async read(options: ReadOptions): Promise<LogBatch | undefined> {
    if (this.#reading) throw new Error('one read at a time')
    this.#reading = true
    try {
      for (;;) {
        if (this.#closed || this.#superseded) return undefined
        const end = this.#control.durableEnd
        await this.#skipDropped()
        if (this.#offset >= end) {
          if (this.#control.closed || options.signal?.aborted) return undefined
          await this.#waitPast(end, options.signal)
          continue
        }
        const records = await this.#readSome(end, options)
        if (records.length > 0) return { records, end: this.position }
      }
    } finally {
      this.#reading = false
      if (this.#closed || this.#superseded) await this.#leaveSegment()
    }
  }

  commit(cursor: Cursor): void {
    if (this.#superseded) return
    const { first, end } = this.#gap
    this.#control.setCursor(this.#slot, cursor.offset === first ? end : cursor.offset)
  }

  async seek(cursor: Cursor): Promise<boolean> {
    if (this.#reading) throw new Error('a reader cannot be moved while it reads')
    this.#reading = true
    try {
      await this.#leaveSegment()
      this.#gap = { first: -1, end: -1 }
      const believed = await this.#believes(cursor)
      this.#offset = believed ? cursor.offset : this.#control.firstKept
      this.#epoch = believed ? cursor.epoch : ((await this.#epochAt(this.#offset)) ?? cursor.epoch)
      return believed
    } finally {
      this.#reading = false
    }
  }

  close(): void {
    this.#closed = true
    this.#stopWaiting()
    if (!this.#reading) this.#leaveSegment().catch(() => {})
  }

  /** Its slot was claimed again: the cursor is another's. */
  get #superseded(): boolean {
    return this.#turn !== undefined && this.#control.turn(this.#slot) !== this.#turn
  }

  /** A cursor is believed only if its offset lies within its epoch, or just behind it. */
  async #believes(cursor: Cursor): Promise<boolean> {
    const { firstKept, durableEnd } = this.#control
    if (cursor.offset < firstKept || cursor.offset > durableEnd) return false
    if ((await this.#epochAt(cursor.offset)) === cursor.epoch) return true
    return cursor.offset > firstKept && (await this.#epochAt(cursor.offset - 1)) === cursor.epoch
  }

  async #epochAt(offset: number): Promise<string | undefined> {
    const segment = await this.#openLast(await this.#segmentOffsets(), offset)
    await segment?.file.close()
    return segment?.header.epoch
  }

  #tellGap(gap: ReaderGap): void {
    const first = gap.first === this.#gap.end ? this.#gap.first : gap.first
    this.#gap = { first, end: gap.end }
    if (this.#turn !== undefined && this.#control.cursor(this.#slot) === first) {
      this.commit({ epoch: this.#epoch, offset: first })
    }
    this.#onGap(gap)
  }

  /** What the overflow policy took is gone: go on at the first record kept. */
  async #skipDropped(): Promise<void> {
    const kept = this.#control.firstKept
    if (this.#offset >= kept) return
    this.#tellGap({ reason: 'dropped', first: this.#offset, end: kept })
    this.#offset = kept
    await this.#leaveSegment()
  }

  /** @returns No record when only the place changed: the caller asks again. */
  async #readSome(end: number, options: ReadOptions): Promise<LogRecord[]> {
    const segment = this.#segment ?? (await this.#enterSegment())
    if (!segment) return []
    const wanted = Math.max(options.bytesMax, READ_BYTES_MIN)
    let chunk = await this.#readChunk(segment, wanted)
    const first = checkFrame(chunk, 0, segment.header.salt)
    if (first.kind === 'short' && chunk.length === wanted) {
      chunk = await this.#readChunk(segment, first.end)
    }
    const before = segment.position
    const limit = Math.min(end, segment.next ?? end)
    const records = this.#parse(chunk, segment, limit, options)
    if (segment.position === before) await this.#passDefect(segment, end)
    return records
  }

  /**
   * What is there, at most so much, for good. At the log's end that is far less than may be asked for,
   * and a batch that is kept must not keep all that space.
   */
  async #readChunk({ file, position }: OpenSegment, bytes: number): Promise<Buffer> {
    if (this.#space.length < bytes) this.#space = Buffer.allocUnsafeSlow(bytes)
    const space = this.#space
    const chunk = space.subarray(0, await file.read(space.subarray(0, bytes), position))
    if (chunk.length < space.length / 2) return Buffer.from(chunk)
    this.#space = Buffer.alloc(0)
    return chunk
  }

  /** Moves the segment's position behind what it read; no record is fine while on the way. */
  #parse(chunk: Buffer, segment: OpenSegment, limit: number, options: ReadOptions): LogRecord[] {
    const records: LogRecord[] = []
    const { salt, epoch } = segment.header
    const recordsMax = options.recordsMax ?? Number.POSITIVE_INFINITY
    let at = 0
    while (records.length < recordsMax && this.#offset < limit) {
      const check = checkFrame(chunk, at, salt)
      if (check.kind !== 'valid' || check.offset >= limit) break
      if (check.offset < this.#offset) {
        at = check.end
        continue
      }
      if (check.offset > this.#offset) {
        // A gap before the first record of a batch is told before the batch; within one it ends it.
        if (records.length > 0) break
        this.#tellGap({
          reason: 'damaged',
          first: this.#offset,
          end: check.offset,
          file: this.#path(segment.first),
          position: segment.defect ?? segment.position + at
        })
      }
      segment.defect = undefined
      records.push({ epoch, offset: check.offset, payload: check.payload })
      at = check.end
      this.#offset = check.offset + 1
    }
    segment.position += at
    return records
  }

  /** No valid frame where one should be: the segment's end, or damage. */
  async #passDefect(segment: OpenSegment, end: number): Promise<void> {
    segment.next ??= await this.#nextValid(await this.#segmentOffsets(), segment.first)
    if (segment.next !== undefined && segment.next <= this.#offset) {
      await this.#leaveSegment()
      return
    }
    const limit = Math.min(segment.next ?? end, end)
    const found = await findFrame(segment.file, segment.header.salt, {
      from: segment.position + 1,
      bytes: await segment.file.size(),
      first: this.#offset,
      end: limit
    })
    if (found !== undefined) {
      // The gap is reported when its far side, the next record's offset, is read.
      segment.defect ??= segment.position
      segment.position = found
      return
    }
    await this.#passMissing(limit, () => this.#placeOfDefect(segment))
    // Entered anew, should it be the active one: what it takes from now on is searched for.
    await this.#leaveSegment()
  }

  /** A file without a valid header that should have the reader's offset, else where frames end. */
  async #placeOfDefect(segment: OpenSegment): Promise<{ file: string; position: number }> {
    const bad = (await this.#segmentOffsets()).findLast(first => first <= this.#offset)
    if (bad !== undefined && bad > segment.first) return { file: this.#path(bad), position: 0 }
    return { file: this.#path(segment.first), position: segment.defect ?? segment.position }
  }

  async #enterSegment(): Promise<OpenSegment | undefined> {
    const offsets = await this.#segmentOffsets()
    const opened = await this.#openLast(offsets, this.#offset)
    const next = await this.#nextValid(offsets, this.#offset)
    if (opened) {
      this.#segment = opened
      opened.next = next
      this.#epoch = opened.header.epoch
      return opened
    }
    const first = offsets.findLast(offset => offset <= this.#offset)
    // Gone, or without a header: nothing of it can be read.
    const end = Math.min(next ?? this.#control.durableEnd, this.#control.durableEnd)
    if (this.#offset >= this.#control.firstKept && this.#offset < end) {
      const place = first === undefined ? {} : { file: this.#path(first) }
      await this.#passMissing(end, async () => place)
    }
    return undefined
  }

  /** No segment that can be read has what lies up to `end`. What a newer format has is no damage. */
  async #passMissing(
    end: number,
    placeOf: () => Promise<{ file?: string; position?: number }>
  ): Promise<void> {
    const found = await newerBetween(this.#disk, this.#directory, this.#offset, end)
    // Dropped meanwhile: that is told otherwise.
    if (this.#offset < this.#control.firstKept) return
    for (const newer of found) {
      await this.#passDamaged(newer.first, placeOf)
      this.#tellGap({ reason: 'newer', ...newer })
      this.#offset = newer.end
    }
    await this.#passDamaged(end, placeOf)
  }

  async #passDamaged(
    end: number,
    placeOf: () => Promise<{ file?: string; position?: number }>
  ): Promise<void> {
    if (end <= this.#offset) return
    this.#tellGap({ reason: 'damaged', first: this.#offset, end, ...(await placeOf()) })
    this.#offset = end
  }

  /** The segment that the offset falls into, had those without a valid header never been there. */
  async #openLast(offsets: number[], offset: number): Promise<OpenSegment | undefined> {
    for (const first of offsets.filter(first => first <= offset).reverse()) {
      const opened = await this.#openSegment(first)
      if (opened) return opened
    }
    return undefined
  }

  async #nextValid(offsets: number[], offset: number): Promise<number | undefined> {
    for (const first of offsets.filter(first => first > offset)) {
      const opened = await this.#openSegment(first)
      await opened?.file.close()
      if (opened) return first
    }
    return undefined
  }

  async #openSegment(first: number): Promise<OpenSegment | undefined> {
    let file: DiskFile
    try {
      file = await this.#disk.open(this.#path(first), 'read')
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    }
    const check = await readSegmentHeader(file).catch(async error => {
      await file.close()
      throw error
    })
    if (check.kind === 'valid' && check.header.firstOffset === first) {
      const { header } = check
      return { first, file, header, position: FRAMES_POSITION, defect: undefined, next: undefined }
    }
    await file.close()
    return undefined
  }

  async #segmentOffsets(): Promise<number[]> {
    const names = await this.#disk.list(this.#directory)
    const offsets = names.map(parseSegmentName).filter(offset => offset !== undefined)
    return offsets.sort((a, b) => a - b)
  }

  #path(first: number): string {
    return path.join(this.#directory, segmentName(first))
  }

  async #leaveSegment(): Promise<void> {
    const segment = this.#segment
    this.#segment = undefined
    await segment?.file.close()
  }

  async #waitPast(end: number, signal: AbortSignal | undefined): Promise<void> {
    // Both may have come while the read was on its way here.
    if (this.#closed || signal?.aborted) return
    const stopped = new Promise<void>(resolve => {
      this.#stopWaiting = resolve
    })
    signal?.addEventListener('abort', this.#stopWaiting, { once: true })
    await Promise.race([this.#control.waitPast(end, () => this.#superseded), stopped])
    signal?.removeEventListener('abort', this.#stopWaiting)
  }
}
