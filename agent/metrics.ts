import type { Metrics } from '../core/runtime/metrics.ts'
import type { Agent } from './agent.ts'
import type { AgentStatus } from './status.ts'

/** Seconds; a PUBACK waits for one sync, an SD card's may take half a second. */
const PUBACK_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/** The agent's metrics. Labels come from closed lists: never a device, a topic or a client. */
export function registerAgentMetrics(metrics: Metrics, agent: Agent): void {
  const status = () => agent.status
  const log = () => agent.telemetryLog.status.counters

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
  metrics.counter('fieldline_log_syncs_total', 'Syncs of the telemetry log.', () => log().syncs)
  metrics.counter(
    'fieldline_log_written_bytes_total',
    'Bytes that the telemetry log handed to the disk.',
    () => log().writtenBytes
  )
  metrics.counter(
    'fieldline_log_payload_bytes_total',
    'Payload among them.',
    () => log().payloadBytes
  )
}
