import path from 'node:path'
import type { Disk } from './disk.ts'
import { unlinkIfPresent } from './disk-errors.ts'
import { isNoSpace } from './quarantine.ts'

const NAME = 'reserve'
/** Room for a segment's header and a checkpoint, in blocks of 4 KiB. */
export const RESERVE_BYTES = 16 << 10

/**
 * A file that only takes room, to be given up when the disk is full: the log must be able to start,
 * and to say what was delivered, without it. A convenience: without room for it everything works.
 */
export class Reserve {
  readonly #disk: Disk
  readonly #directory: string
  readonly #file: string

  constructor(disk: Disk, directory: string) {
    this.#disk = disk
    this.#directory = directory
    this.#file = path.join(directory, NAME)
  }

  /** Runs the operation, on a full disk once more without the reserve. */
  async spend<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await operation()
    } catch (error) {
      if (!isNoSpace(error) || !(await this.#holds())) throw error
    }
    await unlinkIfPresent(this.#disk, this.#file)
    // Some file systems give the room back only with their next commit.
    await this.#disk.syncDirectory(this.#directory)
    try {
      return await operation()
    } finally {
      await this.keep()
    }
  }

  /** Takes the room if it is not taken. Never rejects. */
  async keep(): Promise<void> {
    if (await this.#holds()) return
    try {
      await unlinkIfPresent(this.#disk, this.#file)
      const file = await this.#disk.open(this.#file, 'create')
      try {
        await file.write(Buffer.alloc(RESERVE_BYTES, 0xff), 0)
        await file.sync()
      } finally {
        await file.close()
      }
    } catch {
      await unlinkIfPresent(this.#disk, this.#file).catch(() => {})
    }
  }

  async #holds(): Promise<boolean> {
    try {
      return (await this.#disk.stat(this.#file)).bytes === RESERVE_BYTES
    } catch {
      return false
    }
  }
}
