import type { LogStatus } from '../core/log/log.ts'
import type { Metrics } from '../core/runtime/metrics.ts'
import type { Agent } from './agent.ts'
import type { SinkStatus } from './alerts/alert-reader.ts'
import type { AgentStatus } from './status.ts'

/** Seconds; a PUBACK waits for one sync, an SD card's may take half a second. */
const PUBACK_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/** The agent's metrics. Labels come from closed lists: never a device, a topic or a client. */
export function registerAgentMetrics(metrics: Metrics, agent: Agent): void {
  const status = () => agent.status

  agent.intake.onStored = metrics.histogram(
    'fieldline_puback_wait_seconds',
    'From the arrival of a QoS 1 or 2 message to the sync that allows its acknowledgement.',
    PUBACK_BUCKETS
  )
  metrics.counters('fieldline_messages_stored_total', 'Messages in the log, by QoS.', 'qos', () => {
    const [qos0, qos1, qos2] = agent.intake.counters.stored
    return { 0: qos0, 1: qos1, 2: qos2 }
  })
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
  metrics.counters(
    'fieldline_records_dropped_total',
    'Readings that will never reach Kafka, by stage and reason.',
    'reason',
    () => status().drops
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
  metrics.gauge('fieldline_mqtt_clients', 'Connected clients.', () => status().mqtt?.clients ?? 0)
  metrics.gauge('fieldline_ready', '1 while readings are accepted.', () => (agent.ready ? 1 : 0))
  const lanes = (read: (lane: AgentStatus['lanes'][string]) => number) => () =>
    Object.fromEntries(Object.entries(status().lanes).map(([name, lane]) => [name, read(lane)]))
  metrics.gauges(
    'fieldline_backlog_records',
    'Records that are not in Kafka yet, by lane.',
    'lane',
    lanes(lane => lane.backlogRecords)
  )
  metrics.gauges(
    'fieldline_backlog_age_seconds',
    'Age of the oldest of them, by lane.',
    'lane',
    lanes(lane => lane.backlogAgeMs / 1000)
  )
  metrics.gauges(
    'fieldline_backlog_eta_seconds',
    'Until they are, by lane; absent while they do not become fewer.',
    'lane',
    () => {
      const known = Object.entries(status().lanes).map(([name, lane]) => [name, lane.etaSeconds])
      return Object.fromEntries(known.filter(([, seconds]) => seconds !== null))
    }
  )
  metrics.gauges(
    'fieldline_log_bytes',
    'Disk used, by lane.',
    'lane',
    lanes(lane => lane.log.bytes)
  )
  metrics.gauges(
    'fieldline_log_bytes_max',
    'Limit of it, by lane.',
    'lane',
    lanes(lane => lane.log.bytesMax)
  )
  metrics.counters(
    'fieldline_produced_total',
    'Records stored in Kafka, by lane.',
    'lane',
    lanes(lane => lane.counters.produced)
  )
  registerSinkMetrics(metrics, agent)
  registerLogMetrics(metrics, agent)
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
