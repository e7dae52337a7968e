import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { expect, test } from 'vitest'
import { TestAuthority } from '../../../kit/certificates.ts'
import { temporaryDirectory } from '../../../kit/temp-directory.ts'
import { Mosquitto, mosquittoMissing, Publisher } from '../mosquitto.ts'
import { closers, ScriptedBroker, until, upstream } from './upstream-kit.ts'

/* TLS towards upstream brokers: who is trusted, who we say we are, and files exchanged meanwhile. */

const HOST = '127.0.0.1'
const authority = new TestAuthority('plant authority')
const stranger = new TestAuthority('another authority')

/** A TLS front of a broker that does as it is told. */
async function secureBroker(options: tls.TlsOptions = {}) {
  const broker = new ScriptedBroker()
  await broker.listen()
  closers.push(() => broker.close())
  const sockets: tls.TLSSocket[] = []
  const { cert, key } = authority.issue({ name: 'broker', hosts: [HOST, 'broker.plant7'] })
  const server = tls.createServer({ cert, key, ...options }, socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    const inner = net.connect(broker.port)
    inner.on('error', () => {})
    socket.pipe(inner).pipe(socket)
  })
  await new Promise<void>(resolve => server.listen(0, HOST, resolve))
  closers.push(async () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as net.AddressInfo
  return { broker, sockets, port, url: `mqtts://${HOST}:${port}` }
}

test('a broker whose authority is trusted is connected to, with the protocols and the name asked for', async () => {
  const { sockets, port, url } = await secureBroker({ ALPNProtocols: ['x-amzn-mqtt-ca', 'h2'] })
  const { client, intake } = upstream(port, {
    url,
    tls: { ca: authority.cert, servername: 'broker.plant7', alpn: ['x-amzn-mqtt-ca'] }
  })
  client.start()
  await until(() => client.status.state === 'connected')
  expect(sockets[0].alpnProtocol).toBe('x-amzn-mqtt-ca')
  expect((sockets[0] as unknown as { servername: string }).servername).toBe('broker.plant7')
  expect(intake.arrivals).toEqual([])
})

test.each([
  ['an authority that is not ours', { ca: stranger.cert }],
  ['a name that is not in its certificate', { ca: authority.cert, servername: 'other.plant7' }],
  ["the system's authorities alone", {}]
] as const)('a broker is refused under %s, as a fault of TLS', async (_, files) => {
  const { port, url, broker } = await secureBroker()
  const { client } = upstream(port, { url, tls: files })
  client.start()
  await until(() => client.status.state === 'waiting')
  expect(client.status).toMatchObject({ fault: 'tls', connects: 0 })
  expect(broker.connections).toBe(0)
})

test('files that were exchanged are used from the next connection on, unreadable ones are told', async () => {
  const directory = temporaryDirectory()
  const [ca, cert, key] = ['ca.pem', 'cert.pem', 'key.pem'].map(name => path.join(directory, name))
  const { port, url } = await secureBroker({ ca: authority.cert, requestCert: true })
  const { client } = upstream(port, { url, tls: { ca, cert, key: { file: key } } })
  client.start()
  await until(() => client.status.state === 'waiting')
  expect(client.status).toMatchObject({
    ...{ fault: 'tls', lastError: 'upstreams.plant.tls.ca: the file cannot be read (ENOENT)' }
  })
  const write = (issuer: TestAuthority) => {
    const issued = issuer.issue({ name: 'gateway-7' })
    fs.writeFileSync(ca, authority.cert)
    fs.writeFileSync(cert, issued.cert)
    fs.writeFileSync(key, issued.key)
  }
  write(stranger)
  // In TLS 1.3 a client hears that its certificate is refused when it is connected already.
  await until(() => client.status.fault !== 'tls' || !client.status.lastError?.includes('ENOENT'))
  write(authority)
  await until(() => client.status.state === 'connected')
})

test('a key that does not belong to the certificate is told, without a word of what it holds', async () => {
  const [one, two] = [authority.issue({ name: 'a' }), authority.issue({ name: 'b' })]
  const { client } = upstream(1, {
    url: 'mqtts://127.0.0.1:1',
    tls: { cert: one.cert, key: { text: two.key } }
  })
  client.start()
  await until(() => client.status.state === 'waiting')
  expect(client.status.fault).toBe('tls')
  expect(client.status.lastError).toMatch(/^upstreams\.plant\.tls: the files cannot be used/)
  expect(client.status.lastError).not.toContain('BEGIN')
})

test('a password file is read at each connection', async () => {
  const directory = temporaryDirectory()
  const file = path.join(directory, 'password')
  const broker = new ScriptedBroker()
  await broker.listen()
  closers.push(() => broker.close())
  const { client } = upstream(broker.port, { username: 'u', password: { file } })
  client.start()
  await until(() => client.status.state === 'waiting')
  expect(client.status).toMatchObject({ fault: 'auth' })
  expect(client.status.lastError).toMatch(/^upstreams\.plant\.password: .*cannot be read/)
  fs.writeFileSync(file, 'secret\n')
  await until(() => client.status.state === 'connected')
})

test.skipIf(mosquittoMissing !== '').each([
  ['3.1.1', 'mqtts'],
  ['5', 'mqtts'],
  ['5', 'wss'],
  ['3.1.1', 'ws']
] as const)(
  'Mosquitto that wants a client certificate is served in MQTT %s over %s',
  async (mqttVersion, scheme) => {
    const directory = temporaryDirectory()
    const issued = authority.issue({ name: 'broker', hosts: [HOST] })
    const ours = authority.issue({ name: 'gateway-7' })
    for (const [name, text] of [
      ...[
        ['ca.pem', authority.cert],
        ['cert.pem', issued.cert],
        ['key.pem', issued.key]
      ]
    ]) {
      fs.writeFileSync(path.join(directory, name), text)
    }
    const { port: secured } = await freeAddress()
    const overTls = scheme !== 'ws'
    const mosquitto = await Mosquitto.start(
      directory,
      [
        `listener ${secured} ${HOST}`,
        ...(scheme.startsWith('ws') ? ['protocol websockets'] : []),
        ...(overTls
          ? [
              ...[`cafile ${directory}/ca.pem`, `certfile ${directory}/cert.pem`],
              ...[`keyfile ${directory}/key.pem`, 'require_certificate true']
            ]
          : [])
      ].join('\n')
    )
    const certificate = { cert: ours.cert, key: { text: ours.key } }
    const { client, intake } = upstream(secured, {
      ...{ url: `${scheme}://${HOST}:${secured}/mqtt`.replace(/^(mqtts.*)\/mqtt$/, '$1') },
      ...{ mqttVersion, topics: ['t/#'] },
      ...(overTls && { tls: { ca: authority.cert, ...certificate, alpn: ['mqtt', 'http/1.1'] } })
    })
    intake.storesAtOnce = true
    client.start()
    await until(() => client.status.state === 'connected')
    const publisher = new Publisher(mosquitto.port)
    await publisher.send(5)
    await intake.arrival(5)
    await until(() => client.status.acknowledged === 5)
  }
)

async function freeAddress(): Promise<{ port: number }> {
  const server = net.createServer()
  await new Promise<void>(resolve => server.listen(0, HOST, resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise(resolve => server.close(resolve))
  return { port }
}
