import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type AlertEvent, decodeAlertFrame } from '../../../core/contract/alert-event.ts'
import { DurableLog } from '../../../core/log/log.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { TestAgent } from '../../kit/agent-process.ts'
import { TestAuthority } from '../../kit/certificates.ts'
import { RawMqtt } from '../../kit/raw-mqtt.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { receiver, until } from './sink-kit.ts'

const NO_KAFKA = '127.0.0.1:1'
const SECRET = 'tok-77aa01b2c3d4'
const PATH_SECRET = 'T0-path-secret'
const DEVICES = ['a', 'b', 'c', 'd', 'e']

function configOf(url: string, token: string): string {
  return `
agent: { id: gateway-7 }
detector: { scorer: zscore, warm_up_readings: 20, silent: { enabled: false } }
alerts:
  webhooks:
    - name: ops
      url: ${url}?key=${PATH_SECRET}
      format: cloudevents
      headers: [{ name: authorization, value: "@file:${token}" }]
logging: { level: debug }
`
}

/** Each device learns, then one reading stands out, then all but the first go on as before. */
async function tellReadings(port: number, site: string): Promise<void> {
  const client = await RawMqtt.connect(port, { clientId: `fleet-${site}` })
  let id = 0
  const tell = async (device: string, value: number) => {
    client.publish({
      topic: `telemetry/${site}/${device}/m`,
      payload: `${value}`,
      qos: 1,
      id: ++id
    })
    await client.until(() => client.acks().includes(`puback ${id}`))
  }
  for (const device of DEVICES) {
    for (let n = 0; n < 60; n++) await tell(device, 20 + (n % 5) / 10)
    await tell(device, 500)
    if (device === DEVICES[0]) continue
    for (let n = 0; n < 40; n++) await tell(device, 20 + (n % 5) / 10)
  }
  client.destroy()
}

/** Kafka is away, so the log still has everything. */
async function eventsOnDisk(directory: string): Promise<AlertEvent[]> {
  const log = await DurableLog.open({
    directory: path.join(directory, 'data/alerts'),
    logger: silentLogger,
    ...{ bytesMax: 16 << 20, overflow: 'drop_oldest' as const, sync: 'never' as const }
  })
  const [reader, events] = [await log.reader('check'), [] as AlertEvent[]]
  while (reader.position.offset < log.status.end) {
    const batch = await reader.read({ bytesMax: 1 << 20 })
    for (const { payload } of batch?.records ?? []) {
      events.push(...(decodeAlertFrame(payload)?.events ?? []))
    }
  }
  await log.close()
  return events
}

// biome-ignore lint/suspicious/noExplicitAny: a page for people
const webhook = (status: any) => status.alertSinks.find(({ name }: any) => name === 'webhook.ops')

test('over an outage of the webhook and two kills of the agent every alert arrives, in order', async () => {
  const token = path.join(temporaryDirectory(), 'token')
  writeFileSync(token, `Bearer ${SECRET}\n`)
  const authority = new TestAuthority()
  const hook = await receiver(authority.issue({ name: 'hook', hosts: ['127.0.0.1'] }))
  await hook.close()
  const trusted = path.join(path.dirname(token), 'ca.pem')
  writeFileSync(trusted, authority.cert)
  const agent = new TestAgent(configOf(hook.url, token), { NODE_EXTRA_CA_CERTS: trusted })
  onTestFinished(() => agent.remove())

  await agent.start(NO_KAFKA)
  await tellReadings(agent.mqttPort, 'p1')
  await agent.until(status => webhook(status).backlogRecords >= 9)
  expect(webhook(await agent.status())).toMatchObject({ state: 'waiting', delivered: 0 })
  await agent.kill()

  // The second kill comes while a post is under way.
  hook.reply = () => ({ status: 200, mute: hook.requests.length > 4 })
  await hook.listen()
  await agent.start(NO_KAFKA)
  await until(() => hook.requests.length > 4)
  await agent.kill()
  hook.reply = () => ({ status: 200 })
  await agent.start(NO_KAFKA)
  await tellReadings(agent.mqttPort, 'p2')
  await agent.until(
    status => status.lanes.alerts.log.end >= 18 && webhook(status).backlogRecords === 0
  )

  const client = await RawMqtt.connect(agent.mqttPort, { clientId: 'operator' })
  await client.subscribe('alerts/#')
  await client.roundTrip()
  const { alertSinks, detector } = await agent.status()
  const pages = `${JSON.stringify(alertSinks)}${await (await agent.page('/metrics')).text()}`
  expect(await agent.stop()).toBe(0)

  const stored = (await eventsOnDisk(agent.directory)).map(({ id }) => id)
  const told = hook.bodies.map(({ id }) => id)
  expect(stored.length).toBeGreaterThan(16)
  // What a crash repeats keeps its id.
  expect(told.length).toBeGreaterThan(stored.length)
  expect([...new Set(told)]).toEqual(stored)
  const open = detector.openAlerts.map(({ id }: AlertEvent) => id).sort()
  expect(open.length).toBeGreaterThan(1)
  expect(
    client
      .messages()
      .map(({ payload }) => JSON.parse(payload).id)
      .sort()
  ).toEqual(open)

  expect(hook.requests[0].headers.authorization).toBe(`Bearer ${SECRET}`)
  expect(pages).toContain('fieldline_alert_sink_delivered_total{sink="webhook.ops"}')
  for (const text of [agent.log(), pages]) {
    expect(text).not.toContain(SECRET)
    expect(text).not.toContain(PATH_SECRET)
  }
})

test('without a detector open alerts of an earlier life are withdrawn: nobody would clear them', async () => {
  const hook = await receiver()
  const token = path.join(temporaryDirectory(), 'token')
  writeFileSync(token, 'x'.repeat(8))
  const agent = new TestAgent(configOf(hook.url, token))
  onTestFinished(() => agent.remove())
  await agent.start(NO_KAFKA)
  await tellReadings(agent.mqttPort, 'p1')
  await agent.until(({ alertSinks }) => alertSinks[0].delivered >= 9)
  expect((await agent.status()).alertSinks[0].openAlerts).toBeGreaterThan(0)
  await agent.stop()
  await agent.start(NO_KAFKA, '--detector', 'off')
  await agent.until(({ alertSinks }) => alertSinks[0].openAlerts === 0)
  const client = await RawMqtt.connect(agent.mqttPort, { clientId: 'operator' })
  await client.subscribe('alerts/#')
  await client.roundTrip()
  expect(client.messages()).toEqual([])
  await agent.stop()
})
