/** A device's metric, or `-` for the device as a whole. */
export interface SeriesName {
  site: string
  device: string
  metric: string
}

export interface Series extends SeriesName {
  slot: number
  /** Agent's receive time of the last reading, epoch ms. */
  touchedAt: number
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
  /** In order of last use, oldest first. */
  readonly #series = new Map<string, Series>()
  /** Series by device. */
  readonly #counts = new Map<string, number>()
  readonly #free: number[] = []
  /** Slots ever given away: what the scorers must have room for. */
  slots = 0

  constructor(options: { max: number; ttlMs: number }) {
    this.#max = Math.max(1, options.max)
    this.#ttlMs = options.ttlMs
  }

  get size(): number {
    return this.#series.size
  }

  /** @returns The series, now the most recently used; undefined when it has none yet. */
  touch(name: SeriesName, at: number): Series | undefined {
    const key = keyOf(name)
    const series = this.#series.get(key)
    if (!series) return undefined
    series.touchedAt = at
    this.#series.delete(key)
    this.#series.set(key, series)
    return series
  }

  /** How many series a device has. */
  countOf(site: string, device: string): number {
    return this.#counts.get(`${site}\0${device}`) ?? 0
  }

  find(name: SeriesName): Series | undefined {
    return this.#series.get(keyOf(name))
  }

  /** Makes a series; the caller has made room first. */
  add(name: SeriesName, at: number): Series {
    const slot = this.#free.pop() ?? this.slots++
    const series = {
      site: name.site,
      device: name.device,
      metric: name.metric,
      slot,
      touchedAt: at
    }
    this.#series.set(keyOf(name), series)
    this.#count(series, 1)
    return series
  }

  /** @returns Series that must go before another can be added: none, or one. */
  victim(isBusy: (slot: number) => boolean): Series | undefined {
    if (this.#series.size < this.#max) return undefined
    let looked = 0
    let oldest: Series | undefined
    for (const series of this.#series.values()) {
      oldest ??= series
      if (!isBusy(series.slot)) return series
      if (++looked >= VICTIMS_MAX) break
    }
    return oldest
  }

  /** @returns The longest unused series, if it has been so for longer than the time to live. */
  expired(now: number): Series | undefined {
    for (const series of this.#series.values()) {
      return now - series.touchedAt > this.#ttlMs ? series : undefined
    }
    return undefined
  }

  remove(series: Series): void {
    if (!this.#series.delete(keyOf(series))) return
    this.#free.push(series.slot)
    this.#count(series, -1)
  }

  /** Oldest first. */
  *[Symbol.iterator](): Iterator<Series> {
    yield* this.#series.values()
  }

  clear(): void {
    this.#series.clear()
    this.#counts.clear()
    this.#free.length = 0
    this.slots = 0
  }

  #count({ site, device }: SeriesName, by: 1 | -1): void {
    const count = this.countOf(site, device) + by
    if (count > 0) this.#counts.set(`${site}\0${device}`, count)
    else this.#counts.delete(`${site}\0${device}`)
  }
}

/** MQTT forbids U+0000 in topics, so only the metric, last, could hold one. */
function keyOf(name: SeriesName): string {
  return `${name.site}\0${name.device}\0${name.metric}`
}
