import type { ScoredValue } from '../../detector/detector.ts'

/** A chart is about a thousand pixels wide. */
export const BUCKETS_MAX = 1024
const FIRST_ROOM = 64

const KEY = 0
const MIN = 1
const MAX = 2
const LOWER = 3
const UPPER = 4
const BANDS = 5
const SCORE = 6
const STRIDE = 7

export interface ChartPoint {
  /** Event time of the bucket's beginning. */
  at: number
  min: number
  max: number
  /** Mean of the expected ranges; absent while learning. */
  band?: { lower: number; upper: number }
  /** The highest. */
  score: number
}

/**
 * One series, thinned out as it comes: whatever its length, at most 1024 buckets of equal event time,
 * which double when the series outgrows them. 57 KB.
 *
 * A value that comes late joins the bucket of its time, or makes one.
 */
export class ChartRecorder {
  /** ms of event time a bucket. */
  widthMs = 1
  #rows = new Float64Array(FIRST_ROOM * STRIDE)
  #count = 0

  add({ at, value, score, learning, explain }: ScoredValue): void {
    const key = Math.floor(at / this.widthMs)
    const row = this.#row(key)
    const r = this.#rows
    r[row + MIN] = Math.min(r[row + MIN], value)
    r[row + MAX] = Math.max(r[row + MAX], value)
    r[row + SCORE] = Math.max(r[row + SCORE], score)
    if (!learning) {
      const { lower, upper } = explain()
      r[row + LOWER] += lower
      r[row + UPPER] += upper
      r[row + BANDS]++
    }
    while (this.#count > BUCKETS_MAX) this.#halve()
  }

  points(): ChartPoint[] {
    return Array.from({ length: this.#count }, (_, i) => {
      const row = i * STRIDE
      const [key, min, max, lower, upper, bands, score] = this.#rows.subarray(row, row + STRIDE)
      const band = bands > 0 ? { band: { lower: lower / bands, upper: upper / bands } } : {}
      return { at: key * this.widthMs, min, max, score, ...band }
    })
  }

  /** @returns Where the bucket's row begins; it is made where it is missing. */
  #row(key: number): number {
    const last = (this.#count - 1) * STRIDE
    if (this.#count > 0 && this.#rows[last + KEY] === key) return last
    let index = this.#count
    if (this.#count > 0 && key < this.#rows[last + KEY]) {
      let low = 0
      while (low < index) {
        const middle = (low + index) >> 1
        if (this.#rows[middle * STRIDE + KEY] < key) low = middle + 1
        else index = middle
      }
      if (this.#rows[index * STRIDE + KEY] === key) return index * STRIDE
    }
    return this.#insert(index, key)
  }

  #insert(index: number, key: number): number {
    if ((this.#count + 1) * STRIDE > this.#rows.length) {
      const grown = new Float64Array(2 * this.#rows.length)
      grown.set(this.#rows)
      this.#rows = grown
    }
    const row = index * STRIDE
    this.#rows.copyWithin(row + STRIDE, row, this.#count * STRIDE)
    this.#rows.set([key, Infinity, -Infinity, 0, 0, 0, 0], row)
    this.#count++
    return row
  }

  #halve(): void {
    this.widthMs *= 2
    const r = this.#rows
    let to = -1
    for (let from = 0; from < this.#count; from++) {
      const row = from * STRIDE
      const key = Math.floor(r[row + KEY] / 2)
      const into = to * STRIDE
      if (to >= 0 && r[into + KEY] === key) {
        r[into + MIN] = Math.min(r[into + MIN], r[row + MIN])
        r[into + MAX] = Math.max(r[into + MAX], r[row + MAX])
        r[into + SCORE] = Math.max(r[into + SCORE], r[row + SCORE])
        for (const sum of [LOWER, UPPER, BANDS]) r[into + sum] += r[row + sum]
      } else {
        to++
        r.copyWithin(to * STRIDE, row, row + STRIDE)
        r[to * STRIDE + KEY] = key
      }
    }
    this.#count = to + 1
  }
}
