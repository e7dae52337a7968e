import path from 'node:path'
import { crc32 } from 'node:zlib'
import { unlinkIfPresent } from '../../core/log/checkpoint.ts'
import type { Disk } from '../../core/log/disk.ts'
import type { Cursor } from '../../core/log/reader.ts'
import { systemCode } from '../../core/runtime/errors.ts'
import type { OpenAlertEntry } from './open-alerts.ts'

/** Where the sinks' states are, in the data directory. */
export const SINK_DIRECTORY = 'alert-sinks'

/** How far a sink has come, and what was open there. */
export interface SinkState {
  /** Everything before was delivered. */
  cursor: Cursor
  /** Records before were there when the sink was first configured: not told, only counted as open. */
  toldFrom: number
  open: OpenAlertEntry[]
}

export type SinkStateFound =
  | { kind: 'valid'; state: SinkState }
  | { kind: 'absent' }
  | { kind: 'damaged' }

const VERSION = 1
const SUFFIX = '.json'
const ASIDE = '.tmp'
/** 10,000 alerts of 8 KiB; what is larger was not written by us. */
const BYTES_MAX = 80 << 20

/**
 * `{name}.json`: 8 hex digits of CRC-32, space, JSON, newline. Replaced whole: written aside, synced,
 * renamed, directory synced; a crash leaves the old one or the new one.
 */
export class SinkStateFile {
  readonly #disk: Disk
  readonly #directory: string
  readonly #path: string

  constructor(disk: Disk, directory: string, sink: string) {
    this.#disk = disk
    this.#directory = directory
    this.#path = path.join(directory, `${sink}${SUFFIX}`)
  }

  /** Never rejects for what is in the file. */
  async load(): Promise<SinkStateFound> {
    let text: string
    try {
      const file = await this.#disk.open(this.#path, 'read')
      try {
        const bytes = Buffer.alloc(Math.min(await file.size(), BYTES_MAX))
        text = bytes.toString('utf8', 0, await file.read(bytes, 0))
      } finally {
        await file.close()
      }
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return { kind: 'absent' }
      throw error
    }
    const body = text.slice(9).trimEnd()
    if (sumOf(body) !== text.slice(0, 8)) return { kind: 'damaged' }
    const { version, ...state } = JSON.parse(body) as SinkState & { version: number }
    return version === VERSION ? { kind: 'valid', state } : { kind: 'damaged' }
  }

  /** @returns Bytes written. */
  async save(state: SinkState): Promise<number> {
    const body = JSON.stringify({ version: VERSION, ...state })
    const bytes = Buffer.from(`${sumOf(body)} ${body}\n`)
    await this.#disk.makeDirectory(this.#directory)
    const aside = `${this.#path}${ASIDE}`
    await unlinkIfPresent(this.#disk, aside)
    const file = await this.#disk.open(aside, 'create')
    try {
      await file.write(bytes, 0)
      await file.sync()
    } finally {
      await file.close()
    }
    await this.#disk.rename(aside, this.#path)
    await this.#disk.syncDirectory(this.#directory)
    return bytes.length
  }
}

/** Removes what sinks left that are configured no longer. */
export async function forgetOtherSinks(
  disk: Disk,
  directory: string,
  sinks: readonly string[]
): Promise<void> {
  const kept = new Set(sinks.map(sink => `${sink}${SUFFIX}`))
  let names: string[]
  try {
    names = await disk.list(directory)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    throw error
  }
  for (const name of names) {
    if (!kept.has(name)) await unlinkIfPresent(disk, path.join(directory, name))
  }
}

function sumOf(body: string): string {
  return crc32(body).toString(16).padStart(8, '0')
}
