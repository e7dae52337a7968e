/**
 * What writer and readers of one log share, in a SharedArrayBuffer: readers may live in other
 * threads. Every field is one 64-bit word that is stored and loaded whole.
 *
 * Offsets ascend over all epochs of a directory, so one word is enough for a cursor here; the
 * writer adds the epoch when it writes the checkpoint.
 */
const DURABLE_END = 0
const FIRST_KEPT = 1
const CLOSED = 2
/** Counts wake-ups: waiting on it misses none, whatever changed. */
const WAKE = 3
const CURSORS = 4
/** Readers a log can have. The agent's alert log has 15 at most, of which 13 are sinks of alerts. */
export const READERS_MAX = 16
/** Counts the claims of each slot: an older claim's reader is closed. */
const TURNS = CURSORS + READERS_MAX
const RELEASED = -1n

export class ControlBlock {
  readonly buffer: SharedArrayBuffer
  readonly #words: BigInt64Array

  constructor(buffer?: SharedArrayBuffer) {
    this.buffer = buffer ?? new SharedArrayBuffer((TURNS + READERS_MAX) * 8)
    this.#words = new BigInt64Array(this.buffer)
    if (!buffer) this.#words.fill(RELEASED, CURSORS, TURNS)
  }

  /** Records with an offset below are synced. */
  get durableEnd(): number {
    return Number(Atomics.load(this.#words, DURABLE_END))
  }

  /** Wakes every waiting reader. */
  set durableEnd(offset: number) {
    Atomics.store(this.#words, DURABLE_END, BigInt(offset))
    this.#wake()
  }

  /** Records with an offset below are gone. */
  get firstKept(): number {
    return Number(Atomics.load(this.#words, FIRST_KEPT))
  }

  set firstKept(offset: number) {
    Atomics.store(this.#words, FIRST_KEPT, BigInt(offset))
  }

  get closed(): boolean {
    return Atomics.load(this.#words, CLOSED) !== 0n
  }

  close(): void {
    Atomics.store(this.#words, CLOSED, 1n)
    this.#wake()
  }

  /** @returns undefined when no reader holds the slot. */
  cursor(slot: number): number | undefined {
    const offset = Atomics.load(this.#words, CURSORS + slot)
    return offset === RELEASED ? undefined : Number(offset)
  }

  setCursor(slot: number, offset: number): void {
    Atomics.store(this.#words, CURSORS + slot, BigInt(offset))
  }

  releaseCursor(slot: number): void {
    Atomics.store(this.#words, CURSORS + slot, RELEASED)
  }

  /** Closes whatever reads by an earlier claim of the slot. @returns The new claim's turn. */
  takeTurn(slot: number): number {
    const turn = Number(Atomics.add(this.#words, TURNS + slot, 1n)) + 1
    this.#wake()
    return turn
  }

  turn(slot: number): number {
    return Number(Atomics.load(this.#words, TURNS + slot))
  }

  /**
   * Resolves when the durable end is no longer `offset`, the log closed, or a slot was claimed.
   *
   * @param over Whether waiting makes no sense any more.
   */
  async waitPast(offset: number, over: () => boolean = () => false): Promise<void> {
    const seen = Atomics.load(this.#words, WAKE)
    if (this.closed || this.durableEnd !== offset || over()) return
    const wait = Atomics.waitAsync(this.#words, WAKE, seen)
    if (wait.async) await wait.value
  }

  #wake(): void {
    Atomics.add(this.#words, WAKE, 1n)
    Atomics.notify(this.#words, WAKE)
  }
}
