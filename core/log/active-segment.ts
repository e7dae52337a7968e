import path from 'node:path'
import { messageOf, OperationalError } from '../runtime/errors.ts'
import type { Disk, DiskFile } from './disk.ts'
import { encodeSegmentHeader, FRAMES_POSITION, type SegmentHeader, segmentName } from './segment.ts'

/** The segment that takes appends. */
export interface ActiveSegment {
  file: DiskFile
  header: SegmentHeader
  /** Where the next frame goes; everything before is synced. */
  position: number
  /** Its offset. */
  end: number
}

/**
 * Makes a segment: header synced, then the directory, both before the first acknowledgement out of
 * it. On error nothing of it stays: left there it would be the last segment, and what the current
 * one still takes would lie behind the end that recovery finds.
 *
 * @throws The disk's own error, retryable. {OperationalError} DISK_FAILED: something may stay.
 */
export async function createSegment(
  disk: Disk,
  directory: string,
  header: SegmentHeader
): Promise<ActiveSegment> {
  const name = path.join(directory, segmentName(header.firstOffset))
  const file = await disk.open(name, 'create')
  try {
    await file.write(encodeSegmentHeader(header), 0)
    await file.sync()
    await disk.syncDirectory(directory)
    return { file, header, position: FRAMES_POSITION, end: header.firstOffset }
  } catch (error) {
    try {
      await file.close()
      await disk.unlink(name)
      await disk.syncDirectory(directory)
    } catch (second) {
      throw new OperationalError(
        'DISK_FAILED',
        `The segment ${name} could be neither made (${messageOf(error)}) nor removed (${messageOf(second)}).`,
        { cause: error }
      )
    }
    throw error
  }
}
