import assert from 'node:assert'
import type { AlertEvent } from '../core/contract/alert-event.ts'
import { READINGS_MAX, VALUES_MAX, type Value } from '../core/contract/reading.ts'
import type { Logger } from '../core/runtime/log.ts'
import { Alerts, type Judge } from './alert/alerts.ts'
import { Decider, decisionRuleOf, type Hit, type Verdict } from './alert/decision.ts'
import { type AlertDetails, lifecycleRuleOf, type Observation } from './alert/lifecycle.ts'
import { Muting } from './alert/muting.ts'
import { type HeardDevice, SilenceWatch } from './alert/silence.ts'
import { SilenceAlerts } from './alert/silence-alerts.ts'
import type { DetectorConfig } from './config.ts'
import { countEvent, type DetectorCounters, noCounters } from './counters.ts'
import { Dedupe } from './dedupe.ts'
import { alertsOfState, decodeState, encodeState } from './detector-state.ts'
import { DeviceModels, type ModelStates, type ModelVerdict } from './device-models.ts'
import { Quality, type Telling } from './quality/quality.ts'
import type { DeviceModel, DeviceScorer } from './scorer/device-scorer.ts'
import { loadModels } from './scorer/onnx-models.ts'
import type { Explanation, Scorer } from './scorer/scorer.ts'
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
  /** What the device's clock said, believed or not. */
  observedAt?: number
  values: readonly Value[]
  /** Metrics that are null or text. */
  unusable?: readonly string[]
  /** Its message had more values or readings than are decoded. */
  overfull?: boolean
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
  models?: readonly DeviceModel[]
  /** Told how long a call of a model took, seconds. */
  onModelRun?: (seconds: number) => void
  /** Sees each value between score and learn, and changes nothing: a report draws from it. */
  watch?: (seen: ScoredValue) => void
}

/** What the engine makes of one value. `series` is the same object for as long as it is watched. */
export interface ScoredValue {
  series: SeriesName
  at: number
  value: number
  score: number
  learning: boolean
  /** At once or never: what is learned changes it. */
  explain: () => Explanation
}

/** Larger ones, squared, would not be numbers any more. */
const MAGNITUDE_MAX = 1e100
/** What ECMAScript can write as a date. */
const INSTANT_MAX = 8.64e15

/**
 * Readings in, alert events out: dedupe → guard → series → quality → score → decide → lifecycle →
 * learn.
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
  readonly #muting: Muting
  readonly #counters = noCounters()
  #models: DeviceModels
  #scorer!: Scorer
  #decider!: Decider
  #series!: SeriesTable
  #dedupe!: Dedupe
  #silence!: SilenceWatch
  #silenceAlerts!: SilenceAlerts
  #alerts!: Alerts
  #quality!: Quality
  /** Slots that scorer and decider have room for. */
  #room = 0
  #busy = false

  constructor(config: DetectorConfig, options: DetectorOptions) {
    this.#config = config
    this.#options = options
    this.#muting = new Muting(config.silences)
    this.#models = this.#modelsOf(options.models ?? [])
    this.#forgetAll()
  }

  /** Loads the models, if any. One that cannot be used is reported and done without. */
  async open(): Promise<void> {
    if (this.#options.models || this.#config.scorer !== 'onnx') return
    const { logger, onModelRun: onRun } = this.#options
    const models = await loadModels(this.#config.models, logger, onRun ? { onRun } : {})
    this.#models = this.#modelsOf(models)
  }

  async close(): Promise<void> {
    await this.#models.close()
  }

  /**
   * @param loudFrom Events of readings before this index are not delivered: an earlier life has done
   *   it. What only this life has to say waits for the first one that is.
   * @returns The readings that caused events; nothing for the others.
   */
  async process(readings: readonly DetectorReading[], loudFrom = 0): Promise<ProcessedReading[]> {
    assert(!this.#busy, 'one batch at a time')
    this.#busy = true
    try {
      const admitted = readings.map(r => (this.#admit(r) ? r : undefined))
      const verdicts = await this.#models.score(admitted)
      const processed: ProcessedReading[] = []
      for (let index = 0; index < admitted.length; index++) {
        const reading = admitted[index]
        if (!reading) continue
        this.#alerts.endOrphans(index >= loudFrom)
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
   * @returns false when the bytes are damaged, or of another format or scorer: everything is then
   *   learned anew. Of another scorer's state the open alerts are kept, to be ended.
   */
  restore(bytes: Uint8Array): boolean {
    this.#forgetAll()
    try {
      if (decodeState(bytes, this.#parts())) {
        for (const subject of this.#alerts.findOrphans(judge => this.#isJudged(judge))) {
          const series = this.#series.find(subject)
          if (series && subject.kind === 'anomaly') this.#decider.reset(series.slot)
        }
        return true
      }
      this.#forgetAll()
      const open = alertsOfState(bytes)
      if (open) this.#alerts.restore(open)
      this.#alerts.findOrphans(() => false, 'everything is learned anew')
    } catch (error) {
      this.#options.logger.debug({ event: 'detector.snapshot_unusable', error: String(error) })
      this.#forgetAll()
    }
    return false
  }

  /** See `Alerts.setOrphansDue`. */
  setOrphansDue(): boolean {
    return this.#alerts.setOrphansDue()
  }

  /** The last event of every alert that was raised and not cleared. */
  openAlerts(): AlertEvent[] {
    return this.#alerts.open
  }

  /** Longest unheard first; one view for all of them, only to be read. */
  heardDevices(): Iterable<HeardDevice> {
    return this.#silence.rows()
  }

  /** Adds to each agent's count the devices that were last heard through it; others are passed over. */
  countByAgent(counts: Map<string, number>): void {
    this.#silence.countByAgent(counts)
  }

  /** The same objects as `watch` sees, in the order of metrics. */
  seriesOf({ site, device }: Pick<SeriesName, 'site' | 'device'>): readonly SeriesName[] {
    return this.#series.ofDevice(site, device)
  }

  get modelStates(): ModelStates {
    return this.#models.states
  }

  counters(): DetectorCounters {
    let seriesLearning = 0
    for (const { slot } of this.#series) if (this.#scorer.learning(slot)) seriesLearning++
    const { openCount: openAlerts, mutedCount: mutedAlerts, suppressed } = this.#alerts
    const series = this.#series.size
    const now = { series, seriesLearning, openAlerts, mutedAlerts, suppressed }
    return structuredClone({ ...this.#counters, ...now })
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
    const heard = this.#silence.hear(reading)
    const late = reading.late === true || heard.late
    if (late) this.#counters.late++
    this.#alerts.pass(reading, late)
    for (const change of heard.changes) this.#silenceAlerts.tell(change, reading.eventId, late)
    this.#expire(reading, late)
    if (verdict && verdict.state !== 'between') this.#takeDevice(reading, late, verdict)
    const { at, agentId, eventId } = reading
    if (reading.overfull) this.#countOverfull(reading)
    const telling: Telling = { at, agentId, eventId, late, device: heard.device, unit: undefined }
    for (const value of reading.values) {
      telling.unit = value.unit
      if (Math.abs(value.value) <= MAGNITUDE_MAX) {
        const covered = verdict?.covered.includes(value.metric) === true
        this.#takeValue(reading, value, telling, covered)
      } else {
        this.#counters.unusable++
        this.#takeUnusable(reading, value.metric, telling)
      }
    }
    telling.unit = undefined
    for (const metric of reading.unusable ?? []) this.#takeUnusable(reading, metric, telling)
    this.#quality.takeDevice(reading, telling)
    const events = this.#alerts.settle()
    for (const event of events) countEvent(this.#counters, event)
    return events
  }

  /** Said once: who sends so much sends it every time. */
  #countOverfull({ site, device }: DetectorReading): void {
    if (this.#counters.overfull++ > 0) return
    this.#options.logger.warn(
      { event: 'detector.overfull', site, device },
      `A message has more than ${READINGS_MAX} readings, or ${VALUES_MAX} values in one: the others are not scored. Name the wanted ones in the route's fields. Further such messages are only counted.`
    )
  }

  /** @param covered A model answers for this metric: learn, so as to be ready, but do not raise. */
  #takeValue(
    reading: DetectorReading,
    { metric, value: measured }: Value,
    telling: Telling,
    covered: boolean
  ): void {
    const { at, eventId, agentId, late } = telling
    const series = this.#seriesOf(reading, metric, late)
    const { slot } = series
    const scorer = this.#scorer
    const { scored: value, renewed, repeated } = this.#quality.take(series, telling, measured)
    if (renewed) scorer.reset(slot)
    if (repeated) this.#counters.repeated++
    if (value === undefined) return
    this.#counters.scored++
    const learning = scorer.learning(slot)
    if (learning) this.#counters.learning++
    const score = scorer.score(slot, at, value)
    const { watch } = this.#options
    if (watch) {
      const explain = () => this.#explain(slot, at, value)
      watch({ series, at, value, score, learning, explain })
    }
    if (!covered || this.#decider.isOpen(slot)) {
      const hit = { at, value, score: covered ? 0 : score }
      const verdict = this.#verdictOf(series, hit, scorer.paceMs(slot))
      if (verdict.state !== 'quiet') {
        const details = (): AlertDetails => ({
          ...this.#explain(slot, at, value),
          contributions: [{ metric, share: 1 }],
          detector: detectorOf(scorer)
        })
        const unit = this.#quality.scoredUnit(slot, telling.unit)
        this.#tell(series, verdict, { eventId, agentId, late, details, unit, ...hit })
      }
    }
    if (this.#muting.pausesLearning(series, 'anomaly', at)) this.#counters.notLearned++
    else if (!this.#quality.isStuck(slot)) scorer.learn(slot, at, value)
  }

  /** Of a series known to give numbers; of a stranger, text is no fault. */
  #takeUnusable({ site, device }: DetectorReading, metric: string, telling: Telling): void {
    const series = this.#series.find({ site, device, metric })
    if (series) this.#quality.takeUnusable(series, telling)
  }

  #takeDevice(reading: DetectorReading, late: boolean, { state, scored }: ModelVerdict): void {
    if (scored) this.#counters.modelRows++
    else if (state === 'failed') this.#counters.modelFallbacks++
    const { at, eventId, agentId } = reading
    if (scored) {
      const { scorer, result } = scored
      const details = (): AlertDetails => {
        const { contributions, reason } = result
        return { contributions, reason, detector: detectorOf(scorer) }
      }
      const series = this.#seriesOf(reading, '-', late)
      this.#decide(series, { at, eventId, agentId, late, details, score: result.score }, 0)
      return
    }
    // While the model does not answer, what it raised has nobody who could confirm it.
    const series = this.#series.find({ ...reading, metric: '-' })
    const reason =
      state === 'failed'
        ? 'the model no longer gives scores'
        : 'the model waits: a metric is missing, or its window began anew'
    const said = series && this.#alerts.detailsOf(anomalyOf(series), reason)
    if (!said) return
    this.#decide(series, { at, eventId, agentId, late, details: () => said, score: 0 }, 0)
  }

  #explain(slot: number, at: number, value: number): Explanation {
    return this.#quality.explain(slot, this.#scorer.explain(slot, at, value))
  }

  #decide(series: Series, seen: Observation, paceMs: number): void {
    this.#tell(series, this.#verdictOf(series, seen, paceMs), seen)
  }

  #verdictOf(series: Series, hit: Hit, paceMs: number): Verdict {
    const muted = !this.#muting.empty && this.#muting.of(anomalyOf(series), hit.at) !== undefined
    return this.#decider.decide(series.slot, hit, paceMs, !muted)
  }

  #tell(series: Series, verdict: Verdict, seen: Observation): void {
    if (verdict.state === 'quiet') return
    const condition = anomalyOf(series)
    if (verdict.state === 'raise') this.#alerts.begin(condition, verdict.hits, seen)
    else if (verdict.state === 'open') this.#alerts.observe(condition, seen)
    else if (verdict.state === 'clear') this.#alerts.end(condition, seen)
  }

  #seriesOf(reading: DetectorReading, metric: string, late: boolean): Series {
    const name: SeriesName = { site: reading.site, device: reading.device, metric }
    const known = this.#series.touch(name, reading.receivedAt)
    if (known) return known
    for (;;) {
      const isOpen = (slot: number) => this.#decider.isOpen(slot) || this.#quality.isOpen(slot)
      const victim = this.#series.victim(isOpen)
      if (!victim) break
      this.#evict(victim, reading, late, 'too many series, this one longest unheard')
    }
    const series = this.#series.add(name, reading.receivedAt)
    if (this.#series.slots > this.#room) this.#grow()
    this.#quality.add(series)
    return series
  }

  #expire(reading: DetectorReading, late: boolean): void {
    for (;;) {
      const series = this.#series.expired(reading.receivedAt)
      if (!series) return
      this.#evict(series, reading, late, 'not heard for too long, no longer watched')
    }
  }

  #evict(series: Series, reading: DetectorReading, late: boolean, reason: string): void {
    const { at, eventId, agentId } = reading
    this.#alerts.endSeries(series, { at, score: 0, eventId, agentId, late }, reason)
    this.#scorer.reset(series.slot)
    this.#decider.reset(series.slot)
    this.#quality.remove(series)
    this.#series.remove(series)
    this.#counters.evicted++
  }

  /** Doubles the room, up to what will ever be needed. */
  #grow(): void {
    const { slots } = this.#series
    this.#reserve(Math.max(64, slots, Math.min(2 * this.#room, this.#config.seriesMax)))
  }

  #reserve(slots: number): void {
    this.#room = slots
    this.#series.reserve(slots)
    this.#scorer.reserve(slots)
    this.#decider.reserve(slots)
    this.#quality.reserve(slots)
  }

  #forgetAll(): void {
    const { seriesMax, seriesTtlMs, silent } = this.#config
    this.#scorer = seriesScorerOf(this.#config)
    this.#decider = new Decider(decisionRuleOf(this.#config))
    this.#series = new SeriesTable({ max: seriesMax, ttlMs: seriesTtlMs })
    this.#dedupe = new Dedupe()
    this.#silence = new SilenceWatch(
      silent,
      { devicesMax: seriesMax, ttlMs: seriesTtlMs },
      ({ site, device }, since, at) =>
        this.#muting.pausesLearning({ site, device, metric: '-' }, 'silent', at, since)
    )
    this.#alerts = new Alerts({
      rule: lifecycleRuleOf(this.#config, this.#options.source),
      ...{ groupBy: this.#config.groupBy, muting: this.#muting },
      hasSeveral: (site, device) => this.#series.countOf(site, device) > 1
    })
    this.#silenceAlerts = new SilenceAlerts(this.#alerts, silent)
    this.#quality = new Quality(this.#config, this.#alerts, this.#muting, (site, device) =>
      this.#series.ofDevice(site, device)
    )
    this.#reserve(64)
  }

  /** Whether somebody still looks after a condition that was found before a restart. */
  #isJudged(judge: Judge): boolean {
    const { site, device, kind, detector } = judge
    if (kind !== 'anomaly') {
      return detector === 'silence' ? this.#config.silent.enabled : this.#quality.isJudged(judge)
    }
    const series = this.#series.find(judge)
    if (!series || !this.#decider.isOpen(series.slot)) return false
    return detector === this.#scorer.name || this.#models.covers(detector, site, device)
  }

  #modelsOf(models: readonly DeviceModel[]): DeviceModels {
    const { seriesMax, windowBytesMax } = this.#config
    const { logger } = this.#options
    return new DeviceModels(models, { devicesMax: seriesMax, bytesMax: windowBytesMax, logger })
  }

  #parts() {
    return {
      scorer: this.#scorer,
      decider: this.#decider,
      series: this.#series,
      dedupe: this.#dedupe,
      silence: this.#silence,
      alerts: this.#alerts,
      quality: this.#quality,
      models: this.#models,
      reserve: (slots: number) => this.#reserve(slots)
    }
  }
}

function isInstant(at: number): boolean {
  return Number.isFinite(at) && Math.abs(at) <= INSTANT_MAX
}

function anomalyOf({ site, device, metric }: Series) {
  return { site, device, metric, kind: 'anomaly' } as const
}

function detectorOf({ name, version, params }: Scorer | DeviceScorer) {
  return { name, version, params: { ...params } }
}
