/**
 * Says how surprising a device is as a whole: its metrics' last values, seen together. Rows of
 * several devices are scored in one call, because calls are what a model costs.
 *
 * Contract: keeps no state between rows, so a row's answer is a function of the row (up to the last
 * bits, which may depend on the batch). Never rejects: a row it cannot score is `undefined`, and the
 * engine falls back on the series' own scorers.
 */
export interface DeviceScorer {
  readonly name: string
  readonly version: string
  readonly params: Readonly<Record<string, unknown>>
  /** Metrics of a row, in this order. */
  readonly metrics: readonly string[]
  covers(site: string, device: string): boolean
  /** @param rows Each as long as `metrics`, in the metrics' own units; finite. */
  score(rows: readonly Float64Array[]): Promise<(DeviceScore | undefined)[]>
  close(): Promise<void>
}

export interface DeviceScore {
  /** 0…1, 0.8 at the model's own threshold: see `scoreOfRatio`. */
  score: number
  /** Shares of the surprise, largest first; they sum to 1. */
  contributions: { metric: string; share: number }[]
  reason: string
}
