import path from 'node:path'
import { systemCode } from '../runtime/errors.ts'
import { CHECKPOINT_ASIDE_NAME, CHECKPOINT_NAME } from './checkpoint.ts'
import type { Disk, DiskFile } from './disk.ts'
import { LOSSES_ASIDE_NAME, LOSSES_NAME } from './losses.ts'
import {
  encodeSegmentHeader,
  FRAMES_POSITION,
  parseSegmentName,
  readSegmentHeader,
  type SegmentHeader
} from './segment.ts'

/** What stands in a log directory, seen from outside: nothing is locked, nothing is changed. */
export interface LogFiles {
  /** By offset. */
  segments: FoundSegment[]
  quarantine: FoundFile[]
  /** Segments of newer formats that were set aside, as `format-N/NAME`. */
  newer: FoundFile[]
  /** The next checkpoint, half made; a repair's new segment, half made. */
  halfMade: string[]
  /** A recovery that ends in a new epoch was begun. */
  newEpoch: boolean
  /** Names that are not the log's. */
  foreign: string[]
}

export interface FoundFile {
  /** Relative to the log directory. */
  name: string
  bytes: number
  /** Epoch ms. */
  changedAt: number
}

export type FoundSegment = FoundFile & {
  /** Of its name. */
  first: number
} & (
    | { state: 'valid'; header: SegmentHeader; copies: readonly [boolean, boolean] }
    /** Of a later Fieldline. */
    | { state: 'newer'; version: number }
    /** No valid header; a directory. */
    | { state: 'bad_header' }
    /** The header is another segment's: a copy under a wrong name. */
    | { state: 'misnamed'; headerFirst: number }
    /** Shorter than its header: it never held an acknowledged record, or was truncated. */
    | { state: 'half_made' }
  )

export type ValidSegment = Extract<FoundSegment, { state: 'valid' }>

const OWN_NAMES = new Set([CHECKPOINT_NAME, LOSSES_NAME, 'reserve', 'lock'])
const HALF_MADE = new RegExp(
  `^(${CHECKPOINT_ASIDE_NAME}|${LOSSES_ASIDE_NAME}|\\d{20}\\.seg\\.repair)$`
)

/**
 * Reads all names, sizes and headers. O(segments). What goes while it looks (a live log trims) is
 * left out.
 */
export async function readLogFiles(disk: Disk, directory: string): Promise<LogFiles> {
  const names = (await disk.list(directory)).sort()
  const files: LogFiles = {
    segments: await readSegments(disk, directory, names),
    quarantine: [],
    newer: [],
    halfMade: [],
    newEpoch: names.includes('new-epoch'),
    foreign: []
  }
  for (const name of names) {
    if (OWN_NAMES.has(name) || name === 'new-epoch' || parseSegmentName(name) !== undefined) {
      continue
    }
    if (HALF_MADE.test(name)) files.halfMade.push(name)
    else if (name === 'quarantine') await listInto(files.quarantine, disk, directory, name, files)
    else if (/^format-\d+$/.test(name)) await listInto(files.newer, disk, directory, name, files)
    else files.foreign.push(name)
  }
  return files
}

/** The segments that readers believe, oldest first. */
export function validSegments(segments: readonly FoundSegment[]): ValidSegment[] {
  return segments.filter(segment => segment.state === 'valid')
}

/** @returns undefined when it is gone: a live log trims. */
export async function openIfPresent(disk: Disk, file: string): Promise<DiskFile | undefined> {
  try {
    return await disk.open(file, 'read')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

export async function readSegments(
  disk: Disk,
  directory: string,
  names: readonly string[]
): Promise<FoundSegment[]> {
  const segments: FoundSegment[] = []
  for (const name of names) {
    const first = parseSegmentName(name)
    if (first === undefined) continue
    const segment = await readSegment(disk, directory, name, first)
    if (segment) segments.push(segment)
  }
  return segments.sort((a, b) => a.first - b.first)
}

async function readSegment(
  disk: Disk,
  directory: string,
  name: string,
  first: number
): Promise<FoundSegment | undefined> {
  const file = await openIfPresent(disk, path.join(directory, name))
  if (!file) return undefined
  try {
    const found = { first, ...(await statOf(disk, directory, name)) }
    const { bytes } = found
    const check = await readSegmentHeader(file)
    if (check.kind === 'newer') return { ...found, state: 'newer', version: check.version }
    if (bytes < FRAMES_POSITION) return { ...found, state: 'half_made' }
    if (check.kind === 'invalid') return { ...found, state: 'bad_header' }
    const { header } = check
    if (header.firstOffset !== first) {
      return { ...found, state: 'misnamed', headerFirst: header.firstOffset }
    }
    return { ...found, state: 'valid', header, copies: await checkCopies(file, header) }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    if (systemCode(error) !== 'EISDIR') throw error
    return { name, first, bytes: 0, changedAt: 0, state: 'bad_header' }
  } finally {
    await file.close()
  }
}

/** Where the two copies of a segment's header stand. */
export const HEADER_COPIES = [0, FRAMES_POSITION - 64] as const
export const HEADER_BYTES = 64

/** The header's bytes follow from its fields, so a copy is good if it has just these. */
async function checkCopies(
  file: DiskFile,
  header: SegmentHeader
): Promise<readonly [boolean, boolean]> {
  const bytes = Buffer.alloc(FRAMES_POSITION)
  await file.read(bytes, 0)
  const expected = encodeSegmentHeader(header)
  const [first, second] = HEADER_COPIES.map(
    at => bytes.compare(expected, at, at + HEADER_BYTES, at, at + HEADER_BYTES) === 0
  )
  return [first, second]
}

async function listInto(
  into: FoundFile[],
  disk: Disk,
  directory: string,
  name: string,
  files: LogFiles
): Promise<void> {
  try {
    for (const entry of (await disk.list(path.join(directory, name))).sort()) {
      const inside = path.join(name, entry)
      into.push(await statOf(disk, directory, inside))
    }
  } catch (error) {
    // A file of that name is a stranger's; what aged out meanwhile is gone.
    if (systemCode(error) === 'ENOTDIR') files.foreign.push(name)
    else if (systemCode(error) !== 'ENOENT') throw error
  }
}

async function statOf(disk: Disk, directory: string, name: string): Promise<FoundFile> {
  const { bytes, changedAt } = await disk.stat(path.join(directory, name))
  return { name, bytes, changedAt: Math.round(changedAt) }
}
