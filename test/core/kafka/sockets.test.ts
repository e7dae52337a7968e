import net from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { KafkaSockets, socketsOf } from '../../../core/kafka/sockets.ts'
import { createTopic, readTopic, testClient, uniqueTopic, useKafka } from '../../kit/kafka.ts'

const shared = useKafka()

test('a client’s connections tell what they sent, and when they last heard something', async () => {
  const kafka = shared.client()
  const sockets = socketsOf(kafka)
  expect([sockets.sentBytes, sockets.heardAt]).toEqual([0, Number.NEGATIVE_INFINITY])
  const before = performance.now()
  const admin = kafka.admin()
  await admin.connect()
  await admin.listTopics()
  const { sentBytes } = sockets
  expect(sentBytes).toBeGreaterThan(50)
  expect(sockets.heardAt).toBeGreaterThan(before)
  await admin.disconnect()
  expect(sockets.sentBytes).toBeGreaterThanOrEqual(sentBytes)
})

test('broken connections reject what waits for an answer, and the client connects anew for the next', async () => {
  const topic = await createTopic(shared.admin, uniqueTopic('broken'))
  const kafka = shared.client()
  const producer = kafka.producer({ idempotent: true, allowAutoTopicCreation: false })
  await producer.connect()
  const send = (n: number) => producer.send({ topic, messages: [{ value: String(n) }] })
  await send(0)
  for (let n = 1; n < 20; n++) {
    const sent = send(n)
    if (n % 2) await new Promise(setImmediate)
    socketsOf(kafka).break()
    // The client's own retry brings it over a new connection.
    await sent
  }
  const values = (await readTopic(shared.brokers, topic, { until: 20 })).map(r => String(r.value))
  expect(values).toEqual(Array.from({ length: 20 }, (_, n) => String(n)))
  await producer.disconnect()
})

test('a connection that is made and never answered is broken too', async () => {
  const server = net
    .createServer(socket => void socket.on('error', () => {}))
    .listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as net.AddressInfo
  const kafka = testClient([`127.0.0.1:${port}`])
  const connected = kafka.admin({ retry: { retries: 0 } }).connect()
  connected.catch(() => {})
  await new Promise(resolve => server.once('connection', resolve))
  const breaking = setInterval(() => socketsOf(kafka).break(), 20)
  await expect(connected).rejects.toThrow()
  clearInterval(breaking)
})

test('a connection that is being closed is broken for good, too: nothing keeps the process', async () => {
  const server = net
    .createServer({ allowHalfOpen: true }, socket => void socket.on('error', () => {}))
    .listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  onTestFinished(() => void server.close())
  const sockets = new KafkaSockets()
  const socket = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
  sockets.add(socket)
  socket.on('error', () => {})
  await new Promise(resolve => socket.once('connect', resolve))
  const closed = new Promise(resolve => socket.once('close', resolve))
  socket.end()
  sockets.break()
  await closed
  const { _handle } = socket as net.Socket & { _handle: unknown }
  expect(_handle).toBeNull()
})

test('a client that was given up gets no connection any more', async () => {
  const kafka = shared.client()
  const admin = kafka.admin({ retry: { retries: 0 } })
  socketsOf(kafka).close()
  await expect(admin.connect()).rejects.toThrow('the client was given up')
})
