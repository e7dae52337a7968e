import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import type { Overflow } from './retention.ts'

/** Records that were given up. */
interface Dropped {
  records: number
  first: number
  end: number
  /** For this reason, these included. */
  sinceOpened: number
}

/** A burst is one line; the rest of it is counted. */
const INTERVAL_MS = 60_000

/** What an operator is told of a full log: that it is, what it costs, and that it is over. */
export class OverflowLines {
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #directory: string
  readonly #overflow: Overflow
  readonly #droppedAt = { droppedFull: -INTERVAL_MS, droppedAge: -INTERVAL_MS }
  #fullAt = -INTERVAL_MS
  /** It was told, and not that it is over. */
  #isFull = false

  constructor(options: { logger: Logger; clock: Clock; directory: string; overflow: Overflow }) {
    this.#logger = options.logger
    this.#clock = options.clock
    this.#directory = options.directory
    this.#overflow = options.overflow
  }

  dropped(reason: 'droppedFull' | 'droppedAge', dropped: Dropped): void {
    const isFull = reason === 'droppedFull'
    const why = isFull ? 'the log is full' : 'they are older than log.age_max'
    const now = this.#clock.monotonic()
    const level = now - this.#droppedAt[reason] < INTERVAL_MS ? 'debug' : 'error'
    if (level === 'error') this.#droppedAt[reason] = now
    this.#logger[level](
      { event: 'log.dropped', reason: isFull ? 'full' : 'age', ...dropped },
      `Dropped the oldest records: ${why}. What follows within a minute is only counted.`
    )
  }

  /** It takes nothing, and drops nothing for it. */
  full(why: string): void {
    const now = this.#clock.monotonic()
    if (this.#isFull || now - this.#fullAt < INTERVAL_MS) return
    this.#isFull = true
    this.#fullAt = now
    const then = this.#overflow === 'block' ? 'wait' : 'are refused'
    this.#logger.error(
      { event: 'log.full', overflow: this.#overflow, reason: why },
      `The log in ${this.#directory} is full: ${why}. Further records ${then} until there is room.`
    )
  }

  room(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.#logger.info({ event: 'log.room' }, 'The log takes records again.')
  }
}
