import { expect, test } from 'vitest'
import { Metrics } from '../../../core/runtime/metrics.ts'

const lines = async (metrics: Metrics, name: string) =>
  (await metrics.text()).split('\n').filter(line => line.startsWith(name))

test('a gauge shows what is read at the scrape, not before', async () => {
  const metrics = new Metrics()
  let value = 1
  metrics.gauge('fieldline_clients', 'Clients.', () => value)
  value = 5
  expect(await lines(metrics, 'fieldline_clients')).toEqual(['fieldline_clients 5'])
  value = 6
  expect(await lines(metrics, 'fieldline_clients')).toEqual(['fieldline_clients 6'])
})

test('counters show totals kept elsewhere, by label, without adding them up at each scrape', async () => {
  const metrics = new Metrics()
  metrics.counters('fieldline_drops_total', 'Drops.', 'reason', () => ({ full: 3, age: 0 }))
  const expected = [
    'fieldline_drops_total{reason="full"} 3',
    'fieldline_drops_total{reason="age"} 0'
  ]
  expect(await lines(metrics, 'fieldline_drops_total')).toEqual(expected)
  expect(await lines(metrics, 'fieldline_drops_total')).toEqual(expected)
  expect(await metrics.text()).toContain('# TYPE fieldline_drops_total counter')
})

test('a histogram counts in seconds by bucket', async () => {
  const metrics = new Metrics()
  const observe = metrics.histogram('fieldline_wait_seconds', 'Wait.', [0.01, 0.1])
  for (const seconds of [0.005, 0.05, 5]) observe(seconds)
  expect(await lines(metrics, 'fieldline_wait_seconds_bucket')).toEqual([
    'fieldline_wait_seconds_bucket{le="0.01"} 1',
    'fieldline_wait_seconds_bucket{le="0.1"} 2',
    'fieldline_wait_seconds_bucket{le="+Inf"} 3'
  ])
})

test('the process itself is measured, and two registries do not share', async () => {
  const [a, b] = [new Metrics(), new Metrics()]
  a.gauge('only_in_a', 'A.', () => 1)
  expect(await b.text()).not.toContain('only_in_a')
  expect(await b.text()).toContain('process_cpu_seconds_total')
})
