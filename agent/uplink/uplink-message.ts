import type { ClockMark } from '../../core/contract/stored-message.ts'
import type { Cursor } from '../../core/log/reader.ts'
import type { ReaderGap } from '../../core/log/reader-claim.ts'
import type { LaneView } from './lane-view.ts'
import type { LaneName, LanePlan } from './open-lane.ts'

/** What the uplink's thread is started with. */
export interface UplinkThreadData {
  plans: LanePlan[]
  marks: ClockMark[]
  logLevel: string
}

/** To the thread. */
export type UplinkOrder = { kind: 'mark'; mark: ClockMark } | { kind: 'stop'; drainMs: number }

/** From the thread. */
export type UplinkNews =
  | { kind: 'lanes'; lanes: LaneView[] }
  | { kind: 'gap'; lane: LaneName; gap: ReaderGap }
  | { kind: 'beyond-end'; lane: LaneName; cursor: Cursor }
  | { kind: 'stopped' }
