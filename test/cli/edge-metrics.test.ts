import { expect, test } from 'vitest'
import type { EdgeDetection } from '../../cli/edge/edge-detection.ts'
import { type MeasuredEdge, withEarlierMeasures } from '../../cli/edge/edge-measures.ts'
import { registerEdgeMetrics } from '../../cli/edge/edge-metrics.ts'
import { Metrics } from '../../core/runtime/metrics.ts'
import { noCounters } from '../../detector/counters.ts'
import type { EdgeMeasures } from '../../detector/edge-detector.ts'
import { MODEL_RUN_BUCKETS } from '../../detector/engine-metrics.ts'

function measures(scored: number, progress: EdgeMeasures['progress']): EdgeMeasures {
  const counters = { ...noCounters(), records: scored, undecodable: 0, skipped: 0 }
  return {
    counters: { ...counters, scored, series: 3, openAlerts: 1 },
    open: { info: 0, warning: 1, critical: 0 },
    models: { usable: 1, unusable: 2 },
    modelRuns: { counts: MODEL_RUN_BUCKETS.map(() => scored).concat(0), sum: scored },
    progress,
    failed: false
  }
}

function scraped(answer: () => MeasuredEdge) {
  const log = { status: { end: 100, firstKept: 0 } }
  const metrics = new Metrics()
  const clock = { now: 1_000_000 }
  const detection: Pick<EdgeDetection, 'measures'> = { measures: async () => answer() }
  registerEdgeMetrics(metrics, detection, log as never, () => clock.now)
  const scrape = async () => {
    const lines = (await metrics.text()).split('\n').filter(line => line.startsWith('fieldline_'))
    return Object.fromEntries(
      lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))])
    )
  }
  return { scrape, log, clock }
}

test('each scrape asks the detector anew', async () => {
  let seen = measures(5, { offset: 100, receivedAt: 990_000 })
  const { scrape } = scraped(() => ({ up: true, measures: seen }))
  expect(await scrape()).toMatchObject({
    fieldline_detector_up: 1,
    fieldline_detector_values_scored_total: 5,
    fieldline_detector_series: 3,
    'fieldline_detector_open_alerts{severity="warning"}': 1,
    'fieldline_detector_models{state="unusable"}': 2,
    fieldline_detector_lag_records: 0,
    fieldline_detector_lag_seconds: 0
  })
  seen = measures(9, { offset: 100, receivedAt: 990_000 })
  expect(await scrape()).toMatchObject({ fieldline_detector_values_scored_total: 9 })
})

test('a detector that does not answer is down, and how far it falls behind is still seen', async () => {
  let up = true
  const last = measures(5, { offset: 90, receivedAt: 940_000 })
  const { scrape, log, clock } = scraped(() => ({ up, measures: last }))
  expect(await scrape()).toMatchObject({
    fieldline_detector_lag_records: 10,
    fieldline_detector_lag_seconds: 60
  })
  up = false
  log.status.end = 190
  clock.now += 30_000
  expect(await scrape()).toMatchObject({
    fieldline_detector_up: 0,
    fieldline_detector_values_scored_total: 5,
    fieldline_detector_lag_records: 100,
    fieldline_detector_lag_seconds: 90
  })
})

test('a reading that comes after an hour of silence is not an hour behind', async () => {
  let seen = measures(5, { offset: 100, receivedAt: 1_000_000 })
  const { scrape, log, clock } = scraped(() => ({ up: true, measures: seen }))
  clock.now += 3_600_000
  await scrape()
  clock.now += 15_000
  log.status.end = 101
  expect(await scrape()).toMatchObject({
    fieldline_detector_lag_records: 1,
    fieldline_detector_lag_seconds: 15
  })
  seen = measures(6, { offset: 101, receivedAt: clock.now })
  expect(await scrape()).toMatchObject({ fieldline_detector_lag_seconds: 0 })
})

test('before the detector has ever answered its counts are absent rather than 0', async () => {
  const { scrape } = scraped(() => ({ up: false, measures: undefined }))
  const seen = await scrape()
  expect(seen).toMatchObject({ fieldline_detector_up: 0 })
  expect(seen).not.toHaveProperty('fieldline_detector_values_scored_total')
  expect(seen).not.toHaveProperty('fieldline_detector_lag_records')
})

test('counts go on over the restarts of its thread; what it holds is of now', () => {
  const earlier = measures(100, undefined)
  earlier.counters.raisedAs.anomaly.critical = 4
  const now = measures(1, { offset: 7, receivedAt: 1 })
  const sum = withEarlierMeasures(now, earlier)
  expect(sum.counters).toMatchObject({ scored: 101, records: 101, series: 3, openAlerts: 1 })
  expect(sum.counters.raisedAs.anomaly.critical).toBe(4)
  expect(sum.modelRuns.sum).toBe(101)
  expect(sum.progress).toEqual({ offset: 7, receivedAt: 1 })
  expect(now.counters.scored).toBe(1)
})
