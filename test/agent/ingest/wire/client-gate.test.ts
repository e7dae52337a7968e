import { EventEmitter } from 'node:events'
import { Duplex } from 'node:stream'
import { expect, test } from 'vitest'
import { ByteBudget } from '../../../../agent/ingest/wire/byte-budget.ts'
import { ClientGates } from '../../../../agent/ingest/wire/client-gates.ts'
import type { GatedClient } from '../../../../agent/ingest/wire/gated-client.ts'
import type { PublishedPacket } from '../../../../agent/ingest/wire/published-packet.ts'
import { connectBytes, publishBytes } from '../../../kit/raw-mqtt.ts'

const PING = Buffer.from([0xc0, 0])

/** Stands for aedes' client: welcomes at once, and is done with a packet when the test says so. */
class FakeClient extends EventEmitter implements GatedClient {
  closed = false
  readonly id = 'fake'
  readonly broker = {
    clients: {} as Record<string, unknown>,
    persistence: { delWill: async () => {} },
    unregisterClient: (client: GatedClient) => {
      delete this.broker.clients[client.id as string]
    }
  }
  _parsingBatch = 1
  _nextBatch: (error?: Error | null) => void = () => {}
  _keepaliveInterval = 90_001
  refreshed = 0
  readonly parsed: Buffer[] = []
  readonly faults: string[] = []
  readonly _keepaliveTimer = { refresh: () => this.refreshed++ } as unknown as NodeJS.Timeout
  readonly _parser = {
    parse: (bytes: Buffer) => {
      this.parsed.push(bytes)
      if (bytes[0] === 0x10) {
        this.resume()
        this._nextBatch()
      }
      return 0
    }
  }

  constructor() {
    super()
    this.on('error', (error: Error) => {
      this.faults.push(error.message)
      this.closed = true
    })
  }

  resume(): void {}
  waitForDrain(): void {}
}

class FakeConn extends Duplex {
  readonly written: Buffer[] = []
  override _read(): void {}
  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.written.push(bytes)
    done()
  }
}

function setUp(bytesMax = 1 << 20) {
  const clock = { at: 1_000, now: () => 0, monotonic: () => clock.at }
  const budget = new ByteBudget(bytesMax)
  const gates = new ClientGates({ packetBytesMax: 1 << 20, budget, clock })
  const published: PublishedPacket[] = []
  const done: (() => void)[] = []
  const refused: string[] = []
  const open = () => {
    const [client, conn] = [new FakeClient(), new FakeConn()]
    const gate = gates.open(client, conn, {
      isWatched: topic => topic.startsWith('watched'),
      publish: (packet, then) => {
        published.push(packet)
        done.push(then)
      },
      refused: reason => refused.push(reason),
      answered: () => {}
    })
    conn.push(connectBytes())
    return { client, conn, gate }
  }
  const settle = async () => {
    for (let n = 0; n < 4; n++) await new Promise(setImmediate)
  }
  return { clock, budget, gates, published, done, refused, open, settle }
}

const message = (topic: string, id: number, payload = 'x') =>
  publishBytes({ topic, payload, qos: 1, id })

test('what nobody watches goes round aedes, and its PUBACKs go out in one write', async () => {
  const { open, settle, published, done } = setUp()
  const { client, conn } = open()
  await settle()
  conn.push(Buffer.concat([message('a', 1), message('b', 2), message('watched/c', 3)]))
  await settle()
  expect(published).toMatchObject([
    { cmd: 'publish', topic: 'a', qos: 1, messageId: 1, payload: Buffer.from('x'), dup: false },
    { topic: 'b', messageId: 2 }
  ])
  expect(client.parsed).toEqual([connectBytes(), message('watched/c', 3)])
  for (const then of done) then()
  await settle()
  expect(conn.written).toEqual([Buffer.from([0x40, 2, 0, 1, 0x40, 2, 0, 2])])
})

test('a packet may come in any pieces', async () => {
  const { open, settle, published } = setUp()
  const { conn } = open()
  await settle()
  const bytes = Buffer.concat([
    message('a', 1),
    message('b', 2, 'y'.repeat(20_000)),
    message('c', 3),
    PING
  ])
  for (let at = 0; at < bytes.length; at += at < 50 || at > 20_000 ? 1 : 997) {
    const end = at < 50 || at > 20_000 ? at + 1 : at + 997
    conn.push(bytes.subarray(at, end))
    await settle()
  }
  expect(published.map(({ topic, payload }) => [topic, payload.length])).toEqual([
    ['a', 1],
    ['b', 20_000],
    ['c', 1]
  ])
  expect(conn.written).toEqual([Buffer.from([0xd0, 0])])
})

test('a client that is to be slower is not read, kept alive, and told so in advance', async () => {
  const { clock, gates, open, settle, published } = setUp()
  const { client, conn, gate } = open()
  await settle()
  gate.pauseFor(600_000)
  conn.push(Buffer.concat([PING, message('a', 1), PING]))
  await settle()
  // The PINGREQ before the message is answered, the one behind it is not read.
  expect([published.length, conn.written.length]).toEqual([0, 1])
  const refreshed = client.refreshed
  for (let second = 0; second < 31; second++) {
    clock.at += 1_000
    gates.tend()
  }
  // Keep-alive is 60 s: after half of it.
  expect([client.refreshed - refreshed, conn.written.length]).toEqual([31, 2])
  clock.at += 600_000
  gate.pauseFor(0)
  await expect.poll(() => [published.length, conn.written.length]).toEqual([1, 3])
  conn.destroy()
})

test('no more is handed to aedes than it may have, until it is done with some', async () => {
  const { open, settle } = setUp()
  const { client, conn } = open()
  await settle()
  conn.push(Buffer.concat(Array.from({ length: 100 }, (_, n) => message('watched/a', n + 1))))
  await settle()
  expect(client.parsed).toHaveLength(1 + 64)
  for (let n = 0; n < 10; n++) client._nextBatch()
  await settle()
  expect(client.parsed).toHaveLength(1 + 74)
})

test('a large packet that does not come gives way to who waits for its room, after 10 s', async () => {
  const { clock, gates, open, settle, published, refused, budget } = setUp(150_000)
  const [slow, other] = [open(), open()]
  await settle()
  const large = message('a', 1, 'y'.repeat(100_000))
  slow.conn.push(large.subarray(0, 50_000))
  await settle()
  other.conn.push(large)
  await settle()
  clock.at += 9_000
  gates.tend()
  expect([refused, published.length]).toEqual([[], 0])
  clock.at += 2_000
  gates.tend()
  await settle()
  expect([refused, slow.client.closed]).toEqual([['packet_too_slow'], true])
  expect(published.map(({ payload }) => payload.length)).toEqual([100_000])
  slow.conn.destroy()
  other.conn.destroy()
  await settle()
  expect([budget.used, budget.contended, gates.size]).toEqual([0, false, 0])
})

test('a large packet for which nobody waits may take its time', async () => {
  const { clock, gates, open, settle, published } = setUp(150_000)
  const { conn } = open()
  await settle()
  const large = message('a', 1, 'y'.repeat(100_000))
  conn.push(large.subarray(0, 50_000))
  await settle()
  clock.at += 3_600_000
  gates.tend()
  conn.push(large.subarray(50_000))
  await settle()
  expect(published.map(({ payload }) => payload.length)).toEqual([100_000])
})

test('a client that is registered when it is gone is unregistered, another of its name is not', async () => {
  const { gates, open, settle } = setUp()
  const [late, other] = [open(), open()]
  late.client.broker.clients.fake = late.client
  other.client.broker.clients.fake = 'the next one'
  for (const { conn } of [late, other]) conn.destroy()
  await settle()
  gates.tend()
  expect(late.client.broker.clients).toEqual({ fake: late.client })
  gates.tend()
  expect(late.client.broker.clients).toEqual({})
  expect(other.client.broker.clients).toEqual({ fake: 'the next one' })
})

test.each([
  ['a packet before CONNECT', [PING], 'no CONNECT at first'],
  ['a second CONNECT', [connectBytes(), connectBytes()], 'a second CONNECT'],
  [
    'five bytes of length',
    [connectBytes(), Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff])],
    'a remaining length of more than four bytes'
  ]
])('%s ends the connection', async (_name, packets, fault) => {
  const { gates, settle } = setUp()
  const [client, conn] = [new FakeClient(), new FakeConn()]
  const hooks = { isWatched: () => false, publish: () => {}, refused: () => {}, answered: () => {} }
  gates.open(client, conn, hooks)
  conn.push(Buffer.concat(packets))
  await settle()
  expect(client.faults).toEqual([fault])
})

test('a client that goes leaves the entry of the one that has come in its place', async () => {
  const { gates, open, settle } = setUp()
  const { client, conn } = open()
  await settle()
  expect(gates.connected).toBe(1)
  client.broker.clients.fake = 'the next one'
  client.broker.unregisterClient(client)
  expect(client.broker.clients).toEqual({ fake: 'the next one' })
  client.broker.clients.fake = client
  client.broker.unregisterClient(client)
  expect(client.broker.clients).toEqual({})
  conn.destroy()
  await settle()
  expect(gates.connected).toBe(0)
})

test('a client that is to be slower keeps no room for its large packet meanwhile', async () => {
  const { budget, clock, open, settle, published } = setUp(150_000)
  const [slow, other] = [open(), open()]
  await settle()
  slow.gate.pauseFor(600_000)
  slow.conn.push(message('a', 1, 'y'.repeat(100_000)).subarray(0, 60_000))
  await settle()
  expect([budget.used, budget.contended]).toEqual([0, false])
  other.conn.push(message('b', 1, 'z'.repeat(100_000)))
  await settle()
  expect(published.map(({ topic }) => topic)).toEqual(['b'])
  clock.at += 600_000
  slow.gate.pauseFor(0)
  slow.conn.push(message('a', 1, 'y'.repeat(100_000)).subarray(60_000))
  await expect.poll(() => published.map(({ topic }) => topic)).toEqual(['b', 'a'])
  for (const { conn } of [slow, other]) conn.destroy()
  await expect.poll(() => budget.used).toBe(0)
})

test('a large packet of a client that reads nothing it is told gives way after 10 s, too', async () => {
  const { clock, gates, open, settle, refused } = setUp(150_000)
  const [deaf, other] = [open(), open()]
  await settle()
  deaf.conn._write = () => {}
  const large = message('a', 1, 'y'.repeat(100_000))
  deaf.conn.push(large.subarray(0, 50_000))
  await settle()
  // PINGRESPs in advance, as many as it takes to fill what waits to be sent.
  clock.at += 40_000
  for (let n = 0; n < 50_000 && !deaf.conn.writableNeedDrain; n++) {
    clock.at += 40_000
    deaf.conn.push(large.subarray(50_000, 50_001))
    gates.tend()
  }
  expect(deaf.conn.writableNeedDrain).toBe(true)
  deaf.conn.push(large.subarray(50_000))
  await settle()
  other.conn.push(large)
  await settle()
  gates.tend()
  await settle()
  expect(refused).toEqual(['packet_too_slow'])
})

test('when all is to end no message is taken any more, and those that were are waited for', async () => {
  const { gates, open, settle, published, done } = setUp()
  const { conn, gate } = open()
  await settle()
  conn.push(message('a', 1))
  await settle()
  gate.heldBytes = 10
  let settled = false
  const ending = gates.settle(60_000).then(() => {
    settled = true
  })
  conn.push(Buffer.concat([PING, message('b', 2)]))
  await new Promise(resolve => setTimeout(resolve, 30))
  expect([settled, published.length]).toEqual([false, 1])
  gate.heldBytes = 0
  done[0]()
  await ending
  expect(conn.written).toEqual([Buffer.from([0xd0, 0]), Buffer.from([0x40, 2, 0, 1])])
})

const OF_OTHERS = 150_000
const LARGE = publishBytes({ topic: 'a', payload: 'y'.repeat(100_000), qos: 1 })
/** What brings a client there. */
const STATES: [string, (kit: ReturnType<typeof setUp>, opened: Opened) => unknown][] = [
  ['has sent nothing more', () => {}],
  ['is in the middle of a packet', (_, { conn }) => conn.push(LARGE.subarray(0, 9))],
  ['keeps room for a large packet', (_, { conn }) => conn.push(LARGE.subarray(0, 50_000))],
  [
    'waits for room',
    ({ budget }, { conn }) => {
      budget.take(OF_OTHERS)
      conn.push(LARGE.subarray(0, 50_000))
    }
  ],
  [
    'waits for its turn',
    ({ budget }, { conn, gate }) => {
      budget.take(OF_OTHERS)
      gate.heldBytes = 5_000
      conn.push(Buffer.concat(Array.from({ length: 20 }, (_, n) => message('a', n + 1))))
    }
  ],
  [
    'is to be slower',
    (_, { conn, gate }) => {
      gate.pauseFor(1_000)
      conn.push(message('a', 1))
    }
  ],
  [
    'has packets in aedes',
    (_, { conn }) =>
      conn.push(Buffer.concat(Array.from({ length: 100 }, (_, n) => message('watched/a', n + 1))))
  ],
  ['has messages on their way to the log', (_, { conn }) => conn.push(message('a', 1))]
]
type Opened = ReturnType<ReturnType<typeof setUp>['open']>

test.each(STATES)(
  'a connection that ends while it %s leaves nothing in the budget',
  async (name, bring) => {
    const kit = setUp(150_000)
    const { budget, gates, open, settle, done } = kit
    const opened = open()
    await settle()
    bring(kit, opened)
    await settle()
    const ofOthers = name.startsWith('waits') ? OF_OTHERS : 0
    opened.conn.destroy()
    await settle()
    // What aedes and the log are done with afterwards finds nobody.
    for (let n = 0; n < 100; n++) opened.client._nextBatch()
    for (const then of done) then()
    await settle()
    expect([budget.used - ofOthers, budget.contended, gates.size]).toEqual([0, false, 0])
  }
)
