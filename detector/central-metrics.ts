import type { Metrics } from '../core/runtime/metrics.ts'
import type { CentralDetector, PartitionStatus } from './central-detector.ts'

/** Seconds behind the watermark: a line that went away, an agent that drains a day's backlog. */
const LATE_BUCKETS = [1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400, 604_800]

/** The central detector's metrics. Labels are partitions and closed lists, never devices. */
export function registerDetectorMetrics(metrics: Metrics, detector: CentralDetector): void {
  const counters = () => detector.counters()
  const perPartition = (read: (partition: PartitionStatus) => number | null) => () =>
    Object.fromEntries(
      detector.status().partitions.flatMap(place => {
        const value = read(place)
        return value === null ? [] : [[`${place.topic}/${place.partition}`, value]]
      })
    )
  detector.onLate = metrics.histogram(
    'fieldline_detector_lateness_seconds',
    "How far behind their partition's watermark readings were that came late.",
    LATE_BUCKETS
  )
  metrics.gauge('fieldline_detector_up', 'Whether the detector is in its group and reads.', () =>
    detector.status().state === 'reading' ? 1 : 0
  )
  metrics.gauges(
    'fieldline_detector_lag_records',
    'Records not read yet, by partition.',
    'partition',
    perPartition(place => place.lag)
  )
  metrics.gauges(
    'fieldline_detector_watermark_seconds',
    'Latest event time seen, by partition; epoch.',
    'partition',
    perPartition(({ watermark }) => (watermark === null ? null : watermark / 1000))
  )
  metrics.gauges('fieldline_detector_partitions', 'Partitions held, by state.', 'state', () => {
    const states = { opening: 0, reading: 0, waiting: 0 }
    for (const { state } of detector.status().partitions) states[state]++
    return states
  })
  metrics.gauge('fieldline_detector_series', 'Series known.', () => counters().series)
  metrics.gauge('fieldline_detector_open_alerts', 'Alerts open.', () => counters().openAlerts)
  metrics.counter('fieldline_detector_records_total', 'Records read.', () => counters().records)
  metrics.counters(
    'fieldline_detector_passed_total',
    'Records and readings that were not scored, by reason.',
    'reason',
    () => {
      const { unrouted, notOurs } = counters()
      return { unrouted, not_ours: notOurs }
    }
  )
  metrics.counters(
    'fieldline_detector_dead_letters_total',
    'Records that can never be read, by reason.',
    'reason',
    () => counters().poison
  )
  metrics.counter(
    'fieldline_detector_stored_total',
    'Alert events and dead letters stored in Kafka.',
    () => counters().stored
  )
  metrics.counter(
    'fieldline_detector_state_bytes_total',
    'Bytes of state written to Kafka.',
    () => counters().stateBytes
  )
  metrics.counter(
    'fieldline_detector_rebalances_total',
    'Times the group has shared out its partitions anew.',
    () => counters().rebalances
  )
  metrics.counter(
    'fieldline_detector_reopened_total',
    'Partitions begun anew because Kafka did not answer, or somebody else had taken them.',
    () => counters().reopened
  )
}
