import type { ScoredValue } from '../detector.ts'
import type { SeriesName } from '../series-table.ts'

export interface LivePoint {
  /** Event time, epoch ms. */
  at: number
  value: number
  /** Of the expected range; undefined while the series is learned. */
  lower: number | undefined
  upper: number | undefined
  score: number
}

export interface SeriesHistoryOptions {
  /** Series that have a history. */
  seriesMax?: number
  /** Points of each; the oldest goes. */
  pointsMax?: number
  /** One point at most for so much event time: of several, the most surprising. */
  stepMs?: number
  /** Monotonic, ms. */
  now: () => number
}

/** From here on a value is worth a look: where the scorers themselves draw their line. */
const SURPRISING = 0.8
/** So long after it was claimed a history is not taken away. */
const CLAIM_MS = 60_000
/** Numbers of a point: at, value, lower, upper, score. */
const WIDTH = 5

interface Ring {
  name: SeriesName
  numbers: Float64Array
  /** Points written since the beginning. */
  count: number
  claimedAt: number
}

/**
 * The last minutes of some series, to be drawn.
 *
 * The first `seriesMax` have one for free. When all are given away, a series that is looked at or
 * surprises takes the one that was claimed longest ago, if that was over a minute ago; else it goes
 * without. Memory: `seriesMax` × `pointsMax` × 40 bytes, reached as the series fill.
 */
export class SeriesHistory {
  readonly #rings = new Map<SeriesName, Ring>()
  readonly #seriesMax: number
  readonly #pointsMax: number
  readonly #stepMs: number
  readonly #now: () => number
  /** Last values of all series, while somebody looks; they go with their series. */
  #latest: WeakMap<SeriesName, number> | undefined

  constructor({ seriesMax = 200, pointsMax = 600, stepMs = 1000, now }: SeriesHistoryOptions) {
    this.#seriesMax = seriesMax
    this.#pointsMax = pointsMax
    this.#stepMs = stepMs
    this.#now = now
  }

  get size(): number {
    return this.#rings.size
  }

  /** For the detector's `watch`. */
  readonly watch = (seen: ScoredValue): void => {
    this.#latest?.set(seen.series, seen.value)
    const ring = this.#rings.get(seen.series) ?? this.#ringFor(seen)
    if (ring) this.#put(ring, seen)
  }

  /** Whether last values are kept for `latest`: only while somebody looks. */
  set keepsLatest(keeps: boolean) {
    if (keeps) this.#latest ??= new WeakMap()
    else this.#latest = undefined
  }

  latest(series: SeriesName): number | undefined {
    return this.#latest?.get(series)
  }

  /** Somebody looks at it: it has a history from now on, if there is one to be had. */
  claim(series: SeriesName): void {
    const ring = this.#rings.get(series) ?? this.#take(series)
    if (ring) ring.claimedAt = this.#now()
  }

  /** The series that was claimed last, by surprise or by a look. */
  lastClaimed(): SeriesName | undefined {
    let last: Ring | undefined
    for (const ring of this.#rings.values()) {
      if (ring.count > 0 && (!last || ring.claimedAt > last.claimedAt)) last = ring
    }
    return last?.name
  }

  /** @param sinceAt Older ones are left out. */
  points(series: SeriesName, sinceAt: number): LivePoint[] {
    const ring = this.#rings.get(series)
    if (!ring) return []
    const points: LivePoint[] = []
    const room = ring.numbers.length / WIDTH
    for (let n = Math.max(0, ring.count - room); n < ring.count; n++) {
      const position = (n % room) * WIDTH
      if (ring.numbers[position] < sinceAt) continue
      const [at, value, lower, upper, score] = ring.numbers.subarray(position, position + WIDTH)
      points.push({ at, value, score, lower: numberOf(lower), upper: numberOf(upper) })
    }
    return points
  }

  #ringFor({ series, score }: ScoredValue): Ring | undefined {
    if (this.#rings.size < this.#seriesMax) return this.#take(series)
    if (score < SURPRISING) return undefined
    const ring = this.#take(series)
    if (ring) ring.claimedAt = this.#now()
    return ring
  }

  #take(series: SeriesName): Ring | undefined {
    let numbers: Float64Array | undefined
    if (this.#rings.size >= this.#seriesMax) {
      const victim = this.#victim()
      if (!victim) return undefined
      this.#rings.delete(victim.name)
      if (victim.numbers.length === this.#pointsMax * WIDTH) numbers = victim.numbers
    }
    numbers ??= new Float64Array(Math.min(64, this.#pointsMax) * WIDTH)
    const ring: Ring = { name: series, numbers, count: 0, claimedAt: Number.NEGATIVE_INFINITY }
    this.#rings.set(series, ring)
    return ring
  }

  #victim(): Ring | undefined {
    let oldest: Ring | undefined
    for (const ring of this.#rings.values()) {
      if (!oldest || ring.claimedAt < oldest.claimedAt) oldest = ring
    }
    return oldest && oldest.claimedAt <= this.#now() - CLAIM_MS ? oldest : undefined
  }

  #put(ring: Ring, seen: ScoredValue): void {
    const room = ring.numbers.length / WIDTH
    const last = ((ring.count - 1) % room) * WIDTH
    const lastAt = ring.count > 0 ? ring.numbers[last] : Number.NEGATIVE_INFINITY
    // What comes late is not drawn: a line goes one way.
    if (seen.at < lastAt) return
    const step = Math.floor(seen.at / this.#stepMs)
    const sameStep = Math.floor(lastAt / this.#stepMs) === step
    if (sameStep && seen.score <= ring.numbers[last + 4]) return
    if (!sameStep) this.#grow(ring)
    const n = sameStep ? ring.count - 1 : ring.count++
    const band = seen.learning ? undefined : seen.explain()
    const position = (n % (ring.numbers.length / WIDTH)) * WIDTH
    ring.numbers[position] = seen.at
    ring.numbers[position + 1] = seen.value
    ring.numbers[position + 2] = band?.lower ?? Number.NaN
    ring.numbers[position + 3] = band?.upper ?? Number.NaN
    ring.numbers[position + 4] = seen.score
  }

  /** Begins small: most series of a large fleet are never looked at. */
  #grow(ring: Ring): void {
    const room = ring.numbers.length / WIDTH
    if (ring.count < room || room >= this.#pointsMax) return
    const larger = new Float64Array(Math.min(this.#pointsMax, 2 * room) * WIDTH)
    larger.set(ring.numbers)
    ring.numbers = larger
  }
}

function numberOf(number: number): number | undefined {
  return Number.isFinite(number) ? number : undefined
}
