import { type ControlBlock, READERS_MAX } from './control-block.ts'
import type { Cursor } from './reader.ts'

interface CursorEntry {
  slot: number
  /** Soft cursors hold no more than this many records back; undefined: hard. */
  lagRecordsMax: number | undefined
}

/** Who reads the log, and what of it they still need. */
export class CursorTable {
  readonly #control: ControlBlock
  readonly #entries = new Map<string, CursorEntry>()
  /** Of the checkpoint, whose reader has not come yet: they hold data all the same. */
  readonly #waiting: Map<string, Cursor>

  constructor(control: ControlBlock, waiting: Map<string, Cursor>) {
    this.#control = control
    this.#waiting = waiting
  }

  /**
   * Gives a name its slot in the control block. Where it goes on: at its cursor, else at its
   * checkpointed one, else at the oldest record kept.
   */
  claim(name: string, lagRecordsMax: number | undefined): { slot: number; offset: number } {
    const held = this.#entries.get(name)
    const slot = held?.slot ?? this.#freeSlot()
    const offset = Math.max(
      this.#control.firstKept,
      this.#control.cursor(slot) ?? this.#waiting.get(name)?.offset ?? 0
    )
    this.#control.setCursor(slot, offset)
    this.#entries.set(name, { slot, lagRecordsMax })
    this.#waiting.delete(name)
    return { slot, offset }
  }

  #freeSlot(): number {
    const used = new Set([...this.#entries.values()].map(entry => entry.slot))
    for (let slot = 0; slot < READERS_MAX; slot++) if (!used.has(slot)) return slot
    throw new RangeError(`a log has at most ${READERS_MAX} readers`)
  }

  /** Of a reader that will not come again. @returns false when there is none of the name. */
  release(name: string): boolean {
    const entry = this.#entries.get(name)
    if (!entry) return false
    this.#control.releaseCursor(entry.slot)
    return this.#entries.delete(name)
  }

  /** @returns Names whose cursors are held no longer. */
  releaseWaiting(): string[] {
    const names = [...this.#waiting.keys()]
    this.#waiting.clear()
    return names
  }

  isSoft(name: string): boolean {
    return this.#entries.get(name)?.lagRecordsMax !== undefined
  }

  /** Records that the reader has not committed. */
  backlog(name: string): number {
    const entry = this.#entries.get(name)
    const cursor = entry && this.#control.cursor(entry.slot)
    if (cursor === undefined) return 0
    return Math.max(0, this.#control.durableEnd - Math.max(cursor, this.#control.firstKept))
  }

  /**
   * First offset that a reader still needs: hard cursors always, soft ones within their lag. With
   * no cursor at all nothing has been passed, and nothing is trimmed but by age or overflow.
   */
  get heldFrom(): number {
    const { durableEnd, firstKept } = this.#control
    let held = Number.POSITIVE_INFINITY
    for (const { slot, lagRecordsMax } of this.#entries.values()) {
      const cursor = this.#control.cursor(slot)
      if (cursor === undefined) continue
      const from =
        lagRecordsMax === undefined ? cursor : Math.max(cursor, durableEnd - lagRecordsMax)
      held = Math.min(held, from)
    }
    for (const { offset } of this.#waiting.values()) held = Math.min(held, offset)
    return held === Number.POSITIVE_INFINITY ? firstKept : Math.max(held, firstKept)
  }

  /** What the checkpoint says of them; a cursor that records were dropped under has moved on. */
  save(firstKept: number, epochAt: (offset: number) => string): Record<string, Cursor> {
    const cursors: Record<string, Cursor> = {}
    for (const [name, cursor] of this.#waiting) {
      const kept = cursor.offset >= firstKept
      cursors[name] = kept ? cursor : { epoch: epochAt(firstKept), offset: firstKept }
    }
    for (const [name, { slot }] of this.#entries) {
      const offset = Math.max(this.#control.cursor(slot) ?? 0, firstKept)
      cursors[name] = { epoch: epochAt(offset), offset }
    }
    return cursors
  }
}
