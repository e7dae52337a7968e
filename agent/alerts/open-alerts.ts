import type { AlertEvent } from '../../core/contract/alert-event.ts'
import type { AlertChange } from './sink.ts'

/** As it is saved. */
export interface OpenAlertEntry {
  /** The alert's last event. */
  event: AlertEvent
  /** Of the frame in the alert log that it came from. */
  offset: number
}

/** Further ones are told like all others, but neither retained nor told again. */
export const OPEN_ALERTS_MAX = 10_000
/** An alert that was cleared is not taken for one that was missed. */
const CLEARED_MAX = 1_000

/** Which alerts a sink has told and not cleared: the alert log's events, folded. */
export class OpenAlerts {
  readonly #entries = new Map<string, OpenAlertEntry>()
  /** The last ones, oldest first. */
  readonly #cleared = new Set<string>()
  readonly #max: number

  constructor(max = OPEN_ALERTS_MAX) {
    this.#max = max
  }

  get size(): number {
    return this.#entries.size
  }

  get events(): AlertEvent[] {
    return [...this.#entries.values()].map(({ event }) => event)
  }

  get entries(): OpenAlertEntry[] {
    return [...this.#entries.values()]
  }

  restore(entries: readonly OpenAlertEntry[]): void {
    for (const entry of entries) this.#entries.set(entry.event.data.alertId, entry)
  }

  /** In the order of the log; what was applied may come again, from an earlier event on. */
  apply(event: AlertEvent, offset: number): AlertChange {
    const { alertId, state } = event.data
    const previous = this.#entries.get(alertId)?.event
    if (state === 'cleared') {
      this.#entries.delete(alertId)
      this.#remember(alertId)
      return { event, previous, isOpen: false }
    }
    const isOpen = previous !== undefined || this.#entries.size < this.#max
    if (isOpen) this.#entries.set(alertId, { event, offset })
    return { event, previous, isOpen }
  }

  /**
   * Makes it agree with who raises and clears them.
   *
   * @param known All that are open, seen when the log ended at `before`; this table is that far.
   * @returns `gone`: taken out, nobody will clear them. `missed`: put in.
   */
  reconcile(
    known: readonly AlertEvent[],
    before: number
  ): { gone: AlertEvent[]; missed: AlertEvent[] } {
    const ids = new Set(known.map(({ data }) => data.alertId))
    const gone = this.entries.filter(
      ({ event, offset }) => offset < before && !ids.has(event.data.alertId)
    )
    for (const { event } of gone) this.#entries.delete(event.data.alertId)
    const missed = known.filter(
      ({ data }) => !this.#entries.has(data.alertId) && !this.#cleared.has(data.alertId)
    )
    const room = missed.slice(0, Math.max(0, this.#max - this.#entries.size))
    for (const event of room) this.#entries.set(event.data.alertId, { event, offset: before })
    return { gone: gone.map(({ event }) => event), missed: room }
  }

  #remember(alertId: string): void {
    this.#cleared.delete(alertId)
    this.#cleared.add(alertId)
    if (this.#cleared.size > CLEARED_MAX) {
      for (const oldest of this.#cleared) {
        this.#cleared.delete(oldest)
        break
      }
    }
  }
}
