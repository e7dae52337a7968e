/**
 * PUBACKs that are due: those of one sync go out in one write. In the order in which they were added.
 */
export class PubackGroup {
  readonly #write: (bytes: Uint8Array) => void
  #ids: number[] = []

  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write
  }

  /** Goes out after everything that is resolved in this turn. */
  add(id: number): void {
    if (this.#ids.push(id) === 1) process.nextTick(() => this.flush())
  }

  /** Now. */
  flush(): void {
    const ids = this.#ids
    if (ids.length === 0) return
    this.#ids = []
    const bytes = Buffer.allocUnsafe(4 * ids.length)
    for (let n = 0; n < ids.length; n++) bytes.writeUInt32BE(0x4002_0000 | ids[n], 4 * n)
    this.#write(bytes)
  }
}
