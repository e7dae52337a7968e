import { expect, test } from 'vitest'
import { connectBytes, pubrelBytes } from '../../../kit/raw-mqtt.ts'
import { NOW } from '../held-log.ts'
import { startBroker } from './broker-kit.ts'

// --- QoS 1 -------------------------------------------------------------------------------------

test('a PUBACK goes out when the log has the message, not before', async () => {
  const { log, connect } = await startBroker()
  log.held = true
  const device = await connect({ clientId: 'pump-3' })
  device.publish({
    topic: 'telemetry/p/d',
    payload: '21.4',
    qos: 1,
    id: 7,
    dup: true,
    retain: true
  })
  await device.roundTrip()
  expect(device.acks()).toEqual([])
  expect(log.appended).toEqual([
    {
      topic: 'telemetry/p/d',
      payload: Buffer.from('21.4'),
      qos: 1,
      retain: true,
      dup: true,
      packetId: 7,
      clientId: 'pump-3',
      upstream: false,
      receivedAt: NOW,
      monotonicMs: 5_000,
      bootId: 7n,
      clockUnsynced: false
    }
  ])
  log.sync()
  await device.until(() => device.acks().length > 0)
  expect(device.acks()).toEqual(['puback 7'])
})

test('messages are appended in the order of their arrival and acknowledged in the order of appending', async () => {
  const { log, connect } = await startBroker()
  log.held = true
  const device = await connect()
  const ids = Array.from({ length: 200 }, (_, n) => n + 1)
  device.publish(...ids.map(id => ({ topic: 't', payload: `${id}`, qos: 1 as const, id })))
  await expect.poll(() => log.waiting).toBe(200)
  expect(log.payloads()).toEqual(ids.map(String))
  let synced = 0
  for (const count of [1, 7, 50, 142]) {
    log.sync(count)
    synced += count
    await device.until(() => device.acks().length >= synced)
    expect(device.acks()).toEqual(ids.slice(0, synced).map(id => `puback ${id}`))
  }
})

test('a device that is gone before its acknowledgement is no malformed packet', async () => {
  const { log, broker, connect, lines } = await startBroker()
  log.held = true
  const device = await connect()
  device.publish({ topic: 't', payload: '1', qos: 1, id: 1 })
  await expect.poll(() => log.waiting).toBe(1)
  device.destroy()
  await expect.poll(() => broker.status.clients).toBe(0)
  log.sync()
  const next = await connect()
  await next.roundTrip()
  expect([broker.status.malformed, lines]).toEqual([0, []])
})

test('a message the log refuses closes the connection without an acknowledgement, and is no malformed packet', async () => {
  const { broker, log, intake, connect } = await startBroker()
  log.held = true
  const [device, other] = [await connect({ clientId: 'a' }), await connect({ clientId: 'b' })]
  device.publish({ topic: 't', qos: 1, id: 1 })
  await device.roundTrip()
  log.refuse()
  await device.untilClosed()
  expect(device.acks()).toEqual([])
  expect(intake.counters.refused).toBe(1)
  expect(broker.status.malformed).toBe(0)
  await other.roundTrip()
})

test('a QoS 0 message is stored and nobody is answered', async () => {
  const { log, intake, connect } = await startBroker()
  const device = await connect()
  device.publish({ topic: 't', payload: 'x' })
  await device.roundTrip()
  expect(log.payloads()).toEqual(['x'])
  expect(device.names()).toEqual(['pingresp'])
  expect(intake.counters.stored).toEqual([1, 0, 0])
})

// --- QoS 2 -------------------------------------------------------------------------------------

test('a PUBREC goes out when the log has the message, a PUBCOMP after the PUBREL', async () => {
  const { log, connect } = await startBroker()
  log.held = true
  const device = await connect()
  device.publish({ topic: 't', qos: 2, id: 9 })
  await device.roundTrip()
  expect([log.waiting, device.acks()]).toEqual([1, []])
  log.sync()
  await device.until(() => device.acks().length > 0)
  device.send(pubrelBytes(9))
  await device.until(() => device.acks().length > 1)
  expect(device.acks()).toEqual(['pubrec 9', 'pubcomp 9'])
})

test('the repeat of a QoS 2 message is stored once and answered again', async () => {
  const { log, connect } = await startBroker()
  const device = await connect()
  device.publish({ topic: 't', qos: 2, id: 9 })
  await device.until(() => device.acks().length === 1)
  device.publish({ topic: 't', qos: 2, id: 9, dup: true })
  await device.until(() => device.acks().length === 2)
  expect(device.acks()).toEqual(['pubrec 9', 'pubrec 9'])
  expect(log.appended).toHaveLength(1)
})

test('a repeat that overtakes the sync of its first waits with it', async () => {
  const { log, connect } = await startBroker()
  log.held = true
  const [device, other] = [await connect({ clientId: 'a' }), await connect({ clientId: 'b' })]
  const repeat = { topic: 't', qos: 2, id: 9, dup: true } as const
  device.publish({ ...repeat, dup: false }, repeat, repeat)
  await expect.poll(() => log.appended.length).toBe(1)
  await other.roundTrip()
  await other.roundTrip()
  expect([log.appended.length, device.acks()]).toEqual([1, []])
  log.sync()
  await device.until(() => device.acks().length === 3)
  expect(log.appended).toHaveLength(1)
})

test('a QoS 2 message the log refused is stored when a kept session repeats it', async () => {
  const { log, connect } = await startBroker()
  log.held = true
  const first = await connect({ clientId: 'a', clean: false })
  first.publish({ topic: 't', qos: 2, id: 9 })
  await first.roundTrip()
  log.refuse()
  await first.untilClosed()
  const second = await connect({ clientId: 'a', clean: false })
  second.publish({ topic: 't', qos: 2, id: 9, dup: true })
  await second.roundTrip()
  expect([log.waiting, second.acks()]).toEqual([1, []])
  log.sync()
  await second.until(() => second.acks().length === 1)
})

test('a kept session knows the repeat of what it stored before the connection broke', async () => {
  const { log, connect } = await startBroker()
  const first = await connect({ clientId: 'a', clean: false })
  first.publish({ topic: 't', qos: 2, id: 9 })
  await first.until(() => first.acks().length === 1)
  first.destroy()
  const second = await connect({ clientId: 'a', clean: false })
  second.publish({ topic: 't', qos: 2, id: 9, dup: true })
  await second.until(() => second.acks().length === 1)
  expect(log.appended).toHaveLength(1)
})

test('another reading under a packet id that was never released is stored', async () => {
  const { log, connect } = await startBroker()
  const first = await connect({ clientId: 'a', clean: false })
  first.publish({ topic: 't', payload: 'old', qos: 2, id: 9 })
  await first.until(() => first.acks().length === 1)
  first.destroy()
  const second = await connect({ clientId: 'a', clean: false })
  second.publish({ topic: 't', payload: 'new', qos: 2, id: 9 })
  await second.until(() => second.acks().length === 1)
  expect(log.payloads()).toEqual(['old', 'new'])
})

test('QoS 2 messages are appended in the order of their arrival', async () => {
  const { log, connect } = await startBroker()
  const device = await connect()
  const ids = Array.from({ length: 100 }, (_, n) => n + 1)
  device.publish(...ids.map(id => ({ topic: 't', payload: `${id}`, qos: 2 as const, id })))
  await device.until(() => device.acks().length === 100)
  expect(log.payloads()).toEqual(ids.map(String))
  expect(device.acks()).toEqual(ids.map(id => `pubrec ${id}`))
})

// --- The byte budget ---------------------------------------------------------------------------

test('over the byte budget a client is read no further, others neither lose nor wait for it, and it goes on', async () => {
  const { log, intake, connect } = await startBroker({ inflightBytesMax: 20_000 })
  log.held = true
  const device = await connect()
  const payload = Buffer.alloc(1000)
  const ids = Array.from({ length: 2000 }, (_, n) => n + 1)
  device.publish(...ids.map(id => ({ topic: 't', payload, qos: 1 as const, id })))
  await expect.poll(() => intake.full).toBe(true)
  await expect.poll(() => log.waiting).toBeGreaterThan(19)
  const taken = log.waiting
  // Unevenly, so that some are done while it is paused.
  while (device.acks().length < 2000) {
    expect(log.waiting).toBeLessThan(200)
    log.sync(1 + Math.floor(log.waiting / 3))
    await new Promise(setImmediate)
    if (device.closed) break
  }
  expect(taken).toBeLessThan(200)
  expect(device.acks()).toEqual(ids.map(id => `puback ${id}`))
  expect(intake.inflightBytes).toBe(0)
})

test('QoS 0 over the byte budget is dropped and counted', async () => {
  const { log, intake, connect } = await startBroker({ inflightBytesMax: 10_000 })
  log.held = true
  const device = await connect()
  device.publish(...Array.from({ length: 50 }, () => ({ topic: 't', payload: Buffer.alloc(1000) })))
  await expect.poll(() => intake.counters.droppedQos0).toBeGreaterThan(0)
  await expect.poll(() => intake.counters.droppedQos0 + log.appended.length).toBe(50)
  expect(log.appended.length).toBeLessThan(11)
})

// --- Local subscribers, wills ------------------------------------------------------------------

test('a retained alert is delivered to a later subscriber, until it is cleared', async () => {
  const { broker, log, connect } = await startBroker()
  const topic = 'alerts/p/d/t/anomaly'
  await broker.publish(topic, '{"raised":true}', true)
  const early = await connect({ clientId: 'early' })
  await early.subscribe('alerts/#')
  await early.until(() => early.messages().length > 0)
  expect(early.messages()).toEqual([{ topic, payload: '{"raised":true}', retain: true }])
  await broker.publish(topic, '', true)
  await early.until(() => early.messages().length > 1)
  const late = await connect({ clientId: 'late' })
  await late.subscribe('alerts/#')
  await late.roundTrip()
  expect(late.messages()).toEqual([])
  expect(log.appended).toEqual([])
})

test.each([0, 1, 2] as const)('a will of QoS %i is stored when its device vanishes', async qos => {
  const { log, connect } = await startBroker()
  const device = await connect({
    clientId: 'd',
    will: { topic: 'telemetry/p/d', payload: 'gone', qos }
  })
  device.destroy()
  await expect
    .poll(() => log.appended)
    .toMatchObject([{ topic: 'telemetry/p/d', qos, clientId: 'd' }])
})

test.each(['alerts/x', 'telemetry/+/d', 'telemetry/#', '', 'a/'.repeat(99)])(
  'a will on %.20j is not stored',
  async topic => {
    const { broker, log, connect } = await startBroker()
    const device = await connect({ clientId: 'd', will: { topic, payload: 'x', qos: 1 } })
    device.destroy()
    await expect.poll(() => broker.status.clients).toBe(0)
    await (await connect({ clientId: 'next' })).roundTrip()
    expect(log.appended).toEqual([])
  }
)

// --- Protocol versions -------------------------------------------------------------------------

test('an MQTT 5 client is told in its own words that its version is not supported', async () => {
  const { open } = await startBroker()
  const client = await open()
  client.send(connectBytes({ version: 5 }))
  await client.untilClosed()
  expect(client.names()).toEqual(['connack'])
  // §3.2.2.2 of MQTT 5: no session, 0x84, no properties.
  expect([...client.packets[0].body]).toEqual([0, 0x84, 0])
})

test('an address that is taken is one clear error, and nothing is left running', async () => {
  const { broker } = await startBroker()
  const listen = { host: '127.0.0.1', port: broker.port }
  await expect(startBroker({ listen })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' })
})

test('what was taken when the broker closes is acknowledged, and nothing more is taken', async () => {
  const { broker, log, connect } = await startBroker()
  const [device, exact] = [await connect({ clientId: 'a' }), await connect({ clientId: 'b' })]
  log.held = true
  const ids = Array.from({ length: 50 }, (_, n) => n + 1)
  device.publish(...ids.map(id => ({ topic: 't', payload: `${id}`, qos: 1 as const, id })))
  exact.publish(...ids.map(id => ({ topic: 't', payload: `${id}`, qos: 2 as const, id })))
  await expect.poll(() => log.waiting).toBe(100)
  const closed = broker.close()
  device.publish({ topic: 't', payload: 'late', qos: 1, id: 99 })
  log.held = false
  log.sync()
  await closed
  await Promise.all([device.untilClosed(), exact.untilClosed()])
  expect(device.acks()).toEqual(ids.map(id => `puback ${id}`))
  expect(exact.acks()).toEqual(ids.map(id => `pubrec ${id}`))
  expect(log.payloads()).not.toContain('late')
})

test('a log that takes nothing does not keep the broker from closing', async () => {
  const { broker, log, connect } = await startBroker()
  const device = await connect()
  log.held = true
  device.publish({ topic: 't', qos: 1, id: 1 })
  await expect.poll(() => log.waiting).toBe(1)
  await broker.close()
  await device.untilClosed()
  expect(device.acks()).toEqual([])
})
