import { setTimeout as sleep } from 'node:timers/promises'
import type { AlertEvent, AlertFrame } from '../core/contract/alert-event.ts'
import type { Cursor, LogReader, LogRecord } from '../core/log/reader.ts'
import { BucketCounts, type BucketTotals } from '../core/runtime/bucket-counts.ts'
import { type Clock, systemClock } from '../core/runtime/clock.ts'
import { messageOf, OperationalError } from '../core/runtime/errors.ts'
import type { Logger } from '../core/runtime/log.ts'
import type { HeardDevice } from './alert/silence.ts'
import type { DetectorConfig } from './config.ts'
import { bySeverity, type DetectorCounters } from './counters.ts'
import { Detector, type DetectorOptions, type DetectorReading } from './detector.ts'
import { type EngineMeasures, MODEL_RUN_BUCKETS } from './engine-metrics.ts'
import { type Delivery, Pipeline, type SnapshotStore } from './pipeline.ts'
import type { DeviceModel } from './scorer/device-scorer.ts'
import type { SeriesName } from './series-table.ts'
import {
  type AgentLogCounters,
  type AgentLogProgress,
  AgentLogSource
} from './source/agent-log-source.ts'
import { comparePositions } from './source/position.ts'
import type { SourceConsumer } from './source/source.ts'

export interface EdgeDetectorOptions {
  config: DetectorConfig
  /** `/fieldline/gateway-7` */
  source: string
  /** Of the telemetry log, a soft cursor of the detector's own. Closed by `stop`. */
  reader: LogReader
  decode: (record: LogRecord) => Omit<DetectorReading, 'index'>[]
  /** Resolves when the frame is durable in the alert log. */
  appendAlerts: (frame: AlertFrame) => Promise<void>
  /** Position of the record behind the newest frame of the alert log, if there is one. */
  lastAlertSource: Cursor | undefined
  snapshots: SnapshotStore
  /** End of what is durable in the telemetry log; without it the lag is not limited. */
  durableEnd?: () => Cursor
  logger: Logger
  /** Called at most once, if detection ends by itself. Ingest and delivery go on. */
  onFailed?: (error: unknown) => void
  models?: readonly DeviceModel[]
  /** See `DetectorOptions`. */
  watch?: DetectorOptions['watch']
  clock?: Clock
  /** Calls again and again until the function it returns is called. */
  every?: (intervalMs: number, callback: () => void) => () => void
  retryDelayMs?: number
}

/** What is measured of it: plain data, it may go from thread to thread. */
export interface EdgeMeasures extends EngineMeasures {
  counters: DetectorCounters & AgentLogCounters
  /** By `MODEL_RUN_BUCKETS`. */
  modelRuns: BucketTotals
  /** Undefined before it is known where to begin. */
  progress: AgentLogProgress | undefined
  /** It has ended by itself. */
  failed: boolean
}

/**
 * The detector inside the agent: reads the agent's telemetry log, appends alerts to its alert log.
 *
 * All alerts of a record are one frame with the record's position, and only records before a *saved*
 * snapshot are committed: whatever the moment of a crash, the next start reads again from the
 * snapshot, appends nothing up to `lastAlertSource`, and then goes on.
 */
export class EdgeDetector {
  readonly #options: EdgeDetectorOptions
  readonly #detector: Detector
  readonly #source: AgentLogSource
  readonly #pipeline: Pipeline
  readonly #abort = new AbortController()
  /** Just behind the last record whose alerts an earlier life stored. */
  readonly #silentUntil: Cursor | undefined
  readonly #caughtUp: Promise<void>
  readonly #modelRuns = new BucketCounts(MODEL_RUN_BUCKETS)
  #onCaughtUp: () => void = () => {}
  #hasFailed = false
  #running: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined

  constructor(options: EdgeDetectorOptions) {
    const { config, logger, models, watch } = options
    this.#options = options
    this.#detector = new Detector(config, {
      source: options.source,
      logger,
      onModelRun: seconds => this.#modelRuns.observe(seconds),
      ...(models ? { models } : {}),
      ...(watch ? { watch } : {})
    })
    this.#source = new AgentLogSource({
      reader: options.reader,
      decode: options.decode,
      lagRecordsMax: config.lagRecordsMax,
      logger,
      ...(options.durableEnd ? { durableEnd: options.durableEnd } : {})
    })
    const last = options.lastAlertSource
    this.#silentUntil = last && { epoch: last.epoch, offset: last.offset + 1 }
    this.#caughtUp = new Promise(resolve => {
      this.#onCaughtUp = resolve
    })
    this.#pipeline = new Pipeline({
      source: this.#source,
      detector: this.#detector,
      deliver: deliveries => this.#append(deliveries),
      silentUntil: this.#silentUntil,
      snapshots: options.snapshots,
      snapshotIntervalMs: config.snapshotIntervalMs,
      clock: options.clock ?? systemClock,
      logger
    })
  }

  /** Resolves when the state is loaded and reading has begun. */
  async start(): Promise<void> {
    const { every = everyUnref, config } = this.#options
    await this.#detector.open()
    await new Promise<void>((resolve, reject) => {
      const consumer: SourceConsumer = {
        begin: async resume => {
          const start = await this.#pipeline.begin(resume)
          this.#passed(start)
          resolve()
          return start
        },
        handle: async batch => {
          await this.#pipeline.handle(batch)
          this.#passed(batch.end)
        }
      }
      this.#running = this.#source.run(consumer, this.#abort.signal)
      this.#running.catch(reject)
    })
    this.#running?.catch(error => this.#failed(error))
    this.#cancelTimer = every(config.snapshotIntervalMs, () => {
      this.#pipeline.save().catch(error => this.#failed(error))
    })
  }

  /** Finishes the batch in hand, takes a last snapshot and closes the reader. */
  async stop(): Promise<void> {
    this.#cancelTimer?.()
    this.#abort.abort()
    try {
      await this.#running
      await this.#pipeline.save()
    } catch {
      // Told when it happened; the last good snapshot stands.
    }
    this.#options.reader.close()
    await this.#detector.close()
  }

  /**
   * Resolves once all records were passed whose alerts are stored already. Before, `openAlerts` may
   * name some that an earlier life has cleared.
   */
  caughtUp(): Promise<void> {
    return this.#caughtUp
  }

  /** Alerts that are raised and not cleared, as of the last record processed. */
  openAlerts(): AlertEvent[] {
    return this.#detector.openAlerts()
  }

  counters(): DetectorCounters & AgentLogCounters {
    return { ...this.#detector.counters(), ...this.#source.counters }
  }

  measures(): EdgeMeasures {
    return {
      counters: this.counters(),
      open: bySeverity(this.openAlerts()),
      models: this.#detector.modelStates,
      modelRuns: this.#modelRuns.totals,
      progress: this.#running && this.#source.progress,
      failed: this.#hasFailed
    }
  }

  heardDevices(): Iterable<HeardDevice> {
    return this.#detector.heardDevices()
  }

  seriesOf(device: Pick<SeriesName, 'site' | 'device'>): readonly SeriesName[] {
    return this.#detector.seriesOf(device)
  }

  #passed(position: Cursor): void {
    if (!this.#silentUntil || comparePositions(position, this.#silentUntil) >= 0) this.#onCaughtUp()
  }

  async #append(deliveries: readonly Delivery[]): Promise<void> {
    for (const { source, events } of deliveries) {
      await this.#appendFrame({ source: { epoch: source.epoch, offset: source.offset }, events })
    }
  }

  /** Waits for room as long as it takes: detection stands still, telemetry does not. */
  async #appendFrame(frame: AlertFrame): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#options.appendAlerts(frame)
      } catch (error) {
        if (!(error instanceof OperationalError && error.retryable)) throw error
        if (attempt === 1) {
          this.#options.logger.error(
            { event: 'detector.alert_waits', code: error.code },
            `An alert cannot be stored: ${messageOf(error)} Detection waits; nothing is lost.`
          )
        }
        await sleep(this.#options.retryDelayMs ?? 1000, undefined, { signal: this.#abort.signal })
      }
    }
  }

  #failed(error: unknown): void {
    if (this.#abort.signal.aborted) return
    this.#cancelTimer?.()
    this.#hasFailed = true
    this.#options.logger.error(
      { event: 'detector.failed' },
      `Detection has stopped: ${messageOf(error)} Readings are still accepted and delivered; ` +
        'restart the agent to detect again, from where it stopped.'
    )
    this.#options.onFailed?.(error)
  }
}

function everyUnref(intervalMs: number, callback: () => void): () => void {
  const timer = setInterval(callback, intervalMs)
  timer.unref()
  return () => clearInterval(timer)
}
