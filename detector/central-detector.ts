import type { AlertEvent } from '../core/contract/alert-event.ts'
import type { RouteConfig } from '../core/contract/route-config.ts'
import { type Clock, systemClock } from '../core/runtime/clock.ts'
import type { Kafka } from '../core/runtime/kafka.ts'
import type { Logger } from '../core/runtime/log.ts'
import type { DetectorConfig } from './config.ts'
import { type DetectorCounters, noCounters } from './counters.ts'
import { Detector } from './detector.ts'
import { KafkaAlertSink } from './kafka-alert-sink.ts'
import { Pipeline, type SnapshotStore } from './pipeline.ts'
import type { DeviceScorer } from './scorer/device-scorer.ts'
import { loadModels } from './scorer/onnx-models.ts'
import { KafkaSource, type KafkaSourceCounters } from './source/kafka-source.ts'

export interface CentralDetectorOptions {
  config: DetectorConfig
  kafka: Kafka
  /** Where alerts go: `fieldline.alerts`. */
  alertTopic: string
  routes: readonly RouteConfig[]
  /** Without a store a restart learns anew. */
  snapshots?: SnapshotStore
  logger: Logger
  clock?: Clock
}

/**
 * The detector over Kafka: one state a partition, so that partitions can go from one instance to
 * another and an alert never depends on what else an instance reads.
 *
 * At least once: alerts are stored before telemetry offsets are committed; after a crash a few are
 * sent again under the same ids.
 */
export class CentralDetector {
  readonly #options: CentralDetectorOptions
  readonly #source: KafkaSource
  readonly #sink: KafkaAlertSink
  #pipeline: Pipeline | undefined

  constructor(options: CentralDetectorOptions) {
    const { config, kafka, alertTopic, routes, logger } = options
    this.#options = options
    this.#source = new KafkaSource({
      kafka,
      group: config.group,
      topics: config.topics,
      routes,
      logger
    })
    this.#sink = new KafkaAlertSink({ kafka, topic: alertTopic, logger })
  }

  /** Runs until the signal aborts; then finishes the batch in hand, commits, and leaves the group. */
  async run(signal: AbortSignal): Promise<void> {
    const { config, logger, snapshots, clock = systemClock } = this.#options
    // One session for each model, whatever the number of partitions.
    const models = config.scorer === 'onnx' ? await loadModels(config.models, logger) : []
    const pipeline = new Pipeline({
      source: this.#source,
      detector: async () => this.#detector(models),
      deliver: (deliveries, batch) =>
        this.#sink.publish(
          deliveries.flatMap(d => d.events),
          signal,
          batch.heartbeat
        ),
      deliveredTo: resume => resume,
      commit: 'batch',
      ...(snapshots ? { snapshots } : {}),
      snapshotIntervalMs: config.snapshotIntervalMs,
      rewindRecordsMax: config.lagRecordsMax,
      clock,
      logger
    })
    this.#pipeline = pipeline
    try {
      await pipeline.run(signal)
    } finally {
      await this.#sink.close()
      await Promise.all(models.map(m => m.close()))
    }
  }

  openAlerts(): AlertEvent[] {
    return this.#pipeline?.detectors.flatMap(d => d.openAlerts()) ?? []
  }

  /** Of the partitions held now. */
  counters(): DetectorCounters & { source: KafkaSourceCounters } {
    const sum = noCounters()
    for (const detector of this.#pipeline?.detectors ?? []) addCounters(sum, detector.counters())
    return { ...sum, source: structuredClone(this.#source.counters) }
  }

  #detector(models: readonly DeviceScorer[]): Detector {
    const { config, logger } = this.#options
    return new Detector(config, { source: `/fieldline/${config.group}`, logger, models })
  }
}

type Counts = { [name: string]: number | Counts }

function addCounters(sum: object, part: object): void {
  const [into, from] = [sum as Counts, part as Counts]
  for (const [name, value] of Object.entries(from)) {
    if (typeof value === 'number') into[name] = (into[name] as number) + value
    else addCounters(into[name] as Counts, value)
  }
}
