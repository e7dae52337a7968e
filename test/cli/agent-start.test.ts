import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../cli/local-kafka.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

/** The agent as a process, from its first line on: no Kafka is needed for any of this. */

const DIST = process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist')
const PATIENT = { timeout: 20_000 }

/** Says on stderr that SIGHUP is heeded: the command's modules are about to be loaded. */
const TELLS = `data:text/javascript,process.on('newListener', name => {
  if (name === 'SIGHUP') process.stderr.write('heeds signals\\n')
})`

interface Started {
  child: ChildProcess
  data: string
  log: () => string
  lines: () => Record<string, unknown>[]
  exit: Promise<unknown[]>
}

function start(flags: string[], imports: string[] = [], env: Record<string, string> = {}): Started {
  const data = path.join(temporaryDirectory(), 'data')
  const child = spawn(
    process.execPath,
    [
      ...imports.flatMap(module => ['--import', module]),
      path.join(DIST, 'cli/main.js'),
      ...['agent', '--data', data, '--listen', '127.0.0.1:0', '--http', 'off', ...flags]
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } }
  )
  onTestFinished(() => void child.kill('SIGKILL'))
  let log = ''
  child.stderr!.on('data', text => {
    log += text
  })
  const lines = () =>
    log
      .split('\n')
      .filter(line => line.startsWith('{') && line.endsWith('}'))
      .map(line => JSON.parse(line) as Record<string, unknown>)
  return { child, data, log: () => log, lines, exit: once(child, 'exit') }
}

const ready = (lines: () => Record<string, unknown>[]) => () =>
  lines().some(({ event }) => event === 'agent.ready')

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s while modules are loaded ends the agent in order, before anything is on disk',
  async signal => {
    const { child, data, log, exit } = start(['--kafka', '127.0.0.1:1'], [TELLS])
    await expect.poll(log, PATIENT).toContain('heeds signals')
    child.kill(signal)
    expect(await exit).toEqual([0, null])
    expect(fs.existsSync(data)).toBe(false)
  }
)

test('SIGTERM while the data directory is opened stops the agent in order', async () => {
  const { child, data, lines, exit } = start(['--kafka', '127.0.0.1:1'])
  const appeared = (async () => {
    while (!fs.existsSync(data)) await new Promise(setImmediate)
  })()
  await appeared
  child.kill('SIGTERM')
  expect(await exit).toEqual([0, null])
  expect(lines().at(-1)).toMatchObject({ event: 'agent.stopped' })
  expect(lines().filter(({ level }) => level === 'error')).toEqual([])
})

test('an agent without a configuration file survives SIGHUP, whenever it comes', async () => {
  const { child, log, lines, exit } = start(['--kafka', '127.0.0.1:1'], [TELLS])
  await expect.poll(log, PATIENT).toContain('heeds signals')
  child.kill('SIGHUP')
  await expect.poll(ready(lines), PATIENT).toBe(true)
  child.kill('SIGHUP')
  await expect.poll(log, PATIENT).toContain('config.no_file')
  child.kill('SIGTERM')
  expect(await exit).toEqual([0, null])
})

test('a new box whose Kafka has no name yet accepts readings, and says aloud what is wrong', async () => {
  const names = path.join(temporaryDirectory(), 'names')
  fs.writeFileSync(names, 'ENOTFOUND')
  const fails = pathToFileURL(path.join(DIST, 'test/faults/failing-names.js')).href
  const http = `127.0.0.1:${await freePort()}`
  const { child, lines, exit } = start(['--kafka', 'localhost:9092', '--http', http], [fails], {
    FIELDLINE_NAMES: names
  })
  const told = () => lines().find(({ event }) => event === 'kafka.host_unknown')
  await expect.poll(told, PATIENT).toMatchObject({
    level: 'warn',
    msg: expect.stringMatching(/'localhost' has no such name\. Correct kafka\.brokers/)
  })
  expect(ready(lines)()).toBe(true)
  expect((await fetch(`http://${http}/ready`)).status).toBe(200)
  child.kill('SIGTERM')
  expect(await exit).toEqual([0, null])
})
