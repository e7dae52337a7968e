import type { AlertEvent } from '../../core/contract/alert-event.ts'

export interface AlertChange {
  state: 'raised' | 'cleared'
  event: AlertEvent
}

/** Past this the oldest raisings are forgotten; a demo has a few hundred. */
const REMEMBERED_MAX = 20_000

/**
 * Turns successive lists of open alerts into news: what is open now and was not, what was and is no
 * longer. An alert that is reported open again, by an agent that restarted, is no news.
 */
export class AlertFeed {
  readonly #open = new Map<string, AlertEvent>()
  readonly #raised = new Map<string, AlertEvent>()
  /** How many series an alert named when it was last seen. */
  readonly #named = new Map<string, number>()
  readonly #joinings: AlertEvent[] = []

  get open(): number {
    return this.#open.size
  }

  /** As each was first seen, oldest first. */
  get raised(): readonly AlertEvent[] {
    return [...this.#raised.values()]
  }

  /** Beside `raised`: events in which an alert of a device named another series of it. */
  get joinings(): readonly AlertEvent[] {
    return this.#joinings
  }

  take(openAlerts: readonly AlertEvent[]): AlertChange[] {
    const changes: AlertChange[] = []
    const now = new Map(openAlerts.map(event => [event.data.alertId, event]))
    for (const [alertId, event] of this.#open) {
      if (!now.has(alertId)) changes.push({ state: 'cleared', event })
    }
    this.#open.clear()
    for (const [alertId, event] of now) {
      this.#open.set(alertId, event)
      const named = event.data.contributions?.length ?? 0
      const before = this.#named.get(alertId) ?? 0
      this.#named.set(alertId, Math.max(named, before))
      if (this.#raised.has(alertId)) {
        if (named > before && this.#joinings.length < REMEMBERED_MAX) this.#joinings.push(event)
        continue
      }
      if (this.#raised.size >= REMEMBERED_MAX) this.#forgetOldest()
      this.#raised.set(alertId, event)
      changes.push({ state: 'raised', event })
    }
    return changes
  }

  #forgetOldest(): void {
    for (const alertId of this.#raised.keys()) {
      this.#raised.delete(alertId)
      this.#named.delete(alertId)
      return
    }
  }
}
