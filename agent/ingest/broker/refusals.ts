import type { Logger } from '../../../core/runtime/log.ts'
import type { Refusal } from './admission.ts'

/** A refusal is logged at most this often, with the counts since. */
const REPORT_INTERVAL_MS = 10_000

/** Counts what is not let in, and tells of it once a burst. */
export class Refusals {
  readonly #logger: Logger
  readonly #counts: Partial<Record<Refusal, number>> = {}
  #malformed = 0
  /** Since the last line. */
  #unreported: Partial<Record<Refusal | 'malformed', number>> = {}
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
    this.#report(refusal, refusal, clientId)
  }

  /** What is no MQTT. */
  countMalformed(reason: string, clientId?: string): void {
    this.#malformed++
    this.#report('malformed', reason, clientId)
  }

  /** The line names the last one, and all since the line before by their kind. */
  #report(kind: Refusal | 'malformed', reason: string, clientId: string | undefined): void {
    this.#unreported[kind] = (this.#unreported[kind] ?? 0) + 1
    const now = Date.now()
    if (now - this.#reportedAt < REPORT_INTERVAL_MS) return
    this.#reportedAt = now
    this.#logger.warn(
      {
        event: 'mqtt.refused',
        reason: reason.slice(0, 200),
        client: clientId?.slice(0, 64),
        counts: this.#unreported
      },
      'Clients were refused or sent what is no MQTT: the last by this reason, all since the last such line by their counts.'
    )
    this.#unreported = {}
  }
}
