import path from 'node:path'
import type { Clock } from '../runtime/clock.ts'
import { systemCode } from '../runtime/errors.ts'
import { type ActiveSegment, createSegment } from './active-segment.ts'
import {
  CHECKPOINT_ASIDE_NAME,
  CHECKPOINT_NAME,
  type Checkpoint,
  loadCheckpoint,
  type SyncedTail
} from './checkpoint.ts'
import type { Disk, DiskFile } from './disk.ts'
import { unlinkIfPresent } from './disk-errors.ts'
import { generation, markNewEpoch, NEW_EPOCH_NAME, nextEpoch, unmarkNewEpoch } from './epoch.ts'
import { checkSegment, newerFinding } from './newer-segments.ts'
import { isNoSpace, type Quarantine } from './quarantine.ts'
import type { Reserve } from './reserve.ts'
import {
  FRAMES_POSITION,
  type HeaderCheck,
  parseSegmentName,
  type SegmentHeader,
  segmentName
} from './segment.ts'
import type { SealedSegment } from './segment-list.ts'
import { scanTail, type TailScan } from './tail-scan.ts'

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
  reserve: Reserve
  clock: Clock
  random: (bytes: number) => Buffer
  /** What an acknowledgement meant before, where no checkpoint tells. */
  sync: string
  /** The directory finds itself on another machine. */
  forceNewEpoch: boolean
  /**
   * Looks at the last segment behind the checkpoint only, and at few headers: what is damaged
   * elsewhere is found, skipped and reported by who reads it. Not given: at all of both.
   */
  quick?: boolean
}

/** Of bad bytes at one place, as many are copied to the quarantine. */
const KEPT_BYTES_MAX = 1 << 20
/** No group is larger: it has 4 MiB, or is one record. */
const REWRITTEN_BYTES_MAX = 16 << 20

/**
 * Brings a log directory, in whatever state, to one that can be appended to. Reads the
 * last segment and a few headers: O(1) in the backlog's bytes. Ends with a sync of everything it keeps, since
 * after a process death the newest frames may exist in the page cache alone. The table of states
 * is in FORMAT.md.
 *
 * @throws The disk's own error when the directory cannot be read or written at all; no content of
 *   it, however damaged, makes this throw.
 */
export function recover(options: RecoveryOptions): Promise<Recovered> {
  return new Recovery(options).run()
}

interface Candidate {
  firstOffset: number
  bytes: number
  changedAt: number
  /** Undefined: not read. */
  header: SegmentHeader | undefined
  epoch: string | undefined
}

type FoundSegment = Candidate & { epoch: string }

class Recovery {
  readonly #options: RecoveryOptions
  readonly #disk: Disk
  readonly #directory: string
  readonly #findings: RecoveryFinding[] = []
  #newEpoch: boolean
  #marked = false
  /** Offsets below were given away, or may have been. */
  #given = 0
  /** Of the segments set aside for their newer format, the last begins just before. */
  #newerEnd = 0

  constructor(options: RecoveryOptions) {
    this.#options = options
    this.#disk = options.disk
    this.#directory = options.directory
    this.#newEpoch = options.forceNewEpoch
  }

  async run(): Promise<Recovered> {
    await this.#disk.makeDirectory(this.#directory)
    const names = await this.#disk.list(this.#directory)
    const offsets = names.map(parseSegmentName).filter(offset => offset !== undefined)
    offsets.sort((a, b) => a - b)
    if (offsets.length === 0) await this.#syncAncestors()
    if (names.includes(CHECKPOINT_ASIDE_NAME)) {
      await unlinkIfPresent(this.#disk, this.#path(CHECKPOINT_ASIDE_NAME))
    }
    this.#marked = names.includes(NEW_EPOCH_NAME)
    this.#newEpoch ||= this.#marked

    const checkpoint = await this.#loadCheckpoint()
    for (const { offset } of Object.values(checkpoint?.cursors ?? {})) this.#gave(offset)
    if (checkpoint) this.#gave(checkpoint.end.offset)
    const segments = await this.#findSegments(offsets)
    const generations = segments.map(segment => generation(segment.epoch))
    const last = segments.pop()
    const sealed = segments.map(seal)
    const active = last && (await this.#recoverLast(last, sealed, checkpoint))
    await this.#disk.syncDirectory(this.#directory)
    if (active) return this.#result(sealed, active, checkpoint)

    if (checkpoint) generations.push(generation(checkpoint.end.epoch))
    const header = {
      salt: this.#options.random(4).readUInt32BE(),
      firstOffset: this.#given,
      epoch: nextEpoch(generations, this.#options.random),
      createdAt: this.#options.clock.now()
    }
    const created = await this.#options.reserve.spend(() =>
      createSegment(this.#disk, this.#directory, header)
    )
    if (this.#marked) await unmarkNewEpoch(this.#disk, this.#directory)
    return this.#result(sealed, created, checkpoint)
  }

  #result(
    sealed: SealedSegment[],
    active: ActiveSegment,
    checkpoint: Checkpoint | undefined
  ): Recovered {
    return { sealed, active, end: this.#given, checkpoint, findings: this.#findings }
  }

  async #loadCheckpoint(): Promise<Checkpoint | undefined> {
    const found = await loadCheckpoint(this.#disk, this.#directory)
    if (found.kind === 'valid') return found.checkpoint
    if (found.kind === 'damaged') {
      await this.#wantNewEpoch()
      const to = await this.#options.quarantine.move(this.#path(CHECKPOINT_NAME), 'damaged')
      this.#findings.push({
        event: 'log.checkpoint_damaged',
        message:
          'The checkpoint is damaged: readers begin at the oldest record kept; records delivered before may be sent again.',
        file: to
      })
    }
    return undefined
  }

  /**
   * Segments, oldest first. Headers are read of the first, the last and where the epoch changes: it
   * never goes back, so what lies between two of one epoch is of that epoch. What is damaged
   * elsewhere is found by who reads it.
   */
  async #findSegments(offsets: number[]): Promise<FoundSegment[]> {
    const found: Candidate[] = []
    for (const offset of offsets) found.push(await this.#stat(offset))
    for (const each of found.filter(each => each.bytes < FRAMES_POSITION)) {
      await this.#readHeader(found, each)
    }
    while (found.length > 0 && !(await this.#readHeader(found, found[found.length - 1]))) {}
    while (found.length > 0 && !(await this.#readHeader(found, found[0]))) {}
    if (!this.#options.quick) {
      for (const each of [...found]) await this.#readHeader(found, each)
    }
    for (let at = 0; at < found.length - 1; ) at = await this.#findEpochEnd(found, at)
    return found as FoundSegment[]
  }

  /** @returns Index of the first segment of the next epoch, or of the last segment. */
  async #findEpochEnd(found: Candidate[], first: number): Promise<number> {
    const { epoch } = found[first]
    let same = first
    let other = found.length
    if (found[other - 1].epoch === epoch) same = other - 1
    else other--
    while (other - same > 1) {
      const middle = (same + other) >> 1
      if (!(await this.#readHeader(found, found[middle]))) other--
      else if (found[middle].epoch === epoch) same = middle
      else other = middle
    }
    for (let at = first; at <= same; at++) found[at].epoch = epoch
    return Math.min(other, found.length - 1)
  }

  async #stat(firstOffset: number): Promise<Candidate> {
    const { bytes, changedAt } = await this.#disk.stat(this.#path(segmentName(firstOffset)))
    return { firstOffset, bytes, changedAt, header: undefined, epoch: undefined }
  }

  /** @returns Whether it is valid; else it is set aside and no longer among the found. */
  async #readHeader(found: Candidate[], segment: Candidate): Promise<boolean> {
    if (segment.header) return true
    const { firstOffset, bytes } = segment
    const file = this.#path(segmentName(firstOffset))
    const check = await checkSegment(this.#disk, file)
    const believed = check.kind === 'valid' && check.header.firstOffset === firstOffset
    if (believed && bytes >= FRAMES_POSITION) {
      segment.header = check.header
      segment.epoch = check.header.epoch
      return true
    }
    await this.#wantNewEpoch()
    // A copy of another segment says nothing about its name's offset.
    if (check.kind !== 'valid' || believed) this.#gave(firstOffset)
    await this.#setAside(segment, check)
    found.splice(found.indexOf(segment), 1)
    return false
  }

  async #setAside({ firstOffset, bytes }: Candidate, check: HeaderCheck): Promise<void> {
    const file = this.#path(segmentName(firstOffset))
    if (check.kind === 'newer') {
      const to = await this.#options.quarantine.moveNewer(file, check.version)
      this.#findings.push(newerFinding(firstOffset, check.version, to))
      this.#newerEnd = Math.max(this.#newerEnd, firstOffset + 1)
    } else if (bytes <= FRAMES_POSITION) {
      // Half made: the header is synced before the first acknowledgement, so it holds none.
      await this.#disk.unlink(file).catch(async error => {
        if (systemCode(error) !== 'EISDIR' && systemCode(error) !== 'EPERM') throw error
        await this.#options.quarantine.move(file, 'directory')
      })
    } else {
      this.#findings.push({
        event: 'log.segment_damaged',
        message: 'A segment has no valid header: it is set aside whole.',
        file: await this.#options.quarantine.move(file, 'bad-header'),
        bytes
      })
    }
  }

  /** @returns The segment to go on in, or undefined when a new one must be made. */
  async #recoverLast(
    last: FoundSegment,
    sealed: SealedSegment[],
    checkpoint: Checkpoint | undefined
  ): Promise<ActiveSegment | undefined> {
    const header = last.header!
    const name = this.#path(segmentName(header.firstOffset))
    const file = await this.#disk.open(name, 'write')
    const known = this.#options.quick ? knownTail(last, checkpoint) : undefined
    const scan = await scanTail(file, header, known)
    await this.#keepDamaged(file, scan, segmentName(header.firstOffset))
    if ((checkpoint?.sync ?? this.#options.sync) !== 'group' && !checkpoint?.clean) {
      await this.#wantNewEpoch()
    }
    if (this.#given > scan.end) {
      // The disk forgot records that were synced: their offsets were given away.
      await this.#wantNewEpoch()
      // What a newer format's segment holds is not lost.
      if (this.#newerEnd <= scan.end) {
        this.#findings.push({
          event: 'log.end_lost',
          message: `The log ends at offset ${scan.end}, but ${this.#given} was reached before: the disk lost records, or an older copy of the directory was put back.`
        })
      }
    }
    this.#gave(scan.end)
    if (scan.position < last.bytes) await file.truncate(scan.position)
    await this.#rewrite(file, known?.position ?? FRAMES_POSITION, scan.position)
    await file.sync()
    if (!this.#newEpoch) return { file, header, position: scan.position, end: this.#given }
    await file.close()
    if (this.#given === header.firstOffset) {
      // It holds no record, and its name is the next segment's.
      await this.#disk.unlink(name)
    } else {
      sealed.push({ ...seal(last), bytes: scan.position })
    }
    return undefined
  }

  /**
   * A process that died over a failed sync leaves pages that read well, count as clean, and are not
   * on the disk: only written again would a sync take them along. That can be the header, and of the
   * frames those of the last group.
   */
  async #rewrite(file: DiskFile, synced: number, end: number): Promise<void> {
    const from = Math.max(synced, end - REWRITTEN_BYTES_MAX)
    try {
      await copyInPlace(file, 0, FRAMES_POSITION)
      for (let at = from; at < end; at += KEPT_BYTES_MAX) {
        await copyInPlace(file, at, Math.min(end, at + KEPT_BYTES_MAX))
      }
    } catch (error) {
      // A full disk of the kind that never overwrites: to start is worth more.
      if (!isNoSpace(error)) throw error
    }
  }

  async #keepDamaged(file: DiskFile, scan: TailScan, name: string): Promise<void> {
    for (const { position, bytes, atEnd } of scan.damages) {
      await this.#wantNewEpoch()
      const kept = Buffer.alloc(Math.min(bytes, KEPT_BYTES_MAX))
      await file.read(kept, position)
      const to = await this.#options.quarantine.keep(kept, name, atEnd ? 'torn-tail' : 'damaged')
      this.#findings.push({
        event: atEnd ? 'log.tail_cut' : 'log.frame_damaged',
        message: atEnd
          ? 'The last write was torn: its bytes are cut off and set aside.'
          : 'Bytes that are no valid frame are set aside; the records after them are kept.',
        ...(to === undefined ? {} : { file: to }),
        position,
        bytes
      })
    }
  }

  /** Durably, before the first change that takes the reason for it away. */
  async #wantNewEpoch(): Promise<void> {
    this.#newEpoch = true
    if (this.#marked) return
    await markNewEpoch(this.#disk, this.#directory)
    this.#marked = true
  }

  #gave(offset: number): void {
    this.#given = Math.max(this.#given, offset)
  }

  /** An earlier start may have died between making a directory and syncing its parent. */
  async #syncAncestors(): Promise<void> {
    let at = path.resolve(this.#directory)
    while (at !== path.dirname(at)) {
      at = path.dirname(at)
      try {
        await this.#disk.syncDirectory(at)
      } catch (error) {
        // Not ours to open: then not ours to have made.
        if (systemCode(error) === 'EACCES' || systemCode(error) === 'EPERM') return
        throw error
      }
    }
  }

  #path(name: string): string {
    return path.join(this.#directory, name)
  }
}

/** Up to where the checkpoint knows the segment to be synced. */
function knownTail(last: FoundSegment, checkpoint: Checkpoint | undefined): SyncedTail | undefined {
  const tail = checkpoint?.tail
  if (!tail || tail.first !== last.firstOffset || checkpoint.end.epoch !== last.epoch) return
  return tail.position >= FRAMES_POSITION && tail.position <= last.bytes ? tail : undefined
}

async function copyInPlace(file: DiskFile, from: number, end: number): Promise<void> {
  const bytes = Buffer.alloc(end - from)
  const got = await file.read(bytes, from)
  await file.write(bytes.subarray(0, got), from)
}

function seal({ firstOffset, bytes, epoch, changedAt, header }: FoundSegment): SealedSegment {
  return { firstOffset, bytes, epoch, sealedAt: changedAt, unread: header === undefined }
}
