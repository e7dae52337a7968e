import type { FaultScore } from './fault-score.ts'
import type { DeliveryVerdict } from './judge.ts'

/** Without a Kafka nothing can be found in one: what the agent's own log says stands in for it. */
export interface BufferVerdict {
  /** Readings that devices were told are safe, repeats included. */
  acknowledged: number
  /** Records that the agent's log holds for Kafka. */
  inLog: number
  lost: number
}

export interface DemoResult {
  /** Nothing was lost and, where it can be seen, nothing reordered. */
  ok: boolean
  kafka: 'real' | 'away'
  delivery: string
  seed: number
  devices: number
  elapsedMs: number
  /** Until the agent was killed. */
  pubackMs: { p50: number; p99: number }
  outage?: {
    stoppedMs: number
    /** Readings acknowledged until Kafka was back. */
    acknowledged: number
    backlogMax: number
    drainMs: number
  }
  /** From the agent's death until it accepted readings again. */
  agentAwayMs: number
  verdict?: DeliveryVerdict
  buffer?: BufferVerdict
  faults: FaultScore
  /** Alert events that are in Kafka under two `fl-id`s. */
  alertsToldTwice: number
}
