import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import mqtt from 'mqtt'
import { afterEach, expect, test } from 'vitest'
import { freePort } from '../../cli/local-kafka.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

/*
 * Secrets of every kind, planted in every place that takes one, with everything that could repeat them:
 * logins refused on both sides, the finest log level, wrong configurations, a crash.
 */

const run = promisify(execFile)
const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli/main.js'
)
const CANARY = /canary-[a-z-]+/g
/** Nothing tells when everybody has said no. */
const PATIENT = { timeout: 30_000 }

let child: ChildProcess | undefined
let hook: http.Server | undefined
afterEach(async () => {
  if (child && child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  hook?.close()
})

interface Planted {
  directory: string
  config: string
  environment: Record<string, string>
  mqttPort: number
  httpPort: number
}

async function plant(): Promise<Planted> {
  const directory = temporaryDirectory()
  const file = (name: string, text: string): string => {
    fs.writeFileSync(path.join(directory, name), text, { mode: 0o600 })
    return path.join(directory, name)
  }
  // Takes nothing: what it is sent is what the agent may be tempted to log.
  hook = http.createServer((_request, response) => response.writeHead(401).end('who are you?'))
  hook.listen(0, '127.0.0.1')
  await once(hook, 'listening')
  const [mqttPort, httpPort, nobody] = [await freePort(), await freePort(), await freePort()]
  const config = file(
    'fieldline.yaml',
    `
agent: { id: gateway-7, data: ${directory}/data }
mqtt:
  listen: 127.0.0.1:${mqttPort}
  anonymous: never
  users: [{ username: pumps, password: "\${PUMPS}" }, { username: fans, password: canary-mqtt-inline }]
upstreams:
  - name: plant
    url: mqtt://127.0.0.1:${mqttPort}
    topics: ['telemetry/#']
    username: pumps
    password: canary-upstream-wrong
kafka:
  brokers: [127.0.0.1:${nobody}]
  sasl: { mechanism: plain, username: gateway-7, password: "@file:${file('kafka', 'canary-kafka\n')}" }
http:
  listen: 127.0.0.1:${httpPort}
  token: "@file:${file('token', 'canary-http-token\n')}"
alerts:
  webhooks:
    - name: ops
      url: http://127.0.0.1:${(hook.address() as AddressInfo).port}/
      headers: [{ name: authorization, value: "@file:${file('hook', 'canary-webhook\n')}" }]
detector: { quality: { limits: [{ metrics: [temperature], max: 100 }] } }
logging: { level: debug }
`
  )
  const environment = { ...process.env, PUMPS: 'canary-mqtt-environment' } as Record<string, string>
  return { directory, config, environment, mqttPort, httpPort }
}

/** @returns What it has said so far, on both streams. */
function startAgent({ config, environment }: Planted, ...node: string[]): () => string {
  let said = ''
  child = spawn(process.execPath, [...node, MAIN, 'agent', '-c', config], { env: environment })
  const hear = (chunk: Buffer): void => {
    said += chunk
  }
  child.stdout?.on('data', hear)
  child.stderr?.on('data', hear)
  return () => said
}

function connect(port: number, username: string, password: string): Promise<mqtt.MqttClient> {
  const options = { username, password, reconnectPeriod: 0 }
  return mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, options, false)
}

test('no secret is repeated in a log, a page, a file of the agent or an answer to wrong input', async () => {
  const planted = await plant()
  const { directory, config, environment, mqttPort, httpPort } = planted
  const said = startAgent(planted)
  await expect.poll(said, PATIENT).toContain('agent.ready')

  await expect(connect(mqttPort, 'pumps', 'canary-mqtt-guess')).rejects.toThrow()
  const device = await connect(mqttPort, 'pumps', environment.PUMPS)
  await device.publishAsync('telemetry/plant7/pump-3', '{"temperature":400}', { qos: 1 })
  await device.endAsync()
  // Everybody who has to say no has said it.
  await expect.poll(said, PATIENT).toContain('ECONNREFUSED')
  await expect.poll(said, PATIENT).toContain('"upstream.')
  await expect.poll(said, PATIENT).toContain('401')

  const page = async (name: string, token: string): Promise<[status: number, text: string]> => {
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(`http://127.0.0.1:${httpPort}${name}`, { headers })
    const headersSent = JSON.stringify([...response.headers])
    return [response.status, `${headersSent}\n${await response.text()}`]
  }
  const pages: string[] = []
  for (const name of ['/status', '/metrics', '/', '/live', '/ready', '/nothing']) {
    const [status, text] = await page(name, 'canary-http-token')
    if (name === '/status') expect(status).toBe(200)
    pages.push(text)
    pages.push((await page(name, 'canary-http-guess'))[1])
  }
  expect((await page('/status', 'canary-http-guess'))[0]).toBe(401)

  // A mistake beside each secret: the message shows where, never what.
  const wrong = path.join(directory, 'wrong.yaml')
  const text = fs.readFileSync(config, 'utf8')
  fs.writeFileSync(
    wrong,
    `${text.replaceAll('password:', 'pasword:').replace('token:', 'tokn:')}\nhttps: canary-top-level\n`
  )
  const answers = await Promise.all(
    [
      ['config', 'check', '-c', wrong],
      ['config', 'show', '-c', config],
      ['config', 'show', '-c', config, '--json'],
      ['agent', '-c', wrong],
      ['agent', '-c', config]
    ].map(args =>
      run(process.execPath, [MAIN, ...args], { env: environment }).then(
        ({ stdout, stderr }) => stdout + stderr,
        ({ stdout, stderr }) => stdout + stderr
      )
    )
  )
  expect(answers[0]).toMatch(/pasword/)
  expect(answers[1]).toContain('[secret]')

  const ended = once(child as ChildProcess, 'exit')
  child?.kill('SIGTERM')
  await ended
  const stored = fs
    .readdirSync(path.join(directory, 'data'), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => fs.readFileSync(path.join(entry.parentPath, entry.name), 'latin1'))
  expect(stored.length).toBeGreaterThan(2)
  for (const told of [said(), ...pages, ...answers, ...stored])
    expect(told.match(CANARY)).toBe(null)
}, 90_000)

test('a crash says where it was, and no secret', async () => {
  const planted = await plant()
  const fault = 'setTimeout(() => { throw new Error("a defect") }, 3000)'
  const said = startAgent(planted, '--import', `data:text/javascript,${encodeURIComponent(fault)}`)
  const [code] = await once(child as ChildProcess, 'exit')
  expect(code).toBe(1)
  expect(said()).toContain('agent.ready')
  expect(said()).toContain('a defect')
  expect(said().match(CANARY)).toBe(null)
}, 60_000)
