/** Somebody who wants to put more bytes under way and was told to wait for a turn. */
export interface BudgetWaiter {
  /**
   * Bytes that must be free before it goes on; 1 for whoever takes little at a time. Who needs more
   * than there is goes on alone.
   */
  readonly need: number
  /** Its turn: takes what it needs before it returns. */
  go(): void
}

/**
 * One budget for the bytes of all connections that are between the network and the log's sync.
 *
 * Turns are first come, first served, and short: whoever wants more queues again behind the others.
 * So what a flood sends faster than the log stores waits in its own connection, and a large packet
 * gets its room in the end, as nobody overtakes it. Whoever has little under way asks for no turn at
 * all (`ClientGate`).
 */
export class ByteBudget {
  readonly bytesMax: number
  #used = 0
  #outgoing = 0
  readonly #queue = new Set<BudgetWaiter>()
  #draining = false

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** What is under way, and what waits to be sent to local subscribers. */
  get used(): number {
    return this.#used + this.#outgoing
  }

  get full(): boolean {
    return this.used >= this.bytesMax
  }

  /** Somebody waits: nobody overtakes. */
  get contended(): boolean {
    return this.#queue.size > 0
  }

  take(bytes: number): void {
    this.#used += bytes
  }

  give(bytes: number): void {
    this.#used -= bytes
    this.#wake()
  }

  /** What all connections together have to send, as it was measured last. */
  setOutgoing(bytes: number): void {
    this.#outgoing = bytes
    this.#wake()
  }

  /** Queues for a turn, once. */
  wait(waiter: BudgetWaiter): void {
    this.#queue.add(waiter)
    this.#wake()
  }

  leave(waiter: BudgetWaiter): void {
    if (this.#queue.delete(waiter)) this.#wake()
  }

  fits(need: number): boolean {
    const room = Math.max(0, this.bytesMax - this.#outgoing)
    return this.#used + Math.min(need, room) <= room
  }

  /** Not at once: acknowledgements of what was just stored go out together, and no turn nests in another. */
  #wake(): void {
    if (this.#draining || this.#queue.size === 0) return
    const [head] = this.#queue
    if (!this.fits(head.need)) return
    this.#draining = true
    process.nextTick(() => {
      // Whoever queues again has its next turn with the next wake: otherwise this might never end.
      for (let turns = this.#queue.size; turns > 0; turns--) {
        const [next] = this.#queue
        if (!next || !this.fits(next.need)) break
        this.#queue.delete(next)
        next.go()
      }
      this.#draining = false
      if (this.#queue.size > 0) setImmediate(() => this.#wake())
    })
  }
}
