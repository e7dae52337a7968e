import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { TestAgent } from '../kit/agent-process.ts'
import { type OwnKafka, startOwnKafka, useOwnKafka } from '../kit/kafka.ts'
import { RawMqtt } from '../kit/raw-mqtt.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

/** What the threads of an agent tell: as built, since run from the sources it has none. */

let kafka: OwnKafka
useOwnKafka(async () => {
  kafka = await startOwnKafka()
  return kafka
})

const CONFIG = `
agent: { id: gateway-7 }
kafka: { create_topics: true }
`
const READINGS = 500

/** Loaded into each thread before its own code: ends it by a fault when a file of its name appears. */
const FAULTS = `
const { workerData } = require('node:worker_threads')
const { existsSync, unlinkSync } = require('node:fs')
const thread = workerData?.plans ? 'uplink' : workerData?.plan ? 'detector' : undefined
const order = process.env.FIELDLINE_FAULTS + '/' + thread
if (thread) setInterval(() => {
  if (!existsSync(order)) return
  unlinkSync(order)
  throw new Error('a fault, as ordered')
}, 20).unref()
`

type Scrape = Record<string, number>

async function scrape(agent: TestAgent): Promise<Scrape> {
  const text = await (await agent.page('/metrics')).text()
  const lines = text.split('\n').filter(line => /^\w/.test(line))
  return Object.fromEntries(
    lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))])
  )
}

/** Scrapes until it holds: nothing tells when threads have come so far. */
async function until(agent: TestAgent, holds: (seen: Scrape) => boolean): Promise<Scrape> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const seen = await scrape(agent)
    if (holds(seen)) return seen
    if (performance.now() > deadline)
      throw new Error(`not within a minute: ${JSON.stringify(seen)}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

async function publish(device: RawMqtt, count: number): Promise<void> {
  const before = device.acks().length
  for (let n = 1; n <= count; n++) {
    device.publish({ topic: 'telemetry/plant7/pump-3', payload: `{"t":${n % 7}}`, qos: 1, id: n })
  }
  await device.until(() => device.acks().length === before + count)
}

const passed = (count: number) => (seen: Scrape) =>
  seen['fieldline_produced_total{lane="telemetry"}'] >= count &&
  seen.fieldline_detector_readings_total >= count &&
  seen.fieldline_detector_lag_records === 0

test('threads tell what they measure, and no counter goes back when one is started again', async () => {
  const faults = temporaryDirectory()
  const preload = path.join(faults, 'faults.cjs')
  writeFileSync(preload, FAULTS)
  const agent = new TestAgent(CONFIG, {
    NODE_OPTIONS: `--require ${preload}`,
    FIELDLINE_FAULTS: faults
  })
  onTestFinished(() => agent.remove())
  await agent.start(kafka.address)
  const device = await RawMqtt.connect(agent.mqttPort)
  onTestFinished(() => void device.socket.destroy())
  await publish(device, READINGS)
  const first = await until(agent, passed(READINGS))
  expect(first).toMatchObject({
    fieldline_puback_wait_seconds_count: READINGS,
    fieldline_detector_up: 1,
    fieldline_detector_series: 1,
    'fieldline_mode{mode="streaming"}': 1,
    'fieldline_backlog_bytes{lane="telemetry"}': 0,
    'fieldline_thread_faults_total{thread="uplink"}': 0
  })
  // Values of one millisecond are one.
  const repeated = first['fieldline_detector_unscored_total{reason="repeated"}']
  expect(first.fieldline_detector_values_scored_total + repeated).toBe(READINGS)
  const batches = 'fieldline_produce_seconds_count{lane="telemetry"}'
  expect(first[batches]).toBeGreaterThan(0)
  expect(first['fieldline_produce_seconds_bucket{le="+Inf",lane="telemetry"}']).toBe(first[batches])
  expect(first['fieldline_produce_seconds_sum{lane="telemetry"}']).toBeGreaterThan(0)
  for (const thread of ['main', 'uplink', 'detector']) {
    expect(first[`fieldline_thread_busy_seconds_total{thread="${thread}"}`]).toBeGreaterThan(0)
  }

  for (const thread of ['uplink', 'detector']) writeFileSync(path.join(faults, thread), '')
  let last = first
  const counters = Object.keys(first).filter(name => /_(total|count|bucket)(\{|$)/.test(name))
  const neverBack = (seen: Scrape) => {
    const back = counters.filter(name => (seen[name] ?? 0) < last[name])
    expect(back).toEqual([])
    last = seen
  }
  await until(agent, seen => {
    neverBack(seen)
    return ['uplink', 'detector'].every(
      thread => seen[`fieldline_thread_faults_total{thread="${thread}"}`] === 1
    )
  })
  await publish(device, READINGS)
  const second = await until(agent, seen => {
    neverBack(seen)
    return passed(2 * READINGS)(seen) && seen.fieldline_detector_up === 1
  })
  expect(second[batches]).toBeGreaterThan(first[batches])
  expect(existsSync(path.join(faults, 'uplink'))).toBe(false)
  expect(await agent.stop()).toBe(0)
})
