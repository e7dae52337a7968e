import type { DiskFile } from './disk.ts'
import { checkFrame } from './frame.ts'
import { FRAMES_POSITION, type SegmentHeader } from './segment.ts'
import { type Damage, findFrame } from './tail-scan.ts'

export interface WalkedFrame {
  offset: number
  /** Of the frame in the file. */
  position: number
  /** A view, valid until the next part is asked for. */
  payload: Buffer
}

/** A run of valid frames, and what stands behind them if that is no frame. */
export interface SegmentPart {
  frames: WalkedFrame[]
  /** The frames as they stand in the file; a view, valid until the next part is asked for. */
  bytes: Buffer
  damage?: Damage
  /**
   * Frames of the next segment's offsets stand from here on, left over from a sync that failed:
   * never acknowledged, not to be read. The walk ends.
   */
  leftoverPosition?: number
}

export interface WalkOptions {
  /** A frame's place, and the least offset it may have. Default: the segment's first. */
  from?: { position: number; offset: number }
  /** First offset of the next segment. */
  limit?: number
  /** Where the file ends; default: where it ends now. What is appended meanwhile is not looked at. */
  bytes?: number
  /** Read at once; more where a single frame is larger. */
  chunkBytes?: number
}

/** Small, since of each chunk there is an object a frame as well. */
const CHUNK_BYTES = 128 << 10

/** Streams a segment, passing over what is damaged. Memory: one chunk. Changes nothing. */
export async function* walkSegment(
  file: DiskFile,
  header: SegmentHeader,
  options: WalkOptions = {}
): AsyncGenerator<SegmentPart> {
  const { limit = Number.POSITIVE_INFINITY, chunkBytes = CHUNK_BYTES } = options
  let bytes = options.bytes ?? (await file.size())
  let at = options.from?.position ?? FRAMES_POSITION
  let offset = options.from?.offset ?? header.firstOffset
  const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(chunkBytes, bytes - at)))
  let needs = 0
  while (at < bytes) {
    const into = needs > buffer.length ? Buffer.allocUnsafe(needs) : buffer
    const chunk = into.subarray(0, Math.min(into.length, bytes - at))
    const got = await file.read(chunk, at)
    // Cut under our eyes: a live log took back what was not acknowledged.
    if (got < chunk.length) bytes = at + got
    const run = parseRun(chunk.subarray(0, got), { header, at, offset, limit })
    const part: SegmentPart = { frames: run.frames, bytes: chunk.subarray(0, run.used) }
    at += run.used
    offset = (run.frames.at(-1)?.offset ?? offset - 1) + 1
    needs = run.needs
    if (run.stop === 'limit') {
      yield { ...part, leftoverPosition: at }
      return
    }
    if (run.stop === 'short' && at + needs <= bytes) {
      if (part.frames.length > 0) yield part
      continue
    }
    needs = 0
    if (run.stop !== 'end') {
      const next = await findFrame(file, header.salt, {
        from: at + 1,
        bytes,
        first: offset,
        end: Math.min(limit, offset + bytes)
      })
      part.damage = { position: at, bytes: (next ?? bytes) - at, atEnd: next === undefined }
      at = next ?? bytes
    }
    if (part.frames.length > 0 || part.damage) yield part
  }
}

/**
 * A frame near a segment's end, to begin a walk at: found anywhere by its salted check.
 *
 * @param span How many bytes from the end to look from.
 * @returns undefined when there is no valid frame below `limit` in these bytes.
 */
export async function placeNearEnd(
  file: DiskFile,
  { firstOffset, salt }: SegmentHeader,
  { bytes, span, limit }: { bytes: number; span: number; limit?: number }
): Promise<{ position: number; offset: number } | undefined> {
  const position = await findFrame(file, salt, {
    from: Math.max(FRAMES_POSITION, bytes - span),
    bytes,
    first: firstOffset,
    end: Math.min(limit ?? Number.POSITIVE_INFINITY, firstOffset + bytes)
  })
  return position === undefined ? undefined : { position, offset: firstOffset }
}

interface Run {
  frames: WalkedFrame[]
  used: number
  stop: 'end' | 'bad' | 'limit' | 'short'
  /** With `short`: bytes of the frame that goes on behind the chunk. */
  needs: number
}

function parseRun(
  chunk: Buffer,
  from: { header: SegmentHeader; at: number; offset: number; limit: number }
): Run {
  const frames: WalkedFrame[] = []
  let used = 0
  let { offset } = from
  while (used < chunk.length) {
    const check = checkFrame(chunk, used, from.header.salt)
    if (check.kind === 'short') return { frames, used, stop: 'short', needs: check.end - used }
    if (check.kind === 'invalid' || check.offset < offset) {
      return { frames, used, stop: 'bad', needs: 0 }
    }
    if (check.offset >= from.limit) return { frames, used, stop: 'limit', needs: 0 }
    frames.push({
      offset: check.offset,
      position: from.at + used,
      payload: check.payload
    })
    offset = check.offset + 1
    used = check.end
  }
  return { frames, used, stop: 'end', needs: 0 }
}
