import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { KafkaConfig } from '../../core/kafka/config.ts'
import type { ReaderClaim } from '../../core/log/reader-claim.ts'
import type { ClockConfig, UplinkConfig } from '../config.ts'

export const LANES = ['telemetry', 'alerts'] as const
export type LaneName = (typeof LANES)[number]

/** Everything a lane needs to know, as plain data: it may be opened in another thread. */
export interface LanePlan {
  lane: LaneName
  agentId: string
  dataDirectory: string
  claim: ReaderClaim
  /** See `LaneOptions`. */
  logEnd: number
  kafka: KafkaConfig
  uplink: UplinkConfig
  clock: ClockConfig
  routes: RouteConfig[]
}
