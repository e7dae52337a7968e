import { expect, test, vi } from 'vitest'
import { Prng } from '../../../../core/runtime/prng.ts'
import {
  closers,
  connected,
  events,
  ScriptedBroker,
  scripted,
  turns,
  until,
  upstream
} from './upstream-kit.ts'

// --- Acknowledging -----------------------------------------------------------------------------

test('a PUBACK goes out when the message is stored, not before', async () => {
  const { broker, intake } = await connected()
  broker.publish({ topic: 'a/1', payload: '21.5', qos: 1, packetId: 7 })
  const stored = await intake.arrival(1)
  expect(stored.message).toMatchObject({
    topic: 'a/1',
    qos: 1,
    packetId: 7,
    retain: false,
    dup: false,
    clientId: 'plant',
    upstream: true
  })
  expect(Buffer.from(stored.message.payload).toString()).toBe('21.5')
  await broker.roundTrip()
  expect(broker.acks()).toEqual([])
  stored.resolve()
  await broker.until(() => broker.acks().length === 1)
  expect(broker.acks()).toEqual(['puback 7'])
})

test('messages are read on while earlier ones wait for their sync', async () => {
  const { broker, intake } = await connected()
  for (let id = 1; id <= 100; id++) broker.publish({ qos: 1, packetId: id })
  await intake.arrival(100)
  await broker.roundTrip()
  expect(broker.acks()).toEqual([])
})

test('PUBACKs and PUBRECs go out in receive order, whatever is stored first', async () => {
  const { broker, intake } = await connected({ qos: 2 })
  broker.publish({ qos: 1, packetId: 3 })
  broker.publish({ qos: 2, packetId: 1 })
  broker.publish({ qos: 1, packetId: 2 })
  await intake.arrival(3)
  intake.arrivals[2].resolve()
  intake.arrivals[1].resolve()
  await broker.roundTrip()
  expect(broker.acks()).toEqual([])
  intake.arrivals[0].resolve()
  await broker.until(() => broker.acks().length === 3)
  expect(broker.acks()).toEqual(['puback 3', 'pubrec 1', 'puback 2'])
})

test('a QoS 0 message is offered and nobody is answered', async () => {
  const { broker, intake, client } = await connected()
  broker.publish({ topic: 'a', payload: 'x', qos: 0, packetId: 0 })
  await broker.roundTrip()
  expect(intake.offered).toMatchObject([{ topic: 'a', qos: 0, packetId: 0, upstream: true }])
  expect(intake.arrivals).toEqual([])
  expect(broker.acks()).toEqual([])
  expect(client.status.received).toBe(1)
})

// --- QoS 2 -------------------------------------------------------------------------------------

test('a PUBREC goes out after the store, a PUBCOMP after the PUBREL, and the message is stored once', async () => {
  const { broker, intake } = await connected({ qos: 2 })
  broker.publish({ qos: 2, packetId: 5 })
  const stored = await intake.arrival(1)
  await broker.roundTrip()
  expect(broker.acks()).toEqual([])
  stored.resolve()
  await broker.until(() => broker.acks().length === 1)
  broker.pubrel(5)
  await broker.until(() => broker.has('pubcomp 5'))
  expect(broker.acks()).toEqual(['pubrec 5'])
  expect(intake.arrivals.length).toBe(1)
})

test('a QoS 2 message sent again in the same session is answered, not stored again', async () => {
  const { broker, intake } = await connected({ qos: 2 })
  broker.publish({ qos: 2, packetId: 5 })
  ;(await intake.arrival(1)).resolve()
  await broker.until(() => broker.acks().length === 1)
  broker.sessionPresent = true
  broker.drop()
  await broker.connection(2)
  broker.publish({ qos: 2, packetId: 5, dup: true })
  await broker.until(() => broker.acks().length === 2)
  expect(broker.acks()).toEqual(['pubrec 5', 'pubrec 5'])
  expect(intake.arrivals.length).toBe(1)
  broker.pubrel(5)
  await broker.until(() => broker.has('pubcomp 5'))
  broker.publish({ qos: 2, packetId: 5 })
  await intake.arrival(2)
})

test('a QoS 2 message that comes again while its store lasts waits for that store', async () => {
  const { broker, intake } = await connected({ qos: 2 })
  broker.publish({ qos: 2, packetId: 5 })
  await intake.arrival(1)
  broker.sessionPresent = true
  broker.drop()
  await broker.connection(2)
  broker.publish({ qos: 2, packetId: 5, dup: true })
  await broker.roundTrip()
  expect(broker.acks()).toEqual([])
  intake.arrivals[0].resolve()
  await broker.until(() => broker.acks().length === 1)
  expect(intake.arrivals.length).toBe(1)
})

test('a QoS 2 packet id means a new message when the broker has lost the session', async () => {
  const { broker, intake } = await connected({ qos: 2 })
  broker.publish({ qos: 2, packetId: 5 })
  ;(await intake.arrival(1)).resolve()
  await broker.until(() => broker.acks().length === 1)
  broker.drop()
  await broker.connection(2)
  broker.publish({ qos: 2, packetId: 5 })
  await intake.arrival(2)
})

// --- Lost connections --------------------------------------------------------------------------

test('a message stored after its connection was lost is not acknowledged on the next one; its copy is', async () => {
  const { broker, intake } = await connected()
  broker.publish({ qos: 1, packetId: 7 })
  await intake.arrival(1)
  broker.sessionPresent = true
  broker.drop()
  await broker.connection(2)
  intake.arrivals[0].resolve()
  await broker.roundTrip()
  expect(broker.acks()).toEqual([])
  broker.publish({ qos: 1, packetId: 7, dup: true })
  const again = await intake.arrival(2)
  expect(again.message).toMatchObject({ packetId: 7, dup: true })
  await broker.roundTrip()
  expect(broker.acks()).toEqual([])
  again.resolve()
  await broker.until(() => broker.acks().length === 1)
  expect(broker.acks()).toEqual(['puback 7'])
})

test('a store that fails is not acknowledged: the connection is dropped and the copy is stored', async () => {
  const { broker, intake, client, lines } = await connected()
  broker.publish({ qos: 1, packetId: 1 })
  broker.publish({ qos: 1, packetId: 2 })
  await intake.arrival(2)
  intake.arrivals[0].reject(new Error('the log is full'))
  intake.arrivals[1].resolve()
  await broker.connection(2)
  expect(broker.acks()).toEqual([])
  expect(client.status.lastError).toBe('a message cannot be stored: the log is full')
  broker.publish({ qos: 1, packetId: 1, dup: true })
  ;(await intake.arrival(3)).reject(new Error('the log is full'))
  await broker.connection(3)
  broker.publish({ qos: 1, packetId: 1, dup: true })
  ;(await intake.arrival(4)).resolve()
  await broker.until(() => broker.acks().length === 1)
  expect(client.status.lastError).toBeUndefined()
  expect(events(lines)).toEqual(['upstream.connected', 'upstream.lost', 'upstream.connected'])
})

test('the pauses between attempts grow until something is stored', async () => {
  const prng = new Prng(1)
  const timers = vi.spyOn(globalThis, 'setTimeout')
  closers.push(async () => timers.mockRestore())
  const firstTimers: number[] = []
  prng.float = () => {
    firstTimers.push(timers.mock.calls.length)
    return 1
  }
  const { broker, intake } = await connected({}, { prng, backOffMsMin: 2, backOffMsMax: 10 })
  for (let n = 1; n <= 4; n++) {
    broker.publish({ qos: 1, packetId: 1 })
    ;(await intake.arrival(n)).reject(new Error('full'))
    await broker.connection(n + 1)
  }
  broker.publish({ qos: 1, packetId: 1 })
  ;(await intake.arrival(5)).resolve()
  await broker.until(() => broker.acks().length === 1)
  broker.drop()
  await broker.connection(6)
  expect(firstTimers.map(nth => timers.mock.calls[nth][1])).toEqual([2, 4, 8, 10, 2])
})

test('a broker that is away at the start is found when it comes, with one line for the outage', async () => {
  const broker = new ScriptedBroker()
  await broker.listen()
  const { port } = broker
  await broker.close()
  const prng = new Prng(1)
  let failures = 0
  prng.float = () => {
    failures++
    return 0
  }
  const { client, lines } = upstream(port, {}, { prng })
  client.start()
  await until(() => failures === 3)
  expect(client.status).toMatchObject({ connects: 0, lastError: expect.stringMatching(/REFUSED/) })
  await broker.listen(port)
  closers.push(() => broker.close())
  await until(() => client.status.state === 'connected')
  expect(client.status).toMatchObject({ connects: 1, lastError: undefined })
  expect(events(lines)).toEqual(['upstream.lost', 'upstream.connected'])
})

test('a refused CONNACK does not end the attempts, and no line shows the password', async () => {
  const { broker, client, lines } = await scripted(
    { username: 'u', password: { text: 'geheim-4711' } },
    {},
    broker => {
      broker.returnCode = 5
    }
  )
  await broker.until(() => broker.connections === 3)
  expect(client.status).toMatchObject({
    connects: 0,
    lastError: 'Connection refused: Not authorized'
  })
  broker.returnCode = 0
  await until(() => client.status.state === 'connected')
  expect(events(lines)).toEqual(['upstream.lost', 'upstream.connected'])
  expect(lines.join()).not.toContain('geheim')
  expect(JSON.stringify(client.status)).not.toContain('geheim')
})

test('a broker that accepts the connection and says nothing is given up', async () => {
  const { broker, client } = await scripted({}, { connectWaitMs: 50 }, broker => {
    broker.mute = true
  })
  await broker.until(() => broker.connections === 2)
  expect(client.status.lastError).toMatch(/within 50 ms|connack timeout/)
})

test('a subscription that is not answered ends the connection', async () => {
  const { broker, client } = await scripted({}, { connectWaitMs: 50 }, broker => {
    broker.grants = () => undefined
  })
  await broker.until(() => broker.connections === 2)
  expect(client.status.lastError).toBe('no answer within 50 ms')
})

test('a broker that goes silent is given up when a ping stays unanswered', async () => {
  const { broker, client } = await connected({ keepAliveS: 1 })
  broker.mute = true
  await until(() => client.status.state !== 'connected')
  expect(broker.has('pingreq')).toBe(true)
  expect(client.status.lastError).toBe('Keepalive timeout')
})

// --- Back-pressure -----------------------------------------------------------------------------

test('no more than the window is in the store; each acknowledgement lets one more in', async () => {
  const { broker, intake } = await connected({ window: 3 })
  for (let id = 1; id <= 10; id++) broker.publish({ qos: 1, packetId: id })
  for (let done = 0; done < 10; done++) {
    await intake.arrival(Math.min(10, done + 3))
    await turns()
    expect(intake.arrivals.length).toBe(Math.min(10, done + 3))
    intake.arrivals[done].resolve()
    await broker.until(() => broker.acks().length === done + 1)
  }
})

test('the window stops the socket: a broker that sends on is not buffered', async () => {
  const { broker, intake } = await connected({ window: 1 })
  const payload = 'x'.repeat(64 * 1024)
  for (let id = 1; id <= 400; id++) broker.publish({ qos: 1, packetId: id, payload })
  await intake.arrival(1)
  // The socket's own buffers take some megabytes of the 25; the rest cannot leave the broker.
  await turns(500)
  expect(broker.unsentBytes).toBeGreaterThan(10 * 1024 * 1024)
  expect(intake.arrivals.length).toBe(1)
})

test('stores of lost connections count for the window', async () => {
  const { broker, intake } = await connected({ window: 2 })
  broker.publish({ qos: 1, packetId: 1 })
  broker.publish({ qos: 1, packetId: 2 })
  await intake.arrival(2)
  broker.sessionPresent = true
  broker.drop()
  await broker.connection(2)
  broker.publish({ qos: 1, packetId: 1, dup: true })
  await turns()
  expect(intake.arrivals.length).toBe(2)
  intake.arrivals[0].resolve()
  expect((await intake.arrival(3)).message).toMatchObject({ packetId: 1, dup: true })
})

test('a full intake holds reading up until it has room', async () => {
  const { broker, intake } = await connected()
  intake.full = true
  broker.publish({ qos: 1, packetId: 1 })
  await until(() => intake.waiting.length === 1)
  expect(intake.arrivals).toEqual([])
  intake.full = false
  for (const resume of intake.waiting.splice(0)) resume()
  ;(await intake.arrival(1)).resolve()
  await broker.until(() => broker.acks().length === 1)
})

// --- Retained messages and subscriptions -------------------------------------------------------

test.each([
  ['keep', [false, false]],
  ['mark', [true, false]],
  ['drop', [false]]
] as const)('retained messages under the policy %s', async (retained, expected) => {
  const { broker, intake } = await connected({ retained })
  intake.storesAtOnce = true
  broker.publish({ qos: 1, packetId: 1, retain: true })
  broker.publish({ qos: 1, packetId: 2 })
  broker.publish({ qos: 0, packetId: 0, retain: true })
  await broker.roundTrip()
  await broker.until(() => broker.acks().length === 2)
  expect(broker.acks()).toEqual(['puback 1', 'puback 2'])
  expect(intake.arrivals.map(a => a.message.retain)).toEqual(expected)
  expect(intake.offered.map(message => message.retain)).toEqual(
    retained === 'drop' ? [] : [retained === 'mark']
  )
})

test('filters are subscribed once a session, so that retained messages do not come at each reconnection', async () => {
  const { broker, client } = await connected({ topics: ['a/#', 'b/+'] })
  expect(broker.subscribed).toEqual(['a/#', 'b/+'])
  broker.sessionPresent = true
  broker.drop()
  await broker.connection(2)
  await until(() => client.status.state === 'connected')
  expect(broker.subscribed).toEqual(['a/#', 'b/+'])
  broker.sessionPresent = false
  broker.drop()
  await broker.connection(3)
  await until(() => client.status.state === 'connected')
  expect(broker.subscribed).toEqual(['a/#', 'b/+', 'a/#', 'b/+'])
})

test('removed filters are unsubscribed, and forgotten only after that', async () => {
  const told: string[][] = []
  let unsubscribed: string[] = []
  await connected(
    {
      topics: ['b', 'c'],
      previousTopics: ['a', 'b'],
      onTopics: topics => told.push([`unsubscribed ${unsubscribed}`, ...topics])
    },
    {},
    broker => {
      broker.sessionPresent = true
      unsubscribed = broker.unsubscribed
    }
  )
  expect(unsubscribed).toEqual(['a'])
  expect(told).toEqual([
    ['unsubscribed ', 'b', 'c', 'a'],
    ['unsubscribed a', 'b', 'c']
  ])
})

test('a refused filter and a lower QoS are told, and the other filters deliver', async () => {
  const { broker, intake, lines } = await connected(
    { topics: ['a', 'b', 'c'], qos: 1 },
    {},
    broker => {
      broker.grants = () => [1, 0x80, 0]
    }
  )
  const warning = lines.map(line => JSON.parse(line)).find(l => l.event === 'upstream.granted_less')
  expect(warning).toMatchObject({ level: 'warn', refused: ['b'], lowered: ['c'] })
  broker.publish({ qos: 1, packetId: 1, topic: 'a' })
  await intake.arrival(1)
})

test('a broker that refuses every filter is asked again later', async () => {
  const { broker, client } = await scripted({ topics: ['a'] }, {}, broker => {
    broker.grants = () => [0x80]
  })
  await broker.until(() => broker.connections === 2)
  expect(client.status.lastError).toBe('the broker refuses to subscribe a')
  broker.grants = undefined
  await until(() => client.status.state === 'connected')
})

test('a message larger than the log takes is acknowledged, counted and told', async () => {
  const { broker, intake, client, lines } = await connected()
  broker.publish({ qos: 1, packetId: 1, payload: 'x'.repeat(15 * 1024 * 1024 + 1) })
  await broker.until(() => broker.acks().length === 1)
  expect(intake.arrivals).toEqual([])
  expect(client.status.oversized).toBe(1)
  expect(events(lines)).toEqual(['upstream.connected', 'upstream.oversized'])
})

// --- Stopping ----------------------------------------------------------------------------------

test('stop acknowledges what is stored meanwhile, takes nothing more and says DISCONNECT', async () => {
  const { broker, intake, client } = await connected()
  broker.publish({ qos: 1, packetId: 1 })
  await intake.arrival(1)
  const stopped = client.stop()
  broker.publish({ qos: 1, packetId: 2 })
  await broker.roundTrip()
  expect(broker.has('disconnect')).toBe(false)
  intake.arrivals[0].resolve()
  await stopped
  await broker.until(() => broker.has('disconnect'))
  expect(broker.acks()).toEqual(['puback 1'])
  expect(intake.arrivals.length).toBe(1)
  expect(client.status.state).toBe('stopped')
  expect(broker.connections).toBe(1)
})

test('stop does not wait for ever for a store', async () => {
  const { broker, intake, client } = await connected({}, { stopWaitMs: 20 })
  broker.publish({ qos: 1, packetId: 1 })
  await intake.arrival(1)
  await Promise.all([client.stop(), client.stop()])
  await broker.until(() => broker.has('disconnect'))
  expect(broker.acks()).toEqual([])
})

test('stop ends the attempts of a client that never connected', async () => {
  const broker = new ScriptedBroker()
  await broker.listen()
  const { port } = broker
  await broker.close()
  const { client } = upstream(port)
  client.start()
  await until(() => client.status.state === 'waiting')
  await client.stop()
  await broker.listen(port)
  closers.push(() => broker.close())
  await turns(200)
  expect(client.status.state).toBe('stopped')
  expect(broker.connections).toBe(0)
})
