import path from 'node:path'
import { CHECKPOINT_NAME, type CheckpointFound, loadCheckpoint } from './checkpoint.ts'
import type { Disk } from './disk.ts'
import {
  HEADER_COPIES,
  type LogFiles,
  openIfPresent,
  readLogFiles,
  type ValidSegment,
  validSegments
} from './log-files.ts'
import { loadLosses, type OffsetRange, subtract } from './losses.ts'
import { asideOffset } from './newer-segments.ts'
import { type SegmentPart, walkSegment } from './segment-walk.ts'

export type DefectKind =
  /** Bytes in a segment that are no valid frame. */
  | 'frame'
  /** The same at the last segment's end, of a log that nobody owns: a write that was cut short. */
  | 'torn_tail'
  /** One of both copies of a segment's header. */
  | 'header_copy'
  /** Both: without its salt no frame of the segment can be believed. */
  | 'header'
  /** A segment under a name that is not its own. */
  | 'misnamed'
  /** Offsets without records, and no bad bytes in their place: a file is gone or truncated. */
  | 'gap'
  /** The log ends before offsets that were given away. */
  | 'end_lost'
  | 'checkpoint'

export type NoteKind =
  /** Written by the process that owns the log, and not yet behind a checkpoint. */
  | 'in_flight'
  /** Frames that a later segment has replaced, or bytes behind a segment's last record. */
  | 'leftover'
  /** Of a later format: to be read by the Fieldline that wrote it. */
  | 'newer'
  | 'half_made'
  | 'foreign'
  /** A loss that a repair has written down. */
  | 'known_loss'
  /** A recovery was begun; the next start ends it. */
  | 'new_epoch'

export interface Finding<Kind extends string> {
  kind: Kind
  /** Relative to the log directory. */
  file: string
  position?: number
  bytes?: number
  /** Records that cannot be read any more. */
  lost?: OffsetRange
  /** One sentence for a person, without the place. */
  message: string
}

export type Defect = Finding<DefectKind>
export type Note = Finding<NoteKind>

export interface VerifyReport {
  directory: string
  /** No defect. */
  sound: boolean
  /** The first `FINDINGS_MAX`, in the order of the log; totals count all. */
  defects: Defect[]
  notes: Note[]
  totals: {
    defects: number
    segments: number
    records: number
    payloadBytes: number
    bytes: number
    badBytes: number
    lostRecords: number
    inFlightBytes: number
  }
}

export interface VerifyOptions {
  /** Another process owns the log: unfinished bytes behind its checkpointed end are in flight. */
  live: boolean
  onProgress?: (progress: { bytes: number; bytesTotal: number }) => void
}

export const FINDINGS_MAX = 10_000

/**
 * Reads every frame of every segment. Takes no lock, changes nothing, holds one chunk in memory.
 *
 * @throws The disk's own error when the directory or a file cannot be read.
 */
export function verifyLog(
  disk: Disk,
  directory: string,
  options: VerifyOptions
): Promise<VerifyReport> {
  return new Verification(disk, directory, options).run()
}

class Verification {
  readonly #disk: Disk
  readonly #directory: string
  readonly #options: VerifyOptions
  readonly #report: VerifyReport
  #losses: OffsetRange[] = []
  #checkpoint: CheckpointFound = { kind: 'absent' }
  /** The next offset, if all is well; undefined where nobody can tell. */
  #expected: number | undefined
  /** Bad bytes whose loss shows with the next record. */
  #pending: Defect | undefined
  /** Offsets of segments that cannot be read at all, told of already. */
  readonly #elsewhere: OffsetRange[] = []
  /** The highest offset that a segment is named for. */
  #named = 0
  #bytesTotal = 0

  constructor(disk: Disk, directory: string, options: VerifyOptions) {
    this.#disk = disk
    this.#directory = directory
    this.#options = options
    this.#report = {
      directory,
      sound: true,
      defects: [],
      notes: [],
      totals: {
        ...{ defects: 0, segments: 0, records: 0, payloadBytes: 0, bytes: 0 },
        ...{ badBytes: 0, lostRecords: 0, inFlightBytes: 0 }
      }
    }
  }

  async run(): Promise<VerifyReport> {
    // Before the segments: they can only have grown since, or been trimmed from the front.
    this.#checkpoint = await loadCheckpoint(this.#disk, this.#directory)
    this.#losses = await loadLosses(this.#disk, this.#directory)
    const files = await readLogFiles(this.#disk, this.#directory)
    const valid = validSegments(files.segments)
    // A copy under a wrong name says nothing about its name's offset.
    const named = files.segments.filter(({ state }) => state !== 'misnamed')
    this.#named = named.at(-1)?.first ?? 0
    this.#bytesTotal = valid.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#checkCheckpoint()
    this.#tellOthers(files)
    this.#checkHeaders(files)
    this.#expected = this.#options.live ? undefined : this.#heldFrom()
    for (const [index, segment] of valid.entries()) await this.#walk(segment, valid[index + 1])
    this.#checkEnd(valid.at(-1))
    this.#report.sound = this.#report.totals.defects === 0
    return this.#report
  }

  /** Oldest record that a cursor stood at: a checkpoint moves cursors on with what is trimmed. */
  #heldFrom(): number | undefined {
    if (this.#checkpoint.kind !== 'valid') return undefined
    const offsets = Object.values(this.#checkpoint.checkpoint.cursors).map(({ offset }) => offset)
    return offsets.length > 0 ? Math.min(...offsets) : undefined
  }

  /** Offsets below were given away. */
  #given(): number {
    if (this.#checkpoint.kind !== 'valid') return this.#named
    const { end, cursors } = this.#checkpoint.checkpoint
    const passed = Object.values(cursors).map(({ offset }) => offset)
    return Math.max(this.#named, end.offset, ...passed)
  }

  #checkCheckpoint(): void {
    if (this.#checkpoint.kind !== 'damaged') return
    this.#defect({
      kind: 'checkpoint',
      file: CHECKPOINT_NAME,
      message:
        'the checkpoint is damaged: no record is lost, readers begin at the oldest one, so records may be delivered again'
    })
  }

  #tellOthers(files: LogFiles): void {
    for (const file of files.foreign) {
      this.#note({ kind: 'foreign', file, message: 'not a file of the log; it is left alone' })
    }
    for (const file of files.halfMade) {
      const live = this.#options.live ? 'is being written' : 'is left over; nothing needs it'
      this.#note({ kind: 'half_made', file, message: `a half made file ${live}` })
    }
    for (const { name, bytes } of files.newer) {
      const message = 'set aside: run the newer Fieldline that wrote it to deliver its records'
      this.#note({ kind: 'newer', file: name, bytes, message })
      const first = asideOffset(name)
      const end = files.segments.find(segment => segment.first >= (first ?? 0))?.first
      if (first !== undefined) this.#elsewhere.push({ first, end: end ?? this.#given() })
    }
    if (files.newEpoch) {
      const message = 'a recovery was begun; the next start of the agent ends it'
      this.#note({ kind: 'new_epoch', file: 'new-epoch', message })
    }
  }

  #checkHeaders(files: LogFiles): void {
    for (const [index, segment] of files.segments.entries()) {
      const { name: file, bytes } = segment
      if (segment.state === 'newer') {
        const message = `format version ${segment.version}: the Fieldline that wrote it can read it`
        this.#note({ kind: 'newer', file, bytes, message })
        const end = files.segments[index + 1]?.first ?? this.#given()
        this.#elsewhere.push({ first: segment.first, end })
      } else if (segment.state === 'half_made') {
        const message = 'shorter than a header: no record was acknowledged out of what is there'
        this.#note({ kind: 'half_made', file, bytes, message })
      } else if (segment.state === 'misnamed') {
        const message = `its header says that it begins at offset ${segment.headerFirst}: a copy under a wrong name`
        this.#defect({ kind: 'misnamed', file, position: 0, bytes, message })
      } else if (segment.state === 'bad_header') {
        const end = files.segments[index + 1]?.first ?? this.#given()
        const lost = end > segment.first ? { lost: { first: segment.first, end } } : {}
        const message =
          'neither copy of the header is valid: no record of the segment can be believed'
        this.#defect({ kind: 'header', file, position: 0, bytes, ...lost, message })
        this.#elsewhere.push({ first: segment.first, end })
      } else {
        this.#checkCopies(segment)
      }
    }
  }

  #checkCopies({ name, copies }: ValidSegment): void {
    for (const [copy, good] of copies.entries()) {
      if (good) continue
      this.#defect({
        kind: 'header_copy',
        file: name,
        position: HEADER_COPIES[copy],
        bytes: 64,
        message: `copy ${copy + 1} of the header is damaged; the other one is used, nothing is lost`
      })
    }
  }

  async #walk(segment: ValidSegment, next: ValidSegment | undefined): Promise<void> {
    const opened = await openIfPresent(this.#disk, path.join(this.#directory, segment.name))
    if (!opened) {
      // Trimmed since: the live log goes on behind it.
      this.#expected = undefined
      return
    }
    const { totals } = this.#report
    try {
      this.#gapBefore(segment.first, segment.name)
      this.#expected = segment.first
      totals.segments++
      const { bytes } = segment
      const before = totals.bytes
      const options = { bytes, ...(next ? { limit: next.first } : {}) }
      for await (const part of walkSegment(opened, segment.header, options)) {
        this.#take(part, segment, next)
        const last = part.frames.at(-1)
        const at = last ? last.position + last.payload.length : before
        this.#options.onProgress?.({ bytes: before + at, bytesTotal: this.#bytesTotal })
      }
      totals.bytes = before + bytes
      this.#options.onProgress?.({ bytes: totals.bytes, bytesTotal: this.#bytesTotal })
    } finally {
      await opened.close()
    }
  }

  #take(part: SegmentPart, segment: ValidSegment, next: ValidSegment | undefined): void {
    const { totals } = this.#report
    for (const { offset, position, payload } of part.frames) {
      if (offset !== this.#expected) this.#gapBefore(offset, segment.name, position)
      this.#settlePending(offset)
      totals.records++
      totals.payloadBytes += payload.length
      this.#expected = offset + 1
    }
    this.#expected ??= segment.first
    const { damage, leftoverPosition } = part
    if (leftoverPosition !== undefined) this.#tellLeftover(segment, leftoverPosition)
    if (!damage) return
    const { position, bytes } = damage
    const place = { file: segment.name, position, bytes }
    if (damage.atEnd && !next) {
      this.#takeTail(place)
      return
    }
    if (damage.atEnd && next && next.first <= this.#expected) {
      this.#tellLeftover(segment, position)
      return
    }
    this.#settlePending(this.#expected)
    this.#pending = { kind: 'frame', ...place, message: 'these bytes are no valid frame' }
  }

  #takeTail(place: { file: string; position: number; bytes: number }): void {
    const { totals } = this.#report
    this.#settlePending(this.#expected)
    const given = this.#given()
    if (this.#options.live && (this.#expected ?? 0) >= given) {
      totals.inFlightBytes += place.bytes
      const message = 'in flight: the process that owns the log is writing them'
      this.#note({ kind: 'in_flight', ...place, message })
      return
    }
    const message = 'the last write was cut short; the next start sets its bytes aside by itself'
    this.#pending = { kind: 'torn_tail', ...place, message }
  }

  #tellLeftover({ name, bytes }: ValidSegment, position: number): void {
    this.#note({
      kind: 'leftover',
      file: name,
      position,
      bytes: bytes - position,
      message: 'left over from a failed write; the records are in the next segment'
    })
  }

  /** Bad bytes, or their absence, cost the offsets from the expected one up to `offset`. */
  #gapBefore(offset: number, file: string, position = 0): void {
    if (this.#expected === undefined || this.#expected >= offset) return
    if (this.#pending) {
      this.#settlePending(offset)
      return
    }
    const lost = { first: this.#expected, end: offset }
    this.#expected = offset
    const message = 'records are missing before this place: a file is gone or was truncated'
    this.#missing({ kind: 'gap', file, position, message }, lost)
  }

  #settlePending(offset: number | undefined): void {
    const pending = this.#pending
    if (!pending) return
    this.#pending = undefined
    const first = this.#expected ?? offset
    const some = first !== undefined && offset !== undefined && first < offset
    this.#defect(some ? { ...pending, lost: { first, end: offset } } : pending)
    if (some) this.#expected = offset
  }

  #checkEnd(last: ValidSegment | undefined): void {
    const given = this.#given()
    const reached = this.#expected ?? given
    if (this.#pending) {
      this.#settlePending(Math.max(reached, given))
      return
    }
    const lost = { first: last ? reached : (this.#heldFrom() ?? 0), end: given }
    const file = last?.name ?? CHECKPOINT_NAME
    const position = last?.bytes ?? 0
    if (lost.first >= lost.end) return
    const message =
      'the log ends here, but has been longer: a file is gone or was truncated, or an older copy was put back'
    this.#missing({ kind: 'end_lost', file, position, message }, lost)
  }

  /** What is not told with a segment that cannot be read, or written down by a repair. */
  #missing(defect: Defect, range: OffsetRange): void {
    for (const part of subtract(range, this.#elsewhere)) {
      const unknown = subtract(part, this.#losses)
      for (const lost of unknown) this.#defect({ ...defect, lost })
      if (unknown.length > 0) continue
      const message = 'these records are gone; a repair has written that down'
      this.#note({ ...defect, kind: 'known_loss', lost: part, message })
    }
  }

  #defect(defect: Defect): void {
    const { totals, defects } = this.#report
    totals.defects++
    totals.badBytes += defect.bytes ?? 0
    if (defect.lost) totals.lostRecords += defect.lost.end - defect.lost.first
    if (defects.length < FINDINGS_MAX) defects.push(defect)
  }

  #note(note: Note): void {
    if (this.#report.notes.length < FINDINGS_MAX) this.#report.notes.push(note)
  }
}
