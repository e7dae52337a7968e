import assert from 'node:assert'
import { ByDevice, detached } from './by-device.ts'
import { UseOrder } from './use-order.ts'

/** A device's metric, or `-` for the device as a whole. */
export interface SeriesName {
  site: string
  device: string
  metric: string
}

export interface Series extends SeriesName {
  readonly slot: number
}

/** How many of the longest unused series are looked at for one that may go without a word. */
const VICTIMS_MAX = 64

/**
 * Gives every series a slot, and takes the slot of the longest unused one when there are too many:
 * strangers may invent any number of names, memory stays as it is.
 *
 * What of an alert that is open? A victim without one is preferred; if the 64 longest unused all
 * have one, the oldest goes and `evicted` tells the engine, which clears the alert aloud.
 */
export class SeriesTable {
  readonly #max: number
  readonly #ttlMs: number
  /** A device's series, in the order of metrics; replaced when it changes. */
  readonly #ofDevice = new ByDevice<readonly Series[]>()
  readonly #bySlot: (Series | undefined)[] = []
  readonly #order = new UseOrder()
  /** By slot: agent's receive time of the last reading, epoch ms. */
  #touchedAt = new Float64Array(0)
  readonly #free: number[] = []
  /** One text for all series of a metric. */
  readonly #metrics = new Map<string, string>()
  #size = 0
  /** Slots ever given away: what the scorers must have room for. */
  slots = 0

  constructor(options: { max: number; ttlMs: number }) {
    this.#max = Math.max(1, options.max)
    this.#ttlMs = options.ttlMs
  }

  get size(): number {
    return this.#size
  }

  reserve(slots: number): void {
    if (slots <= this.#touchedAt.length) return
    const touchedAt = new Float64Array(slots)
    touchedAt.set(this.#touchedAt)
    this.#touchedAt = touchedAt
    this.#order.reserve(slots)
  }

  /** @returns The series, now the most recently used; undefined when it has none yet. */
  touch(name: SeriesName, at: number): Series | undefined {
    const series = this.find(name)
    if (!series) return undefined
    this.#touchedAt[series.slot] = at
    this.#order.touch(series.slot)
    return series
  }

  touchedAt({ slot }: Series): number {
    return this.#touchedAt[slot]
  }

  /** How many series a device has. */
  countOf(site: string, device: string): number {
    return this.ofDevice(site, device).length
  }

  /** In the order of metrics, however they came to be. */
  ofDevice(site: string, device: string): readonly Series[] {
    return this.#ofDevice.get(site, device) ?? NONE
  }

  find({ site, device, metric }: SeriesName): Series | undefined {
    const own = this.#ofDevice.get(site, device)
    if (!own) return undefined
    const found = own[placeOf(own, metric)]
    return found?.metric === metric ? found : undefined
  }

  /** Makes a series that is not there yet; the caller has made room first. */
  add(name: SeriesName, at: number): Series {
    const own = this.#ofDevice.get(name.site, name.device)
    const place = own ? placeOf(own, name.metric) : 0
    assert(own?.[place]?.metric !== name.metric, 'a series has one slot')
    const slot = this.#free.pop() ?? this.slots++
    if (slot >= this.#touchedAt.length) this.reserve(Math.max(64, 2 * slot))
    const metric = this.#textOf(name.metric)
    let series: Series
    if (own) {
      const { site, device } = own[0]
      series = { site, device, metric, slot }
      this.#ofDevice.replace(site, device, own.toSpliced(place, 0, series))
    } else {
      const only: Series[] = new Array(1)
      const { site, device } = this.#ofDevice.add(name.site, name.device, only)
      series = { site, device, metric, slot }
      only[0] = series
    }
    this.#bySlot[slot] = series
    this.#touchedAt[slot] = at
    this.#order.add(slot)
    this.#size++
    return series
  }

  /** @returns Series that must go before another can be added: none, or one. */
  victim(isBusy: (slot: number) => boolean): Series | undefined {
    if (this.#size < this.#max) return undefined
    let looked = 0
    for (let slot = this.#order.oldest; slot >= 0; slot = this.#order.next(slot)) {
      if (!isBusy(slot)) return this.#bySlot[slot]
      if (++looked >= VICTIMS_MAX) break
    }
    return this.#bySlot[this.#order.oldest]
  }

  /** @returns The longest unused series, if it has been so for longer than the time to live. */
  expired(now: number): Series | undefined {
    const { oldest } = this.#order
    if (oldest < 0 || now - this.#touchedAt[oldest] <= this.#ttlMs) return undefined
    return this.#bySlot[oldest]
  }

  remove(series: Series): void {
    const { site, device, slot } = series
    if (this.#bySlot[slot] !== series) return
    const own = this.ofDevice(site, device)
    if (own.length === 1) this.#ofDevice.delete(site, device)
    else this.#ofDevice.replace(site, device, own.toSpliced(own.indexOf(series), 1))
    this.#bySlot[slot] = undefined
    this.#order.remove(slot)
    this.#free.push(slot)
    this.#size--
  }

  /** Oldest first. */
  *[Symbol.iterator](): Iterator<Series> {
    for (let slot = this.#order.oldest; slot >= 0; slot = this.#order.next(slot)) {
      yield this.#bySlot[slot] as Series
    }
  }

  /** A metric's name is that of thousands of series; strangers' inventions are not kept for ever. */
  #textOf(metric: string): string {
    const known = this.#metrics.get(metric)
    if (known !== undefined) return known
    if (this.#metrics.size >= METRICS_MAX) this.#metrics.clear()
    const text = detached(metric)
    this.#metrics.set(text, text)
    return text
  }
}

const NONE: readonly Series[] = []
const METRICS_MAX = 4096

/** @returns Where a metric stands, or would have to, in a list in the order of metrics. */
function placeOf(own: readonly Series[], metric: string): number {
  let first = 0
  let end = own.length
  while (first < end) {
    const middle = (first + end) >>> 1
    if (own[middle].metric < metric) first = middle + 1
    else end = middle
  }
  return first
}
