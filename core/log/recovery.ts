import { randomBytes } from 'node:crypto'
import path from 'node:path'
import type { Clock } from '../runtime/clock.ts'
import { CHECKPOINT_NAME, type Checkpoint, loadCheckpoint, unlinkIfPresent } from './checkpoint.ts'
import type { Disk, DiskFile } from './disk.ts'
import { checkFrame, findFrame, PAYLOAD_BYTES_MAX } from './frame.ts'
import type { Quarantine } from './quarantine.ts'
import {
  encodeSegmentHeader,
  FRAMES_POSITION,
  parseSegmentName,
  readSegmentHeader,
  type SegmentHeader,
  segmentName
} from './segment.ts'

/** A closed segment, as the writer keeps account of it. */
export interface SealedSegment {
  firstOffset: number
  bytes: number
  /** Last change, epoch ms: every record in it is at least as old. */
  sealedAt: number
}

/** The segment that takes appends. */
export interface ActiveSegment {
  file: DiskFile
  header: SegmentHeader
  /** Where the next frame goes; everything before is synced. */
  position: number
}

export interface Recovered {
  sealed: SealedSegment[]
  active: ActiveSegment
  /** Next offset to give away. */
  end: number
  checkpoint: Checkpoint | undefined
  /** For the operator: one sentence a finding. Empty after an orderly stop. */
  findings: RecoveryFinding[]
}

export interface RecoveryFinding {
  event: string
  message: string
  file?: string
  position?: number
  bytes?: number
}

export interface RecoveryOptions {
  disk: Disk
  directory: string
  quarantine: Quarantine
  clock: Clock
  /** Whether what was acknowledged was synced: false for `sync` other than `group`. */
  ackMeansSynced: boolean
  /** The directory finds itself on another machine. */
  forceNewEpoch: boolean
}

const SCAN_CHUNK_BYTES = 1 << 20

/**
 * Brings a log directory, in whatever state, to one that can be appended to. Reads the last segment
 * only: O(1) in the backlog. Ends with a sync of everything it keeps, since after a process death
 * the newest frames may exist in the page cache alone. The table of states is in FORMAT.md.
 *
 * @throws The disk's own error when the directory cannot be read or written at all; no content of
 *   it, however damaged, makes this throw.
 */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const { disk, directory, quarantine } = options
  const findings: RecoveryFinding[] = []
  await disk.makeDirectory(directory)
  const names = await disk.list(directory)
  for (const name of names) {
    if (name.endsWith('.tmp')) await unlinkIfPresent(disk, path.join(directory, name))
  }

  const found = await loadCheckpoint(disk, directory)
  const checkpoint = found.kind === 'valid' ? found.checkpoint : undefined
  if (found.kind === 'damaged') {
    const to = await quarantine.move(path.join(directory, CHECKPOINT_NAME), 'damaged')
    findings.push({
      event: 'log.checkpoint_damaged',
      message: `The checkpoint is damaged: readers begin at the oldest record kept; records delivered before may be sent again.`,
      file: to
    })
  }

  const offsets = names.map(parseSegmentName).filter(offset => offset !== undefined)
  offsets.sort((a, b) => a - b)
  let newEpoch = options.forceNewEpoch
  let last: { offset: number; file: DiskFile; header: SegmentHeader } | undefined
  while (offsets.length > 0 && !last) {
    const offset = offsets.at(-1)!
    const name = path.join(directory, segmentName(offset))
    const file = await disk.open(name, 'write')
    const check = await readSegmentHeader(file)
    if (check.kind === 'valid' && check.header.firstOffset === offset) {
      last = { offset, file, header: check.header }
      break
    }
    const bytes = await file.size()
    await file.close()
    offsets.pop()
    newEpoch = true
    if (bytes <= FRAMES_POSITION) {
      // Half made: the header is synced before the first acknowledgement, so it holds none.
      await disk.unlink(name)
      continue
    }
    const newer = check.kind === 'newer'
    const to = await quarantine.move(name, newer ? `format-${check.version}` : 'bad-header')
    findings.push({
      event: newer ? 'log.segment_newer' : 'log.segment_damaged',
      message: newer
        ? `Segment has format version ${check.version}: it is set aside untouched; run the newer Fieldline on it to deliver its records.`
        : 'Segment has no valid header: it is set aside whole.',
      file: to
    })
  }

  const sealed = await statSealed(disk, directory, last ? offsets.slice(0, -1) : offsets)
  let end = checkpoint?.end.offset ?? 0
  if (last) {
    const scan = await scanTail(last.file, last.header, last.offset, quarantine, findings)
    if (scan.damaged) newEpoch = true
    if (!options.ackMeansSynced && !checkpoint?.clean) newEpoch = true
    if (checkpoint && checkpoint.end.offset > scan.end) {
      // The disk forgot records that were synced: their offsets were given away.
      newEpoch = true
      findings.push({
        event: 'log.end_lost',
        message: `The log ends at offset ${scan.end}, but ${checkpoint.end.offset} was durable before: the disk lost synced records.`
      })
    }
    end = Math.max(scan.end, ...cursorOffsets(checkpoint), checkpoint?.end.offset ?? 0)
    await last.file.sync()
    await disk.syncDirectory(directory)
    if (!newEpoch && end === scan.end) {
      const active = { file: last.file, header: last.header, position: scan.position }
      return { sealed, active, end, checkpoint, findings }
    }
    await last.file.close()
    if (scan.end === last.offset) {
      // It holds no record: its name may be the next segment's.
      await disk.unlink(path.join(directory, segmentName(last.offset)))
      await disk.syncDirectory(directory)
    } else {
      sealed.push({
        firstOffset: last.offset,
        bytes: scan.position,
        sealedAt: options.clock.now()
      })
    }
  } else {
    end = Math.max(end, ...cursorOffsets(checkpoint), ...offsets.map(offset => offset + 1))
    await disk.syncDirectory(directory)
  }
  const generation = await nextGeneration(disk, directory, sealed, last?.header, checkpoint)
  const active = await createSegment(
    disk,
    directory,
    end,
    `${generation}-${randomBytes(8).toString('hex')}`,
    options.clock.now()
  )
  return { sealed, active, end, checkpoint, findings }
}

/** Header synced, then the directory: both before the first acknowledgement out of it. */
export async function createSegment(
  disk: Disk,
  directory: string,
  firstOffset: number,
  epoch: string,
  createdAt: number
): Promise<ActiveSegment> {
  const header = { salt: randomBytes(4).readUInt32BE(), firstOffset, epoch, createdAt }
  const file = await disk.open(path.join(directory, segmentName(firstOffset)), 'create')
  await file.write(encodeSegmentHeader(header), 0)
  await file.sync()
  await disk.syncDirectory(directory)
  return { file, header, position: FRAMES_POSITION }
}

interface TailScan {
  /** Behind the last valid frame. */
  position: number
  end: number
  /** Bytes were cut off or skipped that may once have been acknowledged. */
  damaged: boolean
}

/** Reads the last segment frame by frame, skips what is damaged, cuts what follows the last. */
async function scanTail(
  file: DiskFile,
  header: SegmentHeader,
  first: number,
  quarantine: Quarantine,
  findings: RecoveryFinding[]
): Promise<TailScan> {
  const name = segmentName(first)
  const bytes = await file.size()
  const scan: TailScan = { position: FRAMES_POSITION, end: first, damaged: false }
  let at = FRAMES_POSITION
  let chunkBytes = SCAN_CHUNK_BYTES
  while (at < bytes) {
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, bytes - at))
    const got = await file.read(chunk, at)
    const { used, end, bad } = scanFrames(chunk.subarray(0, got), header.salt, scan.end)
    at += used
    if (used > 0) {
      scan.position = at
      scan.end = end
      chunkBytes = SCAN_CHUNK_BYTES
    }
    if (!bad && used > 0) continue
    if (!bad && at + got < bytes && chunkBytes < PAYLOAD_BYTES_MAX * 2) {
      // One frame may be larger than the chunk.
      chunkBytes *= 16
      continue
    }
    const next = await findNext(file, header.salt, at + 1, bytes, scan.end, bytes)
    scan.damaged = true
    const gone = (next ?? bytes) - at
    const kept = Buffer.alloc(Math.min(gone, SCAN_CHUNK_BYTES))
    await file.read(kept, at)
    const to = await quarantine.keep(kept, name, next === undefined ? 'torn-tail' : 'damaged')
    findings.push({
      event: next === undefined ? 'log.tail_cut' : 'log.frame_damaged',
      message:
        next === undefined
          ? 'The last write was torn: its bytes are cut off and set aside.'
          : 'Bytes that are no valid frame are skipped and set aside; the records after them are kept.',
      file: to,
      position: at,
      bytes: gone
    })
    if (next === undefined) break
    at = next
  }
  if (scan.position < bytes) await file.truncate(scan.position)
  return scan
}

/** Walks the valid frames at the start of `chunk`; offsets must not descend. */
function scanFrames(
  chunk: Buffer,
  salt: number,
  first: number
): { used: number; end: number; bad: boolean } {
  let used = 0
  let end = first
  while (used < chunk.length) {
    const check = checkFrame(chunk, used, salt)
    if (check.kind === 'short') return { used, end, bad: false }
    if (check.kind === 'invalid' || check.offset < end) return { used, end, bad: true }
    used = check.end
    end = check.offset + 1
  }
  return { used, end, bad: false }
}

/** Position of the next valid frame from `from` on, in the whole rest of the file. */
export async function findNext(
  file: DiskFile,
  salt: number,
  from: number,
  bytes: number,
  firstOffset: number,
  offsetsMax: number
): Promise<number | undefined> {
  // Windows overlap by the largest frame, so that none is missed at an edge.
  const windowBytes = PAYLOAD_BYTES_MAX + 2 * SCAN_CHUNK_BYTES
  for (let at = from; at < bytes; at += windowBytes - PAYLOAD_BYTES_MAX - SCAN_CHUNK_BYTES) {
    const window = Buffer.allocUnsafe(Math.min(windowBytes, bytes - at))
    const got = await file.read(window, at)
    const position = findFrame(
      window.subarray(0, got),
      0,
      salt,
      firstOffset,
      firstOffset + offsetsMax
    )
    if (position !== undefined) return at + position
    if (at + got >= bytes) return undefined
  }
  return undefined
}

async function statSealed(
  disk: Disk,
  directory: string,
  offsets: number[]
): Promise<SealedSegment[]> {
  const sealed: SealedSegment[] = []
  for (const firstOffset of offsets) {
    const { bytes, changedAt } = await disk.stat(path.join(directory, segmentName(firstOffset)))
    sealed.push({ firstOffset, bytes, sealedAt: changedAt })
  }
  return sealed
}

function cursorOffsets(checkpoint: Checkpoint | undefined): number[] {
  return Object.values(checkpoint?.cursors ?? {}).map(cursor => cursor.offset)
}

async function nextGeneration(
  disk: Disk,
  directory: string,
  sealed: SealedSegment[],
  last: SegmentHeader | undefined,
  checkpoint: Checkpoint | undefined
): Promise<number> {
  const epochs = [last?.epoch, checkpoint?.end.epoch]
  if (!last && sealed.length > 0) {
    const name = path.join(directory, segmentName(sealed.at(-1)!.firstOffset))
    const file = await disk.open(name, 'read')
    const check = await readSegmentHeader(file)
    await file.close()
    if (check.kind === 'valid') epochs.push(check.header.epoch)
  }
  return 1 + Math.max(0, ...epochs.map(epoch => (epoch ? Number(epoch.split('-')[0]) : 0)))
}
