import path from 'node:path'
import type { Disk } from './disk.ts'

/**
 * Where bytes go that are no valid part of the log: kept for a person to look at, never read by
 * us, bounded. When it is full the oldest files go.
 */
export class Quarantine {
  readonly #disk: Disk
  readonly #directory: string
  readonly #bytesMax: number
  /** Files set aside by this process. */
  files = 0

  constructor(disk: Disk, logDirectory: string, bytesMax: number) {
    this.#disk = disk
    this.#directory = path.join(logDirectory, 'quarantine')
    this.#bytesMax = bytesMax
  }

  /** Moves a whole file here. Durable: the name is gone from the log once this resolves. */
  async move(file: string, reason: string): Promise<string> {
    const to = await this.#room(0, path.basename(file), reason)
    await this.#disk.rename(file, to)
    await this.#disk.syncDirectory(path.dirname(file))
    await this.#disk.syncDirectory(this.#directory)
    return to
  }

  /** Copies bytes here, cut to the quarantine's limit. */
  async keep(bytes: Uint8Array, from: string, reason: string): Promise<string> {
    const kept = bytes.subarray(0, this.#bytesMax)
    const to = await this.#room(kept.length, from, reason)
    const file = await this.#disk.open(to, 'create')
    try {
      await file.write(kept, 0)
      await file.sync()
    } finally {
      await file.close()
    }
    await this.#disk.syncDirectory(this.#directory)
    return to
  }

  async #room(bytes: number, name: string, reason: string): Promise<string> {
    await this.#disk.makeDirectory(this.#directory)
    const kept: { name: string; bytes: number; changedAt: number }[] = []
    for (const entry of await this.#disk.list(this.#directory)) {
      const stat = await this.#disk.stat(path.join(this.#directory, entry))
      kept.push({ name: entry, ...stat })
    }
    kept.sort((a, b) => a.changedAt - b.changedAt || (a.name < b.name ? -1 : 1))
    let total = kept.reduce((sum, entry) => sum + entry.bytes, bytes)
    for (const entry of kept) {
      if (total <= this.#bytesMax) break
      await this.#disk.unlink(path.join(this.#directory, entry.name))
      total -= entry.bytes
    }
    this.files++
    const taken = new Set(kept.map(entry => entry.name))
    for (let n = 0; ; n++) {
      const candidate = `${name}.${reason}.${n}`
      if (!taken.has(candidate)) return path.join(this.#directory, candidate)
    }
  }
}
