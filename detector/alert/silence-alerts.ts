import type { AlertData } from '../../core/contract/alert-event.ts'
import { scoreOfRatio } from '../scorer/scorer.ts'
import type { Alerts } from './alerts.ts'
import type { Condition } from './condition.ts'
import type { Observation } from './lifecycle.ts'
import type { SilenceChange, SilenceRule } from './silence.ts'

/** Silence scores 0.8 when the limit is reached: its own line, whatever the anomalies' is. */
const THRESHOLD = 0.8

/** Tells what the silence watch found as conditions of kind `silent`, one a device. */
export class SilenceAlerts {
  readonly #alerts: Alerts
  readonly #detector: AlertData['detector']

  constructor(alerts: Alerts, silent: SilenceRule) {
    this.#alerts = alerts
    this.#detector = {
      name: 'silence',
      version: '1',
      params: { factor: silent.factor, minMs: silent.minMs }
    }
  }

  /** @param eventId Of the reading that told: another device's, when this one fell silent. */
  tell(change: SilenceChange, eventId: string, late: boolean): void {
    const { site, device, at } = change.device
    const condition: Condition = {
      ...{ site, device, metric: '-', kind: 'silent' },
      ...{ severityMin: 'warning', standing: true }
    }
    const seen = this.#observation(change, eventId, late)
    if (change.state !== 'silent') {
      this.#alerts.end(condition, seen)
      return
    }
    // Named for when it was last heard, so that the name does not depend on when we noticed.
    this.#alerts.begin(condition, [{ at, score: seen.score }], seen)
  }

  #observation(change: SilenceChange, eventId: string, late: boolean): Observation {
    const silent = change.state === 'silent'
    return {
      at: change.at,
      score: silent ? scoreOfRatio(Math.max(1, change.quietMs / change.limitMs)) : 0,
      agentId: change.device.agentId,
      eventId,
      late,
      details: () => ({
        threshold: THRESHOLD,
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
