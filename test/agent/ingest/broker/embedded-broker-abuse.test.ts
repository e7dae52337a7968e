import { expect, onTestFinished, test, vi } from 'vitest'
import { Refusals } from '../../../../agent/ingest/broker/refusals.ts'
import { createLogger } from '../../../../core/runtime/log.ts'
import { Prng } from '../../../../core/runtime/prng.ts'
import { connectBytes, lengthBytes, packetBytes, publishBytes } from '../../../kit/raw-mqtt.ts'
import { startBroker } from './broker-kit.ts'

const SEED = 10_000

test.each([
  ['alerts/p/d', 'reserved_topic'],
  ['fieldline/x', 'reserved_topic'],
  ['$SYS/x', 'reserved_topic'],
  ['t'.repeat(1025), 'topic_too_long'],
  [`a${'/'.repeat(32)}`, 'topic_too_deep'],
  ['a\0b', 'topic_malformed'],
  ['a\uFFFDb', 'topic_malformed']
])(
  'a PUBLISH on %.20j ends the connection as %s, for every QoS, and is not stored',
  async (topic, reason) => {
    const { broker, log, connect } = await startBroker()
    for (const qos of [0, 1, 2] as const) {
      const device = await connect()
      device.publish({ topic, qos })
      await device.untilClosed()
      expect(device.acks()).toEqual([])
      expect(broker.status).toMatchObject({ refused: { [reason]: qos + 1 }, malformed: 0 })
    }
    expect(log.appended).toEqual([])
  }
)

test.each(['a/+/b', '#', ''])(
  'a PUBLISH on %j is malformed and ends the connection',
  async topic => {
    const { broker, log, connect } = await startBroker()
    const device = await connect()
    device.publish({ topic, qos: 1 })
    await device.untilClosed()
    expect(broker.status.malformed).toBe(1)
    expect(log.appended).toEqual([])
  }
)

test('a packet of 5 MB ends its connection while only its first part was read', async () => {
  const { broker, log, connect } = await startBroker({ packetBytesMax: 1 << 20 })
  const device = await connect()
  const whole = publishBytes({ topic: 't', payload: Buffer.alloc(5 << 20), qos: 1 })
  // The first 200 KB only: the connection must end without the rest.
  device.send(whole.subarray(0, 200_000))
  await device.untilClosed()
  expect(broker.status.refused).toEqual({ packet_too_large: 1 })
  expect(log.appended).toEqual([])
})

test('the largest packet allowed passes, one byte more does not', async () => {
  const { broker, connect } = await startBroker({ packetBytesMax: 2048 })
  const device = await connect()
  device.publish({ topic: 't', payload: Buffer.alloc(2048), qos: 1, id: 1 })
  await device.until(() => device.acks().length === 1)
  device.publish({ topic: 't', payload: Buffer.alloc(2049), qos: 1, id: 2 })
  await device.untilClosed()
  expect(broker.status.refused).toEqual({ packet_too_large: 1 })
})

test.each([
  { anonymous: 'loopback', users: false, username: undefined, password: undefined, welcome: true },
  { anonymous: 'never', users: true, username: undefined, password: undefined, welcome: false },
  { anonymous: 'never', users: true, username: 'u', password: 'secret', welcome: true },
  { anonymous: 'loopback', users: true, username: 'u', password: 'wrong', welcome: false },
  { anonymous: 'loopback', users: true, username: 'stranger', password: 'x', welcome: false }
] as const)('credentials: %j', async ({ anonymous, users, username, password, welcome }) => {
  const { broker, open } = await startBroker({
    anonymous,
    users: users ? [{ username: 'u', password: 'secret' }] : []
  })
  const client = await open()
  client.send(connectBytes({ ...(username ? { username, password } : {}) }))
  await client.until(() => client.packets.length > 0)
  expect(client.packets[0].body[1]).toBe(welcome ? 0 : 5)
  if (welcome) return
  await client.untilClosed()
  expect(broker.status).toMatchObject({ refused: { credentials: 1 }, malformed: 0 })
})

test('a client id of more than 256 bytes is not let in', async () => {
  const { broker, open } = await startBroker()
  const client = await open()
  client.send(connectBytes({ clientId: 'x'.repeat(257) }))
  await client.untilClosed()
  expect(broker.status.malformed).toBe(1)
})

test('connections beyond the limit are closed, those within go on', async () => {
  const { connect, open } = await startBroker({ connectionsMax: 2 })
  const clients = [await connect({ clientId: 'a' }), await connect({ clientId: 'b' })]
  await (await open()).untilClosed()
  for (const client of clients) await client.roundTrip()
})

test.each([0, 1, 2] as const)(
  'a PUBLISH of QoS %i behind a DISCONNECT is not stored',
  async qos => {
    const { log, connect } = await startBroker()
    const device = await connect()
    const publish = publishBytes({ topic: 't', qos, id: 1 })
    device.send(Buffer.concat([publish, packetBytes(0xe0), publish]))
    await device.untilClosed()
    expect(log.topics()).toEqual(['t'])
  }
)

test('refusals are logged at most every 10 s, with their number', async () => {
  const { lines, connect } = await startBroker()
  for (let n = 0; n < 5; n++) {
    const device = await connect({ clientId: `d${n}` })
    device.publish({ topic: 'alerts/x', qos: 1 })
    await device.untilClosed()
  }
  expect(lines.filter(({ event }) => event === 'mqtt.refused')).toHaveLength(1)
})

test('the line of a burst names the last refusal, and counts all since the line before by reason', () => {
  const lines: unknown[] = []
  const logger = createLogger('warn', line => lines.push(JSON.parse(line)))
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const refusals = new Refusals(logger)
  refusals.count('credentials', 'a')
  refusals.count('publish_denied', 'b')
  refusals.count('publish_denied', 'b')
  vi.advanceTimersByTime(10_000)
  refusals.countMalformed('packet id 0', 'c')
  expect(lines).toMatchObject([
    { reason: 'credentials', client: 'a', counts: { credentials: 1 } },
    { reason: 'packet id 0', client: 'c', counts: { publish_denied: 2, malformed: 1 } }
  ])
})

test(`10,000 garbage packets crash nothing and touch no other client (seed ${SEED})`, async () => {
  const { broker, log, connect, open } = await startBroker()
  const prng = new Prng(SEED)
  const good = await connect({ clientId: 'good' })
  let sent = 0
  for (let round = 0; sent < 10_000; round++) {
    const stranger = prng.chance(0.5) ? await connect({ clientId: 'bad' }) : await open()
    for (let n = 0; n < 100 && !stranger.closed; n++, sent++) stranger.send(garbage(prng))
    stranger.socket.end()
    if (round % 10 === 0) {
      const before = good.acks().length
      good.publish({ topic: 'telemetry/p/good', payload: `${round}`, qos: 1, id: 1 + round })
      await good.until(() => good.acks().length > before)
    }
  }
  await good.roundTrip()
  await expect.poll(() => broker.status.clients).toBe(1)
  expect(log.payloads().length).toBeGreaterThan(9)
  expect(broker.status.malformed).toBeGreaterThan(50)
})

function garbage(prng: Prng): Buffer {
  const noise = Buffer.from(Array.from({ length: prng.int(200) }, () => prng.int(256)))
  switch (prng.int(5)) {
    case 0:
      return noise
    case 1:
      return packetBytes(prng.int(256), noise)
    case 2: {
      const valid = publishBytes({
        topic: 'telemetry/p/bad',
        payload: noise,
        qos: prng.pick([0, 1, 2])
      })
      valid[prng.int(valid.length)] = prng.int(256)
      return valid
    }
    case 3:
      return Buffer.concat([Buffer.from([0x82]), lengthBytes(noise.length), noise])
    default: {
      const valid = connectBytes({ clientId: 'x', will: { topic: 'a/b', payload: 'c' } })
      valid[prng.int(valid.length)] ^= 1 << prng.int(8)
      return valid
    }
  }
}

test('a client that takes over and goes at once leaves nothing behind', async () => {
  const { broker, connect, open } = await startBroker()
  for (let round = 0; round < 30; round++) {
    const first = await connect({ clientId: 'a' })
    // With a subscription its end takes a turn of the event loop more.
    await first.subscribe('t/#')
    const second = await open()
    second.send(connectBytes({ clientId: 'a' }))
    await new Promise(setImmediate)
    if (round % 3 > 0) await new Promise(setImmediate)
    second.socket.resetAndDestroy()
    first.destroy()
  }
  await expect.poll(() => broker.status.clients).toBe(0)
  expect(broker.status.subscriptions).toBe(0)
})
