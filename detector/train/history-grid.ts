import { OperationalError } from '../../core/runtime/errors.ts'
import type { Stretch, TrainingHistory } from './history-rows.ts'

/** As far as a recorded reading matters here. */
export interface RecordedReading {
  /** Event time, epoch ms. */
  at: number
  site: string
  device: string
  values: readonly { metric: string; value: number }[]
}

/** 24 bytes each. */
const VALUES_MAX = 5_000_000
/** As in a model's window: so many empty rows carry the last values on. */
const EMPTY_ROWS_MAX = 3
/** A metric that comes so much more seldom than the others would hold up every row. */
const SELDOM = 20
/** A rhythm so close to whole seconds is one of whole seconds. */
const NEAR_SECONDS = 0.05

/** Values of a device in the order they were recorded. */
class Recorded {
  readonly at: number[] = []
  readonly metric: number[] = []
  readonly value: number[] = []
}

/** What became of the readings, for the report. */
export interface GridResult {
  history: TrainingHistory
  devices: number
  readings: number
  /** Metrics that came too seldom to be learned with the others. */
  seldom: string[]
}

/**
 * Puts readings on a grid of time, the way a model's window does while it scores
 * (`detector/device-window.ts`): a row is the last value of each metric in its cell; a metric that is
 * missing keeps its last value for a while; a longer gap begins a new stretch.
 *
 * The grid is the usual time from one value of a metric to the next. Memory grows with the values; at
 * 5 million it is full, which is an error.
 */
export class HistoryGrid {
  readonly #devices = new Map<string, Recorded>()
  readonly #metrics = new Map<string, number>()
  #readings = 0
  #values = 0

  /** @throws {OperationalError} HISTORY_UNFIT: too long. */
  add({ at, site, device, values }: RecordedReading): void {
    const key = `${site}/${device}`
    let recorded = this.#devices.get(key)
    if (!recorded) {
      recorded = new Recorded()
      this.#devices.set(key, recorded)
    }
    this.#readings++
    for (const { metric, value } of values) {
      if (!Number.isFinite(value)) continue
      let index = this.#metrics.get(metric)
      if (index === undefined) {
        index = this.#metrics.size
        this.#metrics.set(metric, index)
      }
      recorded.at.push(at)
      recorded.metric.push(index)
      recorded.value.push(value)
      this.#values++
    }
    if (this.#values > VALUES_MAX) {
      throw unfit(
        `It has more than ${VALUES_MAX} values. Give a shorter time with --from and --to, or fewer metrics with --values.`
      )
    }
  }

  /**
   * @param everyMs From row to row; left out: the metrics' usual pace.
   * @throws {OperationalError} HISTORY_UNFIT: no rhythm can be told.
   */
  build(everyMs?: number): GridResult {
    const devices = [...this.#devices.values()].map(inOrder)
    const paces = this.#paces(devices)
    const known = paces.filter(Number.isFinite)
    if (known.length === 0) {
      throw unfit('No metric has two values at different times: there is no rhythm in it.')
    }
    const every = everyMs ?? wholeSeconds(median(known))
    const names = [...this.#metrics.keys()]
    const chosen = names.filter((_, i) => paces[i] <= SELDOM * every)
    const slowest = Math.max(...names.map((_, i) => paces[i]).filter(p => p <= SELDOM * every))
    const ageMsMax = Math.ceil(Math.max(EMPTY_ROWS_MAX * every, 3 * slowest))
    if (chosen.length === 0) throw unfit(`No metric comes as often as every ${SELDOM * every} ms.`)
    const columns = new Map(chosen.map((name, column) => [this.#metrics.get(name) ?? -1, column]))
    const stretches = [...this.#devices.keys()].flatMap((device, i) =>
      stretchesOf(device, devices[i], columns, every, ageMsMax)
    )
    return {
      history: { metrics: chosen, everyMs: every, ageMsMax, stretches },
      devices: this.#devices.size,
      readings: this.#readings,
      seldom: names.filter(name => !chosen.includes(name))
    }
  }

  /** Of each metric: the median time between two of its values; Infinity if there are none. */
  #paces(devices: readonly Recorded[]): number[] {
    const gaps = Array.from(this.#metrics, (): number[] => [])
    for (const { at, metric } of devices) {
      const last = new Map<number, number>()
      for (const [i, m] of metric.entries()) {
        const gap = at[i] - (last.get(m) ?? Number.NaN)
        if (gap > 0) gaps[m].push(gap)
        last.set(m, at[i])
      }
    }
    return gaps.map(of => (of.length > 0 ? median(of) : Infinity))
  }
}

/** By time; what was recorded at one instant keeps its order. */
function inOrder(recorded: Recorded): Recorded {
  const { at, metric, value } = recorded
  let sorted = true
  for (let i = 1; i < at.length && sorted; i++) sorted = at[i] >= at[i - 1]
  if (sorted) return recorded
  const out = new Recorded()
  for (const i of Array.from(at.keys()).sort((a, b) => at[a] - at[b] || a - b)) {
    out.at.push(at[i])
    out.metric.push(metric[i])
    out.value.push(value[i])
  }
  return out
}

function stretchesOf(
  device: string,
  { at, metric, value }: Recorded,
  columns: ReadonlyMap<number, number>,
  everyMs: number,
  ageMsMax: number
): Stretch[] {
  const stretches: Stretch[] = []
  const values = new Float64Array(columns.size).fill(Number.NaN)
  const valuesAt = new Float64Array(columns.size).fill(Number.NaN)
  let open: { device: string; firstAt: number; rows: Float64Array[] } | undefined
  let cell = Number.NaN
  const push = (rowAt: number): void => {
    const row = values.map((v, i) => (rowAt - valuesAt[i] > ageMsMax ? Number.NaN : v))
    if (!row.every(Number.isFinite)) {
      open = undefined
      return
    }
    if (!open) {
      open = { device, firstAt: rowAt, rows: [] }
      stretches.push(open)
    }
    open.rows.push(row)
  }
  for (const [i, m] of metric.entries()) {
    const column = columns.get(m)
    if (column === undefined) continue
    const next = Math.floor(at[i] / everyMs) * everyMs
    if (next > cell) {
      push(cell)
      if (next - cell - everyMs > ageMsMax) open = undefined
      else for (let empty = cell + everyMs; empty < next; empty += everyMs) push(empty)
    }
    cell = next
    values[column] = value[i]
    valuesAt[column] = at[i]
  }
  if (Number.isFinite(cell)) push(cell)
  return stretches
}

function wholeSeconds(ms: number): number {
  const seconds = Math.max(1, Math.round(ms / 1000)) * 1000
  return Math.abs(ms - seconds) <= NEAR_SECONDS * seconds ? seconds : Math.max(1, Math.round(ms))
}

/** The lower one of two in the middle. */
function median(values: number[]): number {
  values.sort((a, b) => a - b)
  return values[(values.length - 1) >> 1]
}

function unfit(why: string): OperationalError {
  return new OperationalError('HISTORY_UNFIT', `The history cannot be learned from. ${why}`)
}
