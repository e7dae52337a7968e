import type { DiskFile } from './disk.ts'
import { checkFrame, FRAME_HEADER_BYTES } from './frame.ts'
import { FRAMES_POSITION, type SegmentHeader } from './segment.ts'

/** Bytes of a segment that are no valid frame. */
export interface Damage {
  position: number
  bytes: number
  /** No valid frame follows. */
  atEnd: boolean
}

export interface TailScan {
  /** Behind the last valid frame. */
  position: number
  /** Offset behind the last valid frame's. */
  end: number
  damages: Damage[]
}

const CHUNK_BYTES = 1 << 20

/**
 * Reads a segment frame by frame and passes over what is damaged. Changes nothing.
 *
 * @param from Where a frame begins, and its offset; the segment's first frame if not given.
 */
export async function scanTail(
  file: DiskFile,
  header: SegmentHeader,
  from = { position: FRAMES_POSITION, end: header.firstOffset }
): Promise<TailScan> {
  const bytes = await file.size()
  const scan: TailScan = { position: from.position, end: from.end, damages: [] }
  let at = from.position
  let chunkBytes = CHUNK_BYTES
  while (at < bytes) {
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, bytes - at))
    const got = await file.read(chunk, at)
    const walk = walkFrames(chunk.subarray(0, got), header.salt, scan.end)
    at += walk.used
    chunkBytes = CHUNK_BYTES
    if (walk.used > 0) {
      scan.position = at
      scan.end = walk.end
    }
    if (!walk.bad && at + walk.needs <= bytes) {
      // A frame may be larger than a chunk.
      chunkBytes = Math.max(CHUNK_BYTES, walk.needs)
      continue
    }
    const next = await findFrame(file, header.salt, {
      from: at + 1,
      bytes,
      first: scan.end,
      end: scan.end + bytes
    })
    scan.damages.push({ position: at, bytes: (next ?? bytes) - at, atEnd: next === undefined })
    if (next === undefined) break
    at = next
  }
  return scan
}

/** Walks the valid frames at the start of `chunk`; offsets must not descend. */
function walkFrames(
  chunk: Buffer,
  salt: number,
  first: number
): { used: number; end: number; bad: boolean; needs: number } {
  let used = 0
  let end = first
  while (used < chunk.length) {
    const check = checkFrame(chunk, used, salt)
    if (check.kind === 'short') return { used, end, bad: false, needs: check.end - used }
    if (check.kind === 'invalid' || check.offset < end) return { used, end, bad: true, needs: 0 }
    used = check.end
    end = check.offset + 1
  }
  return { used, end, bad: false, needs: 0 }
}

export interface FrameSearch {
  /** Positions in the file. */
  from: number
  bytes: number
  /** The offset looked for is in [first, end). */
  first: number
  end: number
}

/**
 * Looks for the next valid frame in the whole rest of a segment.
 *
 * @returns Its position, or undefined. O(bytes): the header's check lets one in 65,536 imitations
 *   through to the CRC.
 */
export async function findFrame(
  file: DiskFile,
  salt: number,
  search: FrameSearch
): Promise<number | undefined> {
  const { from, bytes, first, end } = search
  const window = Buffer.allocUnsafe(Math.max(0, Math.min(CHUNK_BYTES, bytes - from)))
  // Windows overlap by a header, so that none is missed at an edge.
  for (let at = from; at < bytes; at += CHUNK_BYTES - FRAME_HEADER_BYTES) {
    const got = await file.read(window.subarray(0, Math.min(window.length, bytes - at)), at)
    for (let i = 0; i + FRAME_HEADER_BYTES < got; i++) {
      // Cheapest first: a real one has no flags.
      if (window[i + 4] !== 0) continue
      const offset = window.readUIntBE(i + 10, 6)
      if (offset < first || offset >= end) continue
      let check = checkFrame(window.subarray(0, got), i, salt)
      if (check.kind === 'short' && at + check.end <= bytes) {
        const frame = Buffer.allocUnsafe(check.end - i)
        const whole = await file.read(frame, at + i)
        check = checkFrame(frame.subarray(0, whole), 0, salt)
      }
      if (check.kind === 'valid') return at + i
    }
    if (at + got >= bytes) return undefined
  }
  return undefined
}
