import path from 'node:path'
import { crc32 } from 'node:zlib'
import type { Disk, DiskFile } from '../../core/log/disk.ts'
import type { Cursor } from '../../core/log/reader.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'

/** Fits one sector, so that it is written whole or not at all. */
const BYTES = 128

/**
 * How far a lane has come, written after every batch and never synced: it costs the flash nothing,
 * and a process that is killed leaves it in the page cache, so its next life repeats nothing. Power
 * loss may take it; then the log's checkpoint counts, a few records or seconds old.
 *
 * Only ever written after Kafka's answer, so whatever of it is found is true; that it belongs to
 * this log, its reader finds out by the epoch.
 */
export class ProgressFile {
  readonly #disk: Disk
  readonly #path: string
  readonly #logger: Logger
  #file: DiskFile | undefined
  #next: Cursor | undefined
  #writing: Promise<void> | undefined
  #told = false

  constructor(disk: Disk, file: string, logger: Logger) {
    this.#disk = disk
    this.#path = file
    this.#logger = logger
  }

  /** @returns undefined when there is none, or it is damaged. */
  async load(): Promise<Cursor | undefined> {
    try {
      const file = await this.#open()
      const bytes = Buffer.alloc(BYTES)
      return parseProgress(bytes.toString('latin1', 0, await file.read(bytes, 0)))
    } catch (error) {
      this.#tell(error)
      return undefined
    }
  }

  /** Does not wait; of several under way the newest is written. */
  save(cursor: Cursor): void {
    this.#next = cursor
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#file?.close()
    this.#file = undefined
  }

  async #write(): Promise<void> {
    try {
      const file = await this.#open()
      while (this.#next) {
        const bytes = Buffer.from(format(this.#next), 'latin1')
        this.#next = undefined
        await file.write(bytes, 0)
      }
    } catch (error) {
      this.#next = undefined
      this.#tell(error)
    }
  }

  async #open(): Promise<DiskFile> {
    if (this.#file) return this.#file
    await this.#disk.makeDirectory(path.dirname(this.#path))
    this.#file = await this.#disk
      .open(this.#path, 'write')
      .catch(() => this.#disk.open(this.#path, 'create'))
    return this.#file
  }

  #tell(error: unknown): void {
    if (this.#told) return
    this.#told = true
    this.#logger.warn(
      { event: 'uplink.progress_unsaved', error: messageOf(error) },
      'Progress cannot be noted: after a crash a few more records would be delivered again.'
    )
  }
}

/** `crc32 epoch offset`, padded. */
function format({ epoch, offset }: Cursor): string {
  const body = `${epoch} ${offset}`
  return `${sumOf(body)} ${body}`.padEnd(BYTES - 1).concat('\n')
}

/** @returns undefined for anything that was not written whole. */
export function parseProgress(text: string): Cursor | undefined {
  const [, sum, epoch, digits] = /^([0-9a-f]{8}) (\S+) (\d{1,16}) *\n$/.exec(text) ?? []
  if (sum === undefined || sum !== sumOf(`${epoch} ${digits}`)) return undefined
  const offset = Number(digits)
  return Number.isSafeInteger(offset) ? { epoch, offset } : undefined
}

function sumOf(body: string): string {
  return crc32(body).toString(16).padStart(8, '0')
}
