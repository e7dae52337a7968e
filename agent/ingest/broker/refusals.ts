import type { Logger } from '../../../core/runtime/log.ts'
import type { Refusal } from './admission.ts'

/** A refusal is logged at most this often, with the count since. */
const REPORT_INTERVAL_MS = 10_000

/** Counts what is not let in, and tells of it once a burst. */
export class Refusals {
  readonly #logger: Logger
  readonly #counts: Partial<Record<Refusal, number>> = {}
  #malformed = 0
  #unreported = 0
  #reportedAt = Number.NEGATIVE_INFINITY

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Since start, by reason. */
  get counts(): Partial<Record<Refusal, number>> {
    return { ...this.#counts }
  }

  get malformed(): number {
    return this.#malformed
  }

  count(refusal: Refusal, clientId?: string): void {
    this.#counts[refusal] = (this.#counts[refusal] ?? 0) + 1
    this.#report(refusal, clientId)
  }

  /** What is no MQTT. */
  countMalformed(reason: string, clientId?: string): void {
    this.#malformed++
    this.#report(reason, clientId)
  }

  #report(reason: string, clientId: string | undefined): void {
    this.#unreported++
    const now = Date.now()
    if (now - this.#reportedAt < REPORT_INTERVAL_MS) return
    this.#reportedAt = now
    this.#logger.warn(
      {
        event: 'mqtt.refused',
        reason: reason.slice(0, 200),
        client: clientId?.slice(0, 64),
        count: this.#unreported
      },
      'A client was refused or sent what is no MQTT; the reason says which.'
    )
    this.#unreported = 0
  }
}
