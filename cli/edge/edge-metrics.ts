import type { Agent } from '../../agent/agent.ts'
import type { Metrics } from '../../core/runtime/metrics.ts'
import { MODEL_RUN_BUCKETS, registerEngineMetrics } from '../../detector/engine-metrics.ts'
import type { AgentLogCounters } from '../../detector/source/agent-log-source.ts'
import type { EdgeDetection } from './edge-detection.ts'
import type { MeasuredEdge } from './edge-measures.ts'

/**
 * The edge detector's metrics, under the names of the central one's.
 *
 * Its thread is asked at each scrape, rather than telling every few seconds: what is shown is of now,
 * and an agent that nobody scrapes is not woken for it. Where it does not answer in time, what was
 * last heard of it stays, and `fieldline_detector_up` is 0; how far it is behind is seen from outside.
 */
export function registerEdgeMetrics(
  metrics: Metrics,
  detection: Pick<EdgeDetection, 'measures'>,
  log: Pick<Agent['telemetryLog'], 'status'>,
  now: () => number = Date.now
): void {
  let seen: MeasuredEdge = { up: false, measures: undefined }
  let caughtUpAt = Number.NEGATIVE_INFINITY
  metrics.refresh(async () => {
    seen = await detection.measures()
    if (lagRecords() === 0) caughtUpAt = now()
  })
  const lagRecords = () => {
    const progress = seen.measures?.progress
    if (!progress) return undefined
    const { end, firstKept } = log.status
    return Math.max(0, end - Math.max(progress.offset, firstKept))
  }
  // After an hour's silence a record that just came is not an hour behind.
  const lagSeconds = () => {
    const lag = lagRecords()
    if (lag === undefined || lag === 0) return lag
    const since = Math.max(seen.measures?.progress?.receivedAt ?? caughtUpAt, caughtUpAt)
    return Number.isFinite(since) ? Math.max(0, now() - since) / 1000 : undefined
  }
  metrics.gauge('fieldline_detector_up', '1 while it answers, and reads.', () => (seen.up ? 1 : 0))
  metrics.gauge(
    'fieldline_detector_lag_records',
    'Records of the log that it has not read yet.',
    lagRecords
  )
  metrics.gauge(
    'fieldline_detector_lag_seconds',
    'How long ago what it read last was received; 0 while it has read all.',
    lagSeconds
  )
  const counter = (name: string, help: string, value: (of: AgentLogCounters) => number) =>
    metrics.counter(name, help, () => seen.measures && value(seen.measures.counters))
  counter('fieldline_detector_records_total', 'Records read.', of => of.records)
  counter(
    'fieldline_detector_skipped_total',
    'Records passed over, because it was too far behind: delivered, but not scored.',
    of => of.skipped
  )
  counter(
    'fieldline_detector_undecodable_total',
    'Records that a defect of ours keeps from being read.',
    of => of.undecodable
  )
  metrics.histogramOf(
    'fieldline_detector_model_run_seconds',
    'What a call of a model took.',
    MODEL_RUN_BUCKETS,
    () => seen.measures?.modelRuns
  )
  registerEngineMetrics(metrics, () => seen.measures)
}
