import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { check } from '../../cli/check/check.ts'
import { type FieldlineConfig, fieldlineSchema } from '../../cli/config.ts'
import { type DryRun, dryRun } from '../../cli/dry-run/dry-run.ts'
import { dryRunText } from '../../cli/dry-run/dry-run-text.ts'
import type { Probe } from '../../cli/dry-run/probe.ts'
import { freePort } from '../../cli/local-kafka.ts'
import { NO_PAINT } from '../../cli/terminal/text.ts'
import { TestAgent } from '../kit/agent-process.ts'
import { TestAuthority } from '../kit/certificates.ts'
import { createTopic, readTopic, uniqueTopic, useKafka, useOwnKafka } from '../kit/kafka.ts'
import { startKafkaNodes } from '../kit/kafka-nodes.ts'
import { startLinkProxy } from '../kit/link-proxy.ts'
import { RawMqtt } from '../kit/raw-mqtt.ts'
import { PASSWORD, type SecureKafka, startSecureKafka, USER } from '../kit/secure-kafka.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const HOST = '127.0.0.1'
const DAY_MS = 86_400_000

interface Written {
  [section: string]: unknown
}

/** Listeners off, a directory of its own, and what is given. */
function configOf(sections: Written): FieldlineConfig {
  const base = {
    agent: { data: path.join(temporaryDirectory(), 'data') },
    mqtt: { listen: 'off' },
    http: { listen: 'off' }
  }
  return fieldlineSchema.parse({ ...base, ...sections })
}

function probesOf({ probes }: DryRun, part: Probe['part']): Probe[] {
  return probes.filter(probe => probe.part === part)
}

/** An MQTT broker of one answer: what CONNECT and SUBSCRIBE get. */
async function startBroker(
  options: { connack?: number; suback?: number; tls?: tls.TlsOptions; version5?: boolean } = {}
): Promise<{ port: number; connects: Buffer[]; packets: number[] }> {
  const connects: Buffer[] = []
  const packets: number[] = []
  const answer = (socket: net.Socket) => {
    socket.on('error', () => {})
    socket.on('data', bytes => {
      packets.push(bytes[0] >> 4)
      const properties = options.version5 ? [0] : []
      if (bytes[0] >> 4 === 1) {
        connects.push(bytes)
        socket.write(
          Buffer.from([0x20, 2 + properties.length, 0, options.connack ?? 0, ...properties])
        )
      } else if (bytes[0] >> 4 === 8) {
        const codes = [0, options.suback ?? 0]
        socket.write(Buffer.from([0x90, 4 + properties.length, 0, 1, ...properties, ...codes]))
      }
    })
  }
  const server = options.tls ? tls.createServer(options.tls, answer) : net.createServer(answer)
  await new Promise<void>(resolve => server.listen(0, HOST, resolve))
  onTestFinished(() => void server.close())
  return { port: (server.address() as net.AddressInfo).port, connects, packets }
}

const upstream = (url: string, more: object = {}) => ({
  upstreams: [{ name: 'plant', url, topics: ['a/#', 'b/#'], ...more }],
  kafka: { brokers: [`${HOST}:1`] }
})

test('closed ports are told at once, and everything else all the same', async () => {
  const port = await freePort()
  const config = configOf({
    ...upstream(`mqtt://${HOST}:${port}`),
    kafka: { brokers: [`${HOST}:${port}`, 'no-such-host.invalid:9092'] },
    alerts: { webhooks: [{ name: 'ops', url: `http://${HOST}:${port}/secret-path` }] }
  })
  const report = await dryRun(config, 8_000)
  expect(report.probes.map(({ part, state }) => `${part} ${state}`)).toEqual([
    'upstream failed',
    'kafka failed',
    'kafka failed',
    'webhook failed',
    'data ok'
  ])
  const [refused, unknown] = probesOf(report, 'kafka')
  expect(refused.problems).toEqual([expect.stringMatching(/^connection refused/)])
  expect(unknown.problems[0]).toMatch(
    /no such name in DNS|cannot be resolved|name server does not answer/
  )
  const text = dryRunText(report, NO_PAINT)
  expect(text).toContain('4 of 5 would not work; nothing was changed.')
  expect(text).toContain('1 route leads to telemetry')
  // A webhook's path may be a secret.
  expect(text).not.toContain('secret-path')
})

test('what swallows every packet ends at the deadline of all together', async () => {
  const proxy = await startLinkProxy({ port: 1 }, { state: { kind: 'black_hole' } })
  onTestFinished(() => proxy.close())
  const config = configOf({
    ...upstream(`mqtt://${proxy.address}`),
    kafka: { brokers: [proxy.address], tls: true }
  })
  const startedAt = performance.now()
  const report = await dryRun(config, 1_000)
  expect(performance.now() - startedAt).toBeLessThan(4_000)
  const [kafka] = probesOf(report, 'kafka')
  expect(kafka.problems).toEqual([expect.stringContaining('no answer to the TLS handshake')])
  const [mqtt] = probesOf(report, 'upstream')
  expect(mqtt.problems).toEqual(['the broker accepts the connection and does not answer'])
})

test('an upstream is tried under another client id with a session that ends', async () => {
  const broker = await startBroker({ suback: 0x80 })
  const report = await dryRun(configOf(upstream(`mqtt://${HOST}:${broker.port}`)), 5_000)
  const [probe] = probesOf(report, 'upstream')
  expect(probe).toMatchObject({
    state: 'failed',
    facts: ['login accepted without a user', '1 of 2 subscriptions allowed'],
    problems: [expect.stringContaining("refuses the subscription 'b/#'")]
  })
  const [connect] = broker.connects
  expect(connect[9] & 0x02).toBe(0x02)
  expect(connect.toString('latin1')).toMatch(/fieldline-dry-run-[0-9a-f]{6}$/)
  // CONNECT, SUBSCRIBE, DISCONNECT, and no acknowledgement.
  await expect.poll(() => broker.packets).toEqual([1, 8, 14])
})

test('MQTT 5 and shared subscriptions are spoken, shared ones left alone', async () => {
  const broker = await startBroker({ version5: true })
  const sections = upstream(`mqtt://${HOST}:${broker.port}`, {
    mqtt_version: '5',
    topics: ['a/#', 'c/#', '$share/g/b/#']
  })
  const [probe] = probesOf(await dryRun(configOf(sections), 5_000), 'upstream')
  expect(probe.facts).toEqual([
    'login accepted without a user',
    '1 shared subscriptions not tried',
    '2 of 2 subscriptions allowed'
  ])
  expect(broker.connects[0][8]).toBe(5)
})

test('an upstream over WebSocket is tried as far as its subscriptions', async () => {
  const paths: (string | undefined)[] = []
  const server = new WebSocketServer({ host: HOST, port: 0 })
  server.on('connection', (socket, { url }) => {
    paths.push(url)
    socket.on('message', (bytes: Buffer) => {
      const answers: Record<number, number[]> = { 1: [0x20, 2, 0, 0], 8: [0x90, 4, 0, 1, 0, 0] }
      const answer = answers[bytes[0] >> 4]
      if (answer) socket.send(Buffer.from(answer))
    })
  })
  await once(server, 'listening')
  onTestFinished(() => server.close())
  const { port } = server.address() as net.AddressInfo
  const report = await dryRun(configOf(upstream(`ws://${HOST}:${port}/mqtt`)), 3_000)
  expect(probesOf(report, 'upstream')).toMatchObject([
    { state: 'ok', facts: [expect.anything(), '2 of 2 subscriptions allowed'] }
  ])
  expect(paths).toEqual(['/mqtt'])
})

test('what answers and is no WebSocket is told: another path, an end, silence', async () => {
  const told = async (answer: (socket: net.Socket) => void) => {
    const server = net.createServer(socket => {
      socket.on('error', () => {})
      socket.once('data', () => answer(socket))
    })
    server.listen(0, HOST)
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as net.AddressInfo
    const report = await dryRun(configOf(upstream(`ws://${HOST}:${port}/mqtt`)), 1_500)
    return probesOf(report, 'upstream')[0].problems
  }
  expect(await told(socket => socket.end('HTTP/1.1 404 Not Found\r\n\r\n'))).toEqual([
    'it answers 404 instead of a WebSocket: correct the path'
  ])
  expect(await told(socket => socket.destroy())).toEqual([
    expect.stringContaining('it closes the connection instead of a WebSocket')
  ])
  expect(await told(() => {})).toEqual(['it does not answer the request for a WebSocket'])
})

test('a login that an upstream refuses is told in words, without the password', async () => {
  const broker = await startBroker({ connack: 4 })
  const sections = upstream(`mqtt://${HOST}:${broker.port}`, {
    username: 'gw',
    password: 'hunter2'
  })
  const report = await dryRun(configOf(sections), 5_000)
  expect(probesOf(report, 'upstream')).toMatchObject([
    { state: 'failed', problems: ['user or password are wrong'] }
  ])
  expect(JSON.stringify(report)).not.toContain('hunter2')
})

test("certificates of a peer are judged: trusted, soon to expire, expired, for others, a stranger's", async () => {
  const authority = new TestAuthority()
  const directory = temporaryDirectory()
  const ca = path.join(directory, 'ca.pem')
  fs.writeFileSync(ca, authority.cert)
  const from = (days: number) => new Date(Date.now() + days * DAY_MS)
  const trial = async (days: number, hosts: string[], trusted = true) => {
    const by = trusted ? authority : new TestAuthority('stranger')
    const { cert, key } = by.issue({
      name: 'x',
      hosts,
      validFrom: from(-60),
      validUntil: from(days)
    })
    const { port } = await startBroker({ tls: { cert, key } })
    const sections = upstream(`mqtts://${HOST}:${port}`, { tls: { ca } })
    return probesOf(await dryRun(configOf(sections), 5_000), 'upstream')[0]
  }
  expect(await trial(90, [HOST])).toMatchObject({
    state: 'ok',
    facts: [
      expect.stringMatching(/^TLSv1\.\d, certificate until 20/),
      expect.anything(),
      expect.anything()
    ]
  })
  expect(await trial(22, [HOST])).toMatchObject({ state: 'ok' })
  expect(await trial(20, [HOST])).toMatchObject({
    state: 'warning',
    problems: [expect.stringMatching(/^its certificate expires on/)]
  })
  expect(await trial(-1, [HOST])).toMatchObject({
    state: 'failed',
    problems: [expect.stringMatching(/^its certificate has expired/)]
  })
  expect(await trial(90, ['other.example'])).toMatchObject({
    problems: [expect.stringMatching(/^its certificate is for other names/)]
  })
  expect(await trial(90, [HOST], false)).toMatchObject({
    problems: [expect.stringMatching(/^its certificate is of an authority that is not trusted/)]
  })
  const plain = await startBroker()
  const sections = upstream(`mqtts://${HOST}:${plain.port}`, { tls: { ca } })
  const [spoken] = probesOf(await dryRun(configOf(sections), 3_000), 'upstream')
  expect(spoken.problems[0]).toMatch(
    /does not speak TLS|no answer to the TLS handshake|ends the connection/
  )
})

test('listeners are opened and closed again', async () => {
  const port = await freePort()
  const taken = net.createServer()
  await new Promise<void>(resolve => taken.listen(0, HOST, resolve))
  onTestFinished(() => void taken.close())
  const config = configOf({
    mqtt: { listen: `${HOST}:${port}` },
    http: { listen: `${HOST}:${(taken.address() as net.AddressInfo).port}` },
    kafka: { brokers: [`${HOST}:1`] }
  })
  const report = await dryRun(config, 2_000)
  expect(probesOf(report, 'mqtt')).toMatchObject([{ state: 'ok' }])
  expect(probesOf(report, 'http')).toMatchObject([
    { state: 'failed', problems: [expect.stringContaining('another process listens there')] }
  ])
  const again = net.createServer()
  await new Promise<void>((resolve, reject) =>
    again.once('error', reject).listen(port, HOST, resolve)
  )
  again.close()
})

const kafka = useKafka()

test('a Kafka that is well tells its cluster, and each topic how it is kept', async () => {
  const [telemetry, compacted, small] = ['good', 'compacted', 'small'].map(uniqueTopic)
  const entries = (name: string, value: string) => ({ configEntries: [{ name, value }] })
  await createTopic(kafka.admin, telemetry, {
    numPartitions: 3,
    ...entries('retention.ms', '86400000')
  })
  await createTopic(kafka.admin, compacted, entries('cleanup.policy', 'compact'))
  await createTopic(kafka.admin, small, entries('max.message.bytes', '2048'))
  const [missing, letters] = [uniqueTopic('missing'), uniqueTopic('letters')]
  const routes = [telemetry, compacted, small, missing].map((topic, index) => ({
    name: `r${index}`,
    match: `r${index}/{site}/{device}`,
    topic
  }))
  const config = configOf({
    routes,
    kafka: { brokers: kafka.brokers },
    uplink: { dead_letter_topic: letters, alert_topic: `${letters}-alerts`, status_topic: null }
  })
  const report = await dryRun(config, 15_000)
  expect(probesOf(report, 'kafka')).toMatchObject([
    {
      state: 'ok',
      facts: [
        'no login',
        expect.stringMatching(/^cluster \S+, 1 broker$/),
        expect.stringMatching(/^Kafka \d/)
      ]
    }
  ])
  const topics = new Map(probesOf(report, 'topic').map(probe => [probe.name, probe]))
  expect(topics.get(telemetry)).toMatchObject({
    state: 'ok',
    facts: ['3 partitions, no replica', 'may write', 'kept 1d']
  })
  expect(topics.get(compacted)).toMatchObject({
    state: 'warning',
    problems: [expect.stringContaining('only the last record would be kept')]
  })
  expect(topics.get(small)).toMatchObject({
    state: 'warning',
    problems: [
      'max.message.bytes is 2KiB, mqtt.packet_bytes_max 1MiB: larger messages become dead letters'
    ]
  })
  expect(topics.get(missing)).toMatchObject({
    state: 'failed',
    problems: [expect.stringContaining('fieldline topics create')]
  })
  expect(probesOf(report, 'rights')).toMatchObject([{ name: 'idempotent producer', state: 'ok' }])
  // It was asked about, and not made.
  expect(await kafka.admin.listTopics()).not.toContain(missing)
})

test('beside a running agent nothing is fenced or taken, and what waits is told', async () => {
  const topic = await createTopic(kafka.admin, uniqueTopic('beside'))
  for (const own of ['fieldline.cursors', 'fieldline.dead-letters', 'fieldline.alerts']) {
    await createTopic(kafka.admin, own).catch(() => {})
  }
  const id = uniqueTopic('agent')
  const yaml = `agent: { id: ${id} }\nuplink: { delivery: exactly_once }\nroutes: [{ name: r, match: 't/{site}/{device}', topic: ${topic} }]\n`
  const agent = new TestAgent(yaml)
  onTestFinished(() => agent.remove())
  await agent.start(kafka.address)
  const device = await RawMqtt.connect(agent.mqttPort)
  onTestFinished(() => device.destroy())
  const publish = async (n: number) => {
    device.publish({ topic: 't/s/d', payload: String(n), qos: 1, id: n })
    await device.until(() => device.acks().includes(`puback ${n}`))
  }
  await publish(1)
  await readTopic(kafka.brokers, topic, { until: 1 })
  const config = configOf({
    agent: { id, data: `${agent.directory}/data` },
    mqtt: { listen: `${HOST}:${agent.mqttPort}` },
    routes: [{ name: 'r', match: 't/{site}/{device}', topic }],
    kafka: { brokers: kafka.brokers },
    uplink: { delivery: 'exactly_once' }
  })
  const report = await dryRun(config, 15_000)
  expect(probesOf(report, 'mqtt')).toMatchObject([
    { state: 'ok', facts: ['in use by the running agent'] }
  ])
  expect(probesOf(report, 'data')[0].facts).toEqual([
    expect.stringMatching(/^an agent runs on it \(process \d+\)/),
    expect.stringMatching(/^telemetry: delivery would (go on|begin) at offset/),
    expect.stringMatching(/^alerts: /)
  ])
  expect(probesOf(report, 'rights').map(({ state }) => state)).toEqual(['ok', 'ok'])
  const file = path.join(temporaryDirectory(), 'fieldline.yaml')
  fs.writeFileSync(
    file,
    `agent: { data: ${agent.directory}/data }\nmqtt: { listen: '${HOST}:${agent.mqttPort}' }\nhttp: { listen: 'off' }`
  )
  const findings = await check({ file })
  expect(findings.list.filter(({ severity }) => severity === 'error')).toEqual([])
  expect(findings.list.map(({ what }) => what)).toContainEqual(
    expect.stringMatching(/^telemetry: 1 record .*: sound; an agent is running on it$/)
  )
  await publish(2)
  const records = await readTopic(kafka.brokers, topic, { until: 2 })
  expect(records.map(({ value }) => String(value))).toEqual(['1', '2'])
  expect(agent.log()).not.toMatch(/FENCED|INVALID_PRODUCER_EPOCH/)
})

test('an address that brokers tell clients and nobody answers at is found', async () => {
  const closed = await freePort()
  const cluster = await startKafkaNodes({ advertise: () => `${HOST}:${closed}` })
  onTestFinished(() => cluster.remove())
  const config = configOf({
    kafka: { brokers: [cluster.nodes[0].address], create_topics: true },
    detector: { scope: 'central' },
    uplink: { delivery: 'exactly_once' }
  })
  const report = await dryRun(config, 10_000)
  expect(probesOf(report, 'kafka')).toMatchObject([
    { state: 'ok' },
    {
      name: `${HOST}:${closed} (told by the cluster)`,
      state: 'failed',
      problems: [expect.stringMatching(/^connection refused/), expect.stringMatching(/advertised/)]
    }
  ])
  const topics = probesOf(report, 'topic')
  expect(topics.map(({ name }) => name)).toContain('fieldline.detector-state')
  expect(topics.every(({ problems }) => problems[0].includes('would create it'))).toBe(true)
  // A cluster in which nobody has used a group or a transaction is left without both.
  expect(probesOf(report, 'rights').map(({ state }) => state)).toEqual(['ok', 'unknown', 'unknown'])
})

let secure: SecureKafka
useOwnKafka(async () => {
  secure = await startSecureKafka()
  return secure
})

test('with a secured Kafka: expiry of its certificate, a wrong password, and rights that are missing', async () => {
  const [open, closed] = ['open', 'closed'].map(uniqueTopic)
  for (const topic of [open, closed]) await createTopic(secure.admin, topic)
  const allow = (operation: number, resourceType: number, resourceName: string) => ({
    ...{ resourceType, resourceName, operation, resourcePatternType: 3 },
    ...{ principal: `User:${USER}`, host: '*', permissionType: 3 }
  })
  // Write and Describe on one topic; Describe alone on the other.
  await secure.admin.createAcls({
    acl: [allow(4, 2, open), allow(8, 2, open), allow(8, 2, closed)]
  })
  const sections = {
    routes: [open, closed].map((topic, index) => ({
      name: `r${index}`,
      match: `r${index}/{site}/{device}`,
      topic
    })),
    uplink: { status_topic: null }
  }
  const kafkaSection = (password: string) => ({
    brokers: secure.brokers,
    tls: { ca: secure.caFile },
    sasl: { mechanism: 'scram-sha-512', username: USER, password }
  })
  const report = await dryRun(configOf({ ...sections, kafka: kafkaSection(PASSWORD) }), 15_000)
  expect(probesOf(report, 'kafka')).toMatchObject([
    {
      state: 'warning',
      facts: [
        expect.stringMatching(/^TLSv1\.\d, certificate until/),
        'login by scram-sha-512',
        expect.stringMatching(/^cluster/),
        expect.anything()
      ],
      problems: [expect.stringMatching(/^its certificate expires on/)]
    }
  ])
  const topics = new Map(probesOf(report, 'topic').map(probe => [probe.name, probe]))
  expect(topics.get(open)).toMatchObject({
    state: 'ok',
    facts: expect.arrayContaining(['may write', expect.stringContaining('not needed to run')])
  })
  expect(topics.get(closed)).toMatchObject({
    state: 'failed',
    problems: [expect.stringContaining('lacks the right Write')]
  })
  expect(topics.get('fieldline.alerts')).toMatchObject({
    state: 'failed',
    problems: [expect.stringContaining('may not describe it')]
  })
  const wrong = await dryRun(configOf({ ...sections, kafka: kafkaSection('wrong-secret') }), 15_000)
  expect(probesOf(wrong, 'kafka')).toMatchObject([
    {
      state: 'failed',
      problems: expect.arrayContaining([expect.stringContaining('correct kafka.sasl')])
    }
  ])
  expect(JSON.stringify(wrong)).not.toContain('wrong-secret')
  expect(probesOf(wrong, 'topic')).toEqual([])
})
