import path from 'node:path'
import { readChecked, replaceChecked } from '../../core/log/checked-file.ts'
import type { Disk } from '../../core/log/disk.ts'
import { unlinkIfPresent } from '../../core/log/disk-errors.ts'
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

/** `{name}.json`, checked by its sum; a crash leaves the old one or the new one. */
export class SinkStateFile {
  readonly #disk: Disk
  readonly #directory: string
  readonly #name: string

  constructor(disk: Disk, directory: string, sink: string) {
    this.#disk = disk
    this.#directory = directory
    this.#name = `${sink}${SUFFIX}`
  }

  /** Never rejects for what is in the file. */
  async load(): Promise<SinkStateFound> {
    let text: string | undefined
    try {
      text = await readChecked(this.#disk, path.join(this.#directory, this.#name), BYTES_MAX)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return { kind: 'absent' }
      throw error
    }
    if (text === undefined) return { kind: 'damaged' }
    const { version, ...state } = JSON.parse(text) as SinkState & { version: number }
    return version === VERSION ? { kind: 'valid', state } : { kind: 'damaged' }
  }

  /** @returns Bytes written. */
  async save(state: SinkState): Promise<number> {
    const name = this.#name
    const text = JSON.stringify({ version: VERSION, ...state })
    await this.#disk.makeDirectory(this.#directory)
    return replaceChecked(this.#disk, this.#directory, { name, asideName: `${name}${ASIDE}`, text })
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
