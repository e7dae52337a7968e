import { availableParallelism } from 'node:os'
import path from 'node:path'
import type { Agent } from '../../agent/agent.ts'
import type { DevicesLook, DevicesRequest } from '../../agent/devices/device-registry.ts'
import { SNAPSHOT_DIRECTORY } from '../../agent/disk-budget.ts'
import {
  type AlertEvent,
  type AlertFrame,
  decodeAlertFrame,
  encodeAlertFrame
} from '../../core/contract/alert-event.ts'
import type { DurableLog } from '../../core/log/log.ts'
import type { Cursor } from '../../core/log/reader.ts'
import { openClaimedReader } from '../../core/log/reader-claim.ts'
import type { Logger, LogLevel } from '../../core/runtime/log.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import type { EdgeMeasures } from '../../detector/edge-detector.ts'
import type { LiveLook, LiveRequest } from '../../detector/live/live-view.ts'
import { SnapshotFiles } from '../../detector/snapshot-files.ts'
import { devicePlanOf } from '../devices/device-plan.ts'
import { type MeasuredEdge, withEarlierMeasures } from './edge-measures.ts'
import type { EdgePlan, EdgeStatus } from './edge-message.ts'
import { EdgeThread, edgeThreadFile } from './edge-thread.ts'

const READER = 'detector'
const SCAN_READER = 'last-alert-source'
/** In the alert log's checkpoint: outlives the trimming of the frames themselves. */
const LAST_SOURCE_NOTE = 'last-alert-source'

export interface EdgeDetectionOptions {
  agent: Agent
  /** The agent's. */
  dataDirectory: string
  config: DetectorConfig
  /** See `agent.devices_max`. */
  devicesMax: number
  threads: 'auto' | 'off'
  logger: Logger
}

/** The detector of an agent, wherever it runs. */
export interface EdgeDetection {
  /** undefined while it is being started again, or too busy to answer. */
  status(): Promise<EdgeStatus | undefined>
  /** For a scrape: as last heard of, where the detector does not answer. Never rejects. */
  measures(): Promise<MeasuredEdge>
  /** How long its thread has been at work, over all its lives, and how often that ended by a fault. */
  readonly busyMs?: number
  readonly faults?: number
  /** What those who look see of it, an answer each; undefined as above. */
  look(requests: readonly LiveRequest[]): Promise<LiveLook[] | undefined>
  /** Whom it has heard; undefined as above. */
  devices(request: DevicesRequest): Promise<DevicesLook | undefined>
  /**
   * Takes over another configuration, and the agent's routes as they are now: ends in order, which saves
   * what was learned, and begins anew from there.
   */
  reload(config: DetectorConfig): Promise<void>
  /** Of a logger that a thread of its own has. */
  setLogLevel(level: LogLevel): void
  stop(): Promise<void>
}

/** Joins the detector to an agent: reads its telemetry log, stores alerts in its alert log. */
export async function startEdgeDetection(options: EdgeDetectionOptions): Promise<EdgeDetection> {
  const { agent, logger, dataDirectory } = options
  let { config } = options
  const { telemetryLog, alertLog, identity } = agent
  const snapshotDirectory = path.join(dataDirectory, SNAPSHOT_DIRECTORY)
  // A directory that cannot be used is told here, before a thread would fail of it again and again.
  await SnapshotFiles.open(snapshotDirectory)
  let last = await findLastAlertSource(alertLog)
  const store = async (frame: AlertFrame) => {
    await storeAlerts(agent, frame)
    last = frame.source
  }
  const planOf = (): EdgePlan => ({
    agentId: identity.agentId,
    claim: telemetryLog.claim(READER, config.lagRecordsMax),
    router: agent.routerOptions,
    config,
    snapshotDirectory,
    snapshotBytesMax: agent.budget.snapshotBytesMax,
    lastAlertSource: last,
    // It holds nothing back: what a detector reads, it tells.
    devices: devicePlanOf(options, 0)
  })
  const onGap = (gap: Parameters<DurableLog['reportGap']>[1]) => telemetryLog.reportGap(READER, gap)
  // After the replay, or an alert that was cleared before the crash would be open again.
  const onCaughtUp = (open: AlertEvent[]) => agent.alertSinks.reconcile(open)
  if (options.threads === 'auto' && edgeThreadFile && availableParallelism() > 1) {
    const thread = new EdgeThread({ planOf, store, onCaughtUp, onGap, logger })
    agent.alertSinks.askOpen = async () => (await thread.status())?.openAlerts
    return Object.assign(thread, {
      reload: (next: DetectorConfig) => {
        config = next
        return thread.restart()
      }
    })
  }
  const { openEdgeDetector } = await import('./open-edge-detector.ts')
  const begin = async () => {
    const begun = await openEdgeDetector(planOf(), store, onGap, logger)
    const { detector } = begun
    await detector.start()
    void detector.caughtUp().then(() => onCaughtUp(detector.openAlerts()))
    agent.alertSinks.askOpen = async () => detector.openAlerts()
    return begun
  }
  let { detector, view, devices } = await begin()
  let earlier: EdgeMeasures | undefined
  return {
    status: async () => ({ openAlerts: detector.openAlerts(), counters: detector.counters() }),
    measures: async () => {
      const measures = withEarlierMeasures(detector.measures(), earlier)
      return { up: !measures.failed, measures }
    },
    look: async requests => view.look(requests),
    devices: async request => devices.look(request),
    reload: async next => {
      config = next
      await detector.stop()
      await devices.stop()
      earlier = withEarlierMeasures(detector.measures(), earlier)
      ;({ detector, view, devices } = await begin())
    },
    // It logs with the agent's own logger.
    setLogLevel: () => {},
    stop: async () => {
      await detector.stop()
      await devices.stop()
    }
  }
}

/** Resolves once the frame is durable; from there on it is the alert log's readers'. */
async function storeAlerts(agent: Agent, frame: AlertFrame): Promise<void> {
  await agent.alertLog.append([encodeAlertFrame(frame)])
  agent.alertLog.setNote(LAST_SOURCE_NOTE, JSON.stringify(frame.source))
}

/** The newest frame's source: from the checkpoint, or from frames appended after it. */
async function findLastAlertSource(log: DurableLog): Promise<Cursor | undefined> {
  const note = log.note(LAST_SOURCE_NOTE)
  let last = note === undefined ? undefined : (JSON.parse(note) as Cursor)
  const { end } = log.status
  // A lag of none: the cursor holds nothing back. The uplink reports what is damaged.
  const reader = openClaimedReader(log.claim(SCAN_READER, 0), { onGap: () => {} })
  while (reader.position.offset < end) {
    const batch = await reader.read({ bytesMax: 1 << 20 })
    for (const { payload } of batch?.records ?? []) last = decodeAlertFrame(payload)?.source ?? last
  }
  reader.close()
  return last
}
