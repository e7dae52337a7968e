import path from 'node:path'
import { systemCode } from '../runtime/errors.ts'
import type { Disk } from './disk.ts'

/**
 * Where bytes go that are no valid part of the log: kept for a person to look at, never read by
 * us, bounded. When it is full the oldest files go.
 */
export class Quarantine {
  readonly #disk: Disk
  readonly #logDirectory: string
  readonly #bytesMax: number
  /** Files set aside by this process. */
  files = 0

  constructor(disk: Disk, logDirectory: string, bytesMax: number) {
    this.#disk = disk
    this.#logDirectory = logDirectory
    this.#bytesMax = bytesMax
  }

  /** Moves a whole file here. Durable: the name is gone from the log once this resolves. */
  async move(file: string, reason: string): Promise<string> {
    const { bytes } = await this.#disk.stat(file)
    const directory = await this.#open('quarantine')
    await this.#makeRoom(directory, bytes)
    return this.#rename(file, directory, reason)
  }

  /** Moves a segment of a newer format out of the way: data, so it never ages out. */
  async moveNewer(file: string, version: number): Promise<string> {
    return this.#rename(file, await this.#open(`format-${version}`), 'segment')
  }

  /**
   * Copies bytes here, cut to the quarantine's limit.
   *
   * @returns undefined when there was no room: a full disk must not stop a recovery.
   */
  async keep(bytes: Uint8Array, from: string, reason: string): Promise<string | undefined> {
    const kept = bytes.subarray(0, this.#bytesMax)
    try {
      const directory = await this.#open('quarantine')
      await this.#makeRoom(directory, kept.length)
      const to = await this.#freeName(directory, from, reason)
      await this.#write(to, kept)
      await this.#disk.syncDirectory(directory)
      this.files++
      return to
    } catch (error) {
      if (!isNoSpace(error)) throw error
      return undefined
    }
  }

  async #write(to: string, bytes: Uint8Array): Promise<void> {
    const file = await this.#disk.open(to, 'create')
    try {
      await file.write(bytes, 0)
      await file.sync()
    } catch (error) {
      await this.#disk.unlink(to)
      throw error
    } finally {
      await file.close()
    }
  }

  async #rename(file: string, directory: string, reason: string): Promise<string> {
    const to = await this.#freeName(directory, path.basename(file), reason)
    await this.#disk.rename(file, to)
    // The new name first: a crash in between must leave it in at least one of both.
    await this.#disk.syncDirectory(directory)
    await this.#disk.syncDirectory(this.#logDirectory)
    this.files++
    return to
  }

  /** The directory for it; the log's own where something else has taken the name. */
  async #open(name: string): Promise<string> {
    const directory = path.join(this.#logDirectory, name)
    try {
      await this.#disk.makeDirectory(directory)
      await this.#disk.list(directory)
      return directory
    } catch (error) {
      const code = systemCode(error)
      if (code === 'EEXIST' || code === 'ENOTDIR' || isNoSpace(error)) return this.#logDirectory
      throw error
    }
  }

  async #makeRoom(directory: string, bytes: number): Promise<void> {
    if (directory === this.#logDirectory) return
    const kept: { file: string; bytes: number; changedAt: number }[] = []
    for (const entry of await this.#disk.list(directory)) {
      const file = path.join(directory, entry)
      kept.push({ file, ...(await this.#disk.stat(file)) })
    }
    kept.sort((a, b) => a.changedAt - b.changedAt || (a.file < b.file ? -1 : 1))
    let total = kept.reduce((sum, entry) => sum + entry.bytes, bytes)
    for (const entry of kept) {
      if (total <= this.#bytesMax) break
      await this.#disk.unlink(entry.file)
      total -= entry.bytes
    }
  }

  async #freeName(directory: string, name: string, reason: string): Promise<string> {
    const taken = new Set(await this.#disk.list(directory))
    for (let n = 0; ; n++) {
      const candidate = `${name}.${reason}.${n}`
      if (!taken.has(candidate)) return path.join(directory, candidate)
    }
  }
}

/** The disk has no room for it, or the user's quota has not. */
export function isNoSpace(error: unknown): boolean {
  const code = systemCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}
