import assert from 'node:assert'
import type { AlertEvent } from '../core/contract/alert-event.ts'
import type { Value } from '../core/contract/reading.ts'
import type { Logger } from '../core/runtime/log.ts'
import { Decider, type DecisionRule, decisionRuleOf } from './alert/decision.ts'
import {
  type AlertDetails,
  clearAlert,
  type LifecycleRule,
  type Observation,
  type OpenAlert,
  observeAlert,
  raiseAlert
} from './alert/lifecycle.ts'
import { SilenceWatch } from './alert/silence.ts'
import { SilenceAlerts } from './alert/silence-alerts.ts'
import type { DetectorConfig } from './config.ts'
import { countEvent, type DetectorCounters, noCounters } from './counters.ts'
import { Dedupe } from './dedupe.ts'
import { decodeState, encodeState } from './detector-state.ts'
import { DeviceModels, type ModelVerdict } from './device-models.ts'
import type { DeviceScorer } from './scorer/device-scorer.ts'
import { loadModels } from './scorer/onnx-models.ts'
import type { Scorer } from './scorer/scorer.ts'
import { seriesScorerOf } from './scorer/series-scorer.ts'
import { type Series, type SeriesName, SeriesTable } from './series-table.ts'

/** A telemetry record, or one element of it, decoded. */
export interface DetectorReading {
  /** The record's, at its agent: see core/contract/event-id.ts. */
  epoch: string
  offset: number
  /** Which element of the record, from 0; several when the payload is an array. */
  index?: number
  agentId: string
  /** `fl-id` */
  eventId: string
  site: string
  device: string
  /** Event time, epoch ms. */
  at: number
  receivedAt: number
  values: readonly Value[]
  /** The source knows that it comes late. */
  late?: boolean
  /** A dead letter sent again: not a duplicate, though its id was passed. */
  resent?: boolean
}

/** A reading that caused events, in their order. */
export interface ProcessedReading {
  /** Its place among the readings given to `process`. */
  index: number
  reading: DetectorReading
  events: AlertEvent[]
}

export interface DetectorOptions {
  /** `/fieldline/gateway-7`: what alerts name as their source. */
  source: string
  logger: Logger
  /** Models in place of the configured ones. */
  models?: readonly DeviceScorer[]
}

/** Larger ones, squared, would not be numbers any more. */
const MAGNITUDE_MAX = 1e100
/** What ECMAScript can write as a date. */
const INSTANT_MAX = 8.64e15

/**
 * Readings in, alert events out: dedupe → guard → series → score → decide → lifecycle → learn.
 *
 * Holds no clock and does no input or output: events are a function of the readings since the
 * beginning (or the snapshot), however they are cut into batches. With a model, scores may differ
 * in the last bits with the cut.
 *
 * One call of `process` at a time; `snapshot` only between calls.
 */
export class Detector {
  readonly #config: DetectorConfig
  readonly #options: DetectorOptions
  readonly #rule: DecisionRule & LifecycleRule
  readonly #counters = noCounters()
  #models: DeviceModels
  #scorer!: Scorer
  #decider!: Decider
  #series!: SeriesTable
  #dedupe!: Dedupe
  #silence!: SilenceWatch
  #silenceAlerts!: SilenceAlerts
  /** By slot. */
  #open!: Map<number, OpenAlert>
  /** Slots that scorer and decider have room for. */
  #room = 0
  #busy = false

  constructor(config: DetectorConfig, options: DetectorOptions) {
    this.#config = config
    this.#options = options
    const { raise, updateIntervalMs } = config
    this.#rule = {
      ...{ source: options.source, threshold: raise, updateIntervalMs },
      ...decisionRuleOf(config)
    }
    this.#models = this.#modelsOf(options.models ?? [])
    this.#forgetAll()
  }

  /** Loads the models, if any. One that cannot be used is reported and done without. */
  async open(): Promise<void> {
    if (this.#options.models || this.#config.scorer !== 'onnx') return
    this.#models = this.#modelsOf(await loadModels(this.#config.models, this.#options.logger))
  }

  async close(): Promise<void> {
    await this.#models.close()
  }

  /** @returns The readings that caused events; nothing for the others. */
  async process(readings: readonly DetectorReading[]): Promise<ProcessedReading[]> {
    assert(!this.#busy, 'one batch at a time')
    this.#busy = true
    try {
      const admitted = readings.map(r => (this.#admit(r) ? r : undefined))
      const verdicts = await this.#models.score(admitted)
      const processed: ProcessedReading[] = []
      for (const [index, reading] of admitted.entries()) {
        if (!reading) continue
        const events = this.#take(reading, verdicts.get(index))
        if (events.length > 0) processed.push({ index, reading, events })
      }
      return processed
    } finally {
      this.#busy = false
    }
  }

  /** All that later events depend on, except the configuration. */
  snapshot(): Buffer {
    assert(!this.#busy, 'between batches only')
    return encodeState(this.#parts())
  }

  /**
   * Goes on from a snapshot; after `open`.
   *
   * @returns false when the bytes are damaged, or of another format or scorer: the state is then
   *   empty, and everything is learned anew.
   */
  restore(bytes: Uint8Array): boolean {
    this.#forgetAll()
    try {
      if (decodeState(bytes, this.#parts())) return true
    } catch (error) {
      this.#options.logger.debug({ event: 'detector.snapshot_unusable', error: String(error) })
    }
    this.#forgetAll()
    return false
  }

  /** The last event of every alert that was raised and not cleared. */
  openAlerts(): AlertEvent[] {
    return [...this.#open.values(), ...this.#silenceAlerts.open].map(a => a.last)
  }

  counters(): DetectorCounters {
    const openAlerts = this.#open.size + this.#silenceAlerts.size
    return structuredClone({ ...this.#counters, series: this.#series.size, openAlerts })
  }

  #admit(reading: DetectorReading): boolean {
    const { agentId, epoch, offset, index = 0, at, receivedAt, resent } = reading
    this.#counters.readings++
    if (!resent && !this.#dedupe.pass(agentId, epoch, offset, index)) {
      this.#counters.duplicates++
      return false
    }
    if (isInstant(at) && isInstant(receivedAt)) return true
    this.#counters.unusable++
    return false
  }

  #take(reading: DetectorReading, verdict: ModelVerdict | undefined): AlertEvent[] {
    const events: AlertEvent[] = []
    const heard = this.#silence.hear(reading)
    const late = reading.late === true || heard.late
    if (late) this.#counters.late++
    for (const change of heard.changes) {
      const event = this.#silenceAlerts.event(change, reading.eventId, late)
      if (event) events.push(event)
    }
    this.#expire(reading, late, events)
    if (verdict) this.#takeDevice(reading, late, verdict, events)
    for (const value of reading.values) {
      if (Math.abs(value.value) <= MAGNITUDE_MAX) {
        const covered = verdict?.result && verdict.model.metrics.includes(value.metric)
        this.#takeValue(reading, value, late, covered === true, events)
      } else {
        this.#counters.unusable++
      }
    }
    for (const event of events) countEvent(this.#counters, event)
    return events
  }

  /** @param covered A model answers for this metric: learn, so as to be ready, but do not raise. */
  #takeValue(
    reading: DetectorReading,
    { metric, value }: Value,
    late: boolean,
    covered: boolean,
    events: AlertEvent[]
  ): void {
    const series = this.#seriesOf(reading, metric, late, events)
    const { slot } = series
    const { at, eventId } = reading
    const scorer = this.#scorer
    this.#counters.scored++
    if (scorer.learning(slot)) this.#counters.learning++
    const score = scorer.score(slot, at, value)
    if (!covered || this.#decider.isOpen(slot)) {
      const details = (): AlertDetails => ({
        ...scorer.explain(slot, at, value),
        contributions: [{ metric, share: 1 }],
        detector: detectorOf(scorer)
      })
      const seen = { at, value, eventId, late, details, score: covered ? 0 : score }
      this.#decide(series, seen, scorer.paceMs(slot), events)
    }
    scorer.learn(slot, at, value)
  }

  #takeDevice(
    reading: DetectorReading,
    late: boolean,
    { model, result }: ModelVerdict,
    events: AlertEvent[]
  ): void {
    if (result) this.#counters.modelRows++
    else this.#counters.modelFallbacks++
    const series = this.#seriesOf(reading, '-', late, events)
    // While the model is unusable, what it raised has nobody who could confirm it.
    if (!result && !this.#decider.isOpen(series.slot)) return
    const { contributions, reason } = result ?? {
      contributions: [],
      reason: 'the model no longer gives scores'
    }
    const details = (): AlertDetails => ({ contributions, reason, detector: detectorOf(model) })
    const { at, eventId } = reading
    this.#decide(series, { at, eventId, late, details, score: result?.score ?? 0 }, 0, events)
  }

  #decide(series: Series, seen: Observation, paceMs: number, events: AlertEvent[]): void {
    const verdict = this.#decider.decide(series.slot, seen, paceMs)
    if (verdict.state === 'quiet') return
    if (verdict.state === 'raise') {
      const { site, device, metric } = series
      const subject = { site, device, metric, kind: 'anomaly' } as const
      const { alert, event } = raiseAlert(this.#rule, subject, verdict.hits, seen)
      this.#open.set(series.slot, alert)
      events.push(event)
      return
    }
    const alert = this.#open.get(series.slot)
    assert(alert, 'an open slot has an alert')
    if (verdict.state === 'clear') {
      this.#open.delete(series.slot)
      alert.samples++
      events.push(clearAlert(this.#rule, alert, seen))
      return
    }
    const event = observeAlert(this.#rule, alert, seen)
    if (event) events.push(event)
  }

  #seriesOf(reading: DetectorReading, metric: string, late: boolean, events: AlertEvent[]): Series {
    const name: SeriesName = { site: reading.site, device: reading.device, metric }
    const known = this.#series.touch(name, reading.receivedAt)
    if (known) return known
    for (;;) {
      const victim = this.#series.victim(slot => this.#decider.isOpen(slot))
      if (!victim) break
      this.#evict(victim, reading, late, 'too many series, this one longest unheard', events)
    }
    const series = this.#series.add(name, reading.receivedAt)
    if (this.#series.slots > this.#room) this.#reserve(Math.max(64, 2 * this.#room))
    return series
  }

  #expire(reading: DetectorReading, late: boolean, events: AlertEvent[]): void {
    for (;;) {
      const series = this.#series.expired(reading.receivedAt)
      if (!series) return
      this.#evict(series, reading, late, 'not heard for too long, no longer watched', events)
    }
  }

  #evict(
    series: Series,
    { at, eventId }: DetectorReading,
    late: boolean,
    reason: string,
    events: AlertEvent[]
  ): void {
    const alert = this.#open.get(series.slot)
    if (alert) {
      const { detector } = alert.last.data
      const details = (): AlertDetails => ({ contributions: [], reason, detector })
      events.push(clearAlert(this.#rule, alert, { at, score: 0, eventId, late, details }))
      this.#open.delete(series.slot)
    }
    this.#scorer.reset(series.slot)
    this.#decider.reset(series.slot)
    this.#series.remove(series)
    this.#counters.evicted++
  }

  #reserve(slots: number): void {
    this.#room = slots
    this.#scorer.reserve(slots)
    this.#decider.reserve(slots)
  }

  #forgetAll(): void {
    const { seriesMax, seriesTtlMs, silent } = this.#config
    this.#scorer = seriesScorerOf(this.#config)
    this.#decider = new Decider(this.#rule)
    this.#series = new SeriesTable({ max: seriesMax, ttlMs: seriesTtlMs })
    this.#dedupe = new Dedupe()
    this.#silence = new SilenceWatch(silent, { devicesMax: seriesMax, ttlMs: seriesTtlMs })
    this.#silenceAlerts = new SilenceAlerts(this.#rule, silent)
    this.#open = new Map()
    this.#reserve(64)
  }

  #modelsOf(models: readonly DeviceScorer[]): DeviceModels {
    return new DeviceModels(models, { devicesMax: this.#config.seriesMax })
  }

  #parts() {
    return {
      scorer: this.#scorer,
      decider: this.#decider,
      series: this.#series,
      dedupe: this.#dedupe,
      silence: this.#silence,
      silenceAlerts: this.#silenceAlerts,
      open: this.#open,
      models: this.#models,
      reserve: (slots: number) => this.#reserve(slots)
    }
  }
}

function isInstant(at: number): boolean {
  return Number.isFinite(at) && Math.abs(at) <= INSTANT_MAX
}

function detectorOf({ name, version, params }: Scorer | DeviceScorer) {
  return { name, version, params: { ...params } }
}
