import type { RowShape } from './scorer/device-scorer.ts'

/** Empty cells in a row that carry the last values on, where `ageMsMax` does not say. */
const EMPTY_CELLS_MAX = 3
/** cell, rowAt, filled, answered */
const FIXED_NUMBERS = 4

/**
 * What a reading led to.
 *
 *   untouched  none of its metrics are of interest
 *   between    taken in; its row is not over yet, or it is too late for one
 *   waiting    its row came, but lacks a metric, or the window is not full yet
 */
export type WindowStep = 'untouched' | 'between' | 'waiting' | Float64Array

/**
 * Last values of a device and, for models that look back, its last rows: when a row is made, what
 * it holds where a metric is missing, and when a gap begins the window anew.
 *
 * A function of the readings alone, in their order; event time moves it, no clock.
 */
export class DeviceWindow {
  readonly shape: RowShape
  /** Did the model answer for the newest row? Readings up to the next one are then its, too. */
  answered = false
  readonly #values: Float64Array
  /** Event time of each value. */
  readonly #valuesAt: Float64Array
  /** `rows` × `metrics`, the newest in front of `#next`; unused without a look back. */
  readonly #ring: Float64Array
  #next = 0
  #filled = 0
  /** Time of the newest row: its cell's beginning, or its reading's. */
  #rowAt = Number.NaN
  /** Beginning of the cell that is still open. */
  #cell = Number.NaN

  constructor(shape: RowShape) {
    const width = shape.metrics.length
    this.shape = shape
    this.#values = new Float64Array(width).fill(Number.NaN)
    this.#valuesAt = new Float64Array(width).fill(Number.NaN)
    this.#ring = new Float64Array(shape.rows > 1 ? shape.rows * width : 0)
  }

  /** Of a window of this shape, in memory and, at most, in a snapshot. */
  static bytes({ metrics, rows }: RowShape): number {
    return 8 * (FIXED_NUMBERS + metrics.length * (2 + (rows > 1 ? rows : 0)))
  }

  /** @param at Event time, epoch ms. */
  take(at: number, values: readonly { metric: string; value: number }[]): WindowStep {
    const { metrics, everyMs } = this.shape
    if (!values.some(v => Number.isFinite(v.value) && metrics.includes(v.metric))) {
      return 'untouched'
    }
    return everyMs === undefined ? this.#takeRow(at, values) : this.#takeOnGrid(at, everyMs, values)
  }

  /** All of it as numbers; how many depends on how full it is. */
  snapshot(): Float64Array {
    const fixed = [this.#cell, this.#rowAt, this.#filled, this.answered ? 1 : 0]
    return Float64Array.from([...fixed, ...this.#values, ...this.#valuesAt, ...this.#rows()])
  }

  /** @returns How many numbers it took, 0 when they cannot be of this shape. */
  restore(numbers: Float64Array): number {
    const { rows, metrics } = this.shape
    const [cell, rowAt, filled, answered] = numbers
    if (!Number.isInteger(filled) || filled < 0 || filled > (rows > 1 ? rows : 0)) return 0
    const width = metrics.length
    const length = FIXED_NUMBERS + width * (2 + filled)
    if (numbers.length < length) return 0
    this.#cell = cell
    this.#rowAt = rowAt
    this.#filled = filled
    this.answered = answered === 1
    this.#values.set(numbers.subarray(FIXED_NUMBERS, FIXED_NUMBERS + width))
    this.#valuesAt.set(numbers.subarray(FIXED_NUMBERS + width, FIXED_NUMBERS + 2 * width))
    this.#ring.set(numbers.subarray(FIXED_NUMBERS + 2 * width, length))
    this.#next = filled % Math.max(1, rows)
    return length
  }

  #takeRow(at: number, values: readonly { metric: string; value: number }[]): WindowStep {
    const { rows, ageMsMax } = this.shape
    if (rows > 1 && ageMsMax !== undefined) {
      if (at < this.#rowAt && at >= this.#rowAt - ageMsMax) return 'between'
      if (Math.abs(at - this.#rowAt) > ageMsMax) this.#filled = 0
    }
    this.#learn(at, values)
    return this.#row(at)
  }

  #takeOnGrid(
    at: number,
    everyMs: number,
    values: readonly { metric: string; value: number }[]
  ): WindowStep {
    const { fill, ageMsMax = EMPTY_CELLS_MAX * everyMs } = this.shape
    const cell = Math.floor(at / everyMs) * everyMs
    let step: WindowStep = 'between'
    if (cell < this.#cell) {
      if (this.#cell - cell - everyMs <= ageMsMax) return step
      // The device's clock was set back: what it said before is of another time.
      this.#values.fill(Number.NaN)
      this.#filled = 0
    } else if (cell > this.#cell) {
      step = this.#row(this.#cell)
      const emptyMs = cell - this.#cell - everyMs
      if (emptyMs > (fill === 'none' ? 0 : ageMsMax)) this.#filled = 0
      else for (let c = this.#cell + everyMs; c < cell; c += everyMs) this.#push(c)
    }
    this.#cell = cell
    this.#learn(at, values)
    return step
  }

  #learn(at: number, values: readonly { metric: string; value: number }[]): void {
    const { metrics, everyMs } = this.shape
    for (const { metric, value } of values) {
      const index = metrics.indexOf(metric)
      if (index < 0 || !Number.isFinite(value)) continue
      if (everyMs !== undefined && at < this.#valuesAt[index]) {
        // Behind another value of the same cell.
        if (Math.floor(this.#valuesAt[index] / everyMs) * everyMs === this.#cell) continue
      }
      this.#values[index] = value
      this.#valuesAt[index] = at
    }
  }

  /** Ends a row. @returns The window with it, or that there is none. */
  #row(at: number): WindowStep {
    if (!this.#push(at)) return 'waiting'
    if (this.shape.rows === 1) return this.#present(at)
    return this.#filled === this.shape.rows ? Float64Array.from(this.#rows()) : 'waiting'
  }

  /** @returns false when a metric is missing; on a grid, where rows must not, the window restarts. */
  #push(at: number): boolean {
    const { rows, fill, everyMs } = this.shape
    const row = this.#present(at)
    if (fill !== 'mean' && !row.every(Number.isFinite)) {
      if (everyMs !== undefined) this.#filled = 0
      return false
    }
    this.#rowAt = at
    if (rows === 1) return true
    if (this.#filled === 0) this.#next = 0
    this.#ring.set(row, this.#next * row.length)
    this.#next = (this.#next + 1) % rows
    this.#filled = Math.min(rows, this.#filled + 1)
    return true
  }

  /** @returns The values at that time, a copy; NaN where there is none, or one too old. */
  #present(at: number): Float64Array {
    const { fill, ageMsMax = fill === 'none' ? 0 : undefined } = this.shape
    const row = this.#values.slice()
    if (ageMsMax === undefined) return row
    for (let i = 0; i < row.length; i++) {
      if (at - this.#valuesAt[i] > ageMsMax) row[i] = Number.NaN
    }
    return row
  }

  /** Oldest first. */
  #rows(): Float64Array {
    const width = this.shape.metrics.length
    const oldest = this.#filled < this.shape.rows ? 0 : this.#next * width
    const rows = new Float64Array(this.#filled * width)
    rows.set(this.#ring.subarray(oldest, this.#filled * width))
    rows.set(this.#ring.subarray(0, oldest), this.#filled * width - oldest)
    return rows
  }
}
