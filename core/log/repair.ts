import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { OperationalError, systemCode } from '../runtime/errors.ts'
import type { Disk, DiskFile } from './disk.ts'
import { unlinkIfPresent } from './disk-errors.ts'
import { HEADER_BYTES, HEADER_COPIES, readLogFiles } from './log-files.ts'
import { loadLosses, type OffsetRange, saveLosses } from './losses.ts'
import { Quarantine } from './quarantine.ts'
import { recover } from './recovery.ts'
import { Reserve } from './reserve.ts'
import { encodeSegmentHeader, FRAMES_POSITION, readSegmentHeader } from './segment.ts'
import { walkSegment } from './segment-walk.ts'
import type { Damage } from './tail-scan.ts'
import { type Defect, type DefectKind, type VerifyReport, verifyLog } from './verify.ts'

export type RepairAction =
  /** One header copy is written anew from the other. */
  | 'mend_header'
  /** Bytes are copied to the quarantine, and the segment is written anew without them. */
  | 'set_bytes_aside'
  /** The torn end of the last segment is copied to the quarantine and cut. */
  | 'cut_tail'
  /** A whole file is moved to the quarantine. */
  | 'set_file_aside'
  /** Nothing can bring these records back: that is written down in `losses`. */
  | 'note_loss'

export interface RepairStep {
  action: RepairAction
  file: string
  position?: number
  bytes?: number
  lost?: OffsetRange
}

export interface RepairReport {
  directory: string
  /** In the order of the log; of each kind of damage what `verifyLog` lists of it. */
  steps: RepairStep[]
  dryRun: boolean
  /** New in `quarantine/`. */
  setAside: string[]
  /** As it was found. */
  before: VerifyReport
  /** As it is now; the same as `before` in a dry run. */
  after: VerifyReport
}

export interface RepairOptions {
  dryRun: boolean
  clock?: Clock
  random?: (bytes: number) => Buffer
  onProgress?: (progress: { bytes: number; bytesTotal: number }) => void
}

/** As much as the quarantine of a large log: a repair is asked for, so it is generous. */
const QUARANTINE_BYTES_MAX = 16 << 20
/** Of bad bytes at one place, and places of one segment, that are kept. */
const KEPT_BYTES_MAX = 1 << 20
const KEPT_PLACES_MAX = 256

const ACTIONS: Record<DefectKind, RepairAction> = {
  frame: 'set_bytes_aside',
  torn_tail: 'cut_tail',
  header_copy: 'mend_header',
  header: 'set_file_aside',
  misnamed: 'set_file_aside',
  checkpoint: 'set_file_aside',
  gap: 'note_loss',
  end_lost: 'note_loss'
}
/** What a start does about it is right: it ends in a new epoch. */
const RECOVERED: readonly DefectKind[] = [
  'header',
  'misnamed',
  'checkpoint',
  'torn_tail',
  'end_lost'
]

/**
 * Sets aside what is bad, so that `verifyLog` finds nothing any more. The caller owns the
 * directory's lock.
 *
 * Every valid record stays, with its epoch and offset. A segment with bad bytes inside is written
 * anew beside itself and renamed, so a crash leaves the old one or the new one; its age counts from
 * then on. Everything that may concern offsets given away is left to the recovery of a start.
 *
 * @throws The disk's own error; what was done until then is whole. Running it again goes on.
 *   {OperationalError} INPUT_UNREADABLE: there are segments of a newer format. Nothing was changed.
 */
export async function repairLog(
  disk: Disk,
  directory: string,
  options: RepairOptions
): Promise<RepairReport> {
  const { dryRun, onProgress } = options
  const verify = () =>
    verifyLog(disk, directory, { live: false, ...(onProgress && { onProgress }) })
  const before = await verify()
  const newer = before.notes.find(({ kind, file }) => kind === 'newer' && !file.includes('/'))
  if (newer) {
    throw new OperationalError(
      'INPUT_UNREADABLE',
      `${path.join(directory, newer.file)} cannot be judged: ${newer.message}. Run the newer Fieldline's repair.`
    )
  }
  const steps = before.defects.map(stepFor)
  const report = { directory, steps, dryRun, setAside: [], before, after: before }
  if (dryRun || before.sound) return report
  const present = await quarantined(disk, directory)
  await new Repair(disk, directory, options).run(before.defects)
  let after = await verify()
  if (await noteLosses(disk, directory, after)) after = await verify()
  const setAside = [...(await quarantined(disk, directory))].filter(name => !present.has(name))
  return { ...report, setAside, after }
}

function stepFor({ kind, file, position, bytes, lost }: Defect): RepairStep {
  return {
    action: ACTIONS[kind],
    file,
    ...(position === undefined ? {} : { position }),
    ...(bytes === undefined ? {} : { bytes }),
    ...(lost ? { lost } : {})
  }
}

async function quarantined(disk: Disk, directory: string): Promise<Set<string>> {
  const { quarantine } = await readLogFiles(disk, directory)
  return new Set(quarantine.map(({ name }) => name))
}

/** @returns Whether there was something to write down. */
async function noteLosses(disk: Disk, directory: string, found: VerifyReport): Promise<boolean> {
  const gaps = found.defects.flatMap(({ kind, lost }) =>
    ACTIONS[kind] === 'note_loss' && lost ? [lost] : []
  )
  if (gaps.length === 0) return false
  const kept = (await readLogFiles(disk, directory)).segments[0]?.first ?? 0
  const known = (await loadLosses(disk, directory)).filter(({ end }) => end > kept)
  await saveLosses(disk, directory, [...known, ...gaps])
  return true
}

class Repair {
  readonly #disk: Disk
  readonly #directory: string
  readonly #options: RepairOptions
  readonly #quarantine: Quarantine

  constructor(disk: Disk, directory: string, options: RepairOptions) {
    this.#disk = disk
    this.#directory = directory
    this.#options = options
    this.#quarantine = new Quarantine(disk, directory, QUARANTINE_BYTES_MAX)
  }

  async run(defects: readonly Defect[]): Promise<void> {
    const files = await readLogFiles(this.#disk, this.#directory)
    for (const name of files.halfMade) await unlinkIfPresent(this.#disk, this.#path(name))
    const last = files.segments.findLast(({ state }) => state === 'valid')?.name
    const named = (kind: DefectKind) =>
      new Set(defects.filter(each => each.kind === kind).map(({ file }) => file))

    for (const name of named('header_copy')) await this.#mendHeader(name)
    const damaged = named('frame')
    for (const name of damaged) if (name !== last) await this.#rewrite(name, true)
    const lastDamaged = last !== undefined && damaged.has(last)
    if (lastDamaged || defects.some(({ kind }) => RECOVERED.includes(kind))) await this.#recover()
    // Recovery has kept its bad bytes, and has sealed it.
    if (lastDamaged) await this.#rewrite(last, false)
  }

  /** In place: the bad copy stands in another sector and page than the good one. */
  async #mendHeader(name: string): Promise<void> {
    const file = await this.#disk.open(this.#path(name), 'write')
    try {
      const check = await readSegmentHeader(file)
      if (check.kind !== 'valid') return
      const good = encodeSegmentHeader(check.header)
      for (const at of HEADER_COPIES) {
        const expected = good.subarray(at, at + HEADER_BYTES)
        const found = Buffer.alloc(HEADER_BYTES)
        await file.read(found, at)
        if (found.equals(expected)) continue
        await this.#quarantine.keep(found, name, 'header-copy')
        await file.write(expected, at)
        await file.sync()
      }
    } finally {
      await file.close()
    }
  }

  async #recover(): Promise<void> {
    const { clock = systemClock, random = randomBytes } = this.#options
    const { active } = await recover({
      disk: this.#disk,
      directory: this.#directory,
      quarantine: this.#quarantine,
      reserve: new Reserve(this.#disk, this.#directory),
      clock,
      random,
      sync: 'group',
      forceNewEpoch: false
    })
    await active.file.close()
  }

  async #rewrite(name: string, keep: boolean): Promise<void> {
    const aside = this.#path(`${name}.repair`)
    const from = await this.#disk.open(this.#path(name), 'read')
    try {
      const check = await readSegmentHeader(from)
      if (check.kind !== 'valid') return
      const to = await this.#disk.open(aside, 'create')
      try {
        await to.write(encodeSegmentHeader(check.header), 0)
        let end = FRAMES_POSITION
        let places = 0
        for await (const { bytes, damage } of walkSegment(from, check.header)) {
          await to.write(bytes, end)
          end += bytes.length
          if (damage && keep && places++ < KEPT_PLACES_MAX) await this.#keep(from, name, damage)
        }
        await to.sync()
      } finally {
        await to.close()
      }
      await this.#disk.rename(aside, this.#path(name))
      await this.#disk.syncDirectory(this.#directory)
    } catch (error) {
      if (systemCode(error)) await unlinkIfPresent(this.#disk, aside).catch(() => {})
      throw error
    } finally {
      await from.close()
    }
  }

  async #keep(file: DiskFile, name: string, { position, bytes }: Damage): Promise<void> {
    const kept = Buffer.alloc(Math.min(bytes, KEPT_BYTES_MAX))
    await file.read(kept, position)
    await this.#quarantine.keep(kept, name, 'damaged')
  }

  #path(name: string): string {
    return path.join(this.#directory, name)
  }
}
