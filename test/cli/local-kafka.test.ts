import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import {
  freePort,
  localKafkaAvailability,
  localKafkaStatus,
  startLocalKafka,
  stopLocalKafka
} from '../../cli/local-kafka.ts'
import { isPortFree, kafkaAnswers } from '../../cli/local-kafka-answer.ts'
import { isRunning, signalProcess, startMarkOf } from '../../cli/local-kafka-process.ts'
import { lockStart, readState, writeState } from '../../cli/local-kafka-state.ts'
import { cacheDir, javaMajor, kafkaJars } from '../../cli/local-kafka-tools.ts'
import { createTopic, missingKafka, startOwnKafka, testClient } from '../kit/kafka.ts'

const scratch = mkdtempSync(join(tmpdir(), 'fieldline-local-kafka-test-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const missing = await missingKafka()

test('the cache is where the environment says, and outside the checkout by default', () => {
  expect(cacheDir({ FIELDLINE_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a')
  expect(cacheDir({ XDG_CACHE_HOME: '/b' })).toBe('/b/fieldline')
  expect(cacheDir({})).toMatch(/\.cache\/fieldline$/)
})

test('the version of Java is read from what Java prints, old and new', () => {
  expect(javaMajor('openjdk version "17.0.15" 2025-04-15')).toBe(17)
  expect(javaMajor('java version "1.8.0_401"')).toBe(8)
  expect(javaMajor('openjdk version "25" 2025-09-16')).toBe(25)
  expect(javaMajor('bash: no such thing')).toBeUndefined()
})

test('a process is known by its id and its start: a reused id gets no signal', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  await once(child, 'spawn')
  const pid = child.pid as number
  const startMark = startMarkOf(pid) as string
  expect(isRunning({ pid, startMark })).toBe(true)
  expect(signalProcess({ pid, startMark: `${startMark}0` }, 'SIGKILL')).toBe(false)
  expect(isRunning({ pid, startMark })).toBe(true)
  expect(signalProcess({ pid, startMark }, 'SIGKILL')).toBe(true)
  await once(child, 'exit')
  expect(isRunning({ pid, startMark })).toBe(false)
  expect(signalProcess({ pid, startMark }, 'SIGKILL')).toBe(false)
})

test('an open port that is no Kafka does not answer as one', async () => {
  const server = createServer(socket =>
    socket
      .on('error', () => {})
      .resume()
      .write('220 mail ready\r\n')
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  expect(await kafkaAnswers(port, 500)).toBe(false)
  expect(await isPortFree(port)).toBe(false)
  server.close()
  await once(server, 'close')
  expect(await kafkaAnswers(port)).toBe(false)
  expect(await isPortFree(port)).toBe(true)
})

test('a chosen port is below the range of outgoing connections', async () => {
  const port = await freePort()
  expect(port).toBeGreaterThanOrEqual(20_000)
  expect(port).toBeLessThan(32_000)
})

test('one process at a time starts a broker; a dead one holds no lock', async () => {
  const dir = mkdtempSync(join(scratch, 'lock-'))
  const release = await lockStart(dir, 1000)
  await expect(lockStart(dir, 150)).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' })
  await release()
  writeFileSync(join(dir, 'start.lock'), JSON.stringify({ pid: process.pid, startMark: 'past' }))
  await (await lockStart(dir, 150))()
  writeFileSync(join(dir, 'start.lock'), 'torn')
  await (await lockStart(dir, 150))()
  expect(readdirSync(dir)).toEqual([])
})

test('a state that cannot be read is no state; stopping then does nothing', async () => {
  const dir = mkdtempSync(join(scratch, 'state-'))
  expect(await readState(dir)).toBeUndefined()
  writeFileSync(join(dir, 'broker.json'), '{"port":')
  expect(await readState(dir)).toBeUndefined()
  expect(await stopLocalKafka(dir)).toBe(false)
  await writeState(dir, {
    engine: 'java',
    port: 9092,
    controllerPort: 9093,
    pid: process.pid,
    startMark: 'an earlier process'
  })
  expect(await stopLocalKafka(dir)).toBe(false)
  expect(await localKafkaStatus(dir, 9092)).toMatchObject({ state: 'stopped', pid: 0 })
})

describe('tools', () => {
  /** A directory with programs of our own, to be the whole PATH. */
  function programs(scripts: Record<string, string>): NodeJS.ProcessEnv {
    const dir = mkdtempSync(join(scratch, 'bin-'))
    for (const [name, script] of Object.entries(scripts)) {
      writeFileSync(join(dir, name), `#!/bin/sh\n${script}\n`)
      chmodSync(join(dir, name), 0o755)
    }
    return { PATH: dir, FIELDLINE_CACHE: join(dir, 'cache') }
  }
  const java17 = `echo 'openjdk version "17.0.1"' >&2`
  const fetched = '/bin/mkdir libs; echo jar > libs/kafka.jar'

  test('Java and Maven are taken before Docker', async () => {
    const env = programs({ java: java17, mvn: 'true', docker: 'true' })
    expect(await localKafkaAvailability(env)).toEqual({ kind: 'java', reason: 'Java 17, Maven' })
  })

  test('without Maven, with an old Java, or without either, Docker serves', async () => {
    const java8 = `echo 'java version "1.8.0"' >&2`
    const machines: Record<string, string>[] = [{ java: java17 }, { java: java8, mvn: 'true' }, {}]
    for (const scripts of machines) {
      const env = programs({ ...scripts, docker: 'true' })
      expect((await localKafkaAvailability(env)).kind).toBe('docker')
    }
  })

  test('without anything the reason is one line that says what to install', async () => {
    const { kind, reason } = await localKafkaAvailability(programs({ docker: 'exit 1' }))
    expect(kind).toBe('none')
    expect(reason).toMatch(/^A local Kafka needs .*install Java 17 or newer and Maven.*Docker\.$/)
    expect(reason).not.toContain('\n')
  })

  test('jars that are cached need no Maven', async () => {
    const env = programs({ java: java17, mvn: fetched })
    const jars = await kafkaJars(env)
    const without = programs({ java: java17 })
    without.FIELDLINE_CACHE = env.FIELDLINE_CACHE
    expect((await localKafkaAvailability(without)).reason).toBe('Java 17, jars cached')
    expect(await kafkaJars(without)).toBe(jars)
  })

  test('two that fetch at once get one complete directory and leave nothing behind', async () => {
    const env = programs({ mvn: fetched })
    const [a, b] = await Promise.all([kafkaJars(env), kafkaJars(env)])
    expect(a).toBe(b)
    expect(readFileSync(join(a, 'kafka.jar'), 'utf8')).toBe('jar\n')
    expect(readdirSync(join(env.FIELDLINE_CACHE as string, 'kafka'))).toHaveLength(1)
  })

  test('a Maven that fails is quoted, and leaves nothing behind', async () => {
    const env = programs({ mvn: '/bin/mkdir libs; echo no route to the registry; exit 1' })
    await expect(kafkaJars(env)).rejects.toMatchObject({
      code: 'LOCAL_KAFKA_FAILED',
      message: expect.stringContaining('no route to the registry')
    })
    expect(readdirSync(join(env.FIELDLINE_CACHE as string, 'kafka'))).toEqual([])
    await expect(kafkaJars(programs({}))).rejects.toMatchObject({ code: 'TOOL_MISSING' })
  })
})

describe('a real broker', () => {
  beforeEach(context => {
    if (missing) context.skip(missing)
  })

  test('a topic outlives stop, kill and restart, on the same port', async () => {
    const kafka = await startOwnKafka()
    try {
      const topics = async (): Promise<string[]> => {
        const admin = testClient([kafka.address]).admin()
        await admin.connect()
        const names = await admin.listTopics()
        await admin.disconnect()
        return names
      }
      const admin = testClient([kafka.address]).admin()
      await admin.connect()
      await createTopic(admin, 'kept')
      await admin.disconnect()
      const first = kafka.pid
      expect(await kafka.status()).toMatchObject({ state: 'running', pid: first })

      expect(await kafka.stop()).toBe(true)
      expect(await kafka.stop()).toBe(false)
      expect(await kafka.status()).toMatchObject({ state: 'stopped', pid: 0 })
      expect(await isPortFree(kafka.port)).toBe(true)

      await kafka.restart()
      expect(kafka.pid).not.toBe(first)
      expect(await topics()).toContain('kept')

      expect(await kafka.kill()).toBe(true)
      // At once: a process with many threads is not gone when its first is.
      expect(await isPortFree(kafka.port)).toBe(true)
      await kafka.restart()
      expect(await topics()).toContain('kept')
      const { port, dataDir } = kafka
      const again = await startLocalKafka({ port, dataDir })
      expect(again).toMatchObject({ wasRunning: true, pid: kafka.pid })
      await expect(startLocalKafka({ port: port + 1, dataDir })).rejects.toMatchObject({
        code: 'DIRECTORY_LOCKED'
      })
      const elsewhere = mkdtempSync(join(scratch, 'elsewhere-'))
      await expect(startLocalKafka({ port, dataDir: elsewhere })).rejects.toMatchObject({
        code: 'ADDRESS_IN_USE'
      })

      await kafka.stop()
      await startLocalKafka({ port, dataDir, heapMb: 256, fresh: true })
      expect(await topics()).not.toContain('kept')
    } finally {
      await kafka.remove()
    }
    expect(existsSync(kafka.dataDir)).toBe(false)
  })

  test('a broker that cannot start is quoted and does not stay behind', async () => {
    const dataDir = mkdtempSync(join(scratch, 'bad-'))
    const port = await freePort()
    const properties = { 'num.network.threads': '-1' }
    await expect(startLocalKafka({ port, dataDir, properties })).rejects.toMatchObject({
      code: 'LOCAL_KAFKA_FAILED',
      message: expect.stringContaining('num.network.threads')
    })
    expect(await localKafkaStatus(dataDir, port)).toMatchObject({ state: 'stopped' })
  })

  test('aborting a start ends what was started', async () => {
    const dataDir = mkdtempSync(join(scratch, 'abort-'))
    const port = await freePort()
    const abort = new AbortController()
    const started = startLocalKafka({ port, dataDir, signal: abort.signal })
    const ended = expect(started).rejects.toMatchObject({ name: 'AbortError' })
    // The state is written once the broker's process runs.
    while (!(await readState(dataDir))) await new Promise(setImmediate)
    abort.abort()
    await ended
    expect(await localKafkaStatus(dataDir, port)).toMatchObject({ state: 'stopped', pid: 0 })
    expect(await isPortFree(port)).toBe(true)
  })

  test('the command starts, reports and stops a broker that outlives it', async () => {
    const dataDir = join(scratch, 'with space')
    mkdirSync(dataDir)
    const port = String(await freePort())
    const kafka = (...args: string[]) =>
      spawnSync(process.execPath, ['--input-type=module', '-e', COMMAND, '--', 'kafka', ...args], {
        cwd: join(import.meta.dirname, '..', '..'),
        encoding: 'utf8'
      })
    const where = ['--port', port, '--data', dataDir]
    expect(kafka('status', ...where)).toMatchObject({ status: 1 })
    try {
      const started = kafka('start', ...where)
      expect(started.stderr).toBe('')
      expect(started.stdout).toMatch(
        new RegExp(`^Kafka answers on 127.0.0.1:${port} \\(pid \\d+, data ${dataDir}\\)\n$`)
      )
      expect(kafka('start', ...where).stdout).toMatch(/; it was already running\n$/)
      const { status, stdout } = kafka('status', ...where, '--json')
      expect(status).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ state: 'running', port: Number(port), dataDir })
      expect(kafka('stop', ...where)).toMatchObject({
        status: 0,
        stdout: `Kafka stopped (data ${dataDir})\n`
      })
      const stopped = kafka('stop', ...where)
      expect(stopped.status).toBe(0)
      expect(stopped.stdout).toMatch(/^No Kafka of ours is running/)
    } finally {
      await stopLocalKafka(dataDir)
    }
  })
})

/** The command alone, from the built files, whatever else the command line offers. */
const COMMAND = `
import { Command } from 'commander'
import { kafkaCommand } from './dist/cli/commands/kafka.js'
await new Command('fieldline').addCommand(kafkaCommand()).parseAsync(process.argv.slice(1), { from: 'user' })
`
