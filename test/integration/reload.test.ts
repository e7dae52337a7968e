import { afterAll, expect, test } from 'vitest'
import { judgeDelivery, sequenceOf } from '../../cli/demo/judge.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { Fleet } from '../../firmware-sim/fleet.ts'
import { TestAgent } from '../kit/agent-process.ts'
import { readTopic, uniqueTopic, useKafka } from '../kit/kafka.ts'

/** SIGHUP, at an agent that is a process of its own. */

const kafka = useKafka()
const agents: TestAgent[] = []
const SITE = 'plant1'
const PATIENT = { timeout: 20_000 }

afterAll(async () => {
  for (const agent of agents) await agent.remove()
})

interface Wanted {
  topic: string
  delivery?: string
  threads?: string
  more?: string
}

function configOf({ topic, delivery, threads = 'auto', more = '' }: Wanted): string {
  return [
    `agent: { threads: ${threads} }`,
    'kafka: { create_topics: true, partitions: 2 }',
    `uplink: { delivery: ${delivery ?? 'at_least_once'} }`,
    `routes: [{ name: all, match: 'telemetry/{site}/{device}', topic: ${topic} }]`,
    more,
    ''
  ].join('\n')
}

function newAgent(config: string): TestAgent {
  const agent = new TestAgent(config)
  agents.push(agent)
  return agent
}

function newFleet(agent: TestAgent, durationMs: number): Fleet {
  return new Fleet({
    ...{ host: '127.0.0.1', port: agent.mqttPort, devices: 10, rate: 800, durationMs },
    ...{ seed: 7, site: SITE, prefix: 'd-', faults: false, backOffMsMax: 300, drainMsMax: 30_000 }
  })
}

const events = (agent: TestAgent) =>
  agent
    .log()
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as Record<string, unknown>)

const found = async (topic: string) =>
  (await readTopic(kafka.brokers, topic)).map(({ key, value, headers }) => ({
    key,
    sequence: sequenceOf(value),
    id: headers[HEADERS.id],
    dup: headers[HEADERS.dup] === '1'
  }))

test.each([
  ['at_least_once', 'auto'],
  ['at_least_once', 'off'],
  ['exactly_once', 'auto']
])(
  'under traffic readings go by the old routes, then by the new ones: none is lost, doubled or out of order (%s, threads %s)',
  async (delivery, threads) => {
    const [before, after] = [uniqueTopic('before'), uniqueTopic('after')]
    const agent = newAgent(configOf({ topic: before, delivery, threads }))
    await agent.start(kafka.address)
    const fleet = newFleet(agent, 4_000)
    await fleet.start()
    await expect.poll(() => fleet.counters().acknowledged, PATIENT).toBeGreaterThan(1000)
    const { config } = await agent.status()
    expect(config).toMatchObject({ reloadedAt: null, lastError: null, needsRestart: [] })
    agent.reload(configOf({ topic: after, delivery, threads }))
    await agent.until(({ config: { hash } }) => hash !== config.hash)
    await fleet.done
    await agent.until(({ lanes }) => lanes.telemetry.backlogRecords === 0)
    const [old, fresh] = [await found(before), await found(after)]
    expect(old.length).toBeGreaterThan(500)
    expect(fresh.length).toBeGreaterThan(500)
    const ledger = Object.fromEntries(
      Object.entries(fleet.ledger()).map(([device, sequence]) => [`${SITE}/${device}`, sequence])
    )
    const verdict = judgeDelivery(ledger, [...old, ...fresh])
    expect(verdict).toMatchObject({ lost: 0, reordered: 0, duplicates: 0, unreadable: 0 })
    expect(events(agent)).toContainEqual(
      expect.objectContaining({ event: 'config.reloaded', changed: ['routes'], needsRestart: [] })
    )
    // The detector went on with what it had learned, by the new routes.
    await agent.until(status => status.detector?.readings !== undefined)
    expect(await agent.stop()).toBe(0)
  }
)

test('a lane that is parked because of its routes goes on by the new ones', async () => {
  const [missing, there] = [uniqueTopic('missing'), uniqueTopic('there')]
  const config = (topic: string) => configOf({ topic }).replace('create_topics: true, ', '')
  const agent = newAgent(config(missing))
  await kafka.admin.createTopics({ topics: [{ topic: there, numPartitions: 1 }] })
  await agent.start(kafka.address)
  const fleet = newFleet(agent, 500)
  await fleet.start()
  await fleet.done
  await agent.until(({ mode }) => mode === 'parked')
  agent.reload(config(there))
  await agent.until(({ mode, lanes }) => {
    return mode !== 'parked' && lanes.telemetry.backlogRecords === 0
  })
  const ids = (await found(there)).map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.length).toBe(fleet.counters().acknowledged)
  await agent.stop()
})

test('a file with mistakes changes nothing; the status and the log say what is wrong', async () => {
  const topic = uniqueTopic('kept')
  const agent = newAgent(configOf({ topic }))
  await agent.start(kafka.address)
  const { config } = await agent.status()
  agent.reload(configOf({ topic: 'other', more: 'logging: { level: loud }' }))
  await agent.until(({ config: { lastError } }) => lastError !== null)
  const after = (await agent.status()).config
  expect(after).toMatchObject({ hash: config.hash, reloadedAt: null, needsRestart: [] })
  expect(after.lastError.message).toContain(':5:19: logging.level: expected one of')
  expect(events(agent)).toContainEqual(
    expect.objectContaining({ event: 'config.refused', level: 'error' })
  )
  expect((await agent.page('/ready')).status).toBe(200)
  expect(await agent.stop()).toBe(0)
})

test('the log level is exchanged in every thread; what must wait for a restart is named', async () => {
  const config = (more: string) => `logging: { level: info }\n${more}\n`
  const agent = newAgent(config(''))
  // Nobody is there: Kafka's client complains again and again, in the uplink's thread, at debug alone.
  await agent.start('127.0.0.1:1')
  await agent.until(({ lanes }) => lanes.telemetry.state === 'waiting')
  const complaints = () => events(agent).filter(({ event }) => event === 'kafka.client').length
  expect(complaints()).toBe(0)
  agent.reload(config('log: { bytes_max: 300MiB }').replace('info', 'debug'))
  await expect.poll(complaints, PATIENT).toBeGreaterThan(0)
  expect((await agent.status()).config.needsRestart).toEqual(['log.bytes_max'])
  expect(events(agent).find(({ event }) => event === 'config.reloaded')).toMatchObject({
    ...{ level: 'warn', changed: ['logging.level'], needsRestart: ['log.bytes_max'] }
  })
  agent.reload(config(''))
  await agent.until(({ config: { needsRestart } }) => needsRestart.length === 0)
  expect(await agent.stop()).toBe(0)
})

test("the broker's limits are exchanged, the sizes of its buffers wait for a restart", async () => {
  const agent = newAgent('')
  await agent.start('127.0.0.1:1')
  agent.reload('mqtt: { connections_max: 7, packet_bytes_max: 64KiB }\n')
  await agent.until(({ config }) => config.reloadedAt !== null)
  expect(events(agent).find(({ event }) => event === 'config.reloaded')).toMatchObject({
    ...{ changed: ['mqtt.connections_max'], needsRestart: ['mqtt.packet_bytes_max'] }
  })
  expect((await agent.status()).config).toMatchObject({ lastError: null })
  expect(await agent.stop()).toBe(0)
})

test('alert sinks come and go with the configuration', async () => {
  const topic = uniqueTopic('sinks')
  const agent = newAgent(configOf({ topic }))
  await agent.start(kafka.address)
  const names = ({ alertSinks }: { alertSinks: { name: string }[] }) =>
    alertSinks.map(({ name }) => name).join()
  const before = names(await agent.status())
  const webhook = '{ name: hook, url: "http://127.0.0.1:9/x" }'
  agent.reload(configOf({ topic, more: `alerts: { webhooks: [${webhook}] }` }))
  await agent.until(status => names(status) !== before)
  expect(names(await agent.status())).toBe([before, 'webhook.hook'].join())
  agent.reload(configOf({ topic }))
  await agent.until(status => names(status) === before)
  expect(events(agent)).toContainEqual(
    expect.objectContaining({ event: 'log.cursor_released', reader: 'webhook.hook' })
  )
  expect(await agent.stop()).toBe(0)
})
