import type { Metrics } from '../core/runtime/metrics.ts'
import type { CentralDetector, CentralStatus, PartitionStatus } from './central-detector.ts'
import { bySeverity } from './counters.ts'
import { MODEL_RUN_BUCKETS, registerEngineMetrics } from './engine-metrics.ts'

/** Seconds behind the watermark: a line that went away, an agent that drains a day's backlog. */
const LATE_BUCKETS = [1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400, 604_800]

const STATES: readonly CentralStatus['state'][] = ['joining', 'reading', 'waiting', 'stopped']

/**
 * The central detector's metrics. Labels come from closed lists: never a device, and of partitions,
 * of which there may be thousands, sums and extremes; `/status` lists them.
 */
export function registerDetectorMetrics(
  metrics: Metrics,
  detector: CentralDetector,
  now: () => number = Date.now
): void {
  // One look a scrape: what is shown fits together.
  let status = detector.status()
  metrics.refresh(() => {
    status = detector.status()
  })
  const places = (read: (place: PartitionStatus) => number | null): number[] =>
    status.partitions.map(read).filter(value => value !== null)

  detector.onLate = metrics.histogram(
    'fieldline_detector_lateness_seconds',
    "How far behind their partition's watermark readings were that came late.",
    LATE_BUCKETS
  )
  detector.onModelRun = metrics.histogram(
    'fieldline_detector_model_run_seconds',
    'What a call of a model took.',
    MODEL_RUN_BUCKETS
  )
  metrics.gauge('fieldline_detector_up', '1 while it answers, and reads.', () =>
    status.state === 'reading' ? 1 : 0
  )
  metrics.states(
    'fieldline_detector_state',
    '1 for what it is doing with its group in Kafka, 0 for the rest.',
    'state',
    STATES,
    () => status.state
  )
  metrics.gauge('fieldline_detector_lag_records', 'Records not read yet, of all partitions.', () =>
    places(place => place.lag).reduce((sum, lag) => sum + lag, 0)
  )
  metrics.gauge(
    'fieldline_detector_lag_records_max',
    'Records not read yet, of the partition that has most of them.',
    () => Math.max(0, ...places(place => place.lag))
  )
  metrics.gauge(
    'fieldline_detector_lag_seconds',
    'Age of the newest event time seen, of the partition longest behind; 0 while all is read.',
    () => {
      const behind = places(place => (place.lag > 0 ? place.watermark : null))
      return Math.max(0, ...behind.map(watermark => (now() - watermark) / 1000))
    }
  )
  metrics.gauge(
    'fieldline_detector_watermark_seconds',
    'Latest event time seen, of the partition where it is earliest; epoch.',
    () => {
      const watermarks = places(place => place.watermark)
      return watermarks.length === 0 ? undefined : Math.min(...watermarks) / 1000
    }
  )
  metrics.gauges('fieldline_detector_partitions', 'Partitions held, by state.', 'state', () => {
    const states = { opening: 0, reading: 0, waiting: 0 }
    for (const { state } of status.partitions) states[state]++
    return states
  })
  metrics.counter(
    'fieldline_detector_records_total',
    'Records read.',
    () => status.counters.records
  )
  metrics.counters(
    'fieldline_detector_passed_total',
    'Records that were not scored, by reason.',
    'reason',
    () => {
      const { unrouted, notOurs } = status.counters
      return { unrouted, not_ours: notOurs }
    }
  )
  metrics.counters(
    'fieldline_detector_dead_letters_total',
    'Records that can never be read, by reason.',
    'reason',
    () => status.counters.poison
  )
  metrics.counter(
    'fieldline_detector_stored_total',
    'Alert events and dead letters stored in Kafka.',
    () => status.counters.stored
  )
  metrics.counter(
    'fieldline_detector_state_bytes_total',
    'Bytes of state written to Kafka.',
    () => status.counters.stateBytes
  )
  metrics.counter(
    'fieldline_detector_rebalances_total',
    'Times the group has shared out its partitions anew.',
    () => status.counters.rebalances
  )
  metrics.counter(
    'fieldline_detector_reopened_total',
    'Partitions begun anew because Kafka did not answer, or somebody else had taken them.',
    () => status.counters.reopened
  )
  registerFleetMetrics(metrics, () => status.agents)
  registerEngineMetrics(metrics, () => ({
    counters: status.counters,
    open: bySeverity(detector.openAlerts()),
    models: detector.models
  }))
}

/** Of agents that report in the status topic; absent where there is none. */
function registerFleetMetrics(metrics: Metrics, read: () => CentralStatus['agents']): void {
  const gauge = (name: string, help: string, value: (of: CentralStatus['agents']) => number) =>
    metrics.gauge(name, help, () => {
      const agents = read()
      return agents.state === 'off' ? undefined : value(agents)
    })
  gauge('fieldline_fleet_heard', "1 while the agents' status topic is read.", ({ state }) =>
    state === 'heard' ? 1 : 0
  )
  gauge('fieldline_fleet_agents', 'Agents that report.', ({ known }) => known)
  gauge(
    'fieldline_fleet_agents_away',
    'Of these: open alerts that one is away, where this instance is the one that tells them.',
    ({ away }) => away
  )
}
