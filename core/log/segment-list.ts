import path from 'node:path'
import { unlinkIfPresent } from './checkpoint.ts'
import type { Disk } from './disk.ts'
import type { SealedSegment } from './recovery.ts'
import { readSegmentHeader, segmentName } from './segment.ts'

/** The sealed segments, oldest first. Sizes come from a scan at start, never from a counter file. */
export class SegmentList {
  readonly #disk: Disk
  readonly #directory: string
  readonly #sealed: (SealedSegment & { epoch?: string })[]
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

  add(segment: { firstOffset: number; bytes: number }, epoch: string, sealedAt: number): void {
    this.#sealed.push({ ...segment, epoch, sealedAt })
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
    const gone = this.#sealed.splice(0, count)
    for (const segment of gone) {
      this.#bytes -= segment.bytes
      await unlinkIfPresent(
        this.#disk,
        path.join(this.#directory, segmentName(segment.firstOffset))
      )
    }
  }

  /** Epoch of the segment that holds the offset; read once from its header. */
  async epochAt(offset: number): Promise<string | undefined> {
    const segment = this.#sealed.findLast(s => s.firstOffset <= offset)
    if (!segment) return undefined
    if (segment.epoch === undefined) {
      const name = path.join(this.#directory, segmentName(segment.firstOffset))
      const file = await this.#disk.open(name, 'read')
      const check = await readSegmentHeader(file)
      await file.close()
      if (check.kind === 'valid') segment.epoch = check.header.epoch
    }
    return segment.epoch
  }
}
