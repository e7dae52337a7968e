import type { AgentWord } from '../../core/contract/agent-status.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { BucketTotals } from '../../core/runtime/bucket-counts.ts'
import type { LogLevel } from '../../core/runtime/log.ts'
import type { FilteredCounters } from '../routing/router.ts'
import type { StatusTopicView } from '../status-report/status-topic.ts'
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

/** Seconds; from a broker next door to a link over a satellite, and what an outage adds. */
export const PRODUCE_BUCKETS = [
  ...[0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
  ...[1, 2.5, 5, 10, 30, 120]
]

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
  /** By `PRODUCE_BUCKETS`: from handing a batch over to Kafka's answer, retries included. */
  readonly produceTimes?: BucketTotals
  /** Records exchanged for dead letters since start, by reason. */
  readonly deadLetters: Partial<Record<string, number>>
  /** Readings that a route kept from Kafka as it was told to, by its name. */
  readonly filtered?: Record<string, FilteredCounters>
}

/** Of a lane that is opened anew: what the other one has under way. */
export const REOPEN_DRAIN_MS = 2_000

/** The lanes of an agent, wherever they run. */
export interface Uplink {
  readonly lanes: readonly LaneView[]
  /** How long its thread has been at work, over all its lives; absent where it has none of its own. */
  readonly busyMs?: number
  /** How often its thread ended by a fault, and was started again. */
  readonly faults?: number
  /** The clock of this boot became known. */
  markClock(mark: { bootId: bigint; wallAt: number; monotonicMs: number }): void
  /** How it stands with the agent's words; null when it says none. */
  readonly statusTopic: StatusTopicView | null
  /** Tells the fleet, if Kafka takes it now; nobody waits for it. */
  say(word: AgentWord): void
  /**
   * Records that are read from now on go by these; what was read before, by the old ones. Lanes are
   * opened anew when one is parked: what it has in hand may be what the new routes are to mend.
   */
  useRoutes(routes: readonly RouteConfig[]): Promise<void>
  /** Of a logger that a thread of its own has. */
  setLogLevel(level: LogLevel): void
  /**
   * Delivers what is in the logs for at most `drainMs`, then lets go of them.
   *
   * @param lastWord Made once that is done; it delays the stop by 1.5 s at most.
   */
  stop(drainMs: number, lastWord?: () => AgentWord): Promise<void>
}
