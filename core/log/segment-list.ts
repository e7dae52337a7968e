import path from 'node:path'
import { unlinkIfPresent } from './checkpoint.ts'
import type { Disk } from './disk.ts'
import { segmentName } from './segment.ts'

/** A closed segment, as the writer keeps account of it. */
export interface SealedSegment {
  firstOffset: number
  bytes: number
  epoch: string
  /** Last change, epoch ms: every record in it is at least as old. */
  sealedAt: number
}

/** The sealed segments, oldest first. Sizes come from a scan at start, never from a counter file. */
export class SegmentList {
  readonly #disk: Disk
  readonly #directory: string
  readonly #sealed: SealedSegment[]
  #bytes: number

  constructor(disk: Disk, directory: string, sealed: SealedSegment[]) {
    this.#disk = disk
    this.#directory = directory
    this.#sealed = [...sealed]
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

  async unlinkFirst(count: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      const { firstOffset, bytes } = this.#sealed[0]
      await unlinkIfPresent(this.#disk, path.join(this.#directory, segmentName(firstOffset)))
      // Still in the list, and in the sum, for as long as it takes room on the disk.
      this.#sealed.shift()
      this.#bytes -= bytes
    }
  }

  /** Epoch of the sealed segment that the offset falls into. */
  epochAt(offset: number): string | undefined {
    return this.#sealed.findLast(s => s.firstOffset <= offset)?.epoch
  }
}
