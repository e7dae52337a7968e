import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import v8 from 'node:v8'
import vm from 'node:vm'
import { expect, test } from 'vitest'
import { createWebSocketStream, WebSocketServer } from 'ws'
import type { UpstreamOptions } from '../../../../agent/ingest/upstream/upstream-client.ts'
import { TestAuthority } from '../../../kit/certificates.ts'
import { publishOf } from './large-packet-kit.ts'
import { Broker5 } from './upstream-broker5.ts'
import { closers, ScriptedBroker, turns, until, upstream } from './upstream-kit.ts'

/* Messages that would not fit into memory: thrown away as they come, acknowledged and told. */

const HOST = '127.0.0.1'
const MIB = 1024 * 1024
const PIECE_BYTES = 64 * 1024
const authority = new TestAuthority('plant authority')
const TLS = authority.issue({ name: 'broker', hosts: [HOST] })

type Version = '3.1.1' | '5'
type Scheme = 'mqtt' | 'mqtts' | 'ws' | 'wss'

/** A broker that does as it is told behind a front, from which the test itself sends to the client. */
async function fronted(
  scheme: Scheme,
  mqttVersion: Version,
  options: Partial<UpstreamOptions> = {}
) {
  const broker = mqttVersion === '5' ? new Broker5() : new ScriptedBroker()
  await broker.listen()
  closers.push(() => broker.close())
  const streams: Duplex[] = []
  const inners: net.Socket[] = []
  const serve = (stream: Duplex): void => {
    streams.push(stream)
    const inner = net.connect(broker.port)
    inners.push(inner)
    for (const end of [stream, inner]) end.on('error', () => {})
    stream.pipe(inner).pipe(stream)
  }
  const server = {
    mqtt: () => net.createServer(serve),
    mqtts: () => tls.createServer(TLS, serve),
    ws: () => http.createServer(),
    wss: () => https.createServer(TLS)
  }[scheme]()
  let sendFrame: ((bytes: Buffer) => void) | undefined
  if (server instanceof http.Server || server instanceof https.Server) {
    new WebSocketServer({ server, perMessageDeflate: true }).on('connection', socket => {
      sendFrame = bytes => socket.send(bytes)
      serve(createWebSocketStream(socket))
    })
  }
  server.listen(0, HOST)
  await once(server, 'listening')
  closers.push(async () => {
    for (const stream of streams) stream.destroy()
    server.close()
  })
  const { port } = server.address() as net.AddressInfo
  const { client, intake, lines } = upstream(
    port,
    {
      ...{ url: `${scheme}://${HOST}:${port}`, mqttVersion, qos: 2, ...options },
      ...((scheme === 'mqtts' || scheme === 'wss') && { tls: { ca: authority.cert } })
    },
    { backOffMsMin: 20 }
  )
  intake.storesAtOnce = true
  client.start()
  await until(() => client.status.state === 'connected')
  // From here on the test alone speaks: an answer to a ping would stand amid a packet.
  inners[0].unpipe(streams[0])
  const send = async (bytes: Buffer): Promise<void> => {
    if (sendFrame) return sendFrame(bytes)
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const stream = streams.at(-1) as Duplex
      if (!stream.write(bytes.subarray(at, at + PIECE_BYTES))) await once(stream, 'drain')
    }
  }
  const acks = () => (broker instanceof Broker5 ? broker.acks : broker.acks())
  return { broker, client, intake, lines, send, acks }
}

v8.setFlagsFromString('--expose-gc')
const collectGarbage = vm.runInNewContext('gc') as () => void

/** In buffers that are in use. */
function bufferBytes(): number {
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}

test.each([
  ['3.1.1', 'mqtt'],
  ['5', 'mqtt'],
  ['3.1.1', 'mqtts'],
  ['5', 'mqtts'],
  ['3.1.1', 'ws'],
  ['5', 'wss']
] as const)(
  'messages of 64 MiB between others are acknowledged in their turn, told and not kept, MQTT %s over %s',
  async (mqttVersion, scheme) => {
    const { client, intake, lines, send, acks } = await fronted(scheme, mqttVersion)
    const publish = (qos: 0 | 1 | 2, packetId: number, payload: Buffer): Buffer =>
      publishOf({ topic: 't', payload, qos, packetId, mqttVersion })
    const payload = Buffer.alloc(64 * MIB, 'x')
    const sent = [
      publish(1, 1, Buffer.from('before')),
      publish(1, 2, payload),
      publish(2, 3, payload),
      publish(1, 4, Buffer.from('between')),
      publish(0, 0, payload),
      publish(2, 5, Buffer.from('behind'))
    ]
    const before = bufferBytes()
    let growthMax = 0
    const all = ['puback 1', 'puback 2', 'pubrec 3', 'puback 4', 'pubrec 5']
    const sending = (async () => {
      for (const bytes of sent) await send(bytes)
    })()
    while (acks().length < all.length) {
      await turns(40)
      growthMax = Math.max(growthMax, bufferBytes() - before)
    }
    await sending
    expect(acks()).toEqual(all)
    const stored = intake.arrivals.map(({ message }) => `${Buffer.from(message.payload)}`)
    expect(stored).toEqual(['before', 'between', 'behind'])
    expect(intake.offered).toEqual([])
    expect(client.status).toMatchObject({ received: 6, acknowledged: 5, oversized: 3, connects: 1 })
    const told = lines.map(line => JSON.parse(line)).filter(({ event }) => /oversized/.test(event))
    // Properties count: in MQTT 5 there is a byte that says there are none.
    const bytes = payload.length + (mqttVersion === '5' ? 1 : 0)
    expect(told).toEqual([expect.objectContaining({ topic: 't', bytes })])
    // Half of one message: what the sockets of both ends and the front hold, and is not yet swept.
    expect(growthMax).toBeLessThan(32 * MIB)
  }
)

test('another packet of that size ends the connection, which is told and tried again', async () => {
  const { client, send } = await fronted('mqtt', '3.1.1')
  // 17 MiB of a SUBACK.
  await send(Buffer.from([0x90, 0x80, 0x80, 0xc0, 0x08]))
  await until(() => client.status.fault !== undefined)
  expect(client.status).toMatchObject({ fault: 'refused' })
  expect(client.status.lastError).toMatch(
    /^the broker sends a packet of type 9 with 17825792 bytes/
  )
  await until(() => client.status.connects === 2)
})

test('a message that comes slowly is waited for, longer than a ping would be', async () => {
  // As a broker that is amid a packet, this one answers no ping.
  const { broker, client, send, acks } = await fronted('mqtt', '3.1.1', { keepAliveS: 1 })
  const payload = Buffer.alloc(17 * MIB, 'x')
  const bytes = publishOf({ topic: 't', payload, qos: 1, packetId: 7 })
  const step = Math.ceil(bytes.length / 60)
  for (let at = 0; at < bytes.length; at += step) {
    await send(bytes.subarray(at, at + step))
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  await until(() => acks().length === 1)
  expect((broker as ScriptedBroker).has('pingreq')).toBe(true)
  expect(client.status).toMatchObject({ connects: 1, oversized: 1 })
})
