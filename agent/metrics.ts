import { MODES } from '../core/contract/agent-status.ts'
import type { LogStatus } from '../core/log/log.ts'
import { type Metrics, oneOf } from '../core/runtime/metrics.ts'
import type { Agent } from './agent.ts'
import type { SinkStatus } from './alerts/alert-reader.ts'
import { PUBACK_BUCKETS } from './ingest/intake.ts'
import type { AgentStatus } from './status.ts'
import { PRODUCE_BUCKETS } from './uplink/lane-view.ts'

const LANE_STATES: readonly AgentStatus['lanes'][string]['state'][] = [
  'connecting',
  'streaming',
  'waiting',
  'parked'
]

/**
 * The agent's metrics. Labels come from closed lists – reasons, lanes, what the configuration names –
 * never a device, a topic or a client.
 */
export function registerAgentMetrics(metrics: Metrics, agent: Agent): void {
  // One look a scrape: what is shown fits together.
  let seen = agent.status
  metrics.refresh(() => {
    seen = agent.status
  })
  const status = () => seen
  registerIngestMetrics(metrics, agent, status)
  registerLossMetrics(metrics, status)
  registerLaneMetrics(metrics, agent, status)
  registerSinkMetrics(metrics, agent)
  registerLogMetrics(metrics, agent)
}

type Status = () => AgentStatus

function registerIngestMetrics(metrics: Metrics, agent: Agent, status: Status): void {
  metrics.histogramOf(
    'fieldline_puback_wait_seconds',
    'From the arrival of a QoS 1 or 2 message to the sync that allows its acknowledgement.',
    PUBACK_BUCKETS,
    () => agent.intake.waits.totals
  )
  metrics.counters('fieldline_messages_stored_total', 'Messages in the log, by QoS.', 'qos', () => {
    const [qos0, qos1, qos2] = agent.intake.counters.stored
    return { 0: qos0, 1: qos1, 2: qos2 }
  })
  metrics.counter(
    'fieldline_messages_stored_bytes_total',
    'Bytes of these, as they are stored.',
    () => agent.intake.counters.storedBytes
  )
  metrics.counters(
    'fieldline_messages_refused_total',
    'Messages and clients not let in, by reason.',
    'reason',
    () => ({
      ...agent.broker?.status.refused,
      malformed: agent.broker?.status.malformed ?? 0,
      not_stored: agent.intake.counters.refused
    })
  )
  metrics.gauge('fieldline_mqtt_clients', 'Connected clients.', () => status().mqtt?.clients ?? 0)
  metrics.gauge(
    'fieldline_mqtt_sessions',
    'Sessions kept for clients that are away.',
    () => status().mqtt?.sessions ?? 0
  )
  metrics.gauge(
    'fieldline_mqtt_subscriptions',
    'Subscriptions of local clients.',
    () => status().mqtt?.subscriptions ?? 0
  )
  metrics.counter(
    'fieldline_mqtt_throttled_total',
    'How often a client was read slower for its rate.',
    () => status().mqtt?.throttled ?? 0
  )
  metrics.gauges(
    'fieldline_mqtt_certificate_expiry_timestamp_seconds',
    'Until when the certificate of a TLS listener is valid, by its address; epoch.',
    'listener',
    () => {
      const listeners = status().mqtt?.listeners ?? []
      return Object.fromEntries(
        listeners.flatMap(({ address, certificate }) =>
          certificate ? [[address, certificate.expiresAt / 1000] as const] : []
        )
      )
    }
  )
  metrics.gauges(
    'fieldline_upstream_up',
    '1 while another broker that readings are taken from is connected, by its name here.',
    'upstream',
    () => upstreams(status(), ({ state }) => (state === 'connected' ? 1 : 0))
  )
  metrics.counters(
    'fieldline_upstream_received_total',
    'Messages from it, repeated ones included, by upstream.',
    'upstream',
    () => upstreams(status(), ({ received }) => received)
  )
  metrics.counters(
    'fieldline_upstream_connects_total',
    'Connections that it accepted, by upstream.',
    'upstream',
    () => upstreams(status(), ({ connects }) => connects)
  )
  metrics.gauges(
    'fieldline_upstream_inflight_messages',
    'Messages from it that are not acknowledged yet, by upstream.',
    'upstream',
    () => upstreams(status(), ({ inflight }) => inflight)
  )
  metrics.gauge('fieldline_ready', '1 while readings are accepted.', () => (agent.ready ? 1 : 0))
  metrics.gauge(
    'fieldline_clock_synced',
    '1 once the time is known.',
    () => +(status().clock === 'synced')
  )
}

function upstreams(
  { upstreams }: AgentStatus,
  read: (upstream: AgentStatus['upstreams'][number]) => number
): Record<string, number> {
  return Object.fromEntries(upstreams.map(upstream => [upstream.name, read(upstream)]))
}

function registerLossMetrics(metrics: Metrics, status: Status): void {
  metrics.counters(
    'fieldline_records_dropped_total',
    'Readings that will never reach Kafka, by stage and reason.',
    ['stage', 'reason'],
    () => byStage({ ...status().drops, 'upstream.oversized': oversized(status()) })
  )
  metrics.counters(
    'fieldline_dead_letters_total',
    'Records exchanged for dead letters, by reason.',
    'reason',
    () => status().deadLetters
  )
  const filtered = (read: (route: AgentStatus['filtered'][string]) => number) => () =>
    Object.fromEntries(
      Object.entries(status().filtered).map(([name, route]) => [name, read(route)])
    )
  metrics.counters(
    'fieldline_route_dropped_total',
    'Messages thrown away by a route with `drop`, by route.',
    'route',
    filtered(route => route.dropped)
  )
  metrics.counters(
    'fieldline_route_sampled_out_total',
    'Readings left out by a route with `sample`, by route.',
    'route',
    filtered(route => route.sampledOut)
  )
}

/** Larger than the log takes: acknowledged, or they would come again for ever. */
function oversized({ upstreams }: AgentStatus): number {
  return upstreams.reduce((sum, upstream) => sum + upstream.oversized, 0)
}

/** `log.full` is the stage `log` and the reason `full`. */
function byStage(drops: AgentStatus['drops']): Record<string, Record<string, number>> {
  const stages: Record<string, Record<string, number>> = {}
  for (const [name, count] of Object.entries(drops)) {
    const [stage, reason = ''] = name.split('.')
    stages[stage] = { ...stages[stage], [reason]: count }
  }
  return stages
}

function registerLaneMetrics(metrics: Metrics, agent: Agent, status: Status): void {
  type LaneStatus = AgentStatus['lanes'][string]
  const lanes = (read: (lane: LaneStatus) => number | null) => () => {
    const values = Object.entries(status().lanes).map(([name, lane]) => [name, read(lane)] as const)
    return Object.fromEntries(values.filter((pair): pair is [string, number] => pair[1] !== null))
  }
  const gauges: Record<string, [help: string, read: (lane: LaneStatus) => number | null]> = {
    fieldline_backlog_records: ['Records that are not in Kafka yet.', lane => lane.backlogRecords],
    fieldline_backlog_bytes: ['The disk they take, about.', lane => lane.backlogBytes],
    fieldline_backlog_age_seconds: [
      'How long the oldest of them has waited; 0 when there is none.',
      lane => lane.backlogAgeMs / 1000
    ],
    fieldline_backlog_eta_seconds: [
      'Until they are, at the present rate; absent while they do not become fewer.',
      lane => lane.etaSeconds
    ],
    fieldline_log_bytes: ['Disk used.', lane => lane.log.bytes],
    fieldline_log_bytes_max: ['Limit of it.', lane => lane.log.bytesMax]
  }
  const counters: Record<string, [help: string, read: (lane: LaneStatus) => number]> = {
    fieldline_produced_total: ['Records stored in Kafka.', lane => lane.counters.produced],
    fieldline_produced_bytes_total: [
      'Bytes of their values, not compressed.',
      lane => lane.counters.producedBytes
    ]
  }
  for (const [name, [help, read]] of Object.entries(gauges)) {
    metrics.gauges(name, `${help} By lane.`, 'lane', lanes(read))
  }
  for (const [name, [help, read]] of Object.entries(counters)) {
    metrics.counters(name, `${help} By lane.`, 'lane', lanes(read))
  }
  metrics.histogramsOf(
    'fieldline_produce_seconds',
    "From handing a batch to Kafka's client until all of it is stored, retries included, by lane.",
    'lane',
    PRODUCE_BUCKETS,
    () =>
      Object.fromEntries(
        agent.lanes.flatMap(({ name, produceTimes }) =>
          produceTimes ? [[name, produceTimes] as const] : []
        )
      )
  )
  metrics.states(
    'fieldline_mode',
    '1 for what the agent is doing, 0 for the rest.',
    'mode',
    MODES,
    () => status().mode
  )
  metrics.gauge(
    'fieldline_status_topic_up',
    '1 while the fleet is told of this agent in Kafka; absent when it is not to be.',
    () => {
      const { statusTopic } = status()
      return statusTopic ? +(statusTopic.state === 'writing') : undefined
    }
  )
  metrics.gauges(
    'fieldline_lane_state',
    '1 for how a lane stands with Kafka, 0 for the rest; `parked` needs a person.',
    ['lane', 'state'],
    () =>
      Object.fromEntries(
        Object.entries(status().lanes).map(([name, { state }]) => [name, oneOf(LANE_STATES, state)])
      )
  )
}

/** What becomes of alerts beside Kafka. */
export function registerSinkMetrics(
  metrics: Metrics,
  agent: { readonly alertSinks: { readonly status: SinkStatus[] } }
): void {
  const sinks = (value: (sink: SinkStatus) => number) => () =>
    Object.fromEntries(agent.alertSinks.status.map(sink => [sink.name, value(sink)]))
  const gauges: Record<string, [help: string, value: (sink: SinkStatus) => number]> = {
    fieldline_alert_sink_up: ['1 while it takes alerts.', sink => +(sink.state === 'delivering')],
    fieldline_alert_sink_backlog_records: [
      'Frames of the alert log that are not there yet.',
      sink => sink.backlogRecords
    ],
    fieldline_alert_sink_open: ['Alerts that it knows as open.', sink => sink.openAlerts]
  }
  const counters: typeof gauges = {
    fieldline_alert_sink_delivered_total: ['Alert events delivered.', sink => sink.delivered],
    fieldline_alert_sink_refused_total: [
      'Alert events refused for good, and passed over.',
      sink => sink.refused
    ],
    fieldline_alert_sink_skipped_total: [
      'Frames dropped before it came to them: it was too far behind.',
      sink => sink.skipped
    ]
  }
  for (const [name, [help, value]] of Object.entries(gauges)) {
    metrics.gauges(name, `${help} By sink.`, 'sink', sinks(value))
  }
  for (const [name, [help, value]] of Object.entries(counters)) {
    metrics.counters(name, `${help} By sink.`, 'sink', sinks(value))
  }
}

/** What the logs do to the disk: their wear of a flash card can be watched, and projected. */
export function registerLogMetrics(
  metrics: Metrics,
  agent: Pick<Agent, 'telemetryLog' | 'alertLog'>
): void {
  const logs = { telemetry: agent.telemetryLog, alerts: agent.alertLog }
  const read = (value: (status: LogStatus) => number | undefined) => () => {
    const values: Record<string, number> = {}
    for (const [lane, log] of Object.entries(logs)) {
      const number = value(log.status)
      if (number !== undefined) values[lane] = number
    }
    return values
  }
  const counters: Record<string, [help: string, value: (status: LogStatus) => number]> = {
    fieldline_log_appended_records_total: ['Records stored.', log => log.counters.records],
    fieldline_log_appended_bytes_total: ['Their payload.', log => log.counters.payloadBytes],
    fieldline_log_written_bytes_total: [
      'Bytes handed to the disk: frames, headers, checkpoints.',
      log => log.counters.writtenBytes
    ],
    fieldline_log_written_page_bytes_total: [
      "The same in whole pages of 4 KiB, as flash wears; the file system's journal comes on top.",
      log => log.counters.pageBytes
    ],
    fieldline_log_syncs_total: ['Syncs of files and directories.', log => log.counters.syncs],
    fieldline_log_sync_seconds_total: ['Spent in syncs.', log => log.counters.syncMs / 1000]
  }
  for (const [name, [help, value]] of Object.entries(counters)) {
    metrics.counters(name, `${help} By lane.`, 'lane', read(value))
  }
  metrics.gauges(
    'fieldline_log_wear_bytes_per_day',
    'Whole pages a day at the rate since the start, by lane; absent in the first minute.',
    'lane',
    read(log => log.writtenBytesPerDay)
  )
  metrics.gauges(
    'fieldline_log_quarantine_bytes',
    'Set aside as damaged, by lane.',
    'lane',
    read(log => log.quarantine.bytes)
  )
}
