import { expect, test } from 'vitest'
import { ConnectionGate, plainAddress } from '../../../../agent/ingest/broker/connection-gate.ts'
import { KeptSessions } from '../../../../agent/ingest/broker/kept-sessions.ts'
import { OpenMessages } from '../../../../agent/ingest/broker/open-messages.ts'
import { TokenBucket } from '../../../../agent/ingest/broker/token-bucket.ts'
import { packetBytes, pubrelBytes, type RawMqtt } from '../../../kit/raw-mqtt.ts'
import { startBroker } from './broker-kit.ts'

/** @returns What the SUBACK grants, a byte a filter. */
async function subscribe(client: RawMqtt, ...filters: string[]): Promise<number[]> {
  const wanted = filters.map(filter => {
    const bytes = Buffer.from(filter)
    return Buffer.concat([
      Buffer.from([bytes.length >> 8, bytes.length & 255]),
      bytes,
      Buffer.of(1)
    ])
  })
  const isAnswer = () => client.names().indexOf('suback')
  client.send(packetBytes(0x82, Buffer.from([0, 9]), ...wanted))
  await client.until(() => isAnswer() >= 0)
  const [{ body }] = client.packets.splice(isAnswer(), 1)
  return [...body.subarray(2)]
}

// --- Connections ---------------------------------------------------------------------------------

function gate(options = {}) {
  let now = 0
  const limits = {
    ...{ connectionsMax: 100, connectionsPerAddressMax: 3 },
    ...{ connectRateMax: 1000, connectRatePerAddressMax: 1000 }
  }
  const opened = new ConnectionGate({ ...limits, ...options }, () => now)
  return { gate: opened, wait: (ms: number) => (now += ms) }
}

test('one address has so many connections, others have theirs, and a place that is left is free', () => {
  const { gate: opened } = gate()
  const leave = opened.enter('10.0.0.1')
  for (let n = 0; n < 2; n++) expect(opened.enter('10.0.0.1')).toBeTypeOf('function')
  expect(opened.enter('10.0.0.1')).toBe('connections_per_address')
  expect(opened.enter('10.0.0.2')).toBeTypeOf('function')
  if (typeof leave === 'function') leave()
  expect(opened.enter('10.0.0.1')).toBeTypeOf('function')
  for (let n = 0; n < 10; n++) expect(opened.enter('127.0.0.1')).toBeTypeOf('function')
})

test.each([
  ['2001:db8::1', '2001:db8::ffff:2', false],
  ['2001:db8:0:0:1::', '2001:db8::7', false],
  ['2001:db8:0:1::1', '2001:db8:0:2::1', true]
])('%s and %s are counted apart: %s', (first, second, apart) => {
  const { gate: opened } = gate({ connectionsPerAddressMax: 1 })
  expect(opened.enter(first)).toBeTypeOf('function')
  expect(typeof opened.enter(second) === 'function').toBe(apart)
})

test('connections come at a rate, of one address and of all', () => {
  const many = { connectionsPerAddressMax: 1000, connectionsMax: 1000 }
  const one = gate({ ...many, connectRatePerAddressMax: 5 })
  const taken = (opened: ConnectionGate, address: (n: number) => string) =>
    Array.from({ length: 50 }, (_, n) => opened.enter(address(n))).filter(
      answer => typeof answer === 'function'
    ).length
  expect(taken(one.gate, () => '10.0.0.1')).toBe(10)
  expect(one.gate.enter('10.0.0.1')).toBe('connect_rate')
  expect(one.gate.enter('10.0.0.2')).toBeTypeOf('function')
  one.wait(1000)
  expect(taken(one.gate, () => '10.0.0.1')).toBe(5)
  const all = gate({ ...many, connectRateMax: 5 })
  expect(taken(all.gate, n => `10.0.0.${n}`)).toBe(10)
  expect(taken(all.gate, () => '127.0.0.1')).toBe(50)
})

test('a flood from one address uses up its own rate, not that of all', () => {
  const { gate: opened } = gate({ connectRateMax: 5, connectRatePerAddressMax: 1 })
  for (let n = 0; n < 100; n++) opened.enter('10.0.0.1')
  expect(opened.enter('10.0.0.2')).toBeTypeOf('function')
})

test('an IPv4 address is one in any form', () => {
  expect(['::ffff:10.0.0.1', '10.0.0.1', '::1', undefined].map(plainAddress)).toEqual([
    '10.0.0.1',
    '10.0.0.1',
    '::1',
    ''
  ])
})

test('a connection over all listeners takes a place, and is counted when there is none', async () => {
  const { broker, connect, open } = await startBroker({ connectionsMax: 2 })
  const first = await connect({ clientId: 'a' })
  await connect({ clientId: 'b' })
  await (await open()).untilClosed()
  expect(broker.status.refused).toEqual({ connections: 1 })
  first.destroy()
  await expect.poll(() => broker.status.clients).toBe(1)
  await connect({ clientId: 'c' })
})

test('who sends no CONNECT is closed, and half of one is none', async () => {
  const { broker, open } = await startBroker({ connectTimeoutMs: 200 })
  const [silent, slow] = [await open(), await open()]
  slow.send(Buffer.from([0x10, 20, 0, 4]))
  await Promise.all([silent.untilClosed(), slow.untilClosed()])
  expect(broker.status).toMatchObject({ refused: { connect_timeout: 2 }, malformed: 0 })
})

test('a client without a keep-alive is closed when it is silent for too long', async () => {
  const { broker, connect } = await startBroker({ keepAliveMsMax: 1000 })
  const client = await connect()
  const from = performance.now()
  await client.untilClosed()
  expect(performance.now() - from).toBeGreaterThan(1000)
  expect(broker.status).toMatchObject({ refused: { keep_alive: 1 }, malformed: 0 })
})

// --- Rates ---------------------------------------------------------------------------------------

test('a bucket allows its rate, twice as much at once, and goes into debt', () => {
  const bucket = new TokenBucket(10, 0)
  for (let n = 0; n < 20; n++) expect(bucket.tryTake(0)).toBe(true)
  expect(bucket.tryTake(0)).toBe(false)
  expect(bucket.tryTake(100)).toBe(true)
  expect(bucket.take(5, 100)).toBe(500)
  expect(bucket.tryTake(500)).toBe(false)
  expect(bucket.tryTake(700)).toBe(true)
})

test('a client that sends too fast is read slower, keeps its connection, and others are not', async () => {
  const { broker, log, connect } = await startBroker({ messageRateMax: 200 })
  const [fast, other] = [await connect({ clientId: 'fast' }), await connect({ clientId: 'other' })]
  const ids = Array.from({ length: 600 }, (_, n) => n + 1)
  const from = performance.now()
  fast.publish(...ids.map(id => ({ topic: 'fast', qos: 1 as const, id })))
  other.publish({ topic: 'other', qos: 1, id: 1 })
  await other.until(() => other.acks().length === 1)
  expect(log.topics().filter(topic => topic === 'fast').length).toBeLessThan(600)
  await fast.until(() => fast.acks().length === 600)
  // Twice the rate at once, the rest at the rate: 200 are a second.
  expect(performance.now() - from).toBeGreaterThan(900)
  expect(broker.status.throttled).toBeGreaterThan(0)
  expect(broker.status.refused).toEqual({})
  expect(fast.acks()).toEqual(ids.map(id => `puback ${id}`))
})

test('a rate of bytes counts topic and payload', async () => {
  const { broker, connect } = await startBroker({ byteRateMax: 10_000 })
  const client = await connect()
  const from = performance.now()
  const ids = [1, 2, 3]
  client.publish(
    ...ids.map(id => ({ topic: 't', payload: Buffer.alloc(10_000), qos: 1 as const, id }))
  )
  await client.until(() => client.acks().length === 3)
  client.publish({ topic: 't', qos: 1, id: 4 })
  await client.until(() => client.acks().length === 4)
  expect(performance.now() - from).toBeGreaterThan(900)
  expect(broker.status.throttled).toBeGreaterThan(0)
})

// --- Subscriptions, sessions, QoS 2 --------------------------------------------------------------

test('a client has so many subscriptions, all together have so many, and an end makes room', async () => {
  const { broker, connect } = await startBroker({
    subscriptionsPerClientMax: 2,
    subscriptionsMax: 3
  })
  const [a, b] = [await connect({ clientId: 'a' }), await connect({ clientId: 'b', clean: false })]
  expect(await subscribe(a, 'a/1', 'a/2', 'a/3')).toEqual([1, 1, 128])
  expect(await subscribe(a, 'a/1')).toEqual([1])
  expect(await subscribe(b, 'b/1', 'b/2')).toEqual([0, 128])
  expect(broker.status).toMatchObject({ subscriptions: 3, refused: { subscriptions: 2 } })
  a.send(packetBytes(0xa2, Buffer.from([0, 5, 0, 3]), Buffer.from('a/1')))
  await a.until(() => a.names().includes('unsuback'))
  expect(await subscribe(b, 'b/2')).toEqual([0])
  a.destroy()
  await expect.poll(() => broker.status.subscriptions).toBe(2)
})

test('a filter that is too long or too deep is refused in the SUBACK', async () => {
  const { broker, connect } = await startBroker({ topicBytesMax: 20, topicLevelsMax: 3 })
  const client = await connect()
  expect(await subscribe(client, 'x'.repeat(21), '+/+/+/+', '+/+/#')).toEqual([128, 128, 1])
  expect(broker.status.refused).toEqual({ topic_too_long: 1, topic_too_deep: 1 })
})

test('a subscription that was refused is not in the session that is kept', async () => {
  const acl = [{ ...ANYBODY, publish: ['#'], subscribe: ['open/#'] }]
  const { broker, connect } = await startBroker({ acl })
  const first = await connect({ clientId: 'a', clean: false })
  expect(await subscribe(first, 'open/x', 'secret/x', 'open/y')).toEqual([0, 128, 0])
  first.destroy()
  await expect.poll(() => broker.status.sessions).toBe(1)
  const second = await connect({ clientId: 'a', clean: false })
  expect(broker.status).toMatchObject({ sessions: 0, subscriptions: 2 })
  const other = await connect({ clientId: 'b' })
  other.publish({ topic: 'secret/x', payload: 's' }, { topic: 'open/y', payload: 'o' })
  await second.until(() => second.messages().length > 0)
  await second.roundTrip()
  expect(second.messages().map(({ topic }) => topic)).toEqual(['open/y'])
})

const ANYBODY = { user: undefined, client: undefined, anonymous: undefined }

test('nothing is queued for a subscriber that is away', async () => {
  const { broker, connect } = await startBroker()
  const first = await connect({ clientId: 'a', clean: false })
  await subscribe(first, 't')
  first.destroy()
  await expect.poll(() => broker.status.sessions).toBe(1)
  await broker.publish('t', 'missed', false)
  const second = await connect({ clientId: 'a', clean: false })
  await broker.publish('t', 'heard', false)
  await second.until(() => second.messages().length > 0)
  expect(second.messages().map(({ payload }) => payload)).toEqual(['heard'])
})

test('kept sessions are bounded in number and age: the one away longest ends first', () => {
  let now = 0
  const ended: string[] = []
  const sessions = new KeptSessions(
    { sessionsMax: 2, sessionExpiryMs: 1000 },
    id => ended.push(id),
    () => now
  )
  for (const id of ['a', 'b', 'a', 'c']) {
    sessions.left(id, undefined)
    now += 100
  }
  expect(ended).toEqual(['b'])
  sessions.arrived('a')
  now += 999
  sessions.expire()
  expect(ended).toEqual(['b', 'c'])
  expect(sessions.size).toBe(0)
})

test('a session that ended is a new one for who comes back', async () => {
  const { broker, connect } = await startBroker({ sessionsMax: 0 })
  const first = await connect({ clientId: 'a', clean: false })
  await subscribe(first, 't')
  first.destroy()
  await expect.poll(() => broker.status.clients).toBe(0)
  const second = await connect({ clientId: 'a', clean: false })
  await broker.publish('t', 'x', false)
  await second.roundTrip()
  expect(second.messages()).toEqual([])
})

test('a client that sends QoS 2 and no PUBREL ends at the limit, in its next connection too', async () => {
  const { broker, log, connect } = await startBroker({ inflightQos2Max: 3 })
  const fields = { clientId: 'a', clean: false }
  const first = await connect(fields)
  first.publish(...[1, 2].map(id => ({ topic: 't', qos: 2 as const, id })))
  await first.until(() => first.acks().length === 2)
  first.destroy()
  const second = await connect(fields)
  second.publish({ topic: 't', qos: 2, id: 3 })
  await second.until(() => second.acks().length === 1)
  second.publish({ topic: 't', qos: 2, id: 4 })
  await second.untilClosed()
  expect(broker.status).toMatchObject({ refused: { qos2_inflight: 1 }, malformed: 0 })
  expect(log.appended).toHaveLength(3)
  const third = await connect(fields)
  third.send(pubrelBytes(1))
  await third.until(() => third.acks().length === 1)
  third.publish({ topic: 't', qos: 2, id: 4 })
  await third.until(() => third.acks().length === 2)
})

test('open messages are told apart by what they hold, and a place that nothing came of is free', () => {
  const open = new OpenMessages(1)
  expect(open.reserve('a', 1)).toBe(true)
  expect(open.has('a', 1)).toBe(false)
  expect(open.reserve('a', 2)).toBe(false)
  open.release('a', 1)
  expect(open.reserve('a', 2)).toBe(true)
  open.open('a', 2, { topic: 't', payload: 'x' })
  open.release('a', 2)
  expect(open.holds('a', 2, { topic: 't', payload: Buffer.from('x') })).toBe(true)
  expect(open.holds('a', 2, { topic: 't', payload: 'y' })).toBe(false)
  expect(open.holds('b', 2, { topic: 't', payload: 'x' })).toBe(false)
})

// --- Retained messages, slow subscribers ---------------------------------------------------------

test.each([
  [{ retained: 'drop' as const }, []],
  [{ retainedTopicsMax: 1 }, ['t/1']],
  [{ retainedBytesMax: 1024 }, ['t/1']],
  [{}, ['t/1', 't/2']]
])('with %j what devices retain is %j; all of it is stored', async (options, kept) => {
  const { broker, log, connect } = await startBroker(options)
  const device = await connect()
  const payload = Buffer.alloc(600, 'x')
  for (const id of [1, 2]) device.publish({ topic: `t/${id}`, payload, qos: 1, id, retain: true })
  await device.until(() => device.acks().length === 2)
  expect(log.appended.map(({ retain }) => retain)).toEqual([true, true])
  const screen = await connect({ clientId: 'screen' })
  await screen.subscribe('t/#')
  await screen.roundTrip()
  await expect.poll(() => screen.messages().map(({ topic }) => topic)).toEqual(kept)
  expect(broker.status.retained).toBe(kept.length)
})

test.each([0, 1] as const)(
  'what is too large to be retained (QoS %i) takes the one before with it: nobody is told an old value as the last',
  async qos => {
    const { broker, connect } = await startBroker({ retainedBytesMax: 1024 })
    const device = await connect()
    device.publish({ topic: 't', payload: 'old', qos: 1, id: 1, retain: true })
    await device.until(() => device.acks().length === 1)
    expect(broker.status.retained).toBe(1)
    device.publish({ topic: 't', payload: Buffer.alloc(2000, 'x'), qos, id: 2, retain: true })
    await device.roundTrip()
    const screen = await connect({ clientId: 'screen' })
    await screen.subscribe('t')
    await screen.roundTrip()
    expect(screen.messages()).toEqual([])
    // And there is room again.
    device.publish({ topic: 't', payload: 'new', qos: 1, id: 3, retain: true })
    await expect.poll(() => screen.messages().length).toBe(1)
    expect(broker.status.retained).toBe(1)
  }
)

test('a subscriber that reads nothing is disconnected, and neither devices nor others wait for it', async () => {
  const { broker, connect } = await startBroker({ subscriberBytesMax: 1 << 20 })
  const [device, good] = [await connect({ clientId: 'd' }), await connect({ clientId: 'good' })]
  const stuck = await connect({ clientId: 'stuck' })
  await good.subscribe('t')
  await stuck.subscribe('t')
  stuck.socket.pause()
  const payload = Buffer.alloc(64 << 10)
  let sent = 0
  const from = performance.now()
  while (broker.status.refused.slow_subscriber === undefined && performance.now() - from < 20_000) {
    sent++
    device.publish({ topic: 't', payload, qos: 1, id: sent })
    await device.until(() => device.acks().length === sent)
    good.packets.length = 0
  }
  expect(broker.status.refused).toEqual({ slow_subscriber: 1 })
  await expect.poll(() => broker.status.clients).toBe(2)
  await good.roundTrip()
})

test('a subscriber gets a large retained store though it is more than may wait for it', async () => {
  const { broker, connect } = await startBroker({ subscriberBytesMax: 64 << 10 })
  const payload = Buffer.alloc(10_000)
  for (let n = 0; n < 200; n++) await broker.publish(`alerts/${n}`, payload, true)
  const screen = await connect({ clientId: 'screen' })
  await screen.subscribe('alerts/#')
  await screen.until(() => screen.messages().length === 200)
  expect(broker.status.refused).toEqual({})
})
