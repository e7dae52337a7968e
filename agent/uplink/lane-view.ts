import type { FilteredCounters } from '../routing/router.ts'
import type { LaneState } from './delivery.ts'

export interface LaneCounters {
  /** Log records that are done with, by way of Kafka. */
  delivered: number
  /** Kafka records stored: more with several routes, fewer with clock marks. */
  produced: number
  producedBytes: number
  batches: number
  /** From handing a batch over to Kafka's answer, ms, the last one. */
  produceMs: number
}

/** What can be seen of a lane from outside, also from another thread: plain data. */
export interface LaneView {
  readonly name: string
  readonly state: LaneState
  /** Receive time of the oldest record under way, epoch ms; undefined when all is delivered. */
  readonly oldestAt: number | undefined
  /** How long Kafka has had the batch that is under way, ms; 0 when none is. */
  readonly sendingMs: number
  /** How long the link is thought to need for it, ms. */
  readonly expectedMs?: number
  /** Records delivered a second, lately. */
  readonly rate: number
  readonly counters: LaneCounters
  /** Records exchanged for dead letters since start, by reason. */
  readonly deadLetters: Partial<Record<string, number>>
  /** Readings that a route kept from Kafka as it was told to, by its name. */
  readonly filtered?: Record<string, FilteredCounters>
}

/** The lanes of an agent, wherever they run. */
export interface Uplink {
  readonly lanes: readonly LaneView[]
  /** The clock of this boot became known. */
  markClock(mark: { bootId: bigint; wallAt: number; monotonicMs: number }): void
  /** Delivers what is in the logs for at most `drainMs`, then lets go of them. */
  stop(drainMs: number): Promise<void>
}
