import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { simCommand } from '../../cli/commands/sim.ts'
import { TinyBroker } from './tiny-broker.ts'

const cleanups: (() => void | Promise<void>)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'fieldline-sim-'))
  cleanups.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function broker(): Promise<TinyBroker> {
  const tiny = new TinyBroker()
  await tiny.start()
  cleanups.push(() => tiny.stop())
  return tiny
}

/** Runs the command and returns what it wrote to stdout. */
async function run(...args: string[]): Promise<string> {
  let text = ''
  vi.spyOn(process.stdout, 'write').mockImplementation(chunk => {
    text += String(chunk)
    return true
  })
  await simCommand().exitOverride().parseAsync(args, { from: 'user' })
  return text
}

test('sim runs a fleet, writes ledger and truth, and sums up as one JSON object', async () => {
  const tiny = await broker()
  const dir = directory()
  const truth = join(dir, 'truth.ndjson')
  const ledger = join(dir, 'ledger.json')
  const text = await run(
    ...['--mqtt', `127.0.0.1:${tiny.port}`, '--devices', '4', '--rate', '80', '--duration', '0.5'],
    ...['--seed', '9', '--truth', truth, '--ledger', ledger, '--site', 'hall', '--json']
  )
  const summary = JSON.parse(text)
  expect(summary).toMatchObject({
    devices: 4,
    taken: 40,
    acknowledged: 40,
    unacknowledged: 0,
    seed: 9
  })
  expect(JSON.parse(readFileSync(ledger, 'utf8'))).toEqual({
    'sim-001': 10,
    'sim-002': 10,
    'sim-003': 10,
    'sim-004': 10
  })
  expect(readFileSync(truth, 'utf8')).toBe('')
  expect(new Set(tiny.published.map(p => p.topic))).toEqual(
    new Set([1, 2, 3, 4].map(i => `telemetry/hall/sim-00${i}`))
  )
})

test('sim plays a recording under its name until it ends', async () => {
  const tiny = await broker()
  const file = join(directory(), 'pump.csv')
  writeFileSync(file, 'timestamp,flow\n2015-02-26 21:42:53,7\n2015-02-26 21:47:53,4\n')
  const text = await run('--mqtt', `127.0.0.1:${tiny.port}`, '--replay', file, '--speed', '6000')
  expect(text).toContain('sent 2, acknowledged 2')
  expect(tiny.published.map(p => [p.topic, JSON.parse(p.payload).flow])).toEqual([
    ['telemetry/plant1/pump-001', 7],
    ['telemetry/plant1/pump-001', 4]
  ])
})

test('sim says so when no device could connect, and fails', async () => {
  const tiny = new TinyBroker()
  await tiny.start()
  const { port } = tiny
  await tiny.stop()
  let stderr = ''
  vi.spyOn(process.stderr, 'write').mockImplementation(chunk => {
    stderr += String(chunk)
    return true
  })
  cleanups.push(() => {
    process.exitCode = undefined
  })
  await run('--mqtt', `127.0.0.1:${port}`, '--devices', '2', '--duration', '0.2', '--drain', '0.1')
  expect(process.exitCode).toBe(1)
  expect(stderr).toMatch(/no device could connect to 127\.0\.0\.1:\d+: .*ECONNREFUSED.*--mqtt/)
})

test.each([
  [['--mqtt', 'localhost'], /--mqtt: expected HOST:PORT, like/],
  [['--mqtt', 'user:secret@x:1883'], /--mqtt: expected HOST:PORT, like(?!.*secret)/],
  [['--mqtt', 'x:70000'], /--mqtt: a port is at most 65535/],
  [['--mqtt', 'x:0'], /port is 0/],
  [['--devices', 'many'], /--devices is "many"; it must be a number/],
  [['--devices', '0'], /devices is 0/],
  [['--rate', '-5'], /rate is -5/],
  [['--duration', '0'], /duration is 0/],
  [['--seed', '1.5'], /seed is 1.5/],
  [['--qos', '3'], /qos is 3/],
  [['--faults', 'some'], /--faults is "some"; it must be none or default/],
  [['--speed', '2'], /--speed is about a recording/],
  [['--time-column', 'ts'], /--time-column is about a recording/]
])('sim refuses %j with one clear message and touches no file', async (args, message) => {
  const truth = join(directory(), 'truth.ndjson')
  await expect(run('--truth', truth, ...args)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(message)
  })
  expect(existsSync(truth)).toBe(false)
})

test('sim refuses files it cannot read or write before it starts', async () => {
  const dir = directory()
  const absent = join(dir, 'absent.csv')
  await expect(run('--replay', absent)).rejects.toMatchObject({ code: 'INPUT_UNREADABLE' })
  await expect(run('--replay', absent, '--rate', '5')).rejects.toMatchObject({ code: 'USAGE' })
  for (const file of [join(dir, 'no', 'truth.ndjson'), dir]) {
    await expect(run('--truth', file)).rejects.toMatchObject({ code: 'DIRECTORY_UNUSABLE' })
  }
})
