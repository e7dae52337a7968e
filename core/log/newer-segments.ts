import path from 'node:path'
import { messageOf, systemCode } from '../runtime/errors.ts'
import type { Logger } from '../runtime/log.ts'
import type { Disk } from './disk.ts'
import type { Quarantine } from './quarantine.ts'
import { type HeaderCheck, parseSegmentName, readSegmentHeader, segmentName } from './segment.ts'

/*
 * Segments of a newer format version: records that another Fieldline can read. They are set aside
 * untouched by whoever comes upon one, a start, a reader or the retention, and are no damage.
 */

/** Directories that they are set aside in. */
const DIRECTORY = /^format-\d+$/
/** Their names there. */
const ASIDE = /^(\d{20}\.seg)\.segment\.\d+$/

const UNREADABLE = new Set(['ENOENT', 'EIO', 'EACCES', 'EPERM'])

/** Reads a segment's header by its name. */
export async function checkSegment(disk: Disk, file: string): Promise<HeaderCheck> {
  try {
    const opened = await disk.open(file, 'read')
    try {
      return await readSegmentHeader(opened)
    } finally {
      await opened.close()
    }
  } catch (error) {
    // A directory of that name.
    if (systemCode(error) === 'EISDIR') return { kind: 'invalid' }
    throw error
  }
}

/** The one line that an operator gets to see of it. */
export function newerFinding(firstOffset: number, version: number, file: string) {
  const name = segmentName(firstOffset)
  return {
    event: 'log.segment_newer',
    message: `A segment has format version ${version}: it is set aside untouched. To deliver its records run the Fieldline that wrote it on a log directory that holds this file as ${name}.`,
    file
  }
}

/** First offsets that a segment set aside was named for, by file name. */
export function asideOffset(name: string): number | undefined {
  return parseSegmentName(ASIDE.exec(path.basename(name))?.[1] ?? '')
}

export interface NewerRange {
  /** Offsets, half-open: from its name's up to the next segment's. */
  first: number
  end: number
  /** Where it stands, set aside or not yet. */
  file: string
}

/** Where between two offsets there are segments of a newer format, ascending. */
export async function newerBetween(
  disk: Disk,
  directory: string,
  first: number,
  end: number
): Promise<NewerRange[]> {
  const firsts = (await disk.list(directory)).map(parseSegmentName).filter(at => at !== undefined)
  const before = Math.max(...firsts.filter(at => at <= first))
  const found: { at: number; file?: string }[] = []
  for (const at of firsts.filter(at => at >= before && at < end)) {
    const file = path.join(directory, segmentName(at))
    try {
      const { kind } = await checkSegment(disk, file)
      found.push({ at, ...(kind === 'newer' ? { file } : {}) })
    } catch (error) {
      // Trimmed since, or among those looked at next.
      if (systemCode(error) !== 'ENOENT') throw error
    }
  }
  for (const file of await listAside(disk, directory)) {
    const at = asideOffset(file)
    // A segment that has the offset by now counts for more.
    if (at !== undefined && !found.some(each => each.at === at)) found.push({ at, file })
  }
  found.sort((a, b) => a.at - b.at)
  return found.flatMap(({ at, file }, index) => {
    const range = { first: Math.max(first, at), end: Math.min(end, found[index + 1]?.at ?? end) }
    return file !== undefined && range.first < range.end ? [{ ...range, file }] : []
  })
}

async function listAside(disk: Disk, directory: string): Promise<string[]> {
  const names = await disk.list(directory)
  const files = names.map(name => path.join(directory, name))
  for (const name of names.filter(name => DIRECTORY.test(name))) {
    const inside = path.join(directory, name)
    const found = await disk.list(inside).catch(error => {
      if (systemCode(error) === 'ENOTDIR' || systemCode(error) === 'ENOENT') return []
      throw error
    })
    files.push(...found.map(each => path.join(inside, each)))
  }
  return files
}

/** Sets them aside while the log runs. */
export class NewerSegments {
  readonly #options: { disk: Disk; directory: string; quarantine: Quarantine; logger: Logger }
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: {
    disk: Disk
    directory: string
    quarantine: Quarantine
    logger: Logger
  }) {
    this.#options = options
  }

  /** @returns Whether it was of a newer format, and is set aside now. One at a time. */
  setAside(firstOffset: number): Promise<boolean> {
    const done = this.#last.then(() => this.#setAside(firstOffset))
    this.#last = done.catch(() => {})
    return done
  }

  /** Resolves when nothing is being set aside. */
  async settled(): Promise<void> {
    await this.#last
  }

  async #setAside(firstOffset: number): Promise<boolean> {
    const { disk, directory, quarantine, logger } = this.#options
    const file = path.join(directory, segmentName(firstOffset))
    const check = await checkSegment(disk, file).catch(error => {
      // Gone, or nobody can read it: of no format then.
      if (UNREADABLE.has(systemCode(error) ?? '')) return undefined
      throw error
    })
    if (check?.kind !== 'newer') return false
    const to = await quarantine.moveNewer(file, check.version)
    const { message, ...finding } = newerFinding(firstOffset, check.version, to)
    logger.error({ ...finding, directory }, message)
    return true
  }

  /**
   * A reader had to pass over one. It stays untouched where it cannot be set aside now.
   *
   * @returns First offset of the segment that was set aside for it.
   */
  async passed(
    reader: string,
    { first, end, file = '' }: { first: number; end: number; file?: string }
  ): Promise<number | undefined> {
    const { logger } = this.#options
    logger.warn(
      { event: 'log.newer_passed', reader, first, end, file },
      'A reader goes on behind records of a newer format: they are kept, and not delivered.'
    )
    const firstOffset = parseSegmentName(path.basename(file))
    if (firstOffset === undefined) return undefined
    try {
      return (await this.setAside(firstOffset)) ? firstOffset : undefined
    } catch (error) {
      logger.error(
        { event: 'log.set_aside_failed', file, error: messageOf(error) },
        'A segment of a newer format could not be set aside: it stays where it is, untouched.'
      )
      return undefined
    }
  }
}
