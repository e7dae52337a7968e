import { expect, test } from 'vitest'
import type {
  UpstreamConditions,
  UpstreamOptions
} from '../../../../agent/ingest/upstream/upstream-client.ts'
import { Broker5 } from './upstream-broker5.ts'
import { closers, events, turns, until, upstream } from './upstream-kit.ts'

/** The upstream client towards an MQTT 5 broker that does as it is told. */

async function served(
  options: Partial<UpstreamOptions> = {},
  conditions: Partial<UpstreamConditions> = {},
  prepare: (broker: Broker5) => void = () => {}
) {
  const broker = new Broker5()
  prepare(broker)
  await broker.listen()
  closers.push(() => broker.close())
  const parts = upstream(broker.port, { mqttVersion: '5', ...options }, conditions)
  parts.client.start()
  return { broker, ...parts }
}

async function connected(...args: Parameters<typeof served>) {
  const parts = await served(...args)
  await until(() => parts.client.status.state === 'connected')
  return parts
}

test('the session is kept for session_expiry, resumed, and the window is told as receive maximum', async () => {
  const { broker } = await connected({ window: 7, sessionExpiryS: 600, keepAliveS: 45 })
  expect(broker.connects[0]).toMatchObject({
    ...{ protocolVersion: 5, clean: false, clientId: 'fieldline-test', keepalive: 45 },
    properties: { receiveMaximum: 7, sessionExpiryInterval: 600 }
  })
})

test('PUBACKs wait for the store and go out in receive order in MQTT 5 too', async () => {
  const { broker, intake, client } = await connected({ qos: 2 })
  broker.publish({ messageId: 3 })
  broker.publish({ messageId: 1, qos: 2 })
  broker.publish({ messageId: 2 })
  await intake.arrival(3)
  expect(client.status).toMatchObject({ received: 3, inflight: 3, acknowledged: 0 })
  intake.arrivals[2].resolve()
  intake.arrivals[1].resolve()
  await turns()
  expect(broker.acks).toEqual([])
  intake.arrivals[0].resolve()
  await until(() => broker.acks.length === 3)
  expect(broker.acks).toEqual(['puback 3', 'pubrec 1', 'puback 2'])
  expect(client.status).toMatchObject({ inflight: 0, acknowledged: 3 })
})

test('user properties, content type, expiry and response topic are stored with the message', async () => {
  const { broker, intake } = await connected()
  broker.publish({
    messageId: 1,
    properties: {
      userProperties: { traceparent: '00-ab-cd-01', tag: ['a', 'b'] },
      ...{ contentType: 'application/json', messageExpiryInterval: 90, responseTopic: 'r/1' },
      ...{ correlationData: Buffer.from('id'), payloadFormatIndicator: true }
    }
  })
  const { message } = await intake.arrival(1)
  expect(message.properties).toEqual({
    userProperties: { traceparent: '00-ab-cd-01', tag: ['a', 'b'] },
    ...{ contentType: 'application/json', messageExpiryS: 90, responseTopic: 'r/1' },
    ...{ correlationData: 'aWQ=', payloadIsText: true }
  })
  broker.publish({ messageId: 2 })
  expect((await intake.arrival(2)).message).not.toHaveProperty('properties')
})

test('a message whose properties are larger than the log takes is acknowledged and counted', async () => {
  const { broker, intake, client } = await connected()
  // A control character is one byte on the wire and six in the record.
  const tag = Array.from({ length: 45 }, () => '\u0001'.repeat(60_000))
  broker.publish({ messageId: 1, properties: { userProperties: { tag } } })
  await until(() => broker.acks.length === 1)
  expect(intake.arrivals).toEqual([])
  expect(client.status.oversized).toBe(1)
})

test.each([
  ['mark', 1],
  ['keep', 1],
  ['drop', 2]
] as const)(
  'under the policy %s the broker is asked for retained messages with handling %d',
  async (retained, rh) => {
    const { broker, client } = await connected({ retained, topics: ['a', '$share/agents/b/#'] })
    expect(broker.subscribed).toEqual([
      { topic: 'a', qos: 1, rh },
      { topic: '$share/agents/b/#', qos: 1, rh }
    ])
    expect(client.status).toMatchObject({ retained, granted: { a: 2, '$share/agents/b/#': 2 } })
  }
)

test('refused filters are told with their reason, and at most eight go into one packet', async () => {
  const topics = Array.from({ length: 10 }, (_, n) => `t/${n}`)
  const { broker, client, lines } = await connected({ topics }, {}, broker => {
    broker.grants = filters => filters.map(filter => (filter === 't/9' ? 0x87 : 1))
  })
  expect(broker.subscribePackets.map(filters => filters.length)).toEqual([8, 2])
  expect(client.status.granted).toMatchObject({
    ...{ 't/0': 1, 't/9': 'refused: not authorized (0x87)' }
  })
  const warning = lines.map(line => JSON.parse(line)).find(l => l.event === 'upstream.granted_less')
  expect(warning).toMatchObject({ refused: ['t/9'], lowered: [] })
})

test.each([
  [0x87, 'auth', 'Connection refused: Not authorized (0x87)'],
  [0x86, 'auth', 'Connection refused: Bad User Name or Password (0x86)'],
  [0x85, 'session', 'Connection refused: Client Identifier not valid (0x85)'],
  [0x89, 'refused', 'Connection refused: Server busy (0x89)']
] as const)('a CONNACK of %d is a fault of the kind %s', async (reasonCode, fault, lastError) => {
  const { broker, client } = await served({}, {}, broker => {
    broker.reasonCode = reasonCode
  })
  await until(() => broker.connects.length === 3)
  expect(client.status).toMatchObject({ connects: 0, fault, lastError })
  broker.reasonCode = 0
  await until(() => client.status.state === 'connected')
  expect(client.status).toMatchObject({ lastError: undefined, fault: undefined })
})

test("the broker's reason for a DISCONNECT is told, not that the connection ended", async () => {
  const { broker, client } = await connected({}, { backOffMsMin: 60_000, backOffMsMax: 60_000 })
  broker.dismiss(0x97, 'too many messages')
  await until(() => client.status.state === 'waiting')
  expect(client.status).toMatchObject({
    fault: 'refused',
    lastError: 'the broker disconnects with reason 0x97: too many messages'
  })
})

test('a session that is taken over is told by its client id, and the pauses grow though messages come', async () => {
  const pauses: number[] = []
  const { broker, client, intake, lines } = await connected(
    {},
    { backOffMsMin: 1, backOffMsMax: 4, takeoverBackOffMsMax: 50 }
  )
  intake.storesAtOnce = true
  for (let n = 1; n <= 3; n++) {
    broker.publish({ messageId: n })
    await until(() => broker.acks.length === n)
    const from = performance.now()
    broker.dismiss(0x8e)
    await broker.connection(n + 1)
    pauses.push(performance.now() - from)
    await until(() => client.status.state === 'connected')
  }
  expect(client.status.trouble).toBe('taken_over')
  const told = lines.map(line => JSON.parse(line)).filter(l => l.event === 'upstream.taken_over')
  expect(told).toMatchObject([{ level: 'error', clientId: 'fieldline-test', fault: 'taken_over' }])
  expect(told[0].reason).toContain("'fieldline-test'")
})

test('publications wait for the receive maximum of the broker and for its limits', async () => {
  const { broker, client } = await connected({}, {}, broker => {
    broker.answersPublish = false
    broker.connackProperties = {
      ...{ receiveMaximum: 2, maximumPacketSize: 200, retainAvailable: false },
      ...{ sessionExpiryInterval: 60, assignedClientIdentifier: 'not-told' }
    }
  })
  expect(client.status.server).toEqual({
    ...{ receiveMaximum: 2, maximumPacketSize: 200, retainAvailable: false },
    sessionExpiryInterval: 60
  })
  const all = Promise.all(['1', '2', '3'].map(n => client.publish('alerts/x', n, true)))
  await until(() => broker.published.length === 2)
  await turns()
  expect(broker.published.length).toBe(2)
  broker.acknowledge(1)
  await until(() => broker.published.length === 3)
  broker.acknowledge(2)
  broker.acknowledge(3)
  await all
  expect(broker.published.map(p => [String(p.payload), p.retain])).toEqual([
    ...[
      ['1', false],
      ['2', false],
      ['3', false]
    ]
  ])
  await expect(client.publish('alerts/x', 'x'.repeat(300), true)).rejects.toThrow(
    'takes packets of 200 bytes at most'
  )
})

test('a store that fails drops an MQTT 5 connection too, and the copy is stored', async () => {
  const { broker, intake, client } = await connected()
  broker.publish({ messageId: 1 })
  ;(await intake.arrival(1)).reject(new Error('the log is full'))
  await broker.connection(2)
  expect(broker.acks).toEqual([])
  expect(client.status).toMatchObject({ fault: 'store' })
  broker.publish({ messageId: 1, dup: true })
  ;(await intake.arrival(2)).resolve()
  await until(() => broker.acks.length === 1)
  expect(client.status.fault).toBeUndefined()
})

test('a broker that sends more than the receive maximum is borne: the window bounds what is taken', async () => {
  const { broker, intake, client } = await connected({ qos: 2, window: 2 })
  intake.storesAtOnce = true
  // Answered and not released: all three count for the receive maximum of 2.
  for (const messageId of [1, 2, 3]) broker.publish({ messageId, qos: 2 })
  await until(() => broker.acks.length === 3 || client.status.connects > 1)
  expect(broker.acks).toEqual(['pubrec 1', 'pubrec 2', 'pubrec 3'])
  expect(client.status).toMatchObject({ state: 'connected', connects: 1 })
})

test('an upstream that is quiet is told, connected and subscribed anew once, and heard again', async () => {
  const { broker, client, intake, lines } = await connected({ silentAfterMs: 600, keepAliveS: 1 })
  broker.sessionPresent = true
  intake.storesAtOnce = true
  await broker.connection(2)
  await until(() => client.status.state === 'connected')
  expect(client.status.trouble).toBe('silent')
  // Subscribed anew though the session was there.
  expect(broker.subscribed.length).toBe(2)
  // Retained messages end no silence: they come with the subscription.
  broker.publish({ messageId: 1, retain: true })
  await intake.arrival(1)
  expect(client.status.trouble).toBe('silent')
  broker.publish({ messageId: 2 })
  await intake.arrival(2)
  await until(() => client.status.trouble === undefined)
  expect(broker.connects.length).toBe(2)
  expect(events(lines)).toEqual([
    ...['upstream.connected', 'upstream.silent', 'upstream.lost', 'upstream.connected']
  ])
})
