import { availableParallelism } from 'node:os'
import path from 'node:path'
import type { Agent } from '../../agent/agent.ts'
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
import type { Logger } from '../../core/runtime/log.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import type { LiveLook, LiveRequest } from '../../detector/live/live-view.ts'
import { SnapshotFiles } from '../../detector/snapshot-files.ts'
import type { EdgePlan, EdgeStatus } from './edge-message.ts'
import { EdgeThread, edgeThreadFile } from './edge-thread.ts'
import { openEdgeDetector } from './open-edge-detector.ts'

const READER = 'detector'
const SCAN_READER = 'last-alert-source'
/** In the alert log's checkpoint: outlives the trimming of the frames themselves. */
const LAST_SOURCE_NOTE = 'last-alert-source'

export interface EdgeDetectionOptions {
  agent: Agent
  /** The agent's. */
  dataDirectory: string
  config: DetectorConfig
  threads: 'auto' | 'off'
  logger: Logger
}

/** The detector of an agent, wherever it runs. */
export interface EdgeDetection {
  /** undefined while it is being started again, or too busy to answer. */
  status(): Promise<EdgeStatus | undefined>
  /** What a person sees of it; undefined as above. */
  look(request: LiveRequest): Promise<LiveLook | undefined>
  stop(): Promise<void>
}

/** Joins the detector to an agent: reads its telemetry log, stores alerts in its alert log. */
export async function startEdgeDetection(options: EdgeDetectionOptions): Promise<EdgeDetection> {
  const { agent, config, logger, dataDirectory } = options
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
    lastAlertSource: last
  })
  const onGap = (gap: Parameters<DurableLog['reportGap']>[1]) => telemetryLog.reportGap(READER, gap)
  // After the replay, or an alert that was cleared before the crash would be open again.
  const onCaughtUp = (open: AlertEvent[]) => agent.alertSinks.reconcile(open)
  if (options.threads === 'auto' && edgeThreadFile && availableParallelism() > 1) {
    const thread = new EdgeThread({ planOf, store, onCaughtUp, onGap, logger })
    agent.alertSinks.askOpen = async () => (await thread.status())?.openAlerts
    return thread
  }
  const { detector, view } = await openEdgeDetector(planOf(), store, onGap, logger)
  await detector.start()
  void detector.caughtUp().then(() => onCaughtUp(detector.openAlerts()))
  agent.alertSinks.askOpen = async () => detector.openAlerts()
  return {
    status: async () => ({ openAlerts: detector.openAlerts(), counters: detector.counters() }),
    look: async request => view.look(request),
    stop: () => detector.stop()
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
