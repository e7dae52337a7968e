/** Of a scrape, what `/status` does not say. */
export interface ScrapedNumbers {
  /** How long PUBACKs waited for their sync; undefined while there are none. */
  puback: Buckets | undefined
  /** Whole pages written a day, all logs together; undefined in the first minute. */
  wearBytesPerDay: number | undefined
}

/** Counts of a histogram since start, by upper bound in seconds, ascending; the last is Infinity. */
export type Buckets = readonly (readonly [bound: number, countBelow: number])[]

const PUBACK = 'fieldline_puback_wait_seconds_bucket'
const WEAR = 'fieldline_log_wear_bytes_per_day'

/**
 * Reads two metrics out of the text format.
 *
 * Source: Prometheus, exposition formats, text format 0.0.4.
 */
export function scrapedNumbers(page: string): ScrapedNumbers {
  const buckets: [number, number][] = []
  let wear: number | undefined
  for (const line of page.split('\n')) {
    const [, name, labels, value] = /^(\w+)\{(.*)\} (\S+)/.exec(line) ?? []
    if (name === WEAR) wear = (wear ?? 0) + Number(value)
    if (name !== PUBACK) continue
    const bound = /\ble="([^"]+)"/.exec(labels)?.[1]
    if (bound !== undefined) buckets.push([bound === '+Inf' ? Infinity : Number(bound), +value])
  }
  buckets.sort(([a], [b]) => a - b)
  const isWhole = buckets.at(-1)?.[0] === Infinity
  return { puback: isWhole ? buckets : undefined, wearBytesPerDay: wear }
}

/** What was counted in between; `now` itself after a restart, or when there was nothing before. */
export function since(now: Buckets, before: Buckets | undefined): Buckets {
  const fits = before?.length === now.length && now.every(([, n], at) => n >= before[at][1])
  return fits ? now.map(([bound, n], at) => [bound, n - before[at][1]]) : now
}

/**
 * @param share 0…1
 * @returns Seconds, by a straight line within the bucket; of what lies beyond the last bound, that
 *   bound. undefined when nothing was counted.
 * Source: `histogram_quantile` of Prometheus.
 */
export function quantile(buckets: Buckets, share: number): number | undefined {
  const total = buckets.at(-1)?.[1] ?? 0
  if (total === 0) return undefined
  const wanted = share * total
  let below = 0
  let lower = 0
  for (const [bound, count] of buckets) {
    if (count >= wanted && count > below) {
      if (bound === Infinity) return lower
      return lower + ((bound - lower) * (wanted - below)) / (count - below)
    }
    below = count
    lower = bound
  }
  return lower
}
