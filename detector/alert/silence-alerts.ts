import type { AlertData, AlertEvent } from '../../core/contract/alert-event.ts'
import { scoreOfRatio } from '../scorer/scorer.ts'
import {
  type AlertSubject,
  clearAlert,
  type LifecycleRule,
  type Observation,
  type OpenAlert,
  raiseAlert
} from './lifecycle.ts'
import { deviceKeyOf, type SilenceChange, type SilenceRule } from './silence.ts'

/** Silence scores 0.8 when the limit is reached: its own line, whatever the anomalies' is. */
const THRESHOLD = 0.8

/** Turns what the silence watch found into alerts of kind `silent`, one a device. */
export class SilenceAlerts {
  readonly #rule: LifecycleRule
  readonly #detector: AlertData['detector']
  readonly #open = new Map<string, OpenAlert>()

  constructor(rule: LifecycleRule, silent: SilenceRule) {
    this.#rule = { ...rule, threshold: THRESHOLD }
    this.#detector = {
      name: 'silence',
      version: '1',
      params: { factor: silent.factor, minMs: silent.minMs }
    }
  }

  get open(): Iterable<OpenAlert> {
    return this.#open.values()
  }

  get size(): number {
    return this.#open.size
  }

  /** @param eventId Of the reading that told: another device's, when this one fell silent. */
  event(change: SilenceChange, eventId: string, late: boolean): AlertEvent | undefined {
    const key = deviceKeyOf(change.device)
    const seen = this.#observation(change, eventId, late)
    const open = this.#open.get(key)
    if (change.state !== 'silent') {
      this.#open.delete(key)
      return open && clearAlert(this.#rule, open, seen)
    }
    if (open) return undefined
    const { site, device, at } = change.device
    const subject: AlertSubject = { site, device, metric: '-', kind: 'silent' }
    // Named for when it was last heard, so that the name does not depend on when we noticed.
    const hit = { at, score: seen.score }
    const { alert, event } = raiseAlert(this.#rule, subject, [hit], seen, 'warning')
    this.#open.set(key, alert)
    return event
  }

  snapshot(): OpenAlert[] {
    return [...this.#open.values()]
  }

  restore(alerts: OpenAlert[]): void {
    this.#open.clear()
    for (const alert of alerts) this.#open.set(deviceKeyOf(alert.subject), alert)
  }

  #observation(change: SilenceChange, eventId: string, late: boolean): Observation {
    const silent = change.state === 'silent'
    return {
      at: change.at,
      score: silent ? scoreOfRatio(Math.max(1, change.quietMs / change.limitMs)) : 0,
      eventId,
      late,
      details: () => ({
        contributions: [],
        reason: reasonOf(change),
        detector: this.#detector
      })
    }
  }
}

function reasonOf(change: SilenceChange): string {
  const quiet = seconds(change.quietMs)
  if (change.state === 'heard') return `heard again after ${quiet}`
  if (change.state === 'forgotten') return `not heard for ${quiet}, no longer watched`
  return `nothing heard for ${quiet}; the limit learned for this device is ${seconds(change.limitMs)}`
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`
}
