import { createHash } from 'node:crypto'
import path from 'node:path'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { ClockMark } from '../../core/contract/stored-message.ts'
import { kafkaFromConfig } from '../../core/kafka/connection.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import type { Cursor, LogReader } from '../../core/log/reader.ts'
import { systemClock } from '../../core/runtime/clock.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { UplinkConfig } from '../config.ts'
import { renderAlerts } from '../routing/alert-renderer.ts'
import { Router } from '../routing/router.ts'
import { AtLeastOnceDelivery } from './at-least-once.ts'
import type { Delivery } from './delivery.ts'
import { DrainLimit } from './drain-limit.ts'
import { ExactlyOnceDelivery } from './exactly-once.ts'
import { kafkajsDriver } from './kafka-session.ts'
import { Lane, type LaneOptions } from './lane.ts'
import type { LanePlan } from './lane-plan.ts'
import { ProgressFile } from './progress-file.ts'

export interface OpenedLane {
  lane: Lane
  /** For records that are read from now on. */
  useRoutes: (routes: readonly RouteConfig[]) => void
}

/** Builds a lane: reader → router → delivery. It is not started. */
export function openLane(
  plan: LanePlan,
  reader: LogReader,
  logger: Logger,
  knownMark: (bootId: bigint) => ClockMark | undefined,
  onBeyondEnd: (cursor: Cursor) => void
): OpenedLane {
  const { uplink, agentId } = plan
  const router = new Router({
    agentId,
    routes: plan.routes,
    deadLetterTopic: uplink.deadLetterTopic,
    alertTopic: uplink.alertTopic,
    statusTopic: uplink.statusTopic,
    pastMsMax: plan.clock.pastMaxMs,
    futureMsMax: plan.clock.futureMaxMs,
    replayedAfterMs: uplink.replayedAfterMs,
    knownMark
  })
  const { deadLetters } = router
  const onDeadLetter = (reason: string) => {
    deadLetters[reason] = (deadLetters[reason] ?? 0) + 1
  }
  const lane: Lane = new Lane({
    name: plan.lane,
    reader,
    delivery: openDelivery(plan, logger, onDeadLetter, state => {
      lane.state = state
    }),
    render:
      plan.lane === 'telemetry'
        ? (record, now) => router.route(record, now)
        : renderAlerts(agentId, uplink.alertTopic, uplink.deadLetterTopic),
    onBeyondEnd,
    logEnd: plan.logEnd,
    deadLetters,
    ...(plan.lane === 'telemetry' ? { filtered: router.filtered } : {}),
    lingerMs: uplink.lingerMs,
    // An alert waits for nothing.
    ...(plan.lane === 'telemetry' ? { drain: drainOf(uplink) } : {}),
    clock: systemClock,
    logger
  })
  return { lane, useRoutes: routes => router.useRoutes(routes) }
}

/** As good as never. */
const NEVER_MS = 24 * 3_600_000

function drainOf({ drain, replayedAfterMs }: UplinkConfig): LaneOptions['drain'] {
  return { limit: new DrainLimit(drain, systemClock), olderThanMs: replayedAfterMs }
}

function openDelivery(
  plan: LanePlan,
  logger: Logger,
  onDeadLetter: (reason: string) => void,
  onState: (state: Lane['state']) => void
): Delivery {
  const { lane, agentId, uplink } = plan
  const common = {
    lane,
    driver: kafkajsDriver({
      // A client a lane: connections, and with them troubles, are not shared. Deadlines are the
      // session's: the client's own would send again on a connection that may be dead.
      kafka: () => kafkaFromConfig({ ...plan.kafka, requestTimeoutMs: NEVER_MS }, lane, logger),
      compression: uplink.compression
    }),
    deadLetterTopic: uplink.deadLetterTopic,
    onDeadLetter,
    onState,
    batchBytesMax: uplink.batchBytesMax,
    batchRecordsMax: uplink.batchRecordsMax,
    logger,
    // Agents of one fleet must not come back in step: the seed is the agent's own.
    seed: createHash('sha256').update(`${agentId}/${lane}`).digest().readUInt32BE()
  }
  if (uplink.delivery === 'at_least_once') {
    const file = path.join(plan.dataDirectory, 'progress', lane)
    const progress = new ProgressFile(nodeDisk, file, logger)
    return new AtLeastOnceDelivery({ ...common, progress })
  }
  return new ExactlyOnceDelivery({ ...common, transactionalId: `fieldline.${agentId}.${lane}` })
}
