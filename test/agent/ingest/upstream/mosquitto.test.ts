import path from 'node:path'
import mqtt from 'mqtt'
import { expect, onTestFinished, test } from 'vitest'
import { ClockSync } from '../../../../agent/clock-sync.ts'
import { Intake } from '../../../../agent/ingest/intake.ts'
import {
  UpstreamClient,
  type UpstreamConditions,
  type UpstreamOptions
} from '../../../../agent/ingest/upstream/upstream-client.ts'
import type { StoredMessage } from '../../../../core/contract/stored-message.ts'
import { DurableLog } from '../../../../core/log/log.ts'
import { systemClock } from '../../../../core/runtime/clock.ts'
import { createLogger } from '../../../../core/runtime/log.ts'
import { Prng } from '../../../../core/runtime/prng.ts'
import { type LinkProxy, startLinkProxy } from '../../../kit/link-proxy.ts'
import { temporaryDirectory } from '../../../kit/temp-directory.ts'
import {
  AckLedger,
  expectAll,
  expectHonest,
  Mosquitto,
  messagesIn,
  mosquittoMissing,
  Publisher,
  TOPICS
} from '../mosquitto.ts'
import { until } from './upstream-kit.ts'

/*
 * The upstream client against a real Mosquitto that dies, hangs and is cut off. A relay keeps the book
 * of what was acknowledged; afterwards the log's files are read: they hold all of it, in order.
 */

if (mosquittoMissing) process.stdout.write(`upstream-mosquitto: left out, ${mosquittoMissing}\n`)

const VERSIONS = ['3.1.1', '5'] as const

interface Scene {
  mosquitto: Mosquitto
  ledger: AckLedger
  link: LinkProxy
  client: UpstreamClient
  lines: string[]
  publisher: Publisher
  /** What the log holds, once the client has stopped and the log is closed. */
  close(): Promise<StoredMessage[]>
}

async function scene(
  mqttVersion: '3.1.1' | '5',
  options: Partial<UpstreamOptions> = {},
  conditions: Partial<UpstreamConditions> = {}
): Promise<Scene> {
  const directory = temporaryDirectory()
  const mosquitto = await Mosquitto.start(directory)
  const ledger = await AckLedger.start(mosquitto.port, mqttVersion === '5' ? 5 : 4)
  const link = await startLinkProxy({ port: ledger.port })
  onTestFinished(() => link.close())
  const logOf = () =>
    DurableLog.open({
      directory: path.join(directory, 'log'),
      logger: createLogger('silent'),
      ...{ bytesMax: 64 << 20, overflow: 'block' as const, sync: 'group' as const }
    })
  const log = await logOf()
  const clockSync = new ClockSync({ clock: systemClock, bootId: 1n, floorAt: 0, onMark: () => {} })
  const lines: string[] = []
  const client = new UpstreamClient(
    {
      ...{ name: 'plant', url: `mqtt://${link.address}`, mqttVersion, clientId: 'gateway-7' },
      ...{ topics: ['t/#'], qos: 1, window: 50, keepAliveS: 1, sessionExpiryS: 3600 },
      ...{ silentAfterMs: null, retained: 'mark' },
      ...options
    },
    new Intake(log, clockSync, 16 << 20, systemClock),
    createLogger('debug', line => lines.push(line)),
    {
      ...{ backOffMsMin: 20, backOffMsMax: 200, takeoverBackOffMsMax: 500, prng: new Prng(1) },
      ...conditions
    }
  )
  let closed = false
  const close = async () => {
    if (closed) return
    closed = true
    await client.stop()
    await log.close()
  }
  onTestFinished(close)
  client.start()
  await until(() => client.status.state === 'connected')
  const publisher = new Publisher(mosquitto.port)
  return {
    ...{ mosquitto, ledger, link, client, lines, publisher },
    close: async () => {
      await close()
      const again = await logOf()
      onTestFinished(() => again.close())
      return await messagesIn(again)
    }
  }
}

const isBack = ({ client }: Scene, connects: number) =>
  until(() => client.status.state === 'connected' && client.status.connects >= connects)

/** The last one is through: whatever came before it was delivered, too. */
const isThrough = ({ ledger, publisher }: Scene) =>
  until(() => ledger.acknowledged.includes(publisher.accepted.at(-1) ?? ''))

const real = test.skipIf(mosquittoMissing !== '')

real.each(VERSIONS)(
  'over a restart of Mosquitto nothing that it accepted is lost, MQTT %s',
  async version => {
    const stage = await scene(version)
    await stage.publisher.send(200)
    await stage.mosquitto.end('SIGTERM')
    await until(() => stage.client.status.state !== 'connected')
    await stage.mosquitto.run()
    await stage.publisher.send(200)
    await isThrough(stage)
    expect(stage.client.status.connects).toBe(2)
    expectAll(expectHonest(await stage.close(), stage.ledger), stage.publisher.accepted)
  }
)

real.each(VERSIONS)(
  'Mosquitto is killed while it delivers: what we acknowledged is kept, and it goes on by itself, MQTT %s',
  async version => {
    const stage = await scene(version)
    const sending = stage.publisher.send(400)
    await until(() => stage.ledger.acknowledged.length > 100)
    await stage.mosquitto.end('SIGKILL')
    await stage.mosquitto.run()
    await sending
    await isBack(stage, 2)
    await stage.publisher.send(50)
    await isThrough(stage)
    const stored = expectHonest(await stage.close(), stage.ledger)
    expect(stored.has(stage.publisher.accepted.at(-1) ?? '')).toBe(true)
  }
)

real.each(VERSIONS)(
  'Mosquitto that hangs is given up within 1.5 times the keep-alive, and delivers when it wakes, MQTT %s',
  async version => {
    const stage = await scene(version)
    await stage.publisher.send(100)
    stage.mosquitto.signal('SIGSTOP')
    const from = performance.now()
    await until(() => stage.client.status.state !== 'connected')
    // The keep-alive is 1 s; it may have pinged just before.
    expect(performance.now() - from).toBeLessThan(2500)
    expect(stage.client.status).toMatchObject({ fault: 'keep_alive' })
    // Longer than the broker's own patience with us, too.
    await until(() => performance.now() - from > 3000)
    stage.mosquitto.signal('SIGCONT')
    await isBack(stage, 2)
    await stage.publisher.send(100)
    await isThrough(stage)
    expectAll(expectHonest(await stage.close(), stage.ledger), stage.publisher.accepted)
  }
)

real.each(VERSIONS)(
  'a network that swallows packets, then forgets its connections, costs nothing, MQTT %s',
  async version => {
    const stage = await scene(version)
    await stage.publisher.send(50)
    await stage.link.set({ kind: 'black_hole', forget: true })
    await stage.publisher.send(200)
    await until(() => stage.client.status.state !== 'connected')
    await stage.link.set({ kind: 'open' })
    await isBack(stage, 2)
    await isThrough(stage)
    await stage.link.set({ kind: 'reset' })
    await stage.publisher.send(50)
    await until(() => stage.client.status.state !== 'connected')
    await stage.link.set({ kind: 'open' })
    await stage.publisher.send(50)
    await isThrough(stage)
    expectAll(expectHonest(await stage.close(), stage.ledger), stage.publisher.accepted)
  }
)

real.each(VERSIONS)(
  'a session that another client takes over again and again is told, and lost to neither, MQTT %s',
  async version => {
    const stage = await scene(version, {}, { backOffMsMax: 10_000 })
    await stage.publisher.send(50)
    await isThrough(stage)
    const theirs: string[] = []
    for (let n = 1; n <= 3; n++) {
      expect(stage.client.status.trouble).toBeUndefined()
      const thief = await mqtt.connectAsync(`mqtt://127.0.0.1:${stage.mosquitto.port}`, {
        ...{ clientId: 'gateway-7', clean: false, reconnectPeriod: 0 },
        protocolVersion: version === '5' ? 5 : 4,
        ...(version === '5' && { properties: { sessionExpiryInterval: 3600 } })
      })
      onTestFinished(() => void thief.end(true))
      thief.on('message', (_, payload) => theirs.push(String(payload)))
      await stage.publisher.send(50)
      // Ours takes it back: Mosquitto lets the last one have it.
      await isBack(stage, n + 1)
    }
    expect(stage.client.status).toMatchObject({ trouble: 'taken_over' })
    expect(stage.lines.join('')).toContain("another client connects as 'gateway-7'")
    await stage.publisher.send(50)
    await isThrough(stage)
    const stored = expectHonest(await stage.close(), stage.ledger)
    for (const payload of theirs) stored.add(payload)
    expectAll(stored, stage.publisher.accepted)
  }
)

real.each(VERSIONS)(
  'QoS 2 from Mosquitto survives a cut link without loss, MQTT %s',
  async version => {
    const stage = await scene(version, { qos: 2 })
    const sender = await mqtt.connectAsync(`mqtt://127.0.0.1:${stage.mosquitto.port}`)
    onTestFinished(() => void sender.end(true))
    const send = async (first: number) => {
      for (let n = first; n < first + 100; n++) {
        await sender.publishAsync(`t/${n % TOPICS}`, String(n), { qos: 2 })
      }
    }
    const sending = send(0)
    await until(() => stage.ledger.acknowledged.length > 20)
    await stage.link.set({ kind: 'reset' })
    await stage.link.set({ kind: 'open' })
    await sending
    await send(100)
    await until(() => stage.ledger.acknowledged.includes('199'))
    const messages = await stage.close()
    const stored = expectHonest(messages, stage.ledger)
    expect(stored.size).toBe(200)
    // Exactly once while this agent lives and the session is kept.
    expect(messages.length).toBe(200)
  }
)
