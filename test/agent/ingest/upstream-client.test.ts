import { once } from 'node:events'
import net from 'node:net'
import { Aedes } from 'aedes'
import { afterEach, expect, test, vi } from 'vitest'
import type { IncomingMessage } from '../../../agent/ingest/intake.ts'
import {
  UpstreamClient,
  type UpstreamConditions,
  type UpstreamOptions
} from '../../../agent/ingest/upstream-client.ts'
import { createLogger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

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
    { username: 'u', password: 'geheim-4711' },
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
  const { broker, client } = await connected({}, { keepaliveS: 1 })
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

// --- With a whole broker -----------------------------------------------------------------------

test('aedes sends again what was not acknowledged when the connection is lost, and nothing is missing', async () => {
  const { aedes, server, port } = await aedesBroker()
  const { client, intake } = upstream(port, { topics: ['t/#'], qos: 2 })
  let acknowledged = 0
  aedes.on('ack', packet => {
    // A QoS 2 message is acknowledged twice: by PUBREC and by PUBCOMP, which has no topic left.
    if (packet?.cmd === 'publish') acknowledged++
  })
  client.start()
  await until(() => client.status.state === 'connected')
  const send = (n: number, qos: 1 | 2): Promise<void> =>
    new Promise((resolve, reject) =>
      aedes.publish(
        { cmd: 'publish', topic: `t/${n}`, payload: `${n}`, qos, retain: false, dup: false },
        error => (error ? reject(error) : resolve())
      )
    )
  await send(1, 1)
  await send(2, 2)
  await intake.arrival(2)
  expect(acknowledged).toBe(0)
  server.sockets.forEach(socket => {
    socket.destroy()
  })
  intake.storesAtOnce = true
  await until(() => client.status.connects === 2 && client.status.state === 'connected')
  for (const arrival of intake.arrivals) arrival.resolve()
  await send(3, 1)
  const topics = () => intake.arrivals.map(a => a.message.topic)
  await until(() => topics().includes('t/3'))
  expect(topics().filter(topic => topic === 't/1').length).toBe(2)
  expect(new Set(topics())).toEqual(new Set(['t/1', 't/2', 't/3']))
  await until(() => acknowledged >= 2)
})

test('aedes no longer sends what a removed filter selected', async () => {
  const { aedes, port } = await aedesBroker()
  const first = upstream(port, { topics: ['old', 'both'] })
  let known: string[] = []
  first.client.start()
  await until(() => first.client.status.state === 'connected')
  await first.client.stop()
  const second = upstream(port, {
    topics: ['both'],
    previousTopics: ['old', 'both'],
    onTopics: topics => {
      known = topics
    }
  })
  second.client.start()
  await until(() => second.client.status.state === 'connected')
  expect(known).toEqual(['both'])
  second.intake.storesAtOnce = true
  for (const topic of ['old', 'both']) {
    const packet = {
      cmd: 'publish',
      topic,
      payload: 'x',
      qos: 1,
      retain: false,
      dup: false
    } as const
    await new Promise<void>(resolve => aedes.publish(packet, () => resolve()))
  }
  await second.intake.arrival(1)
  expect(second.intake.arrivals.map(a => a.message.topic)).toEqual(['both'])
})

// --- Kit ---------------------------------------------------------------------------------------

interface Arrival {
  message: IncomingMessage
  resolve: () => void
  reject: (error: Error) => void
}

/** An intake whose stores end when the test says so. */
class HeldIntake {
  readonly arrivals: Arrival[] = []
  readonly offered: IncomingMessage[] = []
  readonly waiting: (() => void)[] = []
  storesAtOnce = false
  full = false

  store(message: IncomingMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      // Copied: the payload is lent for the call only, as it is to the real intake.
      const copy = { ...message, payload: message.payload.slice() }
      this.arrivals.push({ message: copy, resolve, reject })
      if (this.storesAtOnce) resolve()
    })
  }

  offer(message: IncomingMessage): void {
    this.offered.push(message)
  }

  room(): Promise<void> {
    return new Promise(resolve => this.waiting.push(resolve))
  }

  /** The n-th message stored, counting from 1. */
  async arrival(n: number): Promise<Arrival> {
    await until(() => this.arrivals.length >= n)
    return this.arrivals[n - 1]
  }
}

interface Publish {
  topic?: string
  payload?: string
  qos: 0 | 1 | 2
  packetId: number
  dup?: boolean
  retain?: boolean
}

const PACKETS: Record<number, string> = {
  1: 'connect',
  4: 'puback',
  5: 'pubrec',
  7: 'pubcomp',
  8: 'subscribe',
  10: 'unsubscribe',
  12: 'pingreq',
  14: 'disconnect'
}

/** Just enough of an MQTT 3.1.1 broker to send what the test says and to keep what is answered. */
class ScriptedBroker {
  port = 0
  connections = 0
  returnCode = 0
  sessionPresent = false
  /** Reads and never answers. */
  mute = false
  /** What a SUBSCRIBE is granted; QoS 2 each when absent, no answer when it gives none. */
  grants: (() => number[] | undefined) | undefined
  readonly subscribed: string[] = []
  readonly unsubscribed: string[] = []
  /** All packets received, like `puback 7`. */
  readonly #received: string[] = []
  #server = net.createServer()
  #socket: net.Socket | undefined
  #ready = 0
  #roundTrips = 60_000

  async listen(port = 0): Promise<void> {
    this.#server = net.createServer({ noDelay: true }, socket => this.#serve(socket))
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as net.AddressInfo).port
  }

  async close(): Promise<void> {
    this.drop()
    this.#server.close()
    await once(this.#server, 'close')
  }

  drop(): void {
    this.#socket?.destroy()
  }

  get unsentBytes(): number {
    return this.#socket?.writableLength ?? 0
  }

  has(packet: string): boolean {
    return this.#received.includes(packet)
  }

  acks(): string[] {
    return this.#received.filter(packet => /^(puback|pubrec)/.test(packet))
  }

  until(condition: () => boolean): Promise<void> {
    return until(condition)
  }

  /** Resolves when the n-th connection has been accepted. */
  connection(n: number): Promise<void> {
    return until(() => this.#ready >= n)
  }

  /** Resolves when everything sent so far has been handled: a PUBREL is answered in its turn. */
  async roundTrip(): Promise<void> {
    const id = ++this.#roundTrips
    this.pubrel(id)
    await until(() => this.has(`pubcomp ${id}`))
  }

  pubrel(packetId: number): void {
    this.#socket?.write(Buffer.from([0x62, 2, packetId >> 8, packetId & 0xff]))
  }

  publish(publish: Publish): void {
    const { topic = 't', payload = 'x', qos, packetId, dup = false, retain = false } = publish
    const body = Buffer.concat([
      Buffer.from([topic.length >> 8, topic.length & 0xff]),
      Buffer.from(topic),
      qos > 0 ? Buffer.from([packetId >> 8, packetId & 0xff]) : Buffer.alloc(0),
      Buffer.from(payload)
    ])
    const head = [0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)]
    let rest = body.length
    do {
      head.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
      rest >>= 7
    } while (rest > 0)
    this.#socket?.write(Buffer.concat([Buffer.from(head), body]))
  }

  #serve(socket: net.Socket): void {
    this.connections++
    this.#socket = socket
    let bytes = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk])
      // The client sends nothing long here: one length byte, or two.
      while (bytes.length >= 2) {
        const long = bytes[1] > 0x7f ? 1 : 0
        const end = 2 + long + (long ? (bytes[1] & 0x7f) + bytes[2] * 128 : bytes[1])
        if (bytes.length < end) break
        this.#answer(socket, bytes[0] >> 4, bytes.subarray(2 + long, end))
        bytes = bytes.subarray(end)
      }
    })
  }

  #answer(socket: net.Socket, type: number, body: Buffer): void {
    const name = PACKETS[type] ?? `type ${type}`
    const id = [4, 5, 7].includes(type) ? ` ${body.readUInt16BE(0)}` : ''
    this.#received.push(`${name}${id}`)
    if (this.mute) return
    if (name === 'connect') {
      expect(body[7] & 2, 'clean session').toBe(0)
      const present = this.sessionPresent && this.returnCode === 0 ? 1 : 0
      socket.write(Buffer.from([0x20, 2, present, this.returnCode]))
      if (this.returnCode === 0) this.#ready++
      else socket.end()
    }
    if (name === 'subscribe') {
      const topics = topicsOf(body, 1)
      this.subscribed.push(...topics)
      const granted = this.grants ? this.grants() : topics.map(() => 2)
      if (granted)
        socket.write(Buffer.from([0x90, 2 + granted.length, body[0], body[1], ...granted]))
    }
    if (name === 'unsubscribe') {
      this.unsubscribed.push(...topicsOf(body, 0))
      socket.write(Buffer.from([0xb0, 2, body[0], body[1]]))
    }
    if (name === 'pingreq') socket.write(Buffer.from([0xd0, 0]))
    if (name === 'disconnect') socket.end()
  }
}

function topicsOf(body: Buffer, bytesAfter: number): string[] {
  const topics: string[] = []
  for (let at = 2; at < body.length; ) {
    const end = at + 2 + body.readUInt16BE(at)
    topics.push(body.toString('utf8', at + 2, end))
    at = end + bytesAfter
  }
  return topics
}

function upstream(
  port: number,
  options: Partial<UpstreamOptions> = {},
  conditions: Partial<UpstreamConditions> = {}
) {
  const lines: string[] = []
  const intake = new HeldIntake()
  const client = new UpstreamClient(
    {
      name: 'plant',
      url: `mqtt://127.0.0.1:${port}`,
      clientId: 'fieldline-test',
      topics: ['t'],
      qos: 1,
      window: 1000,
      retained: 'mark',
      ...options
    },
    intake,
    createLogger('debug', line => lines.push(line)),
    {
      backOffMsMin: 2,
      backOffMsMax: 20,
      stopWaitMs: 200,
      prng: new Prng(1),
      ...conditions
    }
  )
  closers.push(() => client.stop())
  return { client, intake, lines }
}

async function scripted(
  options: Partial<UpstreamOptions> = {},
  conditions: Partial<UpstreamConditions> = {},
  prepare: (broker: ScriptedBroker) => void = () => {}
) {
  const broker = new ScriptedBroker()
  prepare(broker)
  await broker.listen()
  closers.push(() => broker.close())
  const parts = upstream(broker.port, options, conditions)
  parts.client.start()
  return { broker, ...parts }
}

async function connected(...args: Parameters<typeof scripted>) {
  const parts = await scripted(...args)
  await until(() => parts.client.status.state === 'connected')
  return parts
}

async function aedesBroker() {
  const aedes = await Aedes.createBroker()
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    aedes.handle(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(async () => {
    await new Promise<void>(resolve => aedes.close(() => resolve()))
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { aedes, server: { sockets }, port: (server.address() as net.AddressInfo).port }
}

function events(lines: string[]): string[] {
  return lines.map(line => JSON.parse(line).event)
}

/** Looks once a turn of the event loop; the test's own time limit ends a vain wait. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1)
}

async function turns(count = 50): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(resolve => setImmediate(resolve))
}
