import { afterEach, expect, test } from 'vitest'
import { Fleet, type FleetOptions } from '../../firmware-sim/fleet.ts'
import { FleetPlan, payloadOf } from '../../firmware-sim/plan.ts'
import { parseRecording } from '../../firmware-sim/recording.ts'
import { TinyBroker } from './tiny-broker.ts'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function rig(
  options: Partial<FleetOptions> = {}
): Promise<{ broker: TinyBroker; fleet: Fleet }> {
  const broker = new TinyBroker()
  await broker.start()
  stops.push(() => broker.stop())
  const fleet = new Fleet({
    host: '127.0.0.1',
    port: broker.port,
    devices: 5,
    rate: 200,
    durationMs: 1_000,
    seed: 42,
    backOffMsMin: 5,
    backOffMsMax: 20,
    ...options
  })
  stops.push(() => fleet.stop())
  return { broker, fleet }
}

const deviceOf = (topic: string): string => topic.split('/')[2]

test('a fleet publishes exactly its plan, and its ledger says so', async () => {
  const { broker, fleet } = await rig({
    faults: { warmUpMs: 200, deviceShare: 1, kinds: ['spike'] }
  })
  const before = Date.now()
  await fleet.start()
  await fleet.done
  const after = Date.now()

  const startAt = Math.min(...broker.published.map(p => JSON.parse(p.payload).ts))
  expect(startAt).toBeGreaterThanOrEqual(before)
  const plan = new FleetPlan({
    devices: 5,
    metrics: 3,
    intervalMs: 25,
    durationMs: 1_000,
    seed: 42,
    site: 'plant1',
    prefix: 'sim-',
    startAt,
    timeScale: 1,
    faults: { warmUpMs: 200, deviceShare: 1, kinds: ['spike'] }
  })
  const planned = new Map<string, string[]>(plan.devices.map(d => [d.device, []]))
  for (const reading of plan.readings()) {
    const { device, metrics } = plan.devices[reading.device]
    const list = planned.get(device) as string[]
    list.push(payloadOf(metrics, reading, list.length + 1))
  }
  for (const [device, payloads] of planned) {
    const sent = broker.published.filter(p => deviceOf(p.topic) === device).map(p => p.payload)
    expect(sent).toEqual(payloads)
    expect(fleet.ledger()[device]).toBe(payloads.length)
  }
  expect(fleet.truth()).toEqual(plan.labels())
  expect(fleet.truth().length).toBe(5)
  expect(fleet.counters()).toMatchObject({
    taken: 200,
    sent: 200,
    acknowledged: 200,
    resent: 0,
    dropped: 0,
    waiting: 0,
    inFlight: 0,
    connected: 0
  })
  expect(broker.published.every(p => JSON.parse(p.payload).ts <= after)).toBe(true)
})

test('a fleet whose broker cuts every connection again and again loses nothing', async () => {
  const { broker, fleet } = await rig({ rate: 500 })
  broker.answer = (_, nth) => (nth % 50 === 0 ? 'drop_connection' : 'ack')
  await fleet.start()
  await fleet.done
  const ledger = fleet.ledger()
  expect(Object.values(ledger)).toEqual(Array(5).fill(100))
  for (const device of Object.keys(ledger)) {
    const sequences = broker.published
      .filter(p => deviceOf(p.topic) === device)
      .map(p => JSON.parse(p.payload).seq as number)
    expect([...new Set(sequences)]).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
  }
  expect(fleet.counters().resent).toBeGreaterThan(0)
  expect(fleet.counters().reconnects).toBeGreaterThan(0)
})

test('stop takes no more readings, waits for acknowledgements and cuts the truth there', async () => {
  const { broker, fleet } = await rig({
    durationMs: 600_000,
    faults: { warmUpMs: 0, deviceShare: 1, perDevice: 500 }
  })
  await fleet.start()
  await broker.until(() => broker.published.length >= 100)
  await fleet.stop()
  const c = fleet.counters()
  expect(c.acknowledged).toBe(c.sent)
  expect(c.waiting + c.inFlight + c.connected).toBe(0)
  const now = Date.now()
  expect(fleet.truth().length).toBeLessThan(100)
  for (const label of fleet.truth()) expect(label.to).toBeLessThanOrEqual(now)
})

test('stop does not wait for ever for acknowledgements that never come', async () => {
  const { broker, fleet } = await rig({ durationMs: 600_000, drainMsMax: 50 })
  broker.answer = () => 'withhold'
  await fleet.start()
  await broker.until(() => broker.published.length >= 20)
  await fleet.stop()
  expect(fleet.counters().inFlight).toBeGreaterThan(0)
  expect(Object.values(fleet.ledger())).toEqual(Array(5).fill(0))
})

test('a fleet plays a recording to its end', async () => {
  const recording = parseRecording(
    'timestamp,value\n2015-02-26 21:42:53,7\n2015-02-26 21:47:53,\n2015-02-26 21:52:53,4\n',
    'pump.csv',
    {}
  )
  const { broker, fleet } = await rig({ devices: 2, recording, speed: 6_000, durationMs: 60_000 })
  await fleet.start()
  await fleet.done
  const of = (device: string): object[] =>
    broker.published.filter(p => deviceOf(p.topic) === device).map(p => JSON.parse(p.payload))
  for (const device of ['sim-001', 'sim-002']) {
    expect(of(device)).toMatchObject([
      { value: 7, seq: 1 },
      { value: 4, seq: 2 }
    ])
  }
  expect(fleet.truth()).toEqual([])
})

test('a fleet waits for its broker and says why it is not connected', async () => {
  const { broker, fleet } = await rig({ rate: 50, durationMs: 300, drainMsMax: 20_000 })
  const { port } = broker
  await broker.stop()
  stops.splice(0, 1)
  await fleet.start()
  await expect.poll(() => fleet.counters().lastError).toContain('ECONNREFUSED')
  const late = new TinyBroker()
  await late.start(port)
  stops.unshift(() => late.stop())
  await fleet.done
  expect(late.published.length).toBe(15)
  expect(fleet.counters()).toMatchObject({ acknowledged: 15, resent: 0, lastError: undefined })
})

test.each([
  [{ devices: 0 }, /devices is 0; .* whole number from 1 to 10000/],
  [{ devices: 1.5 }, /devices is 1.5/],
  [{ rate: Number.NaN }, /rate is NaN/],
  [{ durationMs: -1 }, /duration is -0.001/],
  [{ seed: -1 }, /seed is -1/],
  [{ qos: 3 as 2 }, /qos is 3/],
  [{ metrics: 33 }, /metrics is 33/],
  [{ timeScale: 0 }, /time-scale is 0/],
  [{ site: 'a/b' }, /site is "a\/b"/],
  [{ prefix: '#' }, /prefix is "#"/],
  [{ faults: { deviceShare: 2 } }, /deviceShare is 2/],
  [{ faults: { kinds: ['fire' as 'spike'] } }, /"fire"; known are spike/]
] as [Partial<FleetOptions>, RegExp][])('a fleet refuses %j', (options, message) => {
  const all = { host: 'x', port: 1883, devices: 1, rate: 1, durationMs: 1, seed: 1, ...options }
  expect(() => new Fleet(all)).toThrowError(
    expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(message) })
  )
})

test('an unknown host is one clear error and nothing is started', async () => {
  const fleet = new Fleet({
    host: 'broker.invalid',
    port: 1883,
    devices: 1,
    rate: 1,
    durationMs: 1000,
    seed: 1
  })
  await expect(fleet.start()).rejects.toMatchObject({ code: 'HOST_UNKNOWN' })
  await fleet.stop()
})
