import { POISON_REASONS, type PoisonReason } from './source/telemetry-record.ts'

/** What a central detector did since it started, all partitions together. */
export interface CentralCounters {
  records: number
  /** Records that can never be read, by reason: in the dead-letter topic. */
  poison: Record<PoisonReason, number>
  /** Records that no configured route explains. */
  unrouted: number
  /** Records without readings, or of agents that detect by themselves. */
  notOurs: number
  /** Alert events and dead letters stored. */
  stored: number
  /** Written to the state topic. */
  stateBytes: number
  rebalances: number
  /** Partitions opened anew after something was not answered. */
  reopened: number
}

export function noCentralCounters(): CentralCounters {
  return {
    records: 0,
    poison: Object.fromEntries(
      POISON_REASONS.map(reason => [reason, 0])
    ) as CentralCounters['poison'],
    unrouted: 0,
    notOurs: 0,
    stored: 0,
    stateBytes: 0,
    rebalances: 0,
    reopened: 0
  }
}
