import { once } from 'node:events'
import fs from 'node:fs'
import type net from 'node:net'
import path from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { createWebSocketStream, WebSocket } from 'ws'
import { aclSchema } from '../../../../agent/ingest/broker/acl-config.ts'
import { hashPassword } from '../../../../agent/ingest/broker/password-hash.ts'
import { type ConnectFields, connectBytes, packetBytes, RawMqtt } from '../../../kit/raw-mqtt.ts'
import { temporaryDirectory } from '../../../kit/temp-directory.ts'
import { startBroker } from './broker-kit.ts'
import { openTls, portOf, TlsFiles, WEBSOCKET } from './listener-kit.ts'

const LISTENERS = ['tcp', 'tls', 'mtls', 'ws', 'wss'] as const
const IDENTITIES = ['nobody', 'inline user', 'file user', 'wrong password', 'unknown'] as const
type Door = (typeof LISTENERS)[number]
type Identity = (typeof IDENTITIES)[number]

const LOGINS: Record<Identity, ConnectFields> = {
  nobody: {},
  'inline user': { username: 'pump-1', password: 'inline' },
  'file user': { username: 'pump-2', password: 'from file' },
  'wrong password': { username: 'pump-2', password: 'inline' },
  unknown: { username: 'pump-3', password: 'inline' }
}

const ACL = aclSchema.parse([
  { user: 'pump-*', publish: ['telemetry/p/{user}/#'], subscribe: ['commands/{user}'] },
  { anonymous: true, publish: ['telemetry/p/open'], subscribe: ['alerts/#'] }
])

let digest = ''
let costly = ''
beforeAll(async () => {
  digest = await hashPassword('from file', { ln: 10, r: 8, p: 1 })
  costly = await hashPassword('from file', { ln: 14, r: 8, p: 5 })
})

async function startHouse(anonymous: 'loopback' | 'never') {
  const files = new TlsFiles()
  const usersFile = path.join(temporaryDirectory(), 'users')
  fs.writeFileSync(usersFile, `pump-2:${digest}\n`)
  const identity = {
    ca: files.ca,
    clientCertificate: 'required',
    identity: 'certificate_cn'
  } as const
  const kit = await startBroker({
    ...{ anonymous, usersFile, acl: ACL },
    users: [{ username: 'pump-1', password: 'inline' }],
    listeners: [
      files.listener(),
      files.listener(identity),
      WEBSOCKET,
      files.listener({}, WEBSOCKET.websocket)
    ]
  })
  const ports = kit.broker.status.listeners.map(portOf)
  const open = async (door: Door): Promise<RawMqtt> => {
    const port = ports[LISTENERS.indexOf(door)]
    if (door === 'tcp') return kit.open()
    if (door === 'tls') return openTls(port, files)
    if (door === 'mtls') {
      const { cert, key } = files.clients.issue({ name: 'pump-9' })
      return openTls(port, files, { cert, key })
    }
    const webSocket = new WebSocket(`${door}://127.0.0.1:${port}/mqtt`, 'mqtt', {
      ca: files.authority.cert
    })
    onTestFinished(() => webSocket.terminate())
    await once(webSocket, 'open')
    const stream = createWebSocketStream(webSocket)
    // Of a socket that is gone without a closing frame the stream tells no end.
    webSocket.once('close', () => stream.destroy())
    return new RawMqtt(stream as unknown as net.Socket)
  }
  return { ...kit, open }
}

/** @returns What is told: the code of the CONNACK, a SUBACK's byte, `stored` or `closed`. */
async function tryPublish(device: RawMqtt, topic: string): Promise<string> {
  device.publish({ topic, qos: 1, id: 7 })
  await device.until(() => device.acks().length > 0).catch(() => {})
  return device.closed ? 'closed' : 'stored'
}

async function trySubscribe(device: RawMqtt, filter: string): Promise<number> {
  const bytes = Buffer.from(filter)
  device.send(packetBytes(0x82, Buffer.from([0, 9, 0, bytes.length]), bytes, Buffer.of(0)))
  await device.until(() => device.names().includes('suback'))
  const [{ body }] = device.packets.splice(device.names().indexOf('suback'), 1)
  return body[2]
}

/** Who somebody is taken for, by door and login; a number is the CONNACK's refusal. */
function expectedUser(
  anonymous: 'loopback' | 'never',
  door: Door,
  identity: Identity
): string | number {
  if (door === 'mtls') return 'pump-9'
  if (identity === 'nobody') return anonymous === 'never' ? 5 : 'nobody'
  return { 'inline user': 'pump-1', 'file user': 'pump-2' }[identity as string] ?? 5
}

const ROWS = LISTENERS.flatMap(door =>
  IDENTITIES.flatMap(identity =>
    (['loopback', 'never'] as const).map(anonymous => [door, identity, anonymous] as const)
  )
)

test.each(ROWS)(
  'over %s, as %s (anonymous: %s), just what is allowed is done',
  async (door, identity, anonymous) => {
    const { broker, log, open } = await startHouse(anonymous)
    const user = expectedUser(anonymous, door, identity)
    const connect = async (clientId: string) => {
      const device = await open(door)
      device.send(connectBytes({ clientId, ...LOGINS[identity] }))
      await device.until(() => device.packets.length > 0)
      const [connack] = device.packets.splice(0, 1)
      return { device, code: connack.body[1] }
    }
    const { device, code } = await connect('c')
    expect(code).toBe(typeof user === 'number' ? user : 0)
    if (typeof user === 'number') {
      await device.untilClosed()
      expect(broker.status.refused).toEqual({ credentials: 1 })
      return
    }
    const isNobody = user === 'nobody'
    expect([
      await trySubscribe(device, `commands/${user}`),
      await trySubscribe(device, 'commands/+'),
      await trySubscribe(device, 'alerts/#'),
      await trySubscribe(device, '#'),
      await trySubscribe(device, '$SYS/#')
    ]).toEqual([isNobody ? 128 : 0, 128, isNobody ? 0 : 128, 128, 128])
    const topics = {
      own: `telemetry/p/${user}/x`,
      open: 'telemetry/p/open',
      other: 'telemetry/p/pump-5',
      wide: 'telemetry',
      alerts: 'alerts/p/x',
      fieldline: 'fieldline/x',
      system: '$SYS/x'
    }
    const outcome: Record<string, string> = {}
    for (const [name, topic] of Object.entries(topics)) {
      const { device: sender } = await connect(`c-${name}`)
      outcome[name] = await tryPublish(sender, topic)
    }
    expect(outcome).toEqual({
      ...{ own: isNobody ? 'closed' : 'stored', open: isNobody ? 'stored' : 'closed' },
      ...{
        other: 'closed',
        wide: 'closed',
        alerts: 'closed',
        fieldline: 'closed',
        system: 'closed'
      }
    })
    expect(log.topics()).toEqual([isNobody ? topics.open : topics.own])
    expect(broker.status.refused).toEqual({
      subscribe_denied: 4,
      publish_denied: 3,
      reserved_topic: 3
    })
    expect(broker.status.malformed).toBe(0)
  }
)

// --- Client ids ----------------------------------------------------------------------------------

test("another user's client id is not to be had, connected or kept; one's own is taken over", async () => {
  const { broker, open } = await startHouse('loopback')
  const connect = async (identity: Identity, clean = true) => {
    const device = await open('tcp')
    device.send(connectBytes({ clientId: 'shared', clean, ...LOGINS[identity] }))
    await device.until(() => device.packets.length > 0)
    return { device, code: device.packets[0].body[1] }
  }
  const { device: first } = await connect('inline user', false)
  expect((await connect('file user')).code).toBe(2)
  expect((await connect('nobody')).code).toBe(2)
  await first.roundTrip()
  expect((await connect('inline user', false)).code).toBe(0)
  await first.untilClosed()
  expect(broker.status.refused).toEqual({ client_id: 2 })
})

test("a session that is kept is its user's", async () => {
  const { broker, open } = await startHouse('loopback')
  const first = await open('tcp')
  first.send(connectBytes({ clientId: 'c', clean: false, ...LOGINS['inline user'] }))
  await first.until(() => first.packets.length > 0)
  first.destroy()
  await expect.poll(() => broker.status.sessions).toBe(1)
  const other = await open('tcp')
  other.send(connectBytes({ clientId: 'c', clean: false, ...LOGINS['file user'] }))
  await other.until(() => other.packets.length > 0)
  expect(other.packets[0].body[1]).toBe(2)
})

// --- Changes while it runs -----------------------------------------------------------------------

test('who is deleted from the file, or has another password, is disconnected; others stay', async () => {
  const usersFile = path.join(temporaryDirectory(), 'users')
  fs.writeFileSync(usersFile, `a:${digest}\nb:${digest}\n`)
  const { broker, connect } = await startBroker({ usersFile })
  const login = (username: string) =>
    connect({ clientId: username, username, password: 'from file' })
  const [a, b, c] = [await login('a'), await login('b'), await connect({ clientId: 'c' })]
  fs.writeFileSync(usersFile, `b:${digest}\n`)
  broker.reloadFiles()
  await a.untilClosed()
  await b.roundTrip()
  await c.roundTrip()
  expect(broker.status.refused).toEqual({ revoked: 1 })
  await expect(login('a')).rejects.toThrow('CONNACK 5')
})

test('rules and limits that change hold at once, and what needs a restart is named', async () => {
  const { broker, connect, config } = await startBroker()
  const [listener, quiet] = [await connect({ clientId: 'a' }), await connect({ clientId: 'b' })]
  await listener.subscribe('t/#')
  const acl = aclSchema.parse([{ publish: ['t/x'], subscribe: ['t/x'] }])
  const listen = { host: '127.0.0.1', port: 1 }
  const fixed = broker.reconfigure({ ...config, acl, listen, topicLevelsMax: 3, connectionsMax: 2 })
  expect(fixed).toEqual(['mqtt.listen'])
  await listener.untilClosed()
  expect(await trySubscribe(quiet, 't/y')).toBe(128)
  expect(await trySubscribe(quiet, 't/x')).toBe(0)
  expect(await tryPublish(quiet, 't/y')).toBe('closed')
  await expect.poll(() => broker.status.clients).toBe(0)
  for (const clientId of ['c', 'd']) await connect({ clientId })
  await expect(connect({ clientId: 'e' })).rejects.toThrow()
  expect(broker.status.refused).toMatchObject({ revoked: 1, connections: 1 })
  expect(broker.reconfigure({ ...config, acl })).toEqual([])
})

test('anonymous clients end when they are not let in any more', async () => {
  const { broker, connect, config } = await startBroker()
  const client = await connect()
  const users = [{ username: 'u', password: 'p' }]
  broker.reconfigure({ ...config, anonymous: 'never', users })
  await client.untilClosed()
  await connect({ username: 'u', password: 'p' })
})

test("a new users' file that cannot be used leaves all as it was", async () => {
  const { broker, connect, config } = await startBroker()
  const client = await connect()
  const change = () => broker.reconfigure({ ...config, anonymous: 'never', usersFile: '/nowhere' })
  expect(change).toThrow(/mqtt.users_file/)
  await client.roundTrip()
  await connect({ clientId: 'other' })
})

// --- A storm -------------------------------------------------------------------------------------

test('while many passwords are verified, who is connected is answered, and nobody is told to come again', async () => {
  const usersFile = path.join(temporaryDirectory(), 'users')
  fs.writeFileSync(usersFile, `u:${costly}\n`)
  const { broker, open, connect } = await startBroker({ usersFile, connectionsMax: 1000 })
  const good = await connect({ clientId: 'good' })
  const storm = await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      const device = await open()
      // Each with a password of its own, so that none is remembered.
      const password = n % 2 === 0 ? 'from file' : `guess ${n}`
      device.send(connectBytes({ clientId: `s${n}`, username: 'u', password }))
      return device
    })
  )
  let longest = 0
  for (let n = 0; n < 20; n++) {
    const from = performance.now()
    await good.roundTrip()
    longest = Math.max(longest, performance.now() - from)
  }
  // A derivation on the main thread would take hundreds of milliseconds each.
  expect(longest).toBeLessThan(200)
  // Those with the right password asked one question: the first answer is everyone's.
  const right = storm.filter((_, n) => n % 2 === 0)
  for (const device of right) await device.until(() => device.packets.length > 0)
  expect(new Set(right.map(({ packets }) => packets[0].body[1]))).toEqual(new Set([0]))
  expect(broker.status.refused.busy).toBeUndefined()
  for (const device of storm) device.destroy()
})
