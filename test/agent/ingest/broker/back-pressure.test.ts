import { expect, test } from 'vitest'
import { connectBytes, publishBytes, type RawMqtt } from '../../../kit/raw-mqtt.ts'
import { type BrokerUnderTest, startBroker } from './broker-kit.ts'

const BUDGET = 256 << 10
/** What a connection may have beyond the budget: its reserve, and what one turn overshoots. */
const BEYOND_BYTES = 20 << 10
const HONEST = 50
const flood = (qos: 0 | 1, count: number) =>
  Array.from({ length: count }, (_, n) => ({
    topic: 'telemetry/p/flood',
    payload: Buffer.alloc(1000, 0x66),
    qos,
    id: 1 + (n % 65_535)
  }))

/** Stores a few messages a turn, as a slow disk does, until told to stop; tells the most that was under way. */
function slowDisk({ log, intake }: BrokerUnderTest, perTurn: number): { stop(): Promise<number> } {
  log.held = true
  let running = true
  let most = 0
  const run = (async () => {
    while (running) {
      most = Math.max(most, intake.budget.used)
      log.sync(Math.min(log.waiting, perTurn))
      await new Promise(setImmediate)
    }
    log.held = false
    log.sync()
    return most
  })()
  return {
    stop: () => {
      running = false
      return run
    }
  }
}

async function connectAll(kit: BrokerUnderTest, count: number): Promise<RawMqtt[]> {
  const clients: RawMqtt[] = []
  for (let n = 0; n < count; n++) clients.push(await kit.connect({ clientId: `honest-${n}` }))
  return clients
}

/** One message after the other, each acknowledged and with a PINGREQ behind it. */
async function publishOneByOne(client: RawMqtt, count: number): Promise<void> {
  for (let id = 1; id <= count; id++) {
    client.publish({ topic: 'telemetry/p/honest', payload: `${id}`, qos: 1, id })
    await client.roundTrip()
    await client.until(() => client.acks().length === id)
  }
}

test.each([0, 1] as const)(
  'a flood of QoS %i by one client starves none of 50 others, and stays within the budget',
  async qos => {
    const kit = await startBroker({ inflightBytesMax: BUDGET })
    const honest = await connectAll(kit, HONEST)
    const bad = await kit.connect({ clientId: 'flood' })
    const disk = slowDisk(kit, 4)
    const messages = 20_000
    bad.publish(...flood(qos, messages))
    await expect.poll(() => kit.intake.full).toBe(true)
    await Promise.all(honest.map(client => publishOneByOne(client, 20)))
    const taken = kit.log.topics().filter(topic => topic.endsWith('flood')).length
    expect(await disk.stop()).toBeLessThan(BUDGET + BEYOND_BYTES)
    // It was not over before the others were done.
    expect(taken + kit.intake.counters.droppedQos0).toBeLessThan(messages)
    expect(taken).toBeGreaterThan(HONEST * 20)
    expect(kit.log.topics().filter(topic => topic.endsWith('honest'))).toHaveLength(HONEST * 20)
  }
)

test('many that flood share what the disk can take', async () => {
  const kit = await startBroker({ inflightBytesMax: BUDGET })
  const clients = await connectAll(kit, 8)
  const disk = slowDisk(kit, 4)
  for (const client of clients) client.publish(...flood(1, 2000))
  await Promise.all(clients.map(client => client.until(() => client.acks().length >= 1000)))
  const acks = clients.map(client => client.acks().length)
  await disk.stop()
  expect(Math.max(...acks)).toBeLessThan(2 * Math.min(...acks))
})

test('a log that takes nothing keeps everybody connected and answered, and then everything is stored in order', async () => {
  const kit = await startBroker({ inflightBytesMax: BUDGET })
  const { log, intake } = kit
  const [bad, ...honest] = await Promise.all(
    Array.from({ length: 1 + HONEST }, (_, n) => connectWithKeepAlive(kit, `c${n}`, 1))
  )
  log.held = true
  const messages = 3_000
  bad.publish(...flood(1, messages))
  const window = 8
  for (const client of honest) {
    for (let id = 1; id <= window; id++) {
      client.publish({ topic: 'telemetry/p/honest', payload: 'x'.repeat(200), qos: 1, id })
    }
  }
  await expect.poll(() => intake.full).toBe(true)
  const pongs = () => bad.names().filter(name => name === 'pingresp').length
  // Its own PINGREQ would lie behind 3 MB: aedes would have cut it after 1.5 s.
  while (pongs() < 4) {
    for (const client of honest) await client.roundTrip()
    expect(intake.budget.used).toBeLessThan(BUDGET + HONEST * 2048 + BEYOND_BYTES)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  expect([bad, ...honest].filter(client => client.closed)).toEqual([])
  expect(log.topics().filter(topic => topic.endsWith('honest'))).toHaveLength(HONEST * window)
  log.held = false
  log.sync()
  await bad.until(() => bad.acks().length === messages)
  for (const client of honest) await client.until(() => client.acks().length === window)
  expect(bad.acks()).toEqual(Array.from({ length: messages }, (_, n) => `puback ${n + 1}`))
  await expect.poll(() => intake.budget.used).toBe(0)
})

test('large packets get their room one after the other, beside small ones that flood', async () => {
  const kit = await startBroker({ inflightBytesMax: 1 << 20 })
  const clients = await connectAll(kit, 12)
  const bad = await kit.connect({ clientId: 'flood' })
  const disk = slowDisk(kit, 4)
  bad.publish(...flood(1, 20_000))
  const payload = Buffer.alloc(900_000, 0x61)
  for (const client of clients) client.publish({ topic: 'telemetry/p/large', payload, qos: 1 })
  await Promise.all(clients.map(client => client.until(() => client.acks().length === 1)))
  // The record counts before the packet's bytes are given back.
  expect(await disk.stop()).toBeLessThan((1 << 20) + 900_000 + BEYOND_BYTES)
  expect(kit.log.payloads().filter(text => text.length === 900_000)).toHaveLength(12)
})

test('PUBACKs of what is watched and what is not go out in the order of their messages', async () => {
  const { log, connect } = await startBroker()
  const screen = await connect({ clientId: 'screen' })
  await screen.subscribe('watched/#')
  log.held = true
  const device = await connect()
  const ids = Array.from({ length: 200 }, (_, n) => n + 1)
  device.publish(
    ...ids.map(id => ({
      topic: id % 3 === 0 ? 'watched/a' : 'b',
      payload: `${id}`,
      qos: 1 as const,
      id
    }))
  )
  while (device.acks().length < 200) {
    log.sync(7)
    await new Promise(setImmediate)
  }
  expect(device.acks()).toEqual(ids.map(id => `puback ${id}`))
  await screen.until(() => screen.messages().length === 66)
  expect(screen.messages().map(({ payload }) => Number(payload))).toEqual(
    ids.filter(id => id % 3 === 0)
  )
  expect(log.payloads()).toEqual(ids.map(String))
})

test('what is sent in one write with the CONNECT is stored, however much it is', async () => {
  const { log, open } = await startBroker()
  const client = await open()
  const ids = Array.from({ length: 500 }, (_, n) => n + 1)
  client.send(
    connectBytes({ clientId: 'eager' }),
    ...ids.map(id => publishBytes({ topic: 't', payload: `${id}`, qos: 1, id }))
  )
  await client.until(() => client.acks().length === 500)
  expect(log.payloads()).toEqual(ids.map(String))
})

test('what a client sends before it is welcome is stored, though it has hung up meanwhile', async () => {
  const { broker, log, open } = await startBroker()
  for (let round = 0; round < 20; round++) {
    const client = await open()
    client.send(
      connectBytes({ clientId: `brief-${round}` }),
      publishBytes({ topic: 't', payload: 'a' }),
      publishBytes({ topic: 't', payload: 'b', qos: 1 }),
      Buffer.from([0xe0, 0])
    )
    client.socket.end()
    await client.untilClosed()
  }
  await expect.poll(() => broker.status.clients).toBe(0)
  expect(log.payloads()).toEqual(Array.from({ length: 20 }, () => ['a', 'b']).flat())
})

async function connectWithKeepAlive(
  { open }: BrokerUnderTest,
  clientId: string,
  seconds: number
): Promise<RawMqtt> {
  const client = await open()
  const bytes = connectBytes({ clientId })
  bytes.writeUInt16BE(seconds, 10)
  client.send(bytes)
  await client.until(() => client.packets.length > 0)
  client.packets.length = 0
  return client
}
