import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import mqtt from 'mqtt'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { connectBytes, publishBytes } from '../../../kit/raw-mqtt.ts'
import { startBroker } from './broker-kit.ts'
import { openTls, portOf, TlsFiles, WEBSOCKET } from './listener-kit.ts'

async function startTls(fields = {}, options = {}) {
  const files = new TlsFiles()
  const kit = await startBroker({ listen: null, listeners: [files.listener(fields)], ...options })
  return { ...kit, files, port: kit.broker.port }
}

// --- TLS -----------------------------------------------------------------------------------------

test('a device publishes over TLS, and its PUBACK waits for the log as ever', async () => {
  const { broker, log, files, port } = await startTls()
  log.held = true
  const device = await openTls(port, files)
  expect(device.socket.authorized).toBe(true)
  device.send(connectBytes())
  await device.until(() => device.names()[0] === 'connack')
  device.publish({ topic: 't', payload: 'x', qos: 1, id: 3 })
  await expect.poll(() => log.waiting).toBe(1)
  expect(device.acks()).toEqual([])
  log.sync()
  await device.until(() => device.acks().length > 0)
  expect(device.acks()).toEqual(['puback 3'])
  expect(broker.status.listeners).toMatchObject([
    { protocol: 'mqtts', certificate: { subject: 'CN=broker' } }
  ])
})

test('a refused CONNECT is answered over TLS before the end', async () => {
  const { files, port } = await startTls({}, { anonymous: 'never', users: [USER] })
  const device = await openTls(port, files)
  device.send(connectBytes())
  await device.untilClosed()
  expect(device.packets.map(({ body }) => body[1])).toEqual([5])
})

const USER = { username: 'u', password: 'secret' }

test.each(['TLSv1', 'TLSv1.1'] as const)('%s is not spoken', async version => {
  const { broker, files, port } = await startTls()
  const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' }
  await expect(openTls(port, files, old)).rejects.toThrow()
  await expect.poll(() => broker.status.refused.tls_handshake).toBe(1)
})

test('what speaks no TLS, and what is silent, is closed and counted', async () => {
  const { broker, port } = await startTls({}, { connectTimeoutMs: 300 })
  const plain = net.connect(port, '127.0.0.1').on('error', () => {})
  plain.write(connectBytes())
  await once(plain, 'close')
  await expect.poll(() => broker.status.refused.tls_handshake).toBe(1)
  const silent = net.connect(port, '127.0.0.1').on('error', () => {})
  await once(silent, 'close')
  expect(broker.status.refused.connect_timeout).toBe(1)
})

test('after the handshake, too, a CONNECT is awaited no longer than is said', async () => {
  const { broker, files, port } = await startTls({}, { connectTimeoutMs: 300 })
  const device = await openTls(port, files)
  await device.untilClosed()
  expect(broker.status.refused).toEqual({ connect_timeout: 1 })
})

// --- Client certificates -------------------------------------------------------------------------

test.each([
  ['required', 'none', false],
  ['required', 'ours', true],
  ['required', 'foreign', false],
  ['required', 'expired', false],
  ['optional', 'none', true],
  ['optional', 'ours', true],
  ['optional', 'foreign', false]
] as const)('client certificate %s, shown: %s, let in: %s', async (wanted, shown, welcome) => {
  const files = new TlsFiles()
  const fields = { ca: files.ca, clientCertificate: wanted }
  const { broker } = await startBroker({ listen: null, listeners: [files.listener(fields)] })
  const past = new Date(Date.now() - 60_000)
  const certificates = {
    none: {},
    ours: files.clients.issue({ name: 'pump-1' }),
    foreign: new TlsFiles().clients.issue({ name: 'pump-1' }),
    expired: files.clients.issue({ name: 'pump-1', validUntil: past })
  }
  const { cert, key } = certificates[shown] as { cert?: string; key?: string }
  const device = await openTls(broker.port, files, { cert, key })
  device.send(connectBytes())
  if (welcome) {
    await device.until(() => device.names()[0] === 'connack')
    expect(device.packets[0].body[1]).toBe(0)
    return
  }
  await device.untilClosed()
  expect(device.packets).toEqual([])
  expect(broker.status.refused).toEqual({ certificate: 1 })
})

test('a session that is resumed without a certificate is not let in', async () => {
  const files = new TlsFiles()
  const fields = { ca: files.ca, clientCertificate: 'required' as const }
  const { broker } = await startBroker({ listen: null, listeners: [files.listener(fields)] })
  let session: Buffer | undefined
  const first = await openTls(broker.port, files)
  first.socket.on('session', bytes => {
    session = bytes
  })
  await first.untilClosed()
  const second = await openTls(broker.port, files, session ? { session } : {})
  second.send(connectBytes())
  await second.untilClosed()
  expect(second.packets).toEqual([])
})

test.each([
  ['certificate_cn', { name: 'pump-1', hosts: ['other'] }, 'pump-1'],
  ['certificate_san', { name: 'other', hosts: ['pump-1', 'more'] }, 'pump-1'],
  ['certificate_san', { name: '', hosts: ['pump-1'] }, 'pump-1'],
  ['certificate_cn', { name: '+' }, undefined],
  ['certificate_cn', { name: 'a/b' }, undefined]
] as const)('by %s of %j a client is the user %s', async (identity, names, user) => {
  const files = new TlsFiles()
  const fields = { ca: files.ca, clientCertificate: 'required' as const, identity }
  const { broker, log } = await startBroker({
    listen: null,
    listeners: [files.listener(fields)],
    anonymous: 'never',
    acl: [ALLOW_OWN]
  })
  const { cert, key } = files.clients.issue({
    ...names,
    hosts: [...('hosts' in names ? names.hosts : [])]
  })
  const device = await openTls(broker.port, files, { cert, key })
  device.send(connectBytes({ username: 'ignored', password: 'x' }))
  await device.until(() => device.names()[0] === 'connack')
  device.publish({ topic: 't/pump-1', qos: 1, id: 1 })
  if (user) {
    await device.until(() => device.acks().length > 0)
    expect(log.topics()).toEqual(['t/pump-1'])
  } else {
    await device.untilClosed()
    expect([log.topics(), broker.status.refused]).toEqual([[], { publish_denied: 1 }])
  }
})

const ALLOW_OWN = {
  ...{ user: undefined, client: undefined, anonymous: undefined },
  ...{ publish: ['t/{user}'], subscribe: [] }
}

test('a certificate without a common name is nobody by that, and the next client is let in', async () => {
  const files = new TlsFiles()
  const fields = { clientCertificate: 'required', identity: 'certificate_cn' } as const
  const listeners = [files.listener({ ca: files.ca, ...fields })]
  const { broker } = await startBroker({ listen: null, listeners, anonymous: 'never' })
  for (const [name, answer] of [
    ['', 5],
    ['pump-1', 0]
  ] as const) {
    const { cert, key } = files.clients.issue({ name, hosts: ['pump-1'] })
    const device = await openTls(broker.port, files, { cert, key })
    device.send(connectBytes())
    await device.until(() => device.packets.length > 0)
    expect(device.packets[0].body[1]).toBe(answer)
  }
})

// --- Files that are exchanged --------------------------------------------------------------------

test('a certificate that is exchanged is shown to the next connection, and the old ones go on', async () => {
  const { broker, files, port, lines } = await startTls({}, { lookIntervalMs: 20 })
  const before = await openTls(port, files)
  before.send(connectBytes({ clientId: 'before' }))
  const fingerprint = before.socket.getPeerCertificate().fingerprint256
  const until = new Date(Date.now() + 5 * 86_400_000)
  files.write(files.server(until))
  await expect
    .poll(() => broker.status.listeners[0].certificate?.expiresAt)
    .toBe(Math.floor(until.getTime() / 1000) * 1000)
  const after = await openTls(port, files)
  expect(after.socket.getPeerCertificate().fingerprint256).not.toBe(fingerprint)
  await before.roundTrip()
  expect(lines.some(({ event }) => event === 'mqtt.certificate_reloaded')).toBe(true)
})

test("a listener's certificate may name hosts only: they stand in the status", async () => {
  const files = new TlsFiles()
  files.write(files.authority.issue({ name: '', hosts: ['localhost'] }))
  const { broker } = await startBroker({ listen: null, listeners: [files.listener()] })
  expect(broker.status.listeners).toMatchObject([{ certificate: { subject: 'DNS:localhost' } }])
})

test('files that cannot be used change nothing, are told of once, and heal', async () => {
  const { broker, files, port, lines } = await startTls({}, { lookIntervalMs: 20 })
  const told = () => lines.filter(({ event }) => event === 'mqtt.certificate_unusable').length
  fs.writeFileSync(files.cert, 'half a certifi')
  await expect.poll(() => broker.status.listeners[0].certificate?.error).toContain(files.cert)
  broker.reloadFiles()
  expect(told()).toBe(1)
  await (await openTls(port, files)).socket.end()
  fs.rmSync(files.key)
  await expect.poll(() => broker.status.listeners[0].certificate?.error).toContain('ENOENT')
  files.write(files.server())
  await expect.poll(() => broker.status.listeners[0].certificate?.error).toBeUndefined()
  await openTls(port, files)
})

test('a listener whose files cannot be used is a mistake in the configuration', async () => {
  const files = new TlsFiles()
  fs.writeFileSync(files.key, files.server().key)
  const start = startBroker({ listen: null, listeners: [files.listener()] })
  await expect(start).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})

// --- WebSocket -----------------------------------------------------------------------------------

test.each(['ws', 'wss'] as const)(
  'mqtt.js publishes and subscribes over %s at QoS 0, 1 and 2',
  async scheme => {
    const files = new TlsFiles()
    const listener = scheme === 'ws' ? WEBSOCKET : files.listener({}, WEBSOCKET.websocket)
    const { broker, log } = await startBroker({ listen: null, listeners: [listener] })
    expect(broker.status.listeners[0].protocol).toBe(scheme)
    const client = await mqtt.connectAsync(`${scheme}://127.0.0.1:${broker.port}/mqtt`, {
      ca: files.authority.cert,
      reconnectPeriod: 0
    })
    onTestFinished(() => client.endAsync(true))
    const received: string[] = []
    client.on('message', (topic, payload) => received.push(`${topic} ${payload}`))
    await client.subscribeAsync('t/#', { qos: 2 })
    for (const qos of [0, 1, 2] as const) await client.publishAsync(`t/${qos}`, `${qos}`, { qos })
    const large = 'x'.repeat(300_000)
    await client.publishAsync('t/large', large, { qos: 1 })
    await expect.poll(() => received.length).toBe(4)
    expect(received).toEqual(['t/0 0', 't/1 1', 't/2 2', `t/large ${large}`])
    expect(log.topics()).toEqual(['t/0', 't/1', 't/2', 't/large'])
  }
)

const HANDSHAKE = [
  ...['host: broker', 'upgrade: websocket', 'connection: upgrade', 'sec-websocket-version: 13'],
  'sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg=='
]

test.each([
  ['GET /mqtt', ['sec-websocket-protocol: mqtt'], 101, undefined],
  ['GET /mqtt?x=1', ['sec-websocket-protocol: soap, mqtt'], 101, undefined],
  ['GET /mqtt', ['sec-websocket-protocol: mqtt', 'origin: https://hmi.example'], 101, undefined],
  ['GET /mqtt', ['sec-websocket-protocol: mqtt', 'origin: https://evil.example'], 403, 'origin'],
  ['GET /mqtt', ['sec-websocket-protocol: mqtt', 'origin: null'], 403, 'origin'],
  ['GET /mqtt', ['sec-websocket-protocol: soap'], 400, 'websocket'],
  ['GET /mqtt', [], 400, 'websocket'],
  ['GET /', ['sec-websocket-protocol: mqtt'], 404, 'websocket']
] as const)('%s with %j is answered with %i', async (request, headers, status, reason) => {
  const websocket = { path: '/mqtt', origins: ['https://hmi.example'] }
  const { broker, open } = await startBroker({
    listen: null,
    listeners: [{ ...WEBSOCKET, websocket }]
  })
  const client = await open()
  const answered = once(client.socket, 'data')
  client.send(Buffer.from([`${request} HTTP/1.1`, ...HANDSHAKE, ...headers, '', ''].join('\r\n')))
  const [answer] = await answered
  expect(String(answer)).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  expect(broker.status.refused).toEqual(reason ? { [reason]: 1 } : {})
  if (status === 101) expect(String(answer)).toMatch(/sec-websocket-protocol: mqtt\r/i)
  else await client.untilClosed()
})

test('an HTTP request that is no upgrade is told so, and a frame of text ends the connection unread', async () => {
  const { broker, log, open } = await startBroker({ listen: null, listeners: [WEBSOCKET] })
  const browser = await open()
  const answered = once(browser.socket, 'data')
  browser.send(Buffer.from('GET /mqtt HTTP/1.1\r\nhost: x\r\n\r\n'))
  expect(String(await answered)).toMatch(/^HTTP\/1.1 426 /)
  await browser.untilClosed()
  const client = await open()
  const upgraded = once(client.socket, 'data')
  const lines = ['GET /mqtt HTTP/1.1', ...HANDSHAKE, 'sec-websocket-protocol: mqtt', '', '']
  client.send(Buffer.from(lines.join('\r\n')))
  await upgraded
  client.send(frameOf(BINARY, connectBytes()))
  await expect.poll(() => broker.status.clients).toBe(1)
  client.send(frameOf(TEXT, publishBytes({ topic: 't', qos: 1, id: 1 })))
  await client.untilClosed()
  await expect.poll(() => broker.status.clients).toBe(0)
  expect(log.topics()).toEqual([])
})

const TEXT = 1
const BINARY = 2

/** FIN and an opcode, masked by zeros: RFC 6455 §5.2. */
function frameOf(opcode: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | bytes.length, 0, 0, 0, 0]), bytes])
}

test('an upgrade that does not come is awaited no longer than is said', async () => {
  const { broker, open } = await startBroker({
    listen: null,
    listeners: [WEBSOCKET],
    connectTimeoutMs: 300
  })
  const client = await open()
  client.send(Buffer.from('GET /mqtt HTTP/1.1\r\nhost: x\r\n'))
  await client.untilClosed()
  expect(broker.status.refused.connect_timeout).toBe(1)
})

// --- Several listeners ---------------------------------------------------------------------------

test('all listeners serve one broker, and all close with it', async () => {
  const files = new TlsFiles()
  const { broker, connect } = await startBroker({ listeners: [files.listener(), WEBSOCKET] })
  const ports = broker.status.listeners.map(portOf)
  expect(broker.status.listeners.map(({ protocol }) => protocol)).toEqual(['mqtt', 'mqtts', 'ws'])
  const screen = await connect({ clientId: 'screen' })
  await screen.subscribe('t/#')
  const client = await mqtt.connectAsync(`ws://127.0.0.1:${ports[2]}/mqtt`, { reconnectPeriod: 0 })
  await client.publishAsync('t/x', 'over the web', { qos: 1 })
  await screen.until(() => screen.messages().length > 0)
  expect(screen.messages()[0].payload).toBe('over the web')
  const halfOpen = await openTls(ports[1], files)
  await broker.close()
  await halfOpen.untilClosed()
  await screen.untilClosed()
  for (const port of ports) {
    const late = net.connect(port, '127.0.0.1')
    await expect(once(late, 'connect')).rejects.toThrow('ECONNREFUSED')
  }
  client.end(true)
})

test('a WebSocket that has gone keeps its place as long as what it has sent lies in memory', async () => {
  const { broker, connect, log, intake } = await startBroker({
    listeners: [WEBSOCKET],
    connectionsMax: 2,
    inflightBytesMax: 20_000
  })
  const messages = (count: number) =>
    Array.from({ length: count }, (_, n) => ({
      ...{ topic: 't', payload: Buffer.alloc(1000), qos: 1 as const },
      id: n + 1
    }))
  log.held = true
  const flood = await connect({ clientId: 'flood' })
  flood.publish(...messages(60))
  await expect.poll(() => intake.budget.contended).toBe(true)
  const port = portOf(broker.status.listeners[1])
  const openWebSocket = async () => {
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt')
    webSocket.on('error', () => {})
    onTestFinished(() => webSocket.terminate())
    await new Promise(resolve => {
      webSocket.once('open', resolve)
      webSocket.once('close', resolve)
    })
    return webSocket
  }
  const device = await openWebSocket()
  device.send(connectBytes({ clientId: 'device' }))
  await once(device, 'message')
  device.send(Buffer.concat(messages(10).map(publishBytes)))
  device.close()
  await once(device, 'close')
  expect((await openWebSocket()).readyState).toBe(WebSocket.CLOSED)
  expect(broker.status.refused).toEqual({ connections: 1 })
  log.held = false
  log.sync()
  await expect.poll(() => log.appended.length, { timeout: 10_000 }).toBe(70)
  await expect.poll(() => broker.status.clients, { timeout: 10_000 }).toBe(1)
  expect((await openWebSocket()).readyState).toBe(WebSocket.OPEN)
  expect(intake.budget.used).toBe(0)
})
