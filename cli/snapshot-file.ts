import fsp from 'node:fs/promises'
import path from 'node:path'

/** A small file that is replaced whole: after a crash it is the old one or the new one. */
export class SnapshotFile {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  async load(): Promise<Uint8Array | undefined> {
    try {
      return await fsp.readFile(this.#file)
    } catch {
      // Absent, or unreadable: the detector begins to learn anew.
      return undefined
    }
  }

  async save(bytes: Uint8Array): Promise<void> {
    const directory = path.dirname(this.#file)
    await fsp.mkdir(directory, { recursive: true, mode: 0o750 })
    const aside = `${this.#file}.tmp`
    const handle = await fsp.open(aside, 'w', 0o640)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fsp.rename(aside, this.#file)
    const parent = await fsp.open(directory, 'r')
    try {
      await parent.sync()
    } finally {
      await parent.close()
    }
  }
}
