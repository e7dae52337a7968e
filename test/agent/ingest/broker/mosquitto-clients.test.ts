import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import mqtt from 'mqtt'
import { expect, onTestFinished, test } from 'vitest'
import { aclSchema } from '../../../../agent/ingest/broker/acl-config.ts'
import { RawMqtt } from '../../../kit/raw-mqtt.ts'
import { startBroker } from './broker-kit.ts'
import { portOf, TlsFiles } from './listener-kit.ts'

/*
 * Mosquitto's command-line clients against the embedded broker: somebody else's idea of MQTT.
 */

const missing = ['mosquitto_pub', 'mosquitto_sub'].filter(
  program => spawnSync(program, ['--help']).error !== undefined
)
if (missing.length > 0 && process.env.CI) throw new Error(`CI needs ${missing.join(', ')}`)
if (missing.length > 0) {
  process.stderr.write(`mosquitto-clients: skipped, there is no ${missing.join(', ')}\n`)
}
const withClients = test.skipIf(missing.length > 0)

const SECONDS_MAX = '20'

/** A client that runs; killed with the test. */
function run(program: string, args: string[]) {
  const child = spawn(program, args)
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', text => {
    output += text
  })
  child.stderr.on('data', text => {
    output += text
  })
  return { child, exited: once(child, 'exit') as Promise<[number]>, output: () => output }
}

async function startDoors() {
  const files = new TlsFiles()
  const users = [{ username: 'pump-1', password: 'secret' }]
  const acl = aclSchema.parse([
    { user: 'pump-1', publish: ['t/{user}/#'], subscribe: ['t/{user}/#'] },
    { user: 'pump-9', publish: ['t/#'], subscribe: ['t/#'] }
  ])
  const mutual = {
    ca: files.ca,
    clientCertificate: 'required',
    identity: 'certificate_cn'
  } as const
  const listeners = [files.listener(), files.listener(mutual)]
  const kit = await startBroker({ anonymous: 'never', users, acl, listeners })
  const [tcp, tls, mtls] = kit.broker.status.listeners.map(portOf)
  const ca = path.join(files.directory, 'server-ca.crt')
  fs.writeFileSync(ca, files.authority.cert)
  const own = files.clients.issue({ name: 'pump-9' })
  const [cert, key] = ['client.crt', 'client.key'].map(name => path.join(files.directory, name))
  fs.writeFileSync(cert, own.cert)
  fs.writeFileSync(key, own.key)
  const login = ['-u', 'pump-1', '-P', 'secret']
  const doors: Record<string, string[]> = {
    tcp: ['-h', '127.0.0.1', '-p', `${tcp}`, ...login],
    tls: ['-h', 'localhost', '-p', `${tls}`, '--cafile', ca, ...login],
    mtls: ['-h', 'localhost', '-p', `${mtls}`, '--cafile', ca, '--cert', cert, '--key', key]
  }
  return { ...kit, doors }
}

const MATRIX = ['tcp', 'tls', 'mtls'].flatMap(door => [0, 1, 2].map(qos => [door, qos] as const))

withClients.each(MATRIX)(
  'over %s at QoS %i mosquitto_sub gets, in order, what mosquitto_pub sends and the log keeps',
  async (door, qos) => {
    const { broker, log, doors } = await startDoors()
    const count = 50
    const sub = run('mosquitto_sub', [
      ...doors[door],
      ...['-q', `${qos}`, '-t', 't/pump-1/#', '-C', `${count}`, '-W', SECONDS_MAX, '-F', '%q %p']
    ])
    await expect.poll(() => broker.status.subscriptions, { timeout: 10_000 }).toBe(1)
    const pub = run('mosquitto_pub', [...doors[door], '-q', `${qos}`, '-t', 't/pump-1/x', '-l'])
    const sent = Array.from({ length: count }, (_, n) => `reading ${n}`)
    pub.child.stdin.end(sent.map(text => `${text}\n`).join(''))
    expect([(await pub.exited)[0], pub.output()]).toEqual([0, ''])
    expect((await sub.exited)[0]).toBe(0)
    expect(sub.output().trim().split('\n')).toEqual(sent.map(text => `${qos} ${text}`))
    expect(log.payloads()).toEqual(sent)
    expect(new Set(log.appended.map(message => message.qos))).toEqual(new Set([qos]))
    expect(broker.status).toMatchObject({ refused: {}, malformed: 0 })
  }
)

withClients(
  'mosquitto_pub is told of a wrong password, mosquitto_sub of a refused filter',
  async () => {
    const { broker, doors } = await startDoors()
    const wrong = doors.tcp.map(word => (word === 'secret' ? 'guess' : word))
    const pub = run('mosquitto_pub', [...wrong, '-t', 't/pump-1/x', '-m', '1'])
    expect((await pub.exited)[0]).not.toBe(0)
    expect(pub.output()).toContain('not authorised')
    const sub = run('mosquitto_sub', [...doors.tcp, '-t', '#', '-C', '1', '-W', SECONDS_MAX])
    await sub.exited
    expect(sub.output()).toContain('denied')
    expect(broker.status.refused).toEqual({ credentials: 1, subscribe_denied: 1 })
  }
)

withClients('the will of a mosquitto_sub that is killed is stored', async () => {
  const { broker, log, doors } = await startDoors()
  const will = ['--will-topic', 't/pump-1/will', '--will-payload', 'gone', '--will-qos', '1']
  const sub = run('mosquitto_sub', [...doors.tls, '-t', 't/pump-1/x', ...will])
  await expect.poll(() => broker.status.subscriptions, { timeout: 10_000 }).toBe(1)
  sub.child.kill('SIGKILL')
  await expect.poll(() => log.topics(), { timeout: 10_000 }).toEqual(['t/pump-1/will'])
})

withClients('a retained message waits for the next mosquitto_sub', async () => {
  const { doors } = await startDoors()
  const pub = run('mosquitto_pub', [...doors.tls, '-q', '1', '-r', '-t', 't/pump-1/s', '-m', 'on'])
  expect((await pub.exited)[0]).toBe(0)
  const wanted = ['-t', 't/pump-1/+', '-C', '1', '-W', SECONDS_MAX, '-F', '%r %p']
  const sub = run('mosquitto_sub', [...doors.tcp, ...wanted])
  await sub.exited
  expect(sub.output().trim()).toBe('1 on')
})

withClients('a PINGRESP that it did not ask for means nothing to a mosquitto_sub', async () => {
  const port = await unaskedPongs()
  const sub = run('mosquitto_sub', ['-p', `${port}`, '-t', 't', '-C', '1', '-W', SECONDS_MAX])
  expect((await sub.exited)[0]).toBe(0)
  expect(sub.output()).toBe('after them\n')
})

test('a PINGRESP that it did not ask for means nothing to a client of MQTT.js', async () => {
  const client = mqtt.connect(`mqtt://127.0.0.1:${await unaskedPongs()}`, { reconnectPeriod: 0 })
  onTestFinished(() => void client.end(true))
  const faults: unknown[] = []
  client.on('error', error => faults.push(error))
  client.on('close', () => faults.push('close'))
  client.subscribe('t')
  const payload = await new Promise(resolve => {
    client.once('message', (_topic, bytes) => resolve(bytes))
  })
  expect([String(payload), faults]).toEqual(['after them', []])
})

/** Welcomes, grants a subscription, and sends a hundred PINGRESPs before the first message. */
async function unaskedPongs(): Promise<number> {
  const server = net.createServer(socket => {
    const device = new RawMqtt(socket)
    const answer = async () => {
      await device.until(() => device.names().includes('connect'))
      device.send(Buffer.from([0x20, 2, 0, 0]), ...PONGS)
      await device.until(() => device.names().includes('subscribe'))
      const { body } = device.packets[device.names().indexOf('subscribe')]
      device.send(...PONGS, Buffer.from([0x90, 3, body[0], body[1], 0]), ...PONGS)
      device.publish({ topic: 't', payload: 'after them' })
    }
    answer().catch(() => {})
  })
  onTestFinished(() => void server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as net.AddressInfo).port
}

const PONGS = Array<Buffer>(50).fill(Buffer.from([0xd0, 0]))
