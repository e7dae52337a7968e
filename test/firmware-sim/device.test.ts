import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../core/runtime/clock.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { Device, type DeviceOptions } from '../../firmware-sim/device.ts'
import { LatencyHistogram } from '../../firmware-sim/latency.ts'
import { TinyBroker } from './tiny-broker.ts'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function startBroker(): Promise<TinyBroker> {
  const broker = new TinyBroker()
  await broker.start()
  stops.push(() => broker.stop())
  return broker
}

interface Rig {
  device: Device
  /** Resolves when everything offered is acknowledged. */
  idle(): Promise<void>
}

function rig(port: number, options: Partial<DeviceOptions> = {}): Rig {
  let wake = (): void => {}
  const device = new Device({
    host: '127.0.0.1',
    port,
    clientId: 'plant1-pump-1',
    topic: 'telemetry/plant1/pump-1',
    qos: 1,
    windowMax: 8,
    bufferMax: 1000,
    ackTimeoutMs: 60_000,
    backOffMsMin: 5,
    backOffMsMax: 20,
    prng: new Prng(1),
    clock: systemClock,
    latency: new LatencyHistogram(),
    onIdle: () => wake(),
    ...options
  })
  stops.push(() => device.stop())
  const idle = (): Promise<void> =>
    device.idle
      ? Promise.resolve()
      : new Promise(resolve => {
          wake = resolve
        })
  return { device, idle }
}

function offer(device: Device, count: number): void {
  for (let i = 0; i < count; i++) device.offer(sequence => `{"value":1,"seq":${sequence},"ts":0}`)
}

const sequenceOf = (p: { payload: string }): number => JSON.parse(p.payload).seq

const numbers = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i)

test('a device sends its readings in order at QoS 1 in a persistent session', async () => {
  const broker = await startBroker()
  const { device, idle } = rig(broker.port)
  device.start()
  offer(device, 100)
  await idle()
  expect(broker.connects).toEqual([{ clientId: 'plant1-pump-1', clean: false }])
  expect(broker.published.map(sequenceOf)).toEqual(numbers(1, 100))
  expect(broker.published.every(p => p.qos === 1 && !p.dup)).toBe(true)
  expect(broker.published[0].topic).toBe('telemetry/plant1/pump-1')
  expect(device.counters).toEqual({
    sent: 100,
    acknowledged: 100,
    resent: 0,
    reconnects: 0,
    dropped: 0
  })
  expect(device.acknowledgedThrough).toBe(100)
})

test('without acknowledgements a device stops at its window', async () => {
  const broker = await startBroker()
  broker.answer = () => 'withhold'
  const { device } = rig(broker.port)
  device.start()
  offer(device, 50)
  await broker.until(() => broker.published.length >= 8)
  expect(device.inFlight).toBe(8)
  expect(device.waiting).toBe(42)
  expect(device.acknowledgedThrough).toBe(0)
})

test('after a lost connection all unacknowledged readings are sent again first, in order, with DUP and the same packet id', async () => {
  const broker = await startBroker()
  // 1..3 are acknowledged, 4..8 not, and the eleventh PUBLISH (the window's last) cuts the wire.
  broker.answer = (_, nth) =>
    nth <= 3 ? 'ack' : nth === 11 ? 'drop_connection' : nth < 11 ? 'withhold' : 'ack'
  const { device, idle } = rig(broker.port)
  device.start()
  offer(device, 30)
  await idle()

  const before = broker.published.filter(p => p.connection === 1)
  const after = broker.published.filter(p => p.connection === 2)
  expect(before.map(sequenceOf)).toEqual(numbers(1, 11))
  expect(after.map(sequenceOf)).toEqual(numbers(4, 30))
  expect(after.map(p => p.dup)).toEqual(numbers(4, 30).map(n => n <= 11))
  for (const again of after.filter(p => p.dup)) {
    const first = before.find(p => sequenceOf(p) === sequenceOf(again))
    expect(again.packetId).toBe(first?.packetId)
    expect(again.payload).toBe(first?.payload)
  }
  expect(device.counters).toMatchObject({ sent: 30, acknowledged: 30, resent: 8, reconnects: 1 })
  expect(device.acknowledgedThrough).toBe(30)
})

test('a device survives a connection cut at every tenth message and loses nothing', async () => {
  const broker = await startBroker()
  broker.answer = (_, nth) => (nth % 10 === 0 ? 'drop_connection' : 'ack')
  const { device, idle } = rig(broker.port)
  device.start()
  offer(device, 200)
  await idle()
  const firsts = [...new Set(broker.published.map(sequenceOf))]
  expect(firsts).toEqual(numbers(1, 200))
  expect(broker.connects.length).toBeGreaterThan(10)
  expect(device.counters.reconnects).toBe(broker.connects.length - 1)
  expect(device.counters.sent + device.counters.resent).toBeGreaterThanOrEqual(
    broker.published.length
  )
  expect(device.acknowledgedThrough).toBe(200)
})

test('the ledger stays below a reading whose acknowledgement is missing', async () => {
  const broker = await startBroker()
  broker.answer = publish => (sequenceOf(publish) === 3 ? 'withhold' : 'ack')
  const { device } = rig(broker.port)
  device.start()
  offer(device, 10)
  await broker.until(() => broker.published.length === 10)
  await expect.poll(() => device.counters.acknowledged).toBe(9)
  expect(device.acknowledgedThrough).toBe(2)
})

test('an acknowledgement that never comes makes the device connect anew and send again', async () => {
  const broker = await startBroker()
  broker.answer = publish => (publish.connection === 1 ? 'withhold' : 'ack')
  let monotonic = 0
  const clock = { now: () => 0, monotonic: () => monotonic }
  const { device, idle } = rig(broker.port, { clock, ackTimeoutMs: 5_000 })
  device.start()
  offer(device, 3)
  await broker.until(() => broker.published.length === 3)
  monotonic = 4_999
  device.checkAckTimeout()
  expect(device.connected).toBe(true)
  monotonic = 5_001
  device.checkAckTimeout()
  expect(device.lastError).toContain('no acknowledgement')
  await idle()
  expect(device.counters).toMatchObject({ acknowledged: 3, resent: 3, reconnects: 1 })
})

test('a full buffer refuses new readings, counts them and leaves no gap in the sequences', async () => {
  const broker = await startBroker()
  const { device, idle } = rig(broker.port, { bufferMax: 10 })
  offer(device, 25)
  expect(device.waiting).toBe(10)
  expect(device.counters.dropped).toBe(15)
  device.start()
  await idle()
  offer(device, 2)
  await idle()
  expect(broker.published.map(sequenceOf)).toEqual(numbers(1, 12))
  expect(device.acknowledgedThrough).toBe(12)
})

test('a duplicated reading is published twice with one sequence, and the ledger does not wait for the copy', async () => {
  const broker = await startBroker()
  broker.answer = (_, nth) => (nth === 2 ? 'withhold' : 'ack')
  const { device } = rig(broker.port)
  device.start()
  offer(device, 1)
  device.repeat()
  offer(device, 1)
  await broker.until(() => broker.published.length === 3)
  await expect.poll(() => device.counters.acknowledged).toBe(2)
  expect(broker.published.map(sequenceOf)).toEqual([1, 1, 2])
  expect(broker.published.map(p => p.dup)).toEqual([false, false, false])
  expect(new Set(broker.published.map(p => p.packetId)).size).toBe(3)
  expect(device.acknowledgedThrough).toBe(2)
})

test('a device waits for a broker that refuses it and for one that is not there yet', async () => {
  const broker = await startBroker()
  broker.returnCode = 3
  const { device, idle } = rig(broker.port)
  device.start()
  offer(device, 5)
  await broker.until(() => broker.connects.length === 3)
  await expect.poll(() => device.lastError).toContain('refused')
  const { port } = broker
  await broker.stop()
  stops.splice(0, 1)
  await expect.poll(() => device.lastError).toContain('ECONNREFUSED')

  const second = new TinyBroker()
  await second.start(port)
  stops.unshift(() => second.stop())
  await idle()
  expect(second.published.map(sequenceOf)).toEqual(numbers(1, 5))
  expect(device.counters.resent).toBe(0)
})

test('at QoS 2 a reading counts as acknowledged when the handshake is complete', async () => {
  const broker = await startBroker()
  const { device, idle } = rig(broker.port, { qos: 2 })
  device.start()
  offer(device, 20)
  await idle()
  expect(broker.published.map(p => p.qos)).toEqual(Array(20).fill(2))
  expect(device.counters.acknowledged).toBe(20)
})

test('at QoS 0 a long backlog leaves whole and in order, in a clean session', async () => {
  const broker = await startBroker()
  const { device } = rig(broker.port, { qos: 0, bufferMax: 50_000 })
  offer(device, 50_000)
  device.start()
  await broker.until(() => broker.published.length === 50_000)
  expect(broker.connects[0].clean).toBe(true)
  expect(broker.published.map(sequenceOf)).toEqual(numbers(1, 50_000))
  expect(device.acknowledgedThrough).toBe(50_000)
})

test('packet ids stay valid and distinct in the window past 65,535 readings', async () => {
  const broker = await startBroker()
  const { device, idle } = rig(broker.port, { bufferMax: 70_000, windowMax: 1000 })
  offer(device, 66_000)
  device.start()
  await idle()
  expect(broker.published[65_534].packetId).toBe(65_535)
  expect(broker.published[65_535].packetId).toBe(1)
  expect(device.acknowledgedThrough).toBe(66_000)
})
