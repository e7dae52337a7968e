import type { AgentWord } from '../../core/contract/agent-status.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { ClockMark } from '../../core/contract/stored-message.ts'
import type { Cursor } from '../../core/log/reader.ts'
import type { ReaderGap } from '../../core/log/reader-claim.ts'
import type { LogLevel } from '../../core/runtime/log.ts'
import type { StatusTopicPlan } from '../status-report/kafka-word-writer.ts'
import type { StatusTopicView } from '../status-report/status-topic.ts'
import type { LaneName, LanePlan } from './lane-plan.ts'
import type { LaneView } from './lane-view.ts'

/** What the uplink's thread is started with. */
export interface UplinkThreadData {
  plans: LanePlan[]
  marks: ClockMark[]
  statusTopic: StatusTopicPlan | null
  logLevel: string
}

/** To the thread. */
export type UplinkOrder =
  | { kind: 'mark'; mark: ClockMark }
  | { kind: 'say'; word: AgentWord }
  | { kind: 'routes'; routes: readonly RouteConfig[] }
  | { kind: 'level'; level: LogLevel }
  /** It ends at once when the lanes have, or it is given the last word then. */
  | { kind: 'stop'; drainMs: number; thenLastWord: boolean }
  | { kind: 'last-word'; word: AgentWord }

/** From the thread. */
export type UplinkNews =
  | { kind: 'lanes'; lanes: LaneView[] }
  | { kind: 'gap'; lane: LaneName; gap: ReaderGap }
  | { kind: 'beyond-end'; lane: LaneName; cursor: Cursor }
  | { kind: 'status-topic'; view: StatusTopicView }
  /** The lanes have ended: now the last word. */
  | { kind: 'drained' }
  | { kind: 'stopped' }
