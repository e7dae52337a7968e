import type { DevicesLook, DevicesRequest } from '../../agent/devices/device-registry.ts'
import type { DevicePlan } from '../../agent/devices/device-watch.ts'
import type { RouterOptions } from '../../agent/routing/router.ts'
import type { AlertEvent, AlertFrame } from '../../core/contract/alert-event.ts'
import type { Cursor } from '../../core/log/reader.ts'
import type { ReaderClaim, ReaderGap } from '../../core/log/reader-claim.ts'
import type { ErrorCode } from '../../core/runtime/errors.ts'
import type { LogLevel } from '../../core/runtime/log.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import type { EdgeDetector, EdgeMeasures } from '../../detector/edge-detector.ts'
import type { LiveLook, LiveRequest } from '../../detector/live/live-view.ts'

/** Everything the edge detector needs to know, as plain data: it may run in another thread. */
export interface EdgePlan {
  agentId: string
  claim: ReaderClaim
  router: RouterOptions
  config: DetectorConfig
  snapshotDirectory: string
  snapshotBytesMax: number
  /** Position of the record behind the newest alert frame stored. */
  lastAlertSource: Cursor | undefined
  devices: DevicePlan
}

export interface EdgeThreadData {
  plan: EdgePlan
  logLevel: string
}

export interface EdgeStatus {
  openAlerts: AlertEvent[]
  counters: ReturnType<EdgeDetector['counters']>
}

/** To the thread. */
export type EdgeOrder =
  | { kind: 'stored'; id: number; refusal?: { code: ErrorCode; message: string } }
  | { kind: 'ask'; id: number }
  | { kind: 'measure'; id: number }
  | { kind: 'look'; id: number; requests: readonly LiveRequest[] }
  | { kind: 'devices'; id: number; request: DevicesRequest }
  | { kind: 'level'; level: LogLevel }
  | { kind: 'stop' }

/** From the thread. */
export type EdgeNews =
  | { kind: 'store'; id: number; frame: AlertFrame }
  | { kind: 'status'; id: number; status: EdgeStatus }
  | { kind: 'measures'; id: number; measures: EdgeMeasures }
  | { kind: 'looks'; id: number; looks: LiveLook[] }
  | { kind: 'devices'; id: number; look: DevicesLook }
  | { kind: 'gap'; gap: ReaderGap }
  /** The replay is over: these are open. */
  | { kind: 'caught-up'; openAlerts: AlertEvent[] }
