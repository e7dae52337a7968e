import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import mqtt from 'mqtt'
import { afterEach, expect, test } from 'vitest'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { TestAgent } from '../kit/agent-process.ts'

/** `fieldline devices`, at an agent that is a process of its own; Kafka is away, which is no matter. */

const run = promisify(execFile)
const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli/main.js'
)
const NOWHERE = '127.0.0.1:1'
const PATIENT = { timeout: 20_000 }

const agents: TestAgent[] = []
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.remove()
})

const configOf = (detector: string, threads: string) => `
agent: { id: gateway-7, threads: ${threads}, stop_timeout: 0s }
detector: ${detector}
routes:
  - name: all
    match: 'telemetry/{site}/{device}'
    fields: [{ name: t, as: temperature, unit: '°C', scale: 0.1 }]
`

interface Listed {
  known: number
  shown: { device: string; messages: number; firstSeenAt: number; values: unknown[] }[]
}

async function command(...args: string[]): Promise<string> {
  const env = { ...process.env, NO_COLOR: '1' }
  return (await run(process.execPath, [MAIN, 'devices', ...args], { env })).stdout
}

async function listed(...args: string[]): Promise<Listed> {
  return JSON.parse(await command('--json', '--sort', 'name', ...args)) as Listed
}

/** @returns Once each message is acknowledged. */
async function publish(agent: TestAgent, device: string, messages: number): Promise<void> {
  const url = `mqtt://127.0.0.1:${agent.mqttPort}`
  const client = await mqtt.connectAsync(url, { clientId: `client-${device}` })
  for (let n = 1; n <= messages; n++) {
    const payload = JSON.stringify({ t: 100 * n })
    await client.publishAsync(`telemetry/plant7/${device}`, payload, { qos: 1 })
  }
  await client.endAsync()
}

test.each([
  ['its detector in a thread', '{ enabled: true }', 'auto'],
  ['its detector in the agent’s own thread', '{ enabled: true }', 'off'],
  ['no detector', '{ enabled: false }', 'auto']
])(
  'devices are listed, and are still known after an orderly stop and after a kill: %s',
  async (_, detector, threads) => {
    const agent = new TestAgent(configOf(detector, threads))
    agents.push(agent)
    const counts = async () => {
      const { shown } = (await (await agent.page('/devices')).json()) as Listed
      return Object.fromEntries(shown.map(({ device, messages }) => [device, messages]))
    }
    await agent.start(NOWHERE)
    await Promise.all([publish(agent, 'pump-1', 4), publish(agent, 'pump-2', 3)])
    await expect.poll(counts, PATIENT).toEqual({ 'pump-1': 4, 'pump-2': 3 })
    const { shown } = await listed(agent.url)
    const value = { metric: 'temperature', value: 40, unit: '°C', at: expect.any(Number) }
    expect(shown[0].values).toEqual([value])
    expect(shown[0]).toMatchObject({ clients: [{ id: 'client-pump-1' }], clientsKnown: 1 })

    await agent.stop()
    const saved = await listed('--data', path.join(agent.directory, 'data'))
    expect(saved.shown.map(({ device, messages }) => [device, messages])).toEqual([
      ...[
        ['pump-1', 4],
        ['pump-2', 3]
      ]
    ])
    await agent.start(NOWHERE)
    const firstSeen = (list: Listed) => list.shown.map(({ firstSeenAt }) => firstSeenAt)
    await expect.poll(counts, PATIENT).toEqual({ 'pump-1': 4, 'pump-2': 3 })
    expect(firstSeen(await listed(agent.url))).toEqual(firstSeen({ known: 2, shown }))

    await publish(agent, 'pump-1', 2)
    await publish(agent, 'pump-3', 1)
    await expect.poll(counts, PATIENT).toEqual({ 'pump-1': 6, 'pump-2': 3, 'pump-3': 1 })
    await agent.kill()
    await agent.start(NOWHERE)
    await expect.poll(counts, PATIENT).toEqual({ 'pump-1': 6, 'pump-2': 3, 'pump-3': 1 })

    const text = await command(agent.url, '--find', 'PUMP-1')
    expect(text).toMatch(/plant7\/pump-1 +\d+ s ago .* 6 +client-pump-1 .*temperature 20 °C/)
    expect(text).toContain('3 devices known, 1 of them as asked for.')
    expect(await listed(agent.url, '--silent-for', '1h')).toMatchObject({ known: 3, shown: [] })
    const metrics = await (await agent.page('/metrics')).text()
    expect(metrics).toMatch(/^fieldline_devices_known 3$/m)
    expect(metrics).toMatch(/^fieldline_devices_forgotten_total 0$/m)
  },
  90_000
)

test('the page tells what it does not understand', async () => {
  const agent = new TestAgent(configOf('{ enabled: false }', 'off'))
  agents.push(agent)
  await agent.start(NOWHERE)
  for (const query of ['sort=size', 'limit=-1', 'limit=1000000', 'silent_for=ten']) {
    expect((await agent.page(`/devices?${query}`)).status, query).toBe(400)
  }
  expect((await agent.page('/devices?limit=1&find=x')).status).toBe(200)
})
