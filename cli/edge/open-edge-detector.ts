import { DeviceWatch } from '../../agent/devices/device-watch.ts'
import { Router } from '../../agent/routing/router.ts'
import type { AlertFrame } from '../../core/contract/alert-event.ts'
import { ControlBlock } from '../../core/log/control-block.ts'
import { openClaimedReader, type ReaderGap } from '../../core/log/reader-claim.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { EdgeDetector } from '../../detector/edge-detector.ts'
import { LiveView } from '../../detector/live/live-view.ts'
import { SeriesHistory } from '../../detector/live/series-history.ts'
import { SnapshotFiles } from '../../detector/snapshot-files.ts'
import type { EdgePlan } from './edge-message.ts'

const STREAM = 'edge'

export interface OpenedEdgeDetector {
  detector: EdgeDetector
  /** What a person sees of it. */
  view: LiveView
  /** Fed with what it decodes. Stopped after the detector. */
  devices: DeviceWatch
}

/**
 * Builds the edge detector, in whichever thread. It is not started. What its reader decodes, it
 * decodes with the uplink's own rules.
 */
export async function openEdgeDetector(
  plan: EdgePlan,
  appendAlerts: (frame: AlertFrame) => Promise<void>,
  onGap: (gap: ReaderGap) => void,
  logger: Logger
): Promise<OpenedEdgeDetector> {
  const router = new Router(plan.router)
  const devices = await DeviceWatch.open({ plan: plan.devices, logger })
  await devices.catchUp()
  router.onSighting = devices.note
  const reader = openClaimedReader(plan.claim, { onGap })
  const control = new ControlBlock(plan.claim.control)
  const snapshots = await SnapshotFiles.open(plan.snapshotDirectory, plan.snapshotBytesMax)
  const history = new SeriesHistory({ now: () => performance.now() })
  const detector: EdgeDetector = new EdgeDetector({
    config: plan.config,
    source: `/fieldline/${plan.agentId}`,
    reader,
    decode: record => router.readings(record),
    appendAlerts: async frame => {
      await appendAlerts(frame)
      view.note(frame.events)
    },
    watch: history.watch,
    lastAlertSource: plan.lastAlertSource,
    snapshots: {
      load: () => snapshots.load(STREAM),
      save: bytes => snapshots.save(STREAM, bytes)
    },
    durableEnd: () => ({ epoch: reader.position.epoch, offset: control.durableEnd }),
    logger
  })
  const view = new LiveView(detector, history)
  return { detector, view, devices }
}
