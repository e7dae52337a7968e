import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { loadFieldlineConfig } from '../../cli/config.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'

const root = packageRoot()
const deploy = path.join(root, 'deploy')
const read = (file: string) => fs.readFileSync(path.join(deploy, file), 'utf8')

test.each(['deb/fieldline.yaml', 'container/fieldline.yaml'])(
  'the configuration %s is valid and keeps readings where the package lets it',
  async file => {
    const { config } = await loadFieldlineConfig({ file: path.join(deploy, file), env: {} })
    expect(config.agent.data).toBe('/var/lib/fieldline')
    expect(config.log.sync).toBe('group')
  }
)

test('a freshly installed box listens for itself alone', async () => {
  const file = path.join(deploy, 'deb/fieldline.yaml')
  const { config } = await loadFieldlineConfig({ file, env: {} })
  expect(config.mqtt.listen?.host).toBe('127.0.0.1')
  expect(config.http.listen?.host).toBe('127.0.0.1')
})

test.each(['build.sh', 'postinst', 'prerm', 'postrm', 'fieldline'])(
  'the script deb/%s can be read by its shell',
  script => {
    const [interpreter] = /^#!(\S+)/.exec(read(`deb/${script}`))?.slice(1) ?? []
    const { status, stderr } = spawnSync(interpreter, ['-n', path.join(deploy, 'deb', script)], {
      encoding: 'utf8'
    })
    expect(status, stderr).toBe(0)
  }
)

test.each([
  [['--arch', 'armv7'], "no package for 'armv7'"],
  [['--deb'], "unknown argument '--deb'"]
])('the build of the package refuses %o before it does anything', (flags, why) => {
  const { status, stderr } = spawnSync(path.join(deploy, 'deb/build.sh'), flags, {
    encoding: 'utf8'
  })
  expect(stderr).toContain(why)
  expect(status).toBe(2)
})

test('the image is built of files that exist, and runs as nobody in particular', () => {
  const lines = read('container/Containerfile').split('\n')
  const copied = lines
    .filter(line => /^COPY (?!--from)/.test(line))
    .flatMap(line => line.split(' ').slice(1, -1))
  expect(copied.length).toBeGreaterThan(8)
  expect(copied.filter(file => !fs.existsSync(path.join(root, file)))).toEqual([])
  expect(Number(lines.findLast(line => line.startsWith('USER '))?.slice(5))).toBeGreaterThan(0)
  expect(lines.some(line => line.startsWith('HEALTHCHECK'))).toBe(true)
})

test('the sources that the compiler reads are in the image', () => {
  const { include } = JSON.parse(fs.readFileSync(path.join(root, 'tsconfig.json'), 'utf8'))
  const containerfile = read('container/Containerfile')
  for (const directory of include) expect(containerfile).toContain(`COPY ${directory} ${directory}`)
})

test('composed, the agent writes to its volume alone and is not stopped before it has stopped', async () => {
  const { services, volumes } = parse(read('container/compose.yaml'))
  const { agent } = services
  expect(agent).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
  expect(agent.ports.every((port: string) => port.startsWith('127.0.0.1:'))).toBe(true)
  const [volume, place] = agent.volumes[0].split(':')
  expect(volumes).toHaveProperty(volume)
  const file = path.join(deploy, 'container/fieldline.yaml')
  const { config } = await loadFieldlineConfig({ file, env: {} })
  expect(config.agent.data).toBe(place)
  expect(Number.parseInt(agent.stop_grace_period, 10) * 1000).toBeGreaterThan(
    config.agent.stopTimeoutMs
  )
  const [broker] = config.kafka.brokers
  expect(services.kafka.environment.KAFKA_ADVERTISED_LISTENERS).toContain(broker)
})
