import type { Mode } from '../core/contract/agent-status.ts'
import type { DurableLog } from '../core/log/log.ts'
import type { SinkStatus } from './alerts/alert-reader.ts'
import type { EmbeddedBrokerStatus } from './ingest/broker/embedded-broker.ts'
import type { IntakeCounters } from './ingest/intake.ts'
import type { UpstreamStatus } from './ingest/upstream/upstream-client.ts'
import type { StatusTopicView } from './status-report/status-topic.ts'
import type { LaneState } from './uplink/delivery.ts'
import type { LaneCounters, LaneView } from './uplink/lane-view.ts'

export type { Mode }

export interface LaneStatus {
  state: LaneState['kind']
  backlogRecords: number
  /** The disk they take, about. */
  backlogBytes: number
  /** How long the oldest undelivered reading has waited; 0 when there is none. */
  backlogAgeMs: number
  /** How long Kafka has not answered the batch that is under way; 0 when none is. */
  sendingMs: number
  /** How long the link is thought to need for it. */
  expectedMs: number
  /**
   * Until the backlog is gone, as fast as it leaves now and as fast as records have come since start;
   * 0 when there is none, null when it does not shrink.
   */
  etaSeconds: number | null
  lastError?: { code: string; message: string; topic?: string; sinceAt: number }
  counters: LaneCounters
}

export interface AgentStatus {
  agentId: string
  version: string
  mode: Mode
  ready: boolean
  uptimeMs: number
  clock: 'synced' | 'unsynced'
  mqtt: EmbeddedBrokerStatus | null
  upstreams: UpstreamStatus[]
  intake: IntakeCounters
  lanes: Record<
    string,
    LaneStatus & { log: { bytes: number; bytesMax: number; epoch: string; end: number } }
  >
  /** Readings that will never reach Kafka as themselves, by stage and reason. */
  drops: Record<string, number>
  /** Records exchanged for dead letters since start, by reason. */
  deadLetters: Record<string, number>
  /** Readings that a route kept from Kafka as it was told to, since start, by the route's name. */
  filtered: Record<string, { dropped: number; sampledOut: number }>
  /** Where alerts go beside Kafka. */
  alertSinks: SinkStatus[]
  /** Where it tells the fleet; null when it does not. */
  statusTopic: StatusTopicView | null
}

/** What of an agent its status is made of. */
export interface AgentParts {
  readonly identity: { readonly agentId: string }
  readonly telemetryLog: Pick<DurableLog, 'status' | 'backlog' | 'backlogBytes'>
  readonly alertLog: Pick<DurableLog, 'status' | 'backlog' | 'backlogBytes'>
  readonly intake: { readonly counters: IntakeCounters }
  readonly broker: { readonly status: EmbeddedBrokerStatus } | undefined
  readonly upstreams: readonly { readonly status: UpstreamStatus }[]
  readonly alertSinks: { readonly status: SinkStatus[] }
  readonly lanes: readonly LaneView[]
  readonly statusTopic: StatusTopicView | null
  readonly ready: boolean
}

interface StatusFacts {
  version: string
  startedAt: number
  now: number
  clockSynced: boolean
  replayedAfterMs: number
}

/** A log fuller than this, while Kafka is away, is about to drop. */
const FULL_SHARE = 0.95
/** A batch that takes so much longer than its link needs is taken for an outage. */
const UNANSWERED_MS = 1_000

export function statusOf(agent: AgentParts, facts: StatusFacts): AgentStatus {
  const lanes: AgentStatus['lanes'] = {}
  for (const lane of agent.lanes) {
    const log = lane.name === 'telemetry' ? agent.telemetryLog : agent.alertLog
    const { bytes, bytesMax, epoch, end, counters } = log.status
    const backlog = { records: log.backlog('uplink'), bytes: log.backlogBytes('uplink') }
    const seconds = Math.max(1, (facts.now - facts.startedAt) / 1000)
    lanes[lane.name] = {
      ...laneStatus(lane, backlog, counters.records / seconds, facts.now),
      log: { bytes, bytesMax, epoch, end }
    }
  }
  const { counters } = agent.telemetryLog.status
  return {
    agentId: agent.identity.agentId,
    version: facts.version,
    mode: modeOf(lanes, isFull(agent.telemetryLog.status), facts.replayedAfterMs),
    ready: agent.ready,
    uptimeMs: facts.now - facts.startedAt,
    clock: facts.clockSynced ? 'synced' : 'unsynced',
    mqtt: agent.broker?.status ?? null,
    upstreams: agent.upstreams.map(upstream => upstream.status),
    intake: agent.intake.counters,
    lanes,
    drops: {
      'ingest.qos0': agent.intake.counters.droppedQos0,
      'log.full': counters.droppedFull,
      'log.age': counters.droppedAge,
      'log.damaged': counters.damaged
    },
    deadLetters: sumByReason(agent.lanes),
    filtered: Object.assign({}, ...agent.lanes.map(lane => lane.filtered)),
    alertSinks: agent.alertSinks.status,
    statusTopic: agent.statusTopic
  }
}

/** @param arriving Records a second that come. */
function laneStatus(
  lane: LaneView,
  backlog: { records: number; bytes: number },
  arriving: number,
  now: number
): LaneStatus {
  const { state, counters, oldestAt } = lane
  const troubled = state.kind === 'waiting' || state.kind === 'parked'
  return {
    state: state.kind,
    backlogRecords: backlog.records,
    backlogBytes: backlog.bytes,
    sendingMs: Math.round(lane.sendingMs),
    backlogAgeMs: oldestAt === undefined ? 0 : Math.max(0, now - oldestAt),
    expectedMs: Math.round(lane.expectedMs ?? 0),
    etaSeconds: troubled ? null : etaSeconds(backlog.records, lane.rate - arriving),
    ...(troubled
      ? {
          lastError: {
            code: state.code,
            message: state.message,
            sinceAt: state.sinceAt,
            ...('topic' in state && state.topic ? { topic: state.topic } : {})
          }
        }
      : {}),
    counters
  }
}

function etaSeconds(backlogRecords: number, shrinking: number): number | null {
  if (backlogRecords === 0) return 0
  return shrinking > 0 ? Math.ceil(backlogRecords / shrinking) : null
}

function isFull({ state, takesRecords }: DurableLog['status']): boolean {
  return state === 'open' && !takesRecords
}

function modeOf(lanes: AgentStatus['lanes'], full: boolean, replayedAfterMs: number): Mode {
  const all = Object.values(lanes)
  const { telemetry } = lanes
  if (all.some(lane => lane.state === 'parked')) return 'parked'
  const away = all.some(
    ({ state, backlogRecords, sendingMs, expectedMs }) =>
      state === 'waiting' ||
      (state === 'connecting' && backlogRecords > 0) ||
      sendingMs > UNANSWERED_MS + 2 * expectedMs
  )
  if (full || (away && telemetry.log.bytes > telemetry.log.bytesMax * FULL_SHARE)) return 'full'
  if (away) return 'buffering'
  return telemetry.backlogAgeMs > replayedAfterMs ? 'draining' : 'streaming'
}

function sumByReason(lanes: readonly LaneView[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const { deadLetters } of lanes) {
    for (const [reason, count] of Object.entries(deadLetters)) {
      sums[reason] = (sums[reason] ?? 0) + (count ?? 0)
    }
  }
  return sums
}
