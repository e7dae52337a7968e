import path from 'node:path'
import { type Checkpoint, type CheckpointFound, loadCheckpoint } from './checkpoint.ts'
import type { Disk, DiskFile } from './disk.ts'
import {
  type FoundFile,
  type FoundSegment,
  openIfPresent,
  readLogFiles,
  type ValidSegment,
  validSegments
} from './log-files.ts'
import { placeNearEnd, type WalkedFrame, walkSegment } from './segment-walk.ts'

/** What a log directory holds, found out without a lock and without reading all of it. */
export interface LogSummary {
  directory: string
  /** Oldest record kept and the one behind the newest; equal when there is none. */
  first: number
  end: number
  /** By their offsets: what is damaged inside a segment is found by `verifyLog`. */
  records: number
  bytes: number
  segments: SegmentSummary[]
  checkpoint:
    | { state: 'clean' | 'unclean'; savedAt: number; end: Checkpoint['end']; sync: string }
    | { state: 'absent' }
    | { state: 'damaged' }
  cursors: CursorSummary[]
  quarantine: FoundFile[]
  newer: FoundFile[]
  foreign: string[]
}

export interface SegmentSummary extends FoundFile {
  state: FoundSegment['state']
  first: number
  /** Behind the last record; equal to `first` without one, and where the header is not valid. */
  end: number
  records: number
  epoch?: string
  /** Epoch ms, like all instants here. */
  createdAt?: number
  /** Of the first and the last record, as `timeOf` tells. */
  oldestAt?: number
  newestAt?: number
}

export interface CursorSummary {
  name: string
  epoch: string
  offset: number
  /** Records that the reader had not passed when the checkpoint was saved. */
  lag: number
  /** Of the first record not passed; absent without one. */
  oldestAt?: number
}

/** What the log does not know of its bytes: when a record was taken, epoch ms. */
export type TimeOf = (payload: Buffer) => number | undefined

/** How far from a segment's end the last record is looked for first. */
const TAIL_BYTES = 64 << 10

/**
 * Reads headers, checkpoint, and of each segment its first and last record: O(segments), save for
 * the search of the records that cursors stand at, a segment each.
 *
 * @throws The disk's own error when the directory or a file cannot be read.
 */
export async function inspectLog(
  disk: Disk,
  directory: string,
  timeOf: TimeOf = () => undefined
): Promise<LogSummary> {
  // Before the segments: what it says was true then, they can only have grown or been trimmed.
  const checkpoint = await loadCheckpoint(disk, directory)
  const files = await readLogFiles(disk, directory)
  const valid = validSegments(files.segments)
  const segments: SegmentSummary[] = []
  for (const segment of files.segments) {
    const next = valid.find(({ first }) => first > segment.first)?.first
    const summary = await summarize(disk, directory, segment, next, timeOf)
    if (summary) segments.push(summary)
  }
  const whole = segments.filter(({ state }) => state === 'valid')
  const first = whole[0]?.first ?? 0
  const end = whole.at(-1)?.end ?? 0
  return {
    directory,
    first,
    end,
    records: whole.reduce((sum, { records }) => sum + records, 0),
    bytes: files.segments.reduce((sum, { bytes }) => sum + bytes, 0),
    segments,
    checkpoint: describeCheckpoint(checkpoint),
    cursors: await describeCursors(disk, directory, checkpoint, valid, { first, end }, timeOf),
    quarantine: files.quarantine,
    newer: files.newer,
    foreign: files.foreign
  }
}

/** @returns undefined when it was trimmed meanwhile. */
async function summarize(
  disk: Disk,
  directory: string,
  segment: FoundSegment,
  next: number | undefined,
  timeOf: TimeOf
): Promise<SegmentSummary | undefined> {
  const { name, bytes, changedAt, state, first } = segment
  const summary: SegmentSummary = { name, bytes, changedAt, state, first, end: first, records: 0 }
  if (segment.state !== 'valid') return summary
  const file = await openIfPresent(disk, path.join(directory, name))
  if (!file) return undefined
  try {
    const { epoch, createdAt } = segment.header
    const head = await firstFrame(file, segment)
    const oldestAt = head && timeOf(head.payload)
    const last = await lastFrame(file, segment, next)
    const newestAt = last && timeOf(last.payload)
    const end = last ? last.offset + 1 : first
    return {
      ...summary,
      ...{ end, records: end - first, epoch, createdAt },
      ...(oldestAt === undefined ? {} : { oldestAt }),
      ...(newestAt === undefined ? {} : { newestAt })
    }
  } finally {
    await file.close()
  }
}

async function firstFrame(
  file: DiskFile,
  { header, bytes }: ValidSegment
): Promise<WalkedFrame | undefined> {
  for await (const { frames } of walkSegment(file, header, { bytes, chunkBytes: 4096 })) {
    if (frames.length > 0) return frames[0]
  }
  return undefined
}

/** Looks from behind, further and further. */
async function lastFrame(
  file: DiskFile,
  { header, bytes }: ValidSegment,
  next: number | undefined
): Promise<WalkedFrame | undefined> {
  const limit = next === undefined ? {} : { limit: next }
  for (let span = TAIL_BYTES; ; span *= 8) {
    const from = await placeNearEnd(file, header, { bytes, span, ...limit })
    let last: WalkedFrame | undefined
    for await (const { frames } of from
      ? walkSegment(file, header, { from, bytes, ...limit })
      : []) {
      const frame = frames.at(-1)
      if (frame) last = { ...frame, payload: Buffer.from(frame.payload) }
    }
    if (last || span >= bytes) return last
  }
}

function describeCheckpoint(found: CheckpointFound): LogSummary['checkpoint'] {
  if (found.kind !== 'valid') return { state: found.kind }
  const { clean, savedAt, end, sync } = found.checkpoint
  return { state: clean ? 'clean' : 'unclean', savedAt, end, sync }
}

async function describeCursors(
  disk: Disk,
  directory: string,
  found: CheckpointFound,
  segments: readonly ValidSegment[],
  kept: { first: number; end: number },
  timeOf: TimeOf
): Promise<CursorSummary[]> {
  const cursors: CursorSummary[] = []
  if (found.kind !== 'valid') return cursors
  for (const [name, { epoch, offset }] of Object.entries(found.checkpoint.cursors)) {
    const lag = Math.max(0, kept.end - Math.max(offset, kept.first))
    const oldestAt = lag > 0 ? await timeAt(disk, directory, segments, offset, timeOf) : undefined
    cursors.push({ name, epoch, offset, lag, ...(oldestAt === undefined ? {} : { oldestAt }) })
  }
  return cursors
}

/** Time of the first record at or behind the offset, within its segment. */
async function timeAt(
  disk: Disk,
  directory: string,
  segments: readonly ValidSegment[],
  offset: number,
  timeOf: TimeOf
): Promise<number | undefined> {
  const segment = segments.findLast(({ first }) => first <= offset) ?? segments[0]
  const file = segment && (await openIfPresent(disk, path.join(directory, segment.name)))
  if (!file) return undefined
  try {
    for await (const { frames } of walkSegment(file, segment.header, { bytes: segment.bytes })) {
      const frame = frames.find(each => each.offset >= offset)
      if (frame) return timeOf(frame.payload)
    }
    return undefined
  } finally {
    await file.close()
  }
}
