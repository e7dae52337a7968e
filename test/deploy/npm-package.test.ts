import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../../cli/local-kafka.ts'
import { packageRoot, packageVersion } from '../../core/runtime/package-root.ts'
import { RawMqtt } from '../kit/raw-mqtt.ts'

/** What `npm pack` makes of this checkout, installed where there is nothing else. */

const root = packageRoot()
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-npm-'))
const checkout = path.join(scratch, 'checkout')
const tarball = path.join(scratch, `fieldline-${packageVersion()}.tgz`)
const home = path.join(scratch, 'home')

const SOURCES = ['core', 'agent', 'detector', 'firmware-sim', 'cli']
/** Beside dist: everything of it, and nothing else. */
const DOCUMENTS = [
  'CHANGELOG.md',
  'LICENSE',
  'README.md',
  'agent/DESIGN.md',
  'core/contract/agent-status-v1.json',
  'core/contract/alert-v1.json',
  'core/log/FORMAT.md',
  'detector/DESIGN.md',
  'package.json'
]
/** npm's words for a registry that cannot be reached. */
const OFFLINE = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b/

// As a stranger's shell has it: nothing of the npm that runs the tests.
const environment: NodeJS.ProcessEnv = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_(?!config_cache)|FIELDLINE_)/.test(name))
  ),
  NO_COLOR: '1'
}

function run(cwd: string, command: string, ...args: string[]) {
  return spawnSync(command, args, { cwd, env: environment, encoding: 'utf8' })
}

function filesBelow(directory: string): string[] {
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => path.relative(directory, path.join(entry.parentPath, entry.name)))
}

beforeAll(() => {
  const left = new Set(['node_modules', 'dist', 'build', '.git', '.fieldline', 'coverage'])
  fs.cpSync(root, checkout, {
    recursive: true,
    filter: source => !left.has(path.relative(root, source))
  })
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(checkout, 'node_modules'))
  const { status, stdout, stderr } = run(checkout, 'npm', 'pack', '--pack-destination', scratch)
  expect(status, stdout + stderr).toBe(0)
}, 300_000)

afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }))

const packed = () =>
  run(scratch, 'tar', '-tf', tarball)
    .stdout.split('\n')
    .filter(line => line !== '')
    .map(line => line.replace(/^package\//, ''))

test('the package holds what runs, what is read and what is deployed, without tests and maps', () => {
  const built = SOURCES.flatMap(source =>
    filesBelow(path.join(checkout, source))
      .filter(file => file.endsWith('.ts'))
      .map(file => `dist/${source}/${file.replace(/\.ts$/, '.js')}`)
  )
  expect(built.length).toBeGreaterThan(300)
  const deployed = filesBelow(path.join(checkout, 'deploy')).map(file => `deploy/${file}`)
  expect(packed().sort()).toEqual([...built, ...deployed, ...DOCUMENTS].sort())
})

test('each link of a document in the package leads to a file in the package', () => {
  const files = new Set(packed())
  const lost = [...files]
    .filter(file => file.endsWith('.md'))
    .flatMap(file => {
      const text = fs.readFileSync(path.join(checkout, file), 'utf8')
      return [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)]
        .map(([, link]) => path.join(path.dirname(file), link))
        .filter(target => !files.has(target) && ![...files].some(f => f.startsWith(`${target}/`)))
        .map(target => `${file}: ${target}`)
    })
  expect(lost).toEqual([])
})

test('installed in an empty directory it checks a configuration, runs, and acknowledges', async context => {
  fs.mkdirSync(home)
  // The ONNX runtime is 290 MB for all its platforms, and what most boxes do without.
  const flags = [
    '--prefix',
    home,
    '--omit',
    'optional',
    '--prefer-offline',
    '--no-audit',
    '--no-fund'
  ]
  const install = run(home, 'npm', 'install', ...flags, tarball)
  if (install.status !== 0 && OFFLINE.test(install.stderr)) {
    return context.skip('the registry cannot be reached')
  }
  expect(install.status, install.stderr).toBe(0)

  for (const name of ['typescript', 'vitest', '@biomejs/biome'])
    expect(fs.existsSync(path.join(home, 'node_modules', name))).toBe(false)

  const fieldline = (...args: string[]) => run(home, 'npx', '--no', '--', 'fieldline', ...args)
  expect(fieldline('--version').stdout.trim()).toBe(packageVersion())

  const [mqttPort, httpPort] = [await freePort(), await freePort()]
  fs.writeFileSync(
    path.join(home, 'fieldline.yaml'),
    `agent: { id: gateway-7, data: data }
mqtt: { listen: "127.0.0.1:${mqttPort}" }
http: { listen: "127.0.0.1:${httpPort}" }
kafka: { brokers: ["127.0.0.1:9"] }
`
  )
  const checked = fieldline('config', 'check', '-c', 'fieldline.yaml')
  expect(checked.status, checked.stderr).toBe(0)

  const agent = spawn('node_modules/.bin/fieldline', ['agent', '-c', 'fieldline.yaml'], {
    cwd: home,
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe']
  })
  const ended = once(agent, 'exit')
  try {
    await ready(agent)
    const device = await RawMqtt.connect(mqttPort, { clientId: 'pump-3' })
    const topic = 'telemetry/plant7/pump-3'
    device.publish({ topic, payload: '{"temperature":61.8}', qos: 1, id: 7 })
    await device.until(() => device.acks().includes('puback 7'))

    const status = fieldline('status', '-c', 'fieldline.yaml')
    expect(status.status, status.stderr).toBe(0)
    expect(status.stdout).toContain('gateway-7')
    expect(status.stdout).toContain('1 reading is safe on this disk.')
    // Its chart comes from a dependency, wherever npm has put that.
    const chart = await fetch(`http://127.0.0.1:${httpPort}/uplot.js`)
    expect(chart.status).toBe(200)
    await chart.body?.cancel()
  } finally {
    agent.kill('SIGTERM')
  }
  expect(await ended).toEqual([0, null])
}, 600_000)

/** Resolves at the line that says so. */
async function ready(agent: ChildProcess): Promise<void> {
  let text = ''
  for await (const chunk of agent.stderr!.iterator({ destroyOnReturn: false })) {
    text += chunk
    if (text.includes('"agent.ready"')) {
      agent.stderr!.resume()
      return
    }
  }
  throw new Error(`the agent ended:\n${text}`)
}
