import path from 'node:path'
import type { Disk } from './disk.ts'
import { unlinkIfPresent } from './disk-errors.ts'
import type { NewerSegments } from './newer-segments.ts'
import { FRAMES_POSITION, segmentName } from './segment.ts'

/** A closed segment, as the writer keeps account of it. */
export interface SealedSegment {
  firstOffset: number
  bytes: number
  epoch: string
  /** Last change, epoch ms: every record in it is at least as old. */
  sealedAt: number
  /** Nobody has looked at its header yet: it may be of a newer format, and then must stay. */
  unread?: boolean
}

type ListedSegment = SealedSegment & { aside?: boolean }

/** The sealed segments, oldest first. Sizes come from a scan at start, never from a counter file. */
export class SegmentList {
  readonly #disk: Disk
  readonly #directory: string
  readonly #newer: NewerSegments
  readonly #sealed: ListedSegment[]
  #bytes: number

  constructor(disk: Disk, directory: string, sealed: SealedSegment[], newer: NewerSegments) {
    this.#disk = disk
    this.#directory = directory
    this.#newer = newer
    this.#sealed = sealed.map(segment => ({ ...segment }))
    this.#bytes = sealed.reduce((sum, segment) => sum + segment.bytes, 0)
  }

  get count(): number {
    return this.#sealed.length
  }

  get bytes(): number {
    return this.#bytes
  }

  get first(): number | undefined {
    return this.#sealed[0]?.firstOffset
  }

  /**
   * Bytes of the last records' frames, as if those of a segment were all of one size.
   *
   * @param end Of the log.
   * @param active Its last segment, behind the sealed ones.
   */
  bytesOfLast(
    records: number,
    end: number,
    active: { firstOffset: number; bytes: number }
  ): number {
    const from = end - records
    let bytes = 0
    let segmentEnd = end
    for (let i = this.#sealed.length; i >= 0 && segmentEnd > from; i--) {
      const { firstOffset, bytes: all } = this.#sealed[i] ?? active
      const held = segmentEnd - firstOffset
      const frames = Math.max(0, all - FRAMES_POSITION)
      if (held > 0) bytes += frames * Math.min(1, (segmentEnd - from) / held)
      segmentEnd = firstOffset
    }
    return Math.round(bytes)
  }

  add(segment: SealedSegment): void {
    this.#sealed.push(segment)
    this.#bytes += segment.bytes
  }

  /** @param activeFirst First offset of the active segment, which follows the last sealed one. */
  endOfFirst(activeFirst: number): number {
    return this.#sealed[1]?.firstOffset ?? activeFirst
  }

  /** How many segments, from the oldest on, hold only offsets below `offset`. */
  countBefore(offset: number, activeFirst: number): number {
    let count = 0
    while (
      count < this.#sealed.length &&
      (this.#sealed[count + 1]?.firstOffset ?? activeFirst) <= offset
    ) {
      count++
    }
    return count
  }

  firstAfter(count: number): number | undefined {
    return this.#sealed[count]?.firstOffset
  }

  isOlder(than: number): boolean {
    return this.#sealed.length > 0 && this.#sealed[0].sealedAt < than
  }

  /** Those of a newer format are set aside instead. */
  async unlinkFirst(count: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      await this.readFirst()
      const [first] = this.#sealed
      const file = path.join(this.#directory, segmentName(first.firstOffset))
      if (!first.aside) await unlinkIfPresent(this.#disk, file)
      // Still in the list, and in the sum, for as long as it takes room on the disk.
      const { bytes } = first
      this.#sealed.shift()
      this.#bytes -= bytes
    }
  }

  /** The oldest was set aside: no record goes with it. */
  get firstIsAside(): boolean {
    return this.#sealed[0]?.aside === true
  }

  get firstIsUnread(): boolean {
    return this.#sealed[0]?.unread === true
  }

  /** Looks at the oldest: of a newer format, it is set aside, and takes no room any more. */
  async readFirst(): Promise<void> {
    const [first] = this.#sealed
    if (!first?.unread) return
    const aside = await this.#newer.setAside(first.firstOffset)
    first.unread = false
    if (aside) this.#markAside(first)
  }

  /** A reader came upon records of a newer format. */
  async passedNewer(reader: string, gap: { first: number; end: number; file?: string }) {
    const aside = await this.#newer.passed(reader, gap)
    const segment = this.#sealed.find(each => each.firstOffset === aside)
    if (segment) this.#markAside(segment)
  }

  /** Resolves when no file is being moved. */
  settled(): Promise<void> {
    return this.#newer.settled()
  }

  /** It keeps its place in the list: whoever counts from the front counts it still. */
  #markAside(segment: ListedSegment): void {
    if (segment.aside) return
    this.#bytes -= segment.bytes
    segment.bytes = 0
    segment.aside = true
  }

  /** Epoch of the sealed segment that the offset falls into. */
  epochAt(offset: number): string | undefined {
    return this.#sealed.findLast(s => s.firstOffset <= offset)?.epoch
  }
}
