import { createHash } from 'node:crypto'
import path from 'node:path'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { ClockMark } from '../../core/contract/stored-message.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import type { Cursor, LogReader } from '../../core/log/reader.ts'
import type { ReaderClaim } from '../../core/log/reader-claim.ts'
import { systemClock } from '../../core/runtime/clock.ts'
import type { KafkaConfig } from '../../core/runtime/kafka-config.ts'
import { kafkaFromConfig } from '../../core/runtime/kafka-connection.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { ClockConfig, UplinkConfig } from '../config.ts'
import { renderAlerts } from '../routing/alert-renderer.ts'
import { Router } from '../routing/router.ts'
import type { Delivery } from './delivery.ts'
import { AtLeastOnceDelivery } from './kafka-at-least-once.ts'
import { ExactlyOnceDelivery } from './kafka-exactly-once.ts'
import { Lane } from './lane.ts'
import { ProgressFile } from './progress-file.ts'

export const LANES = ['telemetry', 'alerts'] as const
export type LaneName = (typeof LANES)[number]

/** Everything a lane needs to know, as plain data: it may be opened in another thread. */
export interface LanePlan {
  lane: LaneName
  agentId: string
  dataDirectory: string
  claim: ReaderClaim
  kafka: KafkaConfig
  uplink: UplinkConfig
  clock: ClockConfig
  routes: RouteConfig[]
}

/** What a vanished agent costs its read_committed consumers, beside the broker's own sweep. */
const TRANSACTION_MS_MAX = 10_000
const SEND_MS_MAX = 60_000

/** Builds a lane: reader → router → delivery. It is not started. */
export function openLane(
  plan: LanePlan,
  reader: LogReader,
  logger: Logger,
  knownMark: (bootId: bigint) => ClockMark | undefined,
  onBeyondEnd: (cursor: Cursor) => void
): Lane {
  const { uplink, agentId } = plan
  const router = new Router({
    agentId,
    routes: plan.routes,
    deadLetterTopic: uplink.deadLetterTopic,
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
    deadLetters,
    batchBytesMax: uplink.batchBytesMax,
    batchRecordsMax: uplink.batchRecordsMax,
    lingerMs: uplink.lingerMs,
    clock: systemClock,
    logger
  })
  return lane
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
    deadLetterTopic: uplink.deadLetterTopic,
    onDeadLetter,
    onState,
    logger,
    // Agents of one fleet must not come back in step: the seed is the agent's own.
    seed: createHash('sha256').update(`${agentId}/${lane}`).digest().readUInt32BE()
  }
  const session = {
    // A client a lane: connections, and with them troubles, are not shared.
    kafka: kafkaFromConfig(plan.kafka, lane, logger),
    compression: uplink.compression,
    sendMsMax: SEND_MS_MAX
  }
  if (uplink.delivery === 'at_least_once') {
    const file = path.join(plan.dataDirectory, 'progress', lane)
    const progress = new ProgressFile(nodeDisk, file, logger)
    return new AtLeastOnceDelivery({ ...common, session, progress })
  }
  return new ExactlyOnceDelivery({
    ...common,
    session: { ...session, transactionMsMax: TRANSACTION_MS_MAX },
    transactionalId: `fieldline.${agentId}.${lane}`
  })
}
