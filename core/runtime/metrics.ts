import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import { BucketCounts, type BucketTotals } from './bucket-counts.ts'

/** Numbers by label value, one level a label; the values of each come from a closed list. */
export type Labelled = { readonly [value: string]: number | Labelled }

/** One line of a scrape. */
interface Sample {
  metricName?: string
  labels: Record<string, string | number>
  value: number
}

/**
 * Of the library's own metrics: those that cost a walk over every connection at a scrape, say again
 * what others say, or are no number after a quiet moment.
 */
const NOT_WANTED = [
  'nodejs_eventloop_lag_min_seconds',
  'nodejs_eventloop_lag_mean_seconds',
  'nodejs_eventloop_lag_stddev_seconds',
  'nodejs_eventloop_lag_p90_seconds',
  'nodejs_active_resources',
  'nodejs_active_resources_total',
  'nodejs_active_handles',
  'nodejs_active_handles_total',
  'nodejs_active_requests',
  'nodejs_active_requests_total',
  'nodejs_heap_space_size_total_bytes',
  'nodejs_heap_space_size_used_bytes',
  'nodejs_heap_space_size_available_bytes',
  'process_virtual_memory_bytes',
  'process_heap_bytes'
]

/**
 * Prometheus metrics of one process; the only door to the metrics library.
 *
 * Values are kept where they arise and looked up when scraped: between scrapes a metric costs nothing
 * but its counting.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #refreshes: (() => unknown)[] = []

  constructor() {
    collectDefaultMetrics({ register: this.#registry })
    for (const name of NOT_WANTED) this.#registry.removeSingleMetric(name)
  }

  /** Called, and awaited, before anything is looked up for a scrape. Must not reject, nor take long. */
  refresh(fetch: () => unknown): void {
    this.#refreshes.push(fetch)
  }

  /** A value that is looked up when scraped; absent while undefined. */
  gauge(name: string, help: string, read: () => number | undefined): void {
    this.#add('gauge', name, help, () => samplesOf([], read()))
  }

  /** The same by label; `read` gives each label value its own. */
  gauges(
    name: string,
    help: string,
    label: string | readonly string[],
    read: () => Labelled | undefined
  ): void {
    this.#add('gauge', name, help, () => samplesOf([label].flat(), read()))
  }

  /** 1 for the word that holds, 0 for the others. */
  states(
    name: string,
    help: string,
    label: string,
    all: readonly string[],
    read: () => string | undefined
  ): void {
    this.gauges(name, help, label, () => oneOf(all, read()))
  }

  /** A count kept elsewhere, looked up when scraped; absent while undefined. It must never go back. */
  counter(name: string, help: string, read: () => number | undefined): void {
    this.#add('counter', name, help, () => samplesOf([], read()))
  }

  /** The same by label; `read` gives each label value its own. */
  counters(
    name: string,
    help: string,
    label: string | readonly string[],
    read: () => Labelled | undefined
  ): void {
    this.#add('counter', name, help, () => samplesOf([label].flat(), read()))
  }

  /** @param bounds Upper ones, ascending. @returns To be called with each value. */
  histogram(name: string, help: string, bounds: readonly number[]): (value: number) => void {
    const counts = new BucketCounts(bounds)
    this.histogramOf(name, help, bounds, () => counts.totals)
    return value => counts.observe(value)
  }

  /** Counted elsewhere, looked up when scraped; absent while undefined. */
  histogramOf(
    name: string,
    help: string,
    bounds: readonly number[],
    read: () => BucketTotals | undefined
  ): void {
    this.#add('histogram', name, help, () => {
      const totals = read()
      return totals ? bucketsOf(name, {}, bounds, totals) : []
    })
  }

  /** The same by label. */
  histogramsOf(
    name: string,
    help: string,
    label: string,
    bounds: readonly number[],
    read: () => Record<string, BucketTotals>
  ): void {
    this.#add('histogram', name, help, () =>
      Object.entries(read()).flatMap(([value, totals]) =>
        bucketsOf(name, { [label]: value }, bounds, totals)
      )
    )
  }

  /** Prometheus text exposition format 0.0.4. */
  async text(): Promise<string> {
    for (const fetch of this.#refreshes) await fetch()
    return this.#registry.metrics()
  }

  #add(type: string, name: string, help: string, values: () => Sample[]): void {
    // What the registry asks of a metric; the library's own classes keep values of their own.
    const metric = { name, help, type, get: async () => ({ name, help, type, values: values() }) }
    this.#registry.registerMetric(metric as unknown as Metric)
  }
}

/** @returns 1 for the word that holds, 0 for the others. */
export function oneOf(all: readonly string[], word: string | undefined): Record<string, number> {
  return Object.fromEntries(all.map(each => [each, each === word ? 1 : 0]))
}

function samplesOf(
  names: readonly string[],
  values: number | Labelled | undefined,
  labels: Record<string, string> = {}
): Sample[] {
  if (values === undefined) return []
  if (typeof values === 'number') return [{ labels, value: values }]
  const [name, ...rest] = names
  return Object.entries(values).flatMap(([value, inner]) =>
    samplesOf(rest, inner, { ...labels, [name]: value })
  )
}

function bucketsOf(
  name: string,
  labels: Record<string, string>,
  bounds: readonly number[],
  { counts, sum }: BucketTotals
): Sample[] {
  let count = 0
  const buckets = counts.map((inBucket, i) => {
    count += inBucket
    const le = bounds[i] ?? '+Inf'
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count }
  ]
}
