import type { ClockMark } from '../core/contract/stored-message.ts'
import type { Clock } from '../core/runtime/clock.ts'

/** A wall clock that moved further than this against the monotonic one was set, not drifting. */
const STEP_MS = 1000

/**
 * Whether this box knows what time it is. A Pi has no clock of its own: until the network tells it,
 * its wall clock stands somewhere in the past.
 *
 * The wall clock is believed once it is not earlier than `floorAt`, a time that certainly has
 * passed: the newest instant found on this disk, or this version's release. When it becomes
 * believable, or is set, a mark says what the wall clock was at a monotonic instant, so that
 * earlier readings of the same boot can be corrected.
 */
export class ClockSync {
  readonly bootId: bigint
  readonly #clock: Clock
  readonly #floorAt: number
  readonly #onMark: (mark: ClockMark) => void
  /** Wall minus monotonic, as of the last look. */
  #aheadMs: number
  #synced: boolean
  #mark: ClockMark | undefined

  constructor(options: {
    clock: Clock
    bootId: bigint
    floorAt: number
    onMark: (mark: ClockMark) => void
  }) {
    this.#clock = options.clock
    this.bootId = options.bootId
    this.#floorAt = options.floorAt
    this.#onMark = options.onMark
    this.#aheadMs = this.#clock.now() - this.#clock.monotonic()
    this.#synced = this.#clock.now() >= options.floorAt
  }

  get synced(): boolean {
    return this.#synced
  }

  /** The latest mark of this boot: there is one once time became known or was set. */
  markOf(bootId: bigint): ClockMark | undefined {
    return bootId === this.bootId ? this.#mark : undefined
  }

  /** Both clocks for one reading. Cheap: called for every message. */
  stamp(): { receivedAt: number; monotonicMs: number; clockUnsynced: boolean } {
    const receivedAt = this.#clock.now()
    const monotonic = this.#clock.monotonic()
    if (Math.abs(receivedAt - monotonic - this.#aheadMs) > STEP_MS) this.check()
    return {
      receivedAt: Math.max(0, receivedAt),
      monotonicMs: Math.floor(monotonic),
      clockUnsynced: !this.#synced
    }
  }

  /** Looks whether the clock was set; also called now and then without readings. */
  check(): void {
    const wallAt = this.#clock.now()
    const monotonic = this.#clock.monotonic()
    const stepped = Math.abs(wallAt - monotonic - this.#aheadMs) > STEP_MS
    const wasSynced = this.#synced
    this.#aheadMs = wallAt - monotonic
    this.#synced = wallAt >= this.#floorAt
    if (this.#synced && (stepped || !wasSynced)) {
      this.#mark = { bootId: this.bootId, wallAt, monotonicMs: Math.floor(monotonic) }
      this.#onMark(this.#mark)
    }
  }
}
