import path from 'node:path'
import { loadCheckpoint } from './checkpoint.ts'
import type { Disk, DiskFile } from './disk.ts'
import { FRAME_HEADER_BYTES } from './frame.ts'
import {
  type FoundSegment,
  openIfPresent,
  readSegments,
  type ValidSegment,
  validSegments
} from './log-files.ts'
import { type OffsetRange, subtract } from './losses.ts'
import { newerBetween } from './newer-segments.ts'
import type { LogRecord } from './reader.ts'
import { parseSegmentName } from './segment.ts'
import { placeNearEnd, walkSegment } from './segment-walk.ts'
import type { Damage } from './tail-scan.ts'

/** What an offline reader had to pass over. */
export interface Passed {
  /** Bad bytes; no valid header; a format of a later Fieldline; a file that is gone. */
  reason: 'damaged' | 'header' | 'newer' | 'missing'
  file: string
  position?: number
  bytes?: number
  /** Absent where no record is known to be lost. */
  lost?: OffsetRange
}

/**
 * Reads a log's files from outside, without its lock and whatever their state: what is damaged is
 * told and passed over. Holds nothing back: what a live log trims meanwhile is gone.
 */
export class OfflineReader {
  readonly #disk: Disk
  readonly #directory: string
  readonly #onPassed: (passed: Passed) => void
  readonly #known: readonly OffsetRange[]
  #offset: number
  /** The next offset, if nothing is missing; unknown before the first record. */
  #expected: number | undefined
  /** Where reading goes on within the segment that begins at `first`. */
  #place: { first: number; position: number } | undefined
  /** Bad bytes behind the last record read, not told yet. */
  #pending: Passed | undefined
  /** What is missing before the next record is told already. */
  #unreadable = false
  /** At most as many as there are segments. */
  readonly #told = new Set<string>()
  #segments: { names: string; found: FoundSegment[] } = { names: '', found: [] }

  /**
   * @param from Least offset; 0 is the oldest record kept.
   * @param known Losses that are not told again.
   */
  constructor(options: {
    disk: Disk
    directory: string
    from?: number
    known?: readonly OffsetRange[]
    onPassed?: (passed: Passed) => void
  }) {
    this.#disk = options.disk
    this.#directory = options.directory
    this.#offset = options.from ?? 0
    this.#known = options.known ?? []
    this.#onPassed = options.onPassed ?? (() => {})
  }

  /** The next offset to be read. */
  get offset(): number {
    return this.#offset
  }

  /**
   * What is there now, up to `end`; call it again for what has come since.
   *
   * @param end Records from here on are left for later.
   * @param live Bytes behind the last record are a write under way, not damage.
   * @returns Batches whose payloads are valid until the next one is asked for.
   */
  async *read(end = Number.POSITIVE_INFINITY, live = false): AsyncGenerator<LogRecord[]> {
    while (this.#offset < end) {
      const segments = await this.#refresh()
      const valid = validSegments(segments)
      const at = valid.findLast(({ first }) => first <= this.#offset) ?? valid[0]
      this.#tellUnreadable(segments, Math.min(end, at?.first ?? end))
      if (!at || at.first >= end) return
      this.#expected ??= Math.max(this.#offset, at.first)
      const next = valid.find(({ first }) => first > at.first)
      yield* this.#readSegment(at, next, end, live)
      this.#tellUnreadable(segments, Math.min(end, next?.first ?? end))
      if (!next || next.first > end) {
        this.#tellPending()
        return
      }
      await this.#tellGap(next.first, { file: next.name, position: 0 })
      this.#offset = Math.max(this.#offset, next.first)
    }
  }

  async *#readSegment(
    segment: ValidSegment,
    next: ValidSegment | undefined,
    end: number,
    live: boolean
  ): AsyncGenerator<LogRecord[]> {
    const { name, first, header } = segment
    const file = await openIfPresent(this.#disk, path.join(this.#directory, name))
    if (!file) return
    const position = this.#place?.first === first ? this.#place.position : undefined
    const from = position === undefined ? {} : { from: { position, offset: this.#offset } }
    const limit = Math.min(end, next?.first ?? end)
    try {
      for await (const part of walkSegment(file, header, { limit, ...from })) {
        const records: LogRecord[] = []
        for (const { offset, position, payload } of part.frames) {
          this.#place = { first, position: position + FRAME_HEADER_BYTES + payload.length }
          if (offset < this.#offset) continue
          await this.#tellGap(offset, { file: name, position })
          records.push({ epoch: header.epoch, offset, payload })
          this.#expected = offset + 1
          this.#offset = offset + 1
        }
        if (records.length > 0) yield records
        if (part.damage) this.#takeDamage(part.damage, segment, next, live)
      }
    } finally {
      await file.close()
    }
  }

  #takeDamage(
    { position, bytes, atEnd }: Damage,
    { name, first }: ValidSegment,
    next: ValidSegment | undefined,
    live: boolean
  ): void {
    // Either still being written, or left over behind the segment's last record.
    if (atEnd && (next ? next.first <= this.#offset : live)) return
    this.#tellPending()
    this.#pending = { reason: 'damaged', file: name, position, bytes }
    this.#place = { first, position: position + bytes }
  }

  /** Which records bad bytes cost is known with the next record. */
  async #tellGap(offset: number, where: { file: string; position: number }): Promise<void> {
    const first = this.#expected ?? offset
    const lost = first < offset ? { lost: { first, end: offset } } : undefined
    if (this.#pending) this.#onPassed({ ...this.#pending, ...lost })
    else if (lost && !this.#unreadable) {
      for (const part of subtract(lost.lost, this.#known)) {
        const passed = await explainMissing(this.#disk, this.#directory, part, where)
        for (const each of passed) this.#onPassed(each)
      }
    }
    this.#pending = undefined
    this.#unreadable = false
    if (lost) this.#expected = offset
  }

  #tellPending(): void {
    if (this.#pending) this.#onPassed(this.#pending)
    this.#pending = undefined
  }

  /** Segments without a valid header hold what lies between the offset and the next valid one. */
  #tellUnreadable(segments: readonly FoundSegment[], end: number): void {
    for (const [index, { state, name, first, bytes }] of segments.entries()) {
      if (state !== 'bad_header' && state !== 'newer') continue
      const behind = segments[index + 1]?.first ?? Number.POSITIVE_INFINITY
      if (first >= end || behind <= this.#offset || this.#told.has(name)) continue
      this.#told.add(name)
      this.#unreadable = behind !== Number.POSITIVE_INFINITY
      const lost = this.#unreadable ? { lost: { first, end: behind } } : {}
      const reason = state === 'newer' ? 'newer' : 'header'
      this.#onPassed({ reason, file: name, position: 0, bytes, ...lost })
    }
  }

  async #refresh(): Promise<FoundSegment[]> {
    const names = (await this.#disk.list(this.#directory)).filter(name => name.endsWith('.seg'))
    const key = names.sort().join()
    if (key !== this.#segments.names) {
      const found = await readSegments(this.#disk, this.#directory, names)
      // A header that is being written is looked at again.
      const whole = found.every(({ state }) => state === 'valid')
      this.#segments = { names: whole ? key : '', found }
    }
    return this.#segments.found
  }
}

/**
 * Offsets that no file holds any more: set aside for another Fieldline, or lost.
 *
 * @param where What shows that they are missing.
 */
export async function explainMissing(
  disk: Disk,
  directory: string,
  missing: OffsetRange,
  where: Pick<Passed, 'file' | 'position'>
): Promise<Passed[]> {
  const newer = await newerBetween(disk, directory, missing.first, missing.end)
  const aside = newer.map(
    ({ file, ...lost }): Passed => ({
      reason: 'newer',
      file: path.relative(directory, file),
      lost
    })
  )
  const rest = subtract(missing, newer)
  return [...aside, ...rest.map((lost): Passed => ({ reason: 'missing', ...where, lost }))]
}

/**
 * Where to begin so as to see the last `count` records that match, and are below `end`.
 *
 * @returns From the first of them to behind the last record there is; empty where none matches.
 */
export async function rangeOfLast(
  disk: Disk,
  directory: string,
  options: { count: number; end?: number; match?: (payload: Buffer) => boolean }
): Promise<OffsetRange> {
  const { count, end = Number.POSITIVE_INFINITY, match = () => true } = options
  const segments = validSegments(await readSegments(disk, directory, await disk.list(directory)))
  let wanted = count
  let from: number | undefined
  let behind: number | undefined
  for (let index = segments.length - 1; index >= 0; index--) {
    const limit = Math.min(end, segments[index + 1]?.first ?? end)
    const file = await openIfPresent(disk, path.join(directory, segments[index].name))
    if (!file) break
    try {
      const found = await lastMatching(file, segments[index], { wanted, limit, match })
      if (found.last !== undefined) behind ??= found.last + 1
      from = found.offsets[0] ?? from
      wanted -= found.offsets.length
    } finally {
      await file.close()
    }
    if (wanted === 0 && behind !== undefined) break
  }
  return { first: from ?? behind ?? 0, end: behind ?? 0 }
}

const NEAR_END_BYTES = 64 << 10

/** Looks from behind, further and further: people ask for ten records of a large segment. */
async function lastMatching(
  file: DiskFile,
  { header, bytes }: ValidSegment,
  options: { wanted: number; limit: number; match: (payload: Buffer) => boolean }
): Promise<{ offsets: number[]; last: number | undefined }> {
  const { wanted, limit, match } = options
  for (let span = NEAR_END_BYTES; ; span *= 8) {
    const whole = span >= bytes
    const from = whole ? undefined : await placeNearEnd(file, header, { bytes, span, limit })
    const offsets: number[] = []
    let last: number | undefined
    if (from || whole) {
      const options = { limit, bytes, ...(from ? { from } : {}) }
      for await (const { frames } of walkSegment(file, header, options)) {
        for (const { offset, payload } of frames) if (match(payload)) offsets.push(offset)
        last = frames.at(-1)?.offset ?? last
        if (offsets.length > wanted * 2) offsets.splice(0, offsets.length - wanted)
      }
    }
    if (whole || (last !== undefined && offsets.length >= wanted)) {
      return { offsets: wanted > 0 ? offsets.slice(-wanted) : [], last }
    }
  }
}

/**
 * Up to where the records of a log that another process owns are surely there to stay: its last
 * checkpointed end, and all of its sealed segments, which were synced before the next was made.
 */
export async function settledEnd(disk: Disk, directory: string): Promise<number> {
  const found = await loadCheckpoint(disk, directory)
  const end = found.kind === 'valid' ? found.checkpoint.end.offset : 0
  const firsts = (await disk.list(directory)).map(name => parseSegmentName(name) ?? 0)
  return Math.max(end, ...firsts)
}
