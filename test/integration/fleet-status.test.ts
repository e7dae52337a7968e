import { execFile } from 'node:child_process'
import path from 'node:path'
import { expect, test } from 'vitest'
import { silentLogger } from '../../core/runtime/log.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { CentralDetector } from '../../detector/central-detector.ts'
import { detectorConfig } from '../detector/kit.ts'
import { TestAgent } from '../kit/agent-process.ts'
import {
  createTopic,
  type OwnKafka,
  readTopic,
  startOwnKafka,
  testClient,
  useOwnKafka
} from '../kit/kafka.ts'
import { RawMqtt } from '../kit/raw-mqtt.ts'

let kafka: OwnKafka
useOwnKafka(async () => {
  kafka = await startOwnKafka()
  return kafka
})

interface Ended {
  code: number
  stdout: string
  stderr: string
}

/** `fieldline fleet` as built, in a process of its own. */
function fleet(...args: string[]): Promise<Ended> {
  const dist = process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist')
  const all = [path.join(dist, 'cli/main.js'), 'fleet', '--kafka', kafka.address, ...args]
  return new Promise(resolve => {
    execFile(process.execPath, all, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr })
    })
  })
}

// biome-ignore lint/suspicious/noExplicitAny: what a script would look at
async function agentOf(agentId: string): Promise<any> {
  const { code, stdout, stderr } = await fleet('--json')
  expect([code, stderr]).toEqual([0, ''])
  const { agents } = JSON.parse(stdout) as { agents: { agentId: string }[] }
  return agents.find(agent => agent.agentId === agentId)
}

/** Polls, since nothing tells. */
async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 60_000
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within a minute: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

const CONFIG = (id: string, topic: string, threads = 'auto') => `
agent: { id: ${id}, threads: ${threads} }
kafka: { create_topics: true, partitions: 3 }
uplink: { status_topic: ${topic}, status_interval: 1s }
detector: { scope: central }
`

test.each(['auto', 'off'])(
  'an agent (threads: %s) tells the fleet how it is: while it runs, when it is stopped, and not when it is killed',
  async threads => {
    const agent = new TestAgent(CONFIG('gateway-7', 'fieldline.status', threads))
    try {
      await agent.start(kafka.address)
      await agent.until(status => status.statusTopic.state === 'writing')
      const running = await agentOf('gateway-7')
      const { configHash, version } = await agent.status()
      expect(running).toMatchObject({ state: 'streaming', presence: 'here' })
      expect(running.word).toMatchObject({
        state: 'running',
        intervalMs: 1000,
        configHash,
        version
      })
      // The first word may come before there is a connection.
      await until('the lane streams', async () => {
        return (await agentOf('gateway-7')).word.lanes.telemetry.state === 'streaming'
      })
      expect((await fleet('--forget', 'gateway-7')).stderr).toContain('speaks')

      expect(await agent.stop()).toBe(0)
      expect(await agentOf('gateway-7')).toMatchObject({
        ...{ state: 'stopped', presence: 'stopped' },
        word: { state: 'stopped', mode: 'streaming', backlog: { records: 0 } }
      })
      expect((await fleet('--fail-on', 'stopped')).code).toBe(3)

      await agent.start(kafka.address)
      await until('it speaks again', async () => (await agentOf('gateway-7')).presence === 'here')
      await agent.kill()
      await until('it is away', async () => (await agentOf('gateway-7')).presence === 'away')
      const failed = await fleet('--fail-on', 'away,parked', '--json')
      expect(failed.code).toBe(3)
      expect(failed.stderr).toBe('fieldline: --fail-on: gateway-7 is away\n')
      const { stdout } = await fleet()
      expect(stdout).toMatch(/gateway-7 +streaming .* away \d+ s\n/)

      expect((await fleet('--forget', 'gateway')).stderr).toContain("Did you mean 'gateway-7'?")
      expect((await fleet('--forget', 'gateway-7')).code).toBe(0)
      expect(await agentOf('gateway-7')).toBeUndefined()
    } finally {
      await agent.remove()
    }
  },
  120_000
)

test('a status topic that is not there holds up neither readings nor a stop', async () => {
  const admin = testClient([kafka.address]).admin()
  await admin.connect()
  await createTopic(admin, 'telemetry.b')
  await admin.disconnect()
  const agent = new TestAgent(`
agent: { id: gateway-8, threads: off }
uplink: { status_topic: fieldline.nowhere, status_interval: 1s }
detector: { enabled: false }
routes: [{ name: all, match: 'telemetry/{site}/{device}', topic: telemetry.b }]
`)
  try {
    await agent.start(kafka.address)
    await agent.until(status => status.statusTopic.state === 'refused')
    const { statusTopic, mode } = await agent.status()
    expect(statusTopic.lastError.code).toBe('UNKNOWN_TOPIC_OR_PARTITION')
    expect(mode).toBe('streaming')
    const device = await RawMqtt.connect(agent.mqttPort, { clientId: 'd' })
    device.publish({ topic: 'telemetry/p/d', payload: '1', qos: 1, id: 1 })
    await device.until(() => device.acks().length === 1)
    expect(await readTopic([kafka.address], 'telemetry.b', { until: 1 })).toHaveLength(1)
    await agent.until(() => agent.log().includes('status.refused'))
    device.socket.destroy()
    const from = performance.now()
    expect(await agent.stop()).toBe(0)
    expect(performance.now() - from).toBeLessThan(5000)
    expect(agent.log().split('status.refused')).toHaveLength(2)
    const missing = await fleet('-c', `${agent.directory}/fieldline.yaml`)
    expect(missing.code).toBe(1)
    expect(missing.stderr).toContain('There is no such topic')
  } finally {
    await agent.remove()
  }
}, 120_000)

test('the centre tells a device that stops from an agent that is away', async () => {
  const admin = testClient([kafka.address]).admin()
  await admin.connect()
  await createTopic(admin, 'alerts.c')
  await admin.disconnect()
  const agent = new TestAgent(CONFIG('gateway-9', 'status.c'))
  const detector = new CentralDetector({
    config: detectorConfig({
      ...{ scope: 'central', group: 'centre' },
      silent: { enabled: true, factor: 3, minMs: 1500 }
    }),
    kafka: () => testClient([kafka.address]),
    topics: { alerts: 'alerts.c', deadLetters: 'alerts.c', state: 'fieldline.detector-state' },
    statusTopic: 'status.c',
    routes: [
      {
        ...{ name: 'default', match: ['telemetry/{site}/{device}'], site: undefined },
        ...{ topic: 'telemetry', codec: 'json', value: 'payload', fields: undefined }
      }
    ],
    logger: silentLogger
  })
  const abort = new AbortController()
  let running: Promise<void> | undefined
  // Six devices in three partitions: some have none beside them. Whose device stops, has.
  const names = ['d-0', 'd-1', 'd-2', 'd-3', 'd-4', 'd-5', 'd-6', 'd-7', 'd-8', 'd-9']
  const stopped = 'd-3'
  const talking = new Set(names)
  let id = 0
  let talk: NodeJS.Timeout | undefined
  try {
    await agent.start(kafka.address)
    await agent.until(status => status.statusTopic.state === 'writing')
    running = detector.run(abort.signal)
    const client = await RawMqtt.connect(agent.mqttPort, { clientId: 'all' })
    talk = setInterval(() => {
      if (client.closed) return
      for (const name of talking) {
        id = (id % 60_000) + 1
        client.publish({ topic: `telemetry/p/${name}`, payload: `{"t":${id % 5}}`, qos: 1, id })
      }
    }, 200)
    await until('the detector reads', () => detector.counters().readings > 300)
    talking.delete(stopped)
    const silent = () => detector.openAlerts().filter(({ data }) => data.kind === 'silent')
    const subjects = () => silent().map(({ subject }) => subject)
    await until('the device is silent', () => subjects().includes(`p/${stopped}`))
    expect(subjects()).toEqual([`p/${stopped}`])

    await agent.kill()
    await until('the agent is away', () => subjects().includes('fieldline/gateway-9'))
    // Longer than any of its devices may be silent.
    await new Promise(resolve => setTimeout(resolve, 4000))
    expect(subjects().sort()).toEqual(['fieldline/gateway-9', `p/${stopped}`])
    const away = silent().find(({ data }) => data.site === 'fieldline')
    expect(away?.data.reason).toMatch(
      /^agent gateway-9 has not reported for \d+ s; 10 devices behind it cannot be judged meanwhile$/
    )
    expect(detector.status().agents).toMatchObject({ state: 'heard', away: 1 })

    await agent.start(kafka.address)
    await until('it is back', () => !subjects().includes('fieldline/gateway-9'))
    abort.abort()
    await running
    const told = (await readTopic([kafka.address], 'alerts.c'))
      .map(({ key, value }) => ({ key, data: JSON.parse(String(value)).data }))
      .filter(({ data }) => data.kind === 'silent')
      .map(({ key, data }) => `${key} ${data.state}`)
    expect(told).toEqual([
      `p/${stopped} raised`,
      'fieldline/gateway-9 raised',
      'fieldline/gateway-9 cleared'
    ])
  } finally {
    clearInterval(talk)
    abort.abort()
    await running
    await agent.remove()
  }
}, 180_000)
