import type { AlertData } from '../../core/contract/alert-event.ts'
import type { Alerts, Judge } from '../alert/alerts.ts'
import type { Observation } from '../alert/lifecycle.ts'
import type { Muting } from '../alert/muting.ts'
import type { HeardDevice } from '../alert/silence.ts'
import { matchesAny } from '../pattern.ts'
import { type Explanation, scoreOfRatio } from '../scorer/scorer.ts'
import type { Series } from '../series-table.ts'
import { lookAtClock } from './device-clock.ts'
import type { ConditionKind, Finding } from './finding.ts'
import type { Limit, QualityConfig } from './quality-config.ts'
import {
  type Look,
  NOTHING_PAUSED,
  type Paused,
  type SeriesFacts,
  SeriesQuality
} from './series-quality.ts'
import { type OfDevice, SeriesSilence, type SeriesSilenceRule } from './series-silence.ts'

/** The reading that tells of something. */
export interface Telling extends Pick<Observation, 'at' | 'agentId' | 'late'> {
  eventId: string
  device: HeardDevice
  /** Of the value at hand, where its route declares one. */
  unit?: string | undefined
}

/** What the device's clock said, and when the agent received it. */
interface Timed {
  at: number
  receivedAt: number
  observedAt?: number
  resent?: boolean
}

/** The part of a configuration that matters here. */
export interface QualityRule {
  quality: QualityConfig
  silent: SeriesSilenceRule
  /** Readings in a row without a condition that end it. */
  offDelayReadings: number
}

const DETECTOR: AlertData['detector'] = { name: 'quality', version: '1', params: {} }
/** Scores 0.8 when its limit is reached: a line of its own, whatever the anomalies' is. */
const THRESHOLD = 0.8

/** Conditions that a reading of the series may find, and may end. */
const BY_READING: readonly ConditionKind[] = ['stuck', 'range', 'rate', 'data_quality']
/** A slot's conditions: one byte each, 0 or 1 + readings in a row without it, and one for `silent`. */
const CONDITIONS = BY_READING.length + 1
/** In a state: four bytes a word, the first lowest. */
const CONDITION_WORDS = Math.ceil(CONDITIONS / 4)
const STUCK = 0
const SILENT = BY_READING.length
/** In a slot's facts: index of its limit from 1, and whether it is declared a counter. */
const LIMIT_MASK = 0x7fff
const COUNTER_BIT = 0x8000

/**
 * The quality of the data, whatever it measures: asks every series and device its questions, and
 * tells the alert book what it finds. 123 bytes a series.
 */
export class Quality {
  readonly stateBytes: number
  readonly #config: QualityConfig
  readonly #alerts: Pick<Alerts, 'begin' | 'observe' | 'end'>
  readonly #muting: Pick<Muting, 'pauses' | 'pausesLearning'>
  readonly #offDelayReadings: number
  readonly #series: SeriesQuality
  readonly #silence: SeriesSilence
  #open = new Uint8Array(0)
  #facts = new Uint16Array(0)
  readonly #factsOf: SeriesFacts = { limit: undefined, counter: false }

  /**
   * @param alerts Where conditions are told.
   * @param muting When nothing is learned.
   * @param ofDevice Who else a device has.
   */
  constructor(
    rule: QualityRule,
    alerts: Pick<Alerts, 'begin' | 'observe' | 'end'>,
    muting: Pick<Muting, 'pauses' | 'pausesLearning'>,
    ofDevice: OfDevice
  ) {
    this.#config = rule.quality
    this.#alerts = alerts
    this.#muting = muting
    this.#offDelayReadings = Math.min(rule.offDelayReadings, 0xfe)
    this.#series = new SeriesQuality(rule.quality)
    this.#silence = new SeriesSilence(rule.silent, ofDevice)
    this.stateBytes = this.#series.stateBytes + this.#silence.stateBytes + CONDITION_WORDS * 4
  }

  reserve(slots: number): void {
    if (slots <= this.#facts.length) return
    const open = new Uint8Array(slots * CONDITIONS)
    const facts = new Uint16Array(slots)
    open.set(this.#open)
    facts.set(this.#facts)
    this.#open = open
    this.#facts = facts
    this.#series.reserve(slots)
    this.#silence.reserve(slots)
  }

  /** A series has got its slot, which there is room for. */
  add(series: Series): void {
    const { device, metric, slot } = series
    const { limits, counters } = this.#config
    const fits = (limit: Limit) =>
      matchesAny(limit.metrics, metric) && matchesAny(limit.devices, device)
    const limit = limits.findIndex(fits) + 1
    const counter = counters.length > 0 && matchesAny(counters, metric)
    this.#facts[slot] = limit | (counter ? COUNTER_BIT : 0)
  }

  /** Forgets a series; its open alerts are the book's affair. */
  remove(series: Series): void {
    this.#silence.reset(series.slot)
    this.#series.reset(series.slot)
    this.#open.fill(0, series.slot * CONDITIONS, (series.slot + 1) * CONDITIONS)
  }

  /** A finite value. @returns What is to be scored; valid until the next call. */
  take(series: Series, telling: Telling, value: number): Look {
    const { slot } = series
    const word = this.#facts[slot]
    this.#factsOf.limit = this.#config.limits[(word & LIMIT_MASK) - 1]
    this.#factsOf.counter = word >= COUNTER_BIT
    const paused = this.#pausedFor(series, telling.at)
    // Before the look: it takes the time of the last reading.
    this.#hear(series, telling)
    const look = this.#series.look(slot, telling.at, value, this.#factsOf, paused)
    if (!look.repeated) this.#settle(series, telling, value)
    return look
  }

  /** Null, text, or a number beyond all bounds, of a series known to give numbers. */
  takeUnusable(series: Series, telling: Telling): void {
    this.#hear(series, telling)
    this.#series.unusable(series.slot)
    for (const finding of this.#series.findings) this.#found(series, finding, telling)
  }

  /** After the values of a reading: the device's clock, and series of it that did not come. */
  takeDevice(timed: Timed, telling: Telling): void {
    const { clock, seriesSilent } = this.#config
    if (clock && !timed.resent) this.#takeClock(timed, telling)
    if (!seriesSilent) return
    for (const { series, finding } of this.#silence.scan(telling.device)) {
      const at = series.slot * CONDITIONS + SILENT
      if (this.#open[at] > 0 || !this.#series.knows(series.slot, telling.at)) continue
      this.#open[at] = 1
      this.#begin(series, finding, telling, this.#series.lastAt(series.slot))
    }
  }

  /** Any of a series' conditions is told. */
  isOpen(slot: number): boolean {
    for (let i = slot * CONDITIONS; i < (slot + 1) * CONDITIONS; i++) {
      if (this.#open[i] > 0) return true
    }
    return false
  }

  /** Whether somebody still looks for a condition that was found before a restart. */
  isJudged({ kind, metric }: Judge): boolean {
    const { stuck, seriesSilent, unusable, unit, clock, limits } = this.#config
    if (kind === 'stuck') return stuck
    if (kind === 'silent') return seriesSilent
    if (kind === 'range' || kind === 'rate') return limits.length > 0
    return metric === '-' ? clock : unusable || unit
  }

  isStuck(slot: number): boolean {
    return this.#open[slot * CONDITIONS + STUCK] > 0
  }

  /** Names what a scorer has judged, where it is not the value itself. */
  explain(slot: number, explanation: Explanation): Explanation {
    if (!this.#series.isCounter(slot)) return explanation
    return { ...explanation, reason: `its rate a second: ${explanation.reason}` }
  }

  /** What is scored of a counter is its rate. */
  scoredUnit(slot: number, unit: string | undefined): string | undefined {
    return unit !== undefined && this.#series.isCounter(slot) ? `${unit}/s` : unit
  }

  /** Writes `stateBytes / 4` words. */
  save(slot: number, words: Int32Array, at: number): void {
    for (let w = 0; w < CONDITION_WORDS; w++) words[at + w] = 0
    for (let i = 0; i < CONDITIONS; i++) {
      words[at + (i >> 2)] |= this.#open[slot * CONDITIONS + i] << (8 * (i & 3))
    }
    this.#series.save(slot, words, at + CONDITION_WORDS)
    this.#silence.save(slot, words, at + CONDITION_WORDS + this.#series.stateBytes / 4)
  }

  /** After `add`. @returns false when the words cannot be a state. */
  load(slot: number, words: Int32Array, at: number): boolean {
    for (let i = 0; i < CONDITIONS; i++) {
      this.#open[slot * CONDITIONS + i] = words[at + (i >> 2)] >>> (8 * (i & 3))
    }
    return (
      this.#series.load(slot, words, at + CONDITION_WORDS) &&
      this.#silence.load(slot, words, at + CONDITION_WORDS + this.#series.stateBytes / 4)
    )
  }

  #hear(series: Series, telling: Telling): void {
    const { at, device } = telling
    const since = this.#series.lastAt(series.slot)
    const paused = this.#muting.pausesLearning(series, 'silent', at, since)
    this.#silence.hear(series.slot, device.aliveMs, paused)
    const open = series.slot * CONDITIONS + SILENT
    if (this.#open[open] === 0) return
    this.#open[open] = 0
    this.#end(series, 'silent', telling, 'heard again')
  }

  #pausedFor(series: Series, at: number): Readonly<Paused> {
    const muting = this.#muting
    if (!muting.pauses) return NOTHING_PAUSED
    const since = this.#series.lastAt(series.slot)
    return {
      anomaly: muting.pausesLearning(series, 'anomaly', at),
      stuck: muting.pausesLearning(series, 'stuck', at, since),
      rate: muting.pausesLearning(series, 'rate', at, since),
      data_quality: muting.pausesLearning(series, 'data_quality', at)
    }
  }

  #settle(series: Series, telling: Telling, value: number): void {
    const { findings } = this.#series
    const base = series.slot * CONDITIONS
    for (let i = 0; i < BY_READING.length; i++) {
      if (findings.length === 0 && this.#open[base + i] === 0) continue
      const kind = BY_READING[i]
      const finding = findings.find(f => f.kind === kind)
      if (finding) this.#found(series, finding, telling)
      else if (this.#open[base + i] > 0 && ++this.#open[base + i] > this.#offDelayReadings) {
        this.#open[base + i] = 0
        this.#end(series, kind, telling, 'as usual again', value)
      }
    }
  }

  #found(series: Series, finding: Finding, telling: Telling): void {
    const at = series.slot * CONDITIONS + BY_READING.indexOf(finding.kind)
    const begun = this.#open[at] > 0
    this.#open[at] = 1
    if (begun)
      this.#alerts.observe(subjectOf(series, finding.kind), seenOf(finding, telling, series.metric))
    else this.#begin(series, finding, telling)
  }

  /** @param at Of the first reading that shows it, or of the last before a silence: names the alert. */
  #begin(series: SubjectName, finding: Finding, telling: Telling, at = telling.at): void {
    const seen = seenOf(finding, telling, series.metric)
    const standing = finding.kind === 'silent'
    const subject = subjectOf(series, finding.kind)
    const condition = { ...subject, severityMin: 'warning', standing, steady: true } as const
    this.#alerts.begin(condition, [{ ...seen, at }], seen)
  }

  #end(
    series: SubjectName,
    kind: ConditionKind,
    telling: Telling,
    reason: string,
    value?: number
  ): void {
    const finding = { kind, ratio: 0, reason, ...(value === undefined ? {} : { value }) }
    this.#alerts.end(subjectOf(series, kind), seenOf(finding, telling, series.metric))
  }

  #takeClock({ at, receivedAt, observedAt }: Timed, telling: Telling): void {
    const { site, device, clock } = telling.device
    const finding = lookAtClock(clock, observedAt ?? at, receivedAt)
    if (!finding && clock.told === 0) return
    const name = { site, device, metric: '-' }
    if (finding) {
      if (clock.told === 0) this.#begin(name, finding, telling)
      else {
        const subject = subjectOf(name, finding.kind)
        this.#alerts.observe(subject, seenOf(finding, telling, '-'))
      }
      clock.told = 1
    } else if (++clock.told > this.#offDelayReadings) {
      clock.told = 0
      this.#end(name, 'data_quality', telling, 'its clock is right again')
    }
  }
}

interface SubjectName {
  site: string
  device: string
  metric: string
}

function subjectOf({ site, device, metric }: SubjectName, kind: ConditionKind) {
  return { site, device, metric, kind }
}

function seenOf(finding: Finding, telling: Telling, metric: string): Observation {
  const { kind: _, ratio, value, reason, ...band } = finding
  const { at, agentId, eventId, late, unit } = telling
  const contributions = metric === '-' ? [] : [{ metric, share: 1 }]
  return {
    ...{ at, agentId, eventId, late, score: scoreOfRatio(ratio) },
    ...(value === undefined ? {} : { value, unit }),
    details: () => ({ ...band, contributions, reason, detector: DETECTOR, threshold: THRESHOLD })
  }
}
