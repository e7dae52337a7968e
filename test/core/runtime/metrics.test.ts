import { expect, test } from 'vitest'
import { Metrics } from '../../../core/runtime/metrics.ts'
import { registerProcessMetrics } from '../../../core/runtime/metrics-process.ts'

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

test('what has to be fetched is fetched once a scrape, before anything is looked up', async () => {
  const metrics = new Metrics()
  let value = 0
  metrics.gauge('fieldline_a', 'A.', () => value)
  metrics.refresh(async () => {
    await new Promise(resolve => setImmediate(resolve))
    value += 10
  })
  expect(await lines(metrics, 'fieldline_a')).toEqual(['fieldline_a 10'])
  expect(await lines(metrics, 'fieldline_a')).toEqual(['fieldline_a 20'])
})

test('a value that is not known is absent', async () => {
  const metrics = new Metrics()
  metrics.gauge('fieldline_a', 'A.', () => undefined)
  metrics.counters('fieldline_b_total', 'B.', 'reason', () => undefined)
  metrics.histogramOf('fieldline_c_seconds', 'C.', [1], () => undefined)
  expect(await lines(metrics, 'fieldline_')).toEqual([])
  expect(await metrics.text()).toContain('# TYPE fieldline_a gauge')
})

test('several labels are levels of one table', async () => {
  const metrics = new Metrics()
  const table = { log: { full: 1, age: 2 }, ingest: { qos0: 3 } }
  metrics.counters('fieldline_drops_total', 'Drops.', ['stage', 'reason'], () => table)
  expect(await lines(metrics, 'fieldline_drops_total')).toEqual([
    'fieldline_drops_total{stage="log",reason="full"} 1',
    'fieldline_drops_total{stage="log",reason="age"} 2',
    'fieldline_drops_total{stage="ingest",reason="qos0"} 3'
  ])
})

test('of the words of a state one is 1, of an unknown one none', async () => {
  const metrics = new Metrics()
  let state = 'full'
  metrics.states('fieldline_mode', 'Mode.', 'mode', ['streaming', 'full'], () => state)
  const mode = () => lines(metrics, 'fieldline_mode')
  expect(await mode()).toEqual([
    'fieldline_mode{mode="streaming"} 0',
    'fieldline_mode{mode="full"} 1'
  ])
  state = 'else'
  expect(await mode()).toEqual([
    'fieldline_mode{mode="streaming"} 0',
    'fieldline_mode{mode="full"} 0'
  ])
})

test('counts of a thread become a histogram by label, summed up from bucket to bucket', async () => {
  const metrics = new Metrics()
  const totals = { counts: [1, 0, 2], sum: 6.5 }
  metrics.histogramsOf('fieldline_send_seconds', 'Send.', 'lane', [0.1, 1], () => ({
    telemetry: totals
  }))
  expect(await lines(metrics, 'fieldline_send_seconds')).toEqual([
    'fieldline_send_seconds_bucket{le="0.1",lane="telemetry"} 1',
    'fieldline_send_seconds_bucket{le="1",lane="telemetry"} 1',
    'fieldline_send_seconds_bucket{le="+Inf",lane="telemetry"} 3',
    'fieldline_send_seconds_sum{lane="telemetry"} 6.5',
    'fieldline_send_seconds_count{lane="telemetry"} 3'
  ])
})

test('the time that each thread is at work only grows', async () => {
  const metrics = new Metrics()
  registerProcessMetrics(metrics, {
    version: '1.2.3',
    configHash: () => '0123456789abcdef',
    threads: () => ({ uplink: { busyMs: 1500, faults: 2 }, detector: undefined })
  })
  const busy = async () => {
    const [main, uplink] = await lines(metrics, 'fieldline_thread_busy_seconds_total')
    expect(uplink).toBe('fieldline_thread_busy_seconds_total{thread="uplink"} 1.5')
    return Number(main.split(' ').at(-1))
  }
  const before = await busy()
  expect(await busy()).toBeGreaterThanOrEqual(before)
  expect(await lines(metrics, 'fieldline_thread_faults_total')).toEqual([
    'fieldline_thread_faults_total{thread="uplink"} 2'
  ])
  expect(await lines(metrics, 'fieldline_build_info')).toEqual([
    `fieldline_build_info{version="1.2.3",node="${process.versions.node}"} 1`
  ])
  expect(await lines(metrics, 'fieldline_config_info')).toEqual([
    'fieldline_config_info{hash="0123456789abcdef"} 1'
  ])
})
