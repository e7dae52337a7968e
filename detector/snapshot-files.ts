import { open, readFile, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { messageOf, OperationalError, systemCode } from '../core/runtime/errors.ts'
import { makeDirectory } from '../core/runtime/make-directory.ts'

/**
 * Snapshots as files, `DIR/NAME.snapshot`. A file is written aside, synced
 * and renamed: after a crash it is the old one or the new one.
 */
export class SnapshotFiles {
  readonly #directory: string
  readonly #bytesMax: number

  /**
   * @param bytesMax Of one snapshot: a larger one is not saved, and the one before stays.
   * @throws {OperationalError} DIRECTORY_UNUSABLE
   */
  static async open(
    directory: string,
    bytesMax = Number.POSITIVE_INFINITY
  ): Promise<SnapshotFiles> {
    try {
      makeDirectory(directory)
      const probe = join(directory, '.probe')
      await (await open(probe, 'w')).close()
      await unlink(probe)
    } catch (error) {
      throw new OperationalError(
        'DIRECTORY_UNUSABLE',
        `${directory} cannot be used for snapshots: ${messageOf(error)}.`,
        { cause: error }
      )
    }
    return new SnapshotFiles(directory, bytesMax)
  }

  private constructor(directory: string, bytesMax: number) {
    this.#directory = directory
    this.#bytesMax = bytesMax
  }

  async load(stream: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.#path(stream))
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    }
  }

  /** @throws {OperationalError} SNAPSHOT_TOO_LARGE, or the disk's own error. */
  async save(stream: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.#bytesMax) {
      throw new OperationalError(
        'SNAPSHOT_TOO_LARGE',
        `the snapshot has ${bytes.length} bytes, its share of the disk is ${this.#bytesMax}: lower detector.series_max or raise log.bytes_max`
      )
    }
    const path = this.#path(stream)
    const file = await open(`${path}.new`, 'w')
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${path}.new`, path)
    const directory = await open(dirname(path), 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  }

  /** Kafka's topic names hold no slash and may end in `-1`; the slash keeps the two apart. */
  #path(stream: string): string {
    return join(this.#directory, `${encodeURIComponent(stream)}.snapshot`)
  }
}
