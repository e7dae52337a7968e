/**
 * What a model wants to see of a device: the last rows of some metrics, and when a row is one.
 * Two scorers of the same shape can take over each other's windows.
 */
export interface RowShape {
  /** Metrics of a row, in this order. */
  readonly metrics: readonly string[]
  /** Rows a window, the newest included; 1: the last values alone. */
  readonly rows: number
  /** Grid of event time, ms; absent: every reading that touches a metric makes a row. */
  readonly everyMs?: number
  /** What happens to a metric without a value. */
  readonly fill: 'last' | 'mean' | 'none'
  /** A value older than this counts as missing, a longer gap restarts the window. */
  readonly ageMsMax?: number
}

/**
 * Says how surprising a device is as a whole: its metrics' last values, seen together. Windows of
 * several devices are scored in one call, because calls are what a model costs.
 *
 * Contract: keeps no state between windows, so an answer is a function of its window (up to the last
 * bits, which may depend on the batch). Never rejects: a window it cannot score is `undefined`, and
 * the engine falls back on the series' own scorers.
 */
export interface DeviceScorer {
  readonly name: string
  readonly version: string
  readonly params: Readonly<Record<string, unknown>>
  readonly shape: RowShape
  /** Windows that one call of the model takes; more are cut into several. */
  readonly batchMax: number
  /**
   * @param windows Each `rows` × `metrics` numbers, row by row, oldest first, in the metrics' own
   *   units; finite, or NaN where the training's mean is to stand in.
   */
  score(windows: readonly Float64Array[]): Promise<(DeviceScore | undefined)[]>
  /** Keeps it usable until as many calls of `release`. */
  retain(): void
  release(): void
}

/** A model's place in the configuration. What scores there may change; its name does not. */
export interface DeviceModel {
  readonly name: string
  covers(site: string, device: string): boolean
  /** `undefined` while nothing usable is there. */
  readonly current: DeviceScorer | undefined
  close(): Promise<void>
}

export interface DeviceScore {
  /** 0…1, 0.8 at the model's own threshold: see `scoreOfRatio`. */
  readonly score: number
  /** Shares of the surprise, largest first; they sum to 1. Empty where the model does not say. */
  readonly contributions: { metric: string; share: number }[]
  readonly reason: string
}
