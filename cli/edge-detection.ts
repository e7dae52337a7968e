import path from 'node:path'
import type { Agent } from '../agent/agent.ts'
import {
  type AlertEvent,
  type AlertFrame,
  alertMqttTopic,
  decodeAlertFrame,
  encodeAlertFrame
} from '../core/contract/alert-event.ts'
import { FileReader } from '../core/log/file-reader.ts'
import type { DurableLog } from '../core/log/log.ts'
import { nodeDisk } from '../core/log/node-disk.ts'
import type { Cursor } from '../core/log/reader.ts'
import type { Logger } from '../core/runtime/log.ts'
import type { DetectorConfig } from '../detector/config.ts'
import { EdgeDetector } from '../detector/edge-detector.ts'
import { SnapshotFiles } from '../detector/snapshot-files.ts'

const READER = 'detector'
/** In the alert log's checkpoint: outlives the trimming of the frames themselves. */
const LAST_SOURCE_NOTE = 'last-alert-source'

export interface EdgeDetectionOptions {
  agent: Agent
  /** The agent's. */
  dataDirectory: string
  config: DetectorConfig
  logger: Logger
}

/** Joins the detector to an agent: reads its telemetry log, stores alerts in its alert log. */
export async function startEdgeDetection(options: EdgeDetectionOptions): Promise<EdgeDetector> {
  const { agent, config, logger } = options
  const { reader, router } = await agent.openDetectorReader(READER, config.lagRecordsMax)
  const { telemetryLog, alertLog, identity } = agent
  const snapshots = await SnapshotFiles.open(path.join(options.dataDirectory, 'detector'))
  const detector = new EdgeDetector({
    config,
    source: `/fieldline/${identity.agentId}`,
    reader,
    decode: record => router.readings(record),
    appendAlerts: frame => storeAlerts(agent, frame, logger),
    lastAlertSource: await findLastAlertSource(
      alertLog,
      path.join(options.dataDirectory, 'alerts')
    ),
    snapshots: {
      load: () => snapshots.load(READER),
      save: bytes => snapshots.save(READER, bytes)
    },
    durableEnd: () => ({ epoch: telemetryLog.status.epoch, offset: telemetryLog.status.end }),
    logger
  })
  await detector.start()
  void publishOpenAlerts(agent, detector, logger)
  return detector
}

/**
 * The broker's retained messages died with the process; the alerts did not. Waits for the replay, or
 * an alert that was cleared before the crash would stand again.
 */
async function publishOpenAlerts(
  agent: Agent,
  detector: EdgeDetector,
  logger: Logger
): Promise<void> {
  await detector.caughtUp()
  // All in one turn: none of them can be cleared between the look and its publication.
  const sent = detector.openAlerts().map(event => publish(agent, event))
  await Promise.all(sent).catch(error => tellUnsent(logger, error))
}

function tellUnsent(logger: Logger, error: unknown): void {
  logger.warn(
    { event: 'mqtt.alert_unsent', error: String(error) },
    'An alert was not sent by MQTT.'
  )
}

/** Resolves once the frame is durable; local subscribers hear of it after that. */
async function storeAlerts(agent: Agent, frame: AlertFrame, logger: Logger): Promise<void> {
  await agent.alertLog.append([encodeAlertFrame(frame)])
  agent.alertLog.setNote(LAST_SOURCE_NOTE, JSON.stringify(frame.source))
  for (const event of frame.events) {
    await publish(agent, event).catch(error => tellUnsent(logger, error))
  }
}

/** Retained while open; a cleared one is told, then no longer retained. */
async function publish(agent: Agent, event: AlertEvent): Promise<void> {
  if (!agent.broker) return
  const topic = alertMqttTopic(event.data)
  const cleared = event.data.state === 'cleared'
  await agent.broker.publish(topic, JSON.stringify(event), !cleared)
  if (cleared) await agent.broker.publish(topic, '', true)
}

/** The newest frame's source: from the checkpoint, or from frames appended after it. */
async function findLastAlertSource(
  log: DurableLog,
  directory: string
): Promise<Cursor | undefined> {
  const note = log.note(LAST_SOURCE_NOTE)
  let last = note === undefined ? undefined : (JSON.parse(note) as Cursor)
  const { control } = log
  const reader = new FileReader({
    name: 'last-alert-source',
    disk: nodeDisk,
    directory,
    control,
    // Never commits, so it needs no slot of its own.
    slot: 0,
    from: { epoch: log.status.epoch, offset: control.firstKept },
    // The uplink reports what is damaged.
    onGap: () => {}
  })
  const end = control.durableEnd
  while (reader.position.offset < end) {
    const batch = await reader.read({ bytesMax: 1 << 20 })
    const frame = batch && decodeAlertFrame(batch.records.at(-1)!.payload)
    if (frame) last = frame.source
  }
  reader.close()
  return last
}
