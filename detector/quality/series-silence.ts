import type { HeardDevice } from '../alert/silence.ts'
import type { Series } from '../series-table.ts'
import { allFinite, copyWords } from '../state-bytes.ts'
import { ewmaGain, ewmaStep } from '../stats/ewma.ts'
import type { Finding } from './finding.ts'

const NUMBERS = 3
const GAPS = 0
const MEAN = 1
const LONGEST = 2

const GAPS_BELIEVED = 20
const MEAN_GAIN = 0.02
/** The longest pause is half forgotten after 350. */
const FORGETTING = 0.002
/** A series whose longest pause is so many times the usual is heard when something happens. */
const IRREGULAR = 20
const GAPS_MAX = 1e6

export interface SeriesSilenceRule {
  /** Silent after so many of the longest usual pauses… */
  factor: number
  /** …and not before this. */
  minMs: number
}

/**
 * Finds series that stop while their device goes on, in the device's own time: time that passes only
 * while the device is heard. So a device that is silent, or cannot deliver, has no silent series.
 *
 * Works for series that come at more or less regular intervals; one that is told only now and then,
 * when it changes or something happens, is not watched.
 *
 * 20 bytes a series. A device's series are looked at whenever a
 * tenth of the least limit has passed.
 */
export class SeriesSilence {
  readonly stateBytes = 8 + NUMBERS * 4
  readonly #rule: SeriesSilenceRule
  readonly #ofDevice: OfDevice
  /** The device's time when the series was last heard, ms. */
  #heardMs = new Float64Array(0)
  #numbers = new Float32Array(0)
  #heardWords = new Int32Array(0)
  #numberWords = new Int32Array(0)

  constructor(rule: SeriesSilenceRule, ofDevice: OfDevice) {
    this.#rule = rule
    this.#ofDevice = ofDevice
  }

  reserve(slots: number): void {
    if (slots <= this.#heardMs.length) return
    const heardMs = new Float64Array(slots)
    const numbers = new Float32Array(slots * NUMBERS)
    heardMs.set(this.#heardMs)
    numbers.set(this.#numbers)
    this.#heardMs = heardMs
    this.#numbers = numbers
    this.#heardWords = new Int32Array(heardMs.buffer)
    this.#numberWords = new Int32Array(numbers.buffer)
  }

  /**
   * @param aliveMs The device's time.
   * @param paused The pause that ends here teaches nothing.
   */
  hear(slot: number, aliveMs: number, paused = false): void {
    const n = this.#numbers
    const base = slot * NUMBERS
    const pauseMs = aliveMs - this.#heardMs[slot]
    const first = n[base + GAPS] === 0
    this.#heardMs[slot] = aliveMs
    if (first) {
      n[base + GAPS] = 1
      return
    }
    if (paused) return
    // Shorter ones are bursts: a backlog, or several readings of one instant.
    if (pauseMs <= n[base + MEAN] / 10) return
    const gaps = Math.min(n[base + GAPS] + 1, GAPS_MAX)
    n[base + GAPS] = gaps
    n[base + MEAN] = ewmaStep(n[base + MEAN], pauseMs, ewmaGain(gaps - 1, MEAN_GAIN))
    n[base + LONGEST] = Math.max(pauseMs, n[base + LONGEST] * (1 - FORGETTING))
  }

  /** @returns The device's series that are silent by now, in the order of metrics. */
  scan(device: HeardDevice): readonly SilentSeries[] {
    if (device.aliveMs < device.scanFromMs) return NONE
    device.scanFromMs = device.aliveMs + this.#rule.minMs / 10
    let silent: SilentSeries[] | undefined
    for (const series of this.#ofDevice(device.site, device.device)) {
      const quietMs = device.aliveMs - this.#heardMs[series.slot]
      const limitMs = this.#limitMs(series.slot)
      if (quietMs <= limitMs) continue
      silent ??= []
      silent.push({ series, finding: findingOf(quietMs, limitMs) })
    }
    return silent ?? NONE
  }

  reset(slot: number): void {
    this.#heardMs[slot] = 0
    this.#numbers.fill(0, slot * NUMBERS, (slot + 1) * NUMBERS)
  }

  /** Writes `stateBytes / 4` words. */
  save(slot: number, words: Int32Array, at: number): void {
    copyWords(this.#heardWords, slot * 2, words, at, 2)
    copyWords(this.#numberWords, slot * NUMBERS, words, at + 2, NUMBERS)
  }

  /** @returns false, and an empty slot, when the words cannot be a state. */
  load(slot: number, words: Int32Array, at: number): boolean {
    copyWords(words, at, this.#heardWords, slot * 2, 2)
    copyWords(words, at + 2, this.#numberWords, slot * NUMBERS, NUMBERS)
    const sound = Number.isFinite(this.#heardMs[slot])
    if (sound && allFinite(this.#numbers, slot * NUMBERS, NUMBERS)) return true
    this.reset(slot)
    return false
  }

  #limitMs(slot: number): number {
    const n = this.#numbers
    const base = slot * NUMBERS
    const longest = n[base + LONGEST]
    if (n[base + GAPS] < GAPS_BELIEVED || longest > IRREGULAR * n[base + MEAN]) {
      return Number.POSITIVE_INFINITY
    }
    return Math.max(this.#rule.minMs, this.#rule.factor * longest)
  }
}

/** A device's series, in the order of metrics. */
export type OfDevice = (site: string, device: string) => readonly Series[]

export interface SilentSeries {
  series: Series
  finding: Finding
}

const NONE: readonly SilentSeries[] = []

function findingOf(quietMs: number, limitMs: number): Finding {
  const quiet = seconds(quietMs)
  const reason = `nothing for ${quiet} while its device goes on; the limit learned is ${seconds(limitMs)}`
  return { kind: 'silent', ratio: quietMs / limitMs, reason }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
}
