import type { AlertKind } from '../../core/contract/alert-event.ts'

/** What is wrong with the data itself, whatever it measures. */
export type ConditionKind = Exclude<AlertKind, 'anomaly'>

/** One thing found wrong, by one reading. */
export interface Finding {
  kind: ConditionKind
  /** How far beyond its limit, from 1. */
  ratio: number
  value?: number
  /** What the value ought to lie between, where that can be said. */
  lower?: number
  upper?: number
  /** A sentence for a person, without a full stop. */
  reason: string
}
