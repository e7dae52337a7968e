import type { Severity } from '../core/contract/alert-event.ts'
import type { Metrics } from '../core/runtime/metrics.ts'
import type { DetectorCounters } from './counters.ts'
import type { ModelStates } from './device-models.ts'

/** Seconds of one call: 64 windows of a small autoencoder take 50 µs, an LSTM on a Pi some ms. */
export const MODEL_RUN_BUCKETS = [
  ...[0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025],
  ...[0.005, 0.01, 0.025, 0.05, 0.1, 0.5]
]

/** What the engine says of itself, wherever it runs. */
export interface EngineMeasures {
  counters: DetectorCounters
  /** Open alerts. */
  open: Record<Severity, number>
  models: ModelStates
}

/**
 * What detectors at the edge and in the centre have in common. Labels come from closed lists: never a
 * device, a series or a model.
 *
 * @param read Undefined while nothing is known yet.
 */
export function registerEngineMetrics(
  metrics: Metrics,
  read: () => EngineMeasures | undefined
): void {
  const counter = (name: string, help: string, value: (of: DetectorCounters) => number) =>
    metrics.counter(name, help, () => {
      const measures = read()
      return measures && value(measures.counters)
    })
  counter('fieldline_detector_readings_total', 'Readings seen.', of => of.readings)
  counter(
    'fieldline_detector_values_scored_total',
    'Values scored, those of series that still warm up included.',
    of => of.scored
  )
  counter(
    'fieldline_detector_late_readings_total',
    "Readings behind their agent's watermark.",
    of => of.late
  )
  metrics.counters(
    'fieldline_detector_unscored_total',
    'Readings seen before, values given twice for one instant, what is no usable number or time, and readings of which not all is decoded.',
    'reason',
    () => {
      const of = read()?.counters
      if (!of) return undefined
      const { duplicates: duplicate, repeated, unusable, overfull } = of
      return { duplicate, repeated, unusable, overfull }
    }
  )
  metrics.gauge('fieldline_detector_series', 'Series known.', () => read()?.counters.series)
  metrics.gauge(
    'fieldline_detector_series_learning',
    'Of these: still warming up, nothing is found in them yet.',
    () => read()?.counters.seriesLearning
  )
  counter(
    'fieldline_detector_series_evicted_total',
    'Series forgotten: too many, or not heard for too long.',
    of => of.evicted
  )
  metrics.gauges(
    'fieldline_detector_open_alerts',
    'Alerts open, by severity.',
    'severity',
    () => read()?.open
  )
  metrics.gauge(
    'fieldline_detector_muted_alerts',
    'Conditions that last and that a silence hides.',
    () => read()?.counters.mutedAlerts
  )
  metrics.counters(
    'fieldline_detector_alerts_raised_total',
    'Alerts raised, by kind and severity at the time.',
    ['kind', 'severity'],
    () => read()?.counters.raisedAs
  )
  counter('fieldline_detector_alerts_updated_total', 'Updates of open alerts.', of => of.updated)
  counter('fieldline_detector_alerts_cleared_total', 'Alerts cleared.', of => of.cleared)
  metrics.counters(
    'fieldline_detector_alerts_suppressed_total',
    'Conditions that a silence kept from being told, by kind.',
    'kind',
    () => read()?.counters.suppressed
  )
  metrics.gauges(
    'fieldline_detector_models',
    'Configured models, by whether one is usable; for the others the z-score answers.',
    'state',
    () => {
      const models = read()?.models
      return models && { ...models }
    }
  )
  metrics.counters(
    'fieldline_detector_model_rows_total',
    'Rows that a model was asked for, by what became of it.',
    'result',
    () => {
      const of = read()?.counters
      return of && { scored: of.modelRows, failed: of.modelFallbacks }
    }
  )
}
