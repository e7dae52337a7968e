import { expect, test } from 'vitest'
import { UpstreamClient } from '../../../agent/ingest/upstream/upstream-client.ts'
import { alertMqttTopic } from '../../../core/contract/alert-event.ts'
import { createLogger } from '../../../core/runtime/log.ts'
import type { RawMqtt } from '../../kit/raw-mqtt.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { startBroker } from '../ingest/broker/broker-kit.ts'
import {
  aedesBroker,
  closers,
  connected,
  HeldIntake,
  upstream
} from '../ingest/upstream/upstream-kit.ts'
import { append, event, openAlertLog, startSinks, until } from './sink-kit.ts'

const TOPIC = 'alerts/plant7/pump-3/temperature/anomaly'

async function subscriber(broker: { connect: (fields: object) => Promise<RawMqtt> }, id: string) {
  const client = await broker.connect({ clientId: id })
  await client.subscribe('alerts/#')
  return client
}

/** Like `raised r`: state, and r where it came as a retained one; `- r` an empty one. */
function seen(client: RawMqtt): string[] {
  return client.messages().map(({ payload, retain }) => {
    const state = payload === '' ? '-' : JSON.parse(payload).data.state
    return retain ? `${state} r` : state
  })
}

test('an alert is retained while it is open; cleared, it is told, then an empty message takes its place', async () => {
  const directory = temporaryDirectory()
  const [under, log] = [await startBroker(), await openAlertLog(directory)]
  await startSinks(directory, log, {}, { broker: under.broker })
  const live = await subscriber(under, 'live')
  const [raised, updated, cleared] = [event(1, 'raised'), event(2, 'updated'), event(3, 'cleared')]

  await append(log, raised, updated)
  await live.until(() => live.messages().length === 2)
  const late = await subscriber(under, 'late')
  await late.until(() => late.messages().length === 1)
  expect(late.messages()[0]).toMatchObject({ topic: TOPIC, retain: true })
  expect(JSON.parse(late.messages()[0].payload)).toEqual(updated)

  await append(log, cleared)
  await live.until(() => live.messages().length === 4)
  expect(live.messages().map(({ topic }) => topic)).toEqual(Array(4).fill(TOPIC))
  expect(seen(live)).toEqual(['raised', 'updated', 'cleared', '-'])
  const after = await subscriber(under, 'after')
  await after.roundTrip()
  expect(after.messages()).toEqual([])
})

test('subscribers that ask for QoS 1 get it, and names with slashes and wildcards are one level', async () => {
  const directory = temporaryDirectory()
  const [under, log] = [await startBroker(), await openAlertLog(directory)]
  await startSinks(directory, log, {}, { broker: under.broker })
  const client = await under.connect({ clientId: 'once' })
  await client.subscribe('alerts/+/+/+/+', 1)
  const odd = event(1, 'raised', { site: 'a/b', device: '+', metric: '-', kind: 'silent' })
  await append(log, odd)
  await client.until(() => client.packets.length > 0)
  const [{ type, flags, body }] = client.packets
  expect([type, (flags >> 1) & 3]).toEqual(['publish', 1])
  expect(body.toString('utf8', 2, 2 + body.readUInt16BE(0))).toBe('alerts/a%2Fb/%2B/-/silent')
  const lower = await under.connect({ clientId: 'lower' })
  await lower.subscribe('alerts/#', 0)
  await lower.until(() => lower.packets.length > 0)
  expect((lower.packets[0].flags >> 1) & 3).toBe(0)
})

test('open alerts are published again after a restart of broker and sinks, cleared ones are not', async () => {
  const directory = temporaryDirectory()
  const log = await openAlertLog(directory)
  const first = await startBroker()
  const life = await startSinks(directory, log, {}, { broker: first.broker })
  const other = { device: 'pump-4' }
  await append(log, event(1, 'raised'), event(1, 'raised', other), event(2, 'cleared', other))
  await until(() => life.sinks.status[0].delivered === 3)
  await life.sinks.stop(1000)

  const second = await startBroker()
  const again = await startSinks(directory, log, {}, { broker: second.broker })
  await until(() => again.sinks.status[0].openAlerts === 1)
  const client = await subscriber(second, 'client')
  await client.until(() => client.messages().length > 0)
  await client.roundTrip()
  expect(client.messages().map(({ topic }) => topic)).toEqual([TOPIC])
  // Told as a state, not as events that happened again.
  expect(again.sinks.status[0].delivered).toBe(0)
})

test('a sink that is new tells nothing of the past but what is open', async () => {
  const directory = temporaryDirectory()
  const [under, log] = [await startBroker(), await openAlertLog(directory)]
  const other = { device: 'pump-4' }
  await append(log, event(1, 'raised', other), event(2, 'cleared', other), event(1, 'raised'))
  const client = await subscriber(under, 'client')
  const { sinks } = await startSinks(directory, log, {}, { broker: under.broker })
  await client.until(() => client.messages().length === 1)
  await append(log, event(2, 'cleared'))
  await client.until(() => client.messages().length === 3)
  expect(client.messages().map(({ topic }) => topic)).toEqual(Array(3).fill(TOPIC))
  expect(seen(client)).toEqual(['raised', 'cleared', '-'])
  await until(() => sinks.status[0].delivered === 1)
  expect(sinks.status[0]).toMatchObject({ name: 'mqtt', openAlerts: 0 })
})

test('an alert that no detector knows is withdrawn, one that the sink has missed is published', async () => {
  const directory = temporaryDirectory()
  const [under, log] = [await startBroker(), await openAlertLog(directory)]
  const { sinks } = await startSinks(directory, log, {}, { broker: under.broker })
  const [orphan, kept] = [event(1, 'raised'), event(1, 'raised', { device: 'pump-4' })]
  const missed = event(7, 'updated', { device: 'pump-5' })
  const client = await subscriber(under, 'client')
  await append(log, orphan, kept)
  sinks.reconcile([kept, missed])
  await client.until(() => client.messages().length === 4)
  expect(client.messages().map(({ topic, payload }) => [topic, payload === ''])).toEqual([
    [alertMqttTopic(orphan.data), false],
    [alertMqttTopic(kept.data), false],
    [alertMqttTopic(orphan.data), true],
    [alertMqttTopic(missed.data), false]
  ])
  expect(sinks.status[0].openAlerts).toBe(2)
})

test('what was cleared since the detector was asked is not opened again', async () => {
  const directory = temporaryDirectory()
  const [under, log] = [await startBroker(), await openAlertLog(directory)]
  const { sinks } = await startSinks(directory, log, {}, { broker: under.broker })
  await append(log, event(1, 'raised'), event(2, 'cleared'))
  await until(() => sinks.status[0].delivered === 2)
  sinks.reconcile([event(1, 'raised')])
  await append(log, event(1, 'raised', { device: 'pump-4' }))
  await until(() => sinks.status[0].delivered === 3)
  expect(sinks.status[0].openAlerts).toBe(1)
})

test('devices may subscribe to alerts/ and not publish there, by name or by a will', async () => {
  const directory = temporaryDirectory()
  const [under, log] = [await startBroker(), await openAlertLog(directory)]
  await startSinks(directory, log, {}, { broker: under.broker })
  const client = await subscriber(under, 'client')
  const forger = await under.connect({
    clientId: 'forger',
    will: { topic: TOPIC, payload: '{"forged":"will"}', retain: true }
  })
  forger.publish({ topic: TOPIC, payload: '{"forged":true}', qos: 1, id: 1, retain: true })
  await forger.untilClosed()
  await append(log, event(1, 'raised'))
  await client.until(() => client.messages().length > 0)
  expect(client.messages().map(({ payload }) => JSON.parse(payload).data?.state)).toEqual([
    'raised'
  ])
  expect(under.broker.status.refused.reserved_topic).toBeGreaterThan(0)
  expect(under.log.appended).toEqual([])
})

test('with local: false nothing is published at the embedded broker', async () => {
  const directory = temporaryDirectory()
  const [under, log] = [await startBroker(), await openAlertLog(directory)]
  const { sinks } = await startSinks(directory, log, { local: false }, { broker: under.broker })
  expect(sinks.status).toEqual([])
})

test('alerts are retained at an upstream broker, and what comes back of them is no telemetry', async () => {
  const directory = temporaryDirectory()
  const [broker, log] = [await aedesBroker(), await openAlertLog(directory)]
  const { client, intake } = upstream(broker.port, { topics: ['#'] })
  intake.storesAtOnce = true
  client.start()
  const config = { local: false, upstreams: ['plant'] }
  await startSinks(directory, log, config, { upstreams: [client] })
  await append(log, event(1, 'raised'), event(2, 'cleared'), event(1, 'raised', { device: 'p4' }))
  // Three events and an empty message come back.
  await until(() => client.status.alerts === 4)
  broker.aedes.publish(
    { cmd: 'publish', topic: 'telemetry/a/b', payload: '1', qos: 1, retain: false, dup: false },
    () => {}
  )
  await intake.arrival(1)
  expect(intake.arrivals.map(({ message }) => message.topic)).toEqual(['telemetry/a/b'])
  expect(intake.offered).toEqual([])
})

test('an upstream broker that lost what it retained is told again', async () => {
  const directory = temporaryDirectory()
  const [broker, log] = [await aedesBroker(), await openAlertLog(directory)]
  const client = new UpstreamClient(
    {
      ...{ name: 'plant', url: `mqtt://127.0.0.1:${broker.port}`, clientId: 'agent' },
      ...{ topics: ['alerts-are-not-here'], qos: 1, window: 10, retained: 'mark' },
      ...{ mqttVersion: '3.1.1', keepAliveS: 30, sessionExpiryS: 3600, silentAfterMs: null }
    },
    new HeldIntake(),
    createLogger('silent'),
    { backOffMsMin: 2, backOffMsMax: 20 }
  )
  closers.push(() => client.stop())
  client.start()
  const config = { local: false, upstreams: ['plant'] }
  const { sinks } = await startSinks(directory, log, config, { upstreams: [client] })
  const told: string[] = []
  broker.aedes.on('publish', ({ topic }) => {
    if (topic.startsWith('alerts/')) told.push(topic)
  })
  await append(log, event(1, 'raised'))
  await until(() => told.length === 1)
  for (const socket of broker.server.sockets) socket.destroy()
  await until(() => told.length === 2)
  expect(told).toEqual([TOPIC, TOPIC])
  expect(sinks.status[0]).toMatchObject({ name: 'upstream.plant', delivered: 1, openAlerts: 1 })
})

test('an upstream broker that answers nothing does not hold up the stop', async () => {
  const directory = temporaryDirectory()
  const log = await openAlertLog(directory)
  const { broker, client } = await connected()
  const config = { local: false, upstreams: ['plant'] }
  const { sinks } = await startSinks(directory, log, config, { upstreams: [client] })
  await append(log, event(1, 'raised'))
  await broker.until(() => broker.has('type 3'))
  const from = performance.now()
  await sinks.stop(20)
  expect(performance.now() - from).toBeLessThan(2000)
  expect(sinks.status[0]).toMatchObject({ delivered: 0, backlogRecords: 1 })
})

test('without an upstream broker alerts wait, and the stop does not', async () => {
  const directory = temporaryDirectory()
  const log = await openAlertLog(directory)
  const { client } = upstream(1)
  client.start()
  const config = { local: false, upstreams: ['plant'] }
  const { sinks } = await startSinks(directory, log, config, { upstreams: [client] })
  await append(log, event(1, 'raised'))
  await until(() => sinks.status[0].state === 'waiting')
  expect(sinks.status[0]).toMatchObject({ backlogRecords: 1, delivered: 0 })
  const from = performance.now()
  await sinks.stop(10_000)
  expect(performance.now() - from).toBeLessThan(2000)
})
