import { isDeepStrictEqual } from 'node:util'

/**
 * What training learns from: rows of one kind of device on a grid of time, in stretches without gaps.
 * A window never reaches from one stretch into another.
 */
export interface TrainingHistory {
  /** Columns of a row, in this order. */
  metrics: readonly string[]
  /** From row to row. */
  everyMs: number
  /** A value older than this is missing; a longer gap begins a new stretch. */
  ageMsMax: number
  stretches: readonly Stretch[]
}

export interface Stretch {
  /** `site/device` */
  device: string
  /** Event time of the first row, epoch ms. */
  firstAt: number
  /** Finite numbers, in the metrics' own units. */
  rows: readonly Float64Array[]
}

export function rowsOf({ stretches }: Pick<TrainingHistory, 'stretches'>): number {
  return stretches.reduce((sum, { rows }) => sum + rows.length, 0)
}

/** The part of a history before an instant. */
export function before(history: TrainingHistory, at: number): TrainingHistory {
  const stretches = history.stretches.flatMap(stretch => {
    const count = Math.ceil((at - stretch.firstAt) / history.everyMs)
    if (count <= 0) return []
    return count >= stretch.rows.length
      ? [stretch]
      : [{ ...stretch, rows: stretch.rows.slice(0, count) }]
  })
  return { ...history, stretches }
}

/** Instant before which a share of all rows lies. */
export function instantAt({ stretches, everyMs }: TrainingHistory, share: number): number {
  const count = rowsOf({ stretches })
  const at = new Float64Array(count)
  let next = 0
  for (const { firstAt, rows } of stretches) {
    for (let i = 0; i < rows.length; i++) at[next++] = firstAt + i * everyMs
  }
  return at.sort()[Math.min(count - 1, Math.floor(share * count))]
}

/** Fewer columns, by name, in the order of the names; the history itself where nothing changes. */
export function pick(history: TrainingHistory, metrics: readonly string[]): TrainingHistory {
  if (isDeepStrictEqual(history.metrics, metrics)) return history
  const columns = metrics.map(metric => history.metrics.indexOf(metric))
  const stretches = history.stretches.map(stretch => ({
    ...stretch,
    rows: stretch.rows.map(row => Float64Array.from(columns, column => row[column]))
  }))
  return { ...history, metrics, stretches }
}
