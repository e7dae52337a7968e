import path from 'node:path'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { systemCode } from '../runtime/errors.ts'
import type { Disk } from './disk.ts'

const AGE_MS_MAX = 30 * 86_400_000
const TIDY_EVERY_MS = 3_600_000
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES', 'ENOSPC'])

/**
 * Where bytes go that are no valid part of the log: kept for a person to look at, never read by
 * us, bounded. When it is full the oldest files go, and any after a month.
 */
export class Quarantine {
  readonly #disk: Disk
  readonly #logDirectory: string
  readonly #bytesMax: number
  readonly #clock: Clock
  /** Monotonic, ms. */
  #tidyAt = 0
  /** What is in it, as of the last change or look. */
  files = 0
  bytes = 0

  constructor(disk: Disk, logDirectory: string, bytesMax: number, clock: Clock = systemClock) {
    this.#clock = clock
    this.#disk = disk
    this.#logDirectory = logDirectory
    this.#bytesMax = bytesMax
  }

  /** It is time to look for what has become too old. */
  get untidy(): boolean {
    return this.#clock.monotonic() >= this.#tidyAt
  }

  /** @param overOf Bytes that should go whatever their age, asked once `bytes` is up to date. */
  async tidy(overOf: () => number): Promise<void> {
    this.#tidyAt = this.#clock.monotonic() + TIDY_EVERY_MS
    await this.removeOlder(this.#clock.now() - AGE_MS_MAX)
    const over = overOf()
    if (over > 0) await this.shrink(Math.max(0, this.bytes - over))
  }

  /** Looks at what is there, removes what came before `before`, epoch ms. */
  async removeOlder(before: number): Promise<void> {
    const all = await this.#list(path.join(this.#logDirectory, 'quarantine'))
    this.files = all.length
    this.bytes = all.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const entry of all) if (entry.keptAt < before) await this.#remove(entry)
  }

  /** Removes the oldest until the others have no more than that: records come first. */
  async shrink(bytesMax: number): Promise<void> {
    if (this.bytes <= bytesMax) return
    await this.#trim(path.join(this.#logDirectory, 'quarantine'), bytesMax)
  }

  /** Moves a whole file here. Durable: the name is gone from the log once this resolves. */
  async move(file: string, reason: string): Promise<string> {
    const { bytes } = await this.#disk.stat(file)
    const directory = await this.#open('quarantine')
    await this.#makeRoom(directory, bytes)
    const to = await this.#rename(file, directory, reason)
    this.#took(directory, bytes)
    return to
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
      this.#took(directory, kept.length)
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
    // The new name first: a crash in between must leave it in at least one of both.
    const linked = await this.#link(file, to)
    if (!linked) await this.#disk.rename(file, to)
    await this.#disk.syncDirectory(directory)
    if (linked) await this.#disk.unlink(file)
    await this.#disk.syncDirectory(this.#logDirectory)
    return to
  }

  /** @returns Whether the file system can; FAT cannot, and none can for a directory. */
  async #link(file: string, to: string): Promise<boolean> {
    try {
      await this.#disk.link(file, to)
      return true
    } catch (error) {
      if (NO_LINKS.has(systemCode(error) ?? '')) return false
      throw error
    }
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
    if (directory !== this.#logDirectory) await this.#trim(directory, this.#bytesMax - bytes)
  }

  async #trim(directory: string, bytesMax: number): Promise<void> {
    const kept = await this.#list(directory)
    kept.sort((a, b) => a.keptAt - b.keptAt || (a.file < b.file ? -1 : 1))
    let total = kept.reduce((sum, entry) => sum + entry.bytes, 0)
    for (const entry of kept) {
      if (total <= bytesMax) break
      await this.#remove(entry)
      total -= entry.bytes
    }
  }

  async #remove({ file, bytes }: { file: string; bytes: number }): Promise<void> {
    await this.#disk.unlink(file)
    this.files--
    this.bytes -= bytes
  }

  async #list(directory: string): Promise<{ file: string; bytes: number; keptAt: number }[]> {
    let names: string[]
    try {
      names = await this.#disk.list(directory)
    } catch (error) {
      if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return []
      throw error
    }
    const found: { file: string; bytes: number; keptAt: number }[] = []
    for (const name of names) {
      const file = path.join(directory, name)
      const { bytes, changedAt } = await this.#disk.stat(file)
      // A moved file has the age of its records; its name says when it came here.
      const named = Number(/\.(\d{12,})$/.exec(name)?.[1] ?? Number.NaN)
      found.push({ file, bytes, keptAt: Number.isNaN(named) ? changedAt : named })
    }
    return found
  }

  #took(directory: string, bytes: number): void {
    if (directory === this.#logDirectory) return
    this.files++
    this.bytes += bytes
  }

  async #freeName(directory: string, name: string, reason: string): Promise<string> {
    const taken = new Set(await this.#disk.list(directory))
    for (let n = Math.floor(this.#clock.now()); ; n++) {
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
