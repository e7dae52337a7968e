import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { alertEvent, encodeAlertFrame } from '../../core/contract/alert-event.ts'
import { encodeClockMark, encodeStoredMessage } from '../../core/contract/stored-message.ts'
import type { DurableLog } from '../../core/log/log.ts'
import { FRAMES_POSITION } from '../../core/log/segment.ts'
import { lockDirectory } from '../../core/runtime/directory-lock.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { openLog, segmentFiles } from '../core/log/open-log.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli',
  'main.js'
)
const ENV = { PATH: process.env.PATH, NO_COLOR: '1' }
const T0 = Date.parse('2026-11-22T08:00:00Z')
const RECORDS = 60

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'log', ...args], {
    encoding: 'utf8',
    env: ENV
  })
  return { status, stdout, stderr }
}

const lines = (text: string) => text.split('\n').filter(line => line !== '')
const parsed = (text: string) => lines(text).map(line => JSON.parse(line))

function message(n: number, payload: string | Buffer = `{"value":${n}}`): Buffer {
  return encodeStoredMessage({
    topic: `telemetry/plant7/pump-${n % 3}/temperature`,
    payload: Buffer.from(payload),
    qos: 1,
    retain: false,
    dup: n === 5,
    packetId: 1,
    clientId: `pump-${n % 3}`,
    upstream: false,
    receivedAt: T0 + n * 60_000,
    monotonicMs: n,
    bootId: 1n,
    clockUnsynced: false,
    ...(n === 8 && { properties: { contentType: 'application/json' } })
  })
}

/** An agent's data directory, stopped in order: 60 messages in several segments, one alert frame. */
async function dataDirectory(): Promise<string> {
  const directory = temporaryDirectory()
  fs.writeFileSync(path.join(directory, 'agent.json'), '{"agentId":"gateway-7"}')
  const { log } = await openLog(path.join(directory, 'telemetry'), { segmentBytes: 5500 })
  await log.reader('uplink')
  for (let n = 0; n < RECORDS; n++) {
    await log.append([n === 7 ? message(n, Buffer.from([0xff, 0xfe])) : message(n)])
  }
  await log.close()
  await alertsIn(directory)
  return directory
}

async function alertsIn(directory: string): Promise<void> {
  const { log } = await openLog(path.join(directory, 'alerts'))
  const at = new Date(T0).toISOString()
  const event = alertEvent('/fieldline/gateway-7', 1, {
    alertId: 'plant7/pump-3/temperature/anomaly/1',
    ...{ state: 'raised', kind: 'anomaly', severity: 'warning' },
    ...{ site: 'plant7', device: 'pump-3', metric: 'temperature', score: 0.9, threshold: 0.8 },
    detector: { name: 'auto', version: '1', params: {} },
    ...{ startedAt: at, at, peak: { score: 0.9, at }, samples: 4, contributions: [] },
    ...{ reason: 'far above', late: false }
  })
  const source = { epoch: '1-0000000000000000', offset: 5 }
  await log.append([encodeAlertFrame({ source, events: [event, { ...event, id: 'second' }] })])
  await log.close()
}

const telemetry = (directory: string) => path.join(directory, 'telemetry')

function overwrite(file: string, position: number, bytes: Buffer): void {
  const all = fs.readFileSync(file)
  bytes.copy(all, position)
  fs.writeFileSync(file, all)
}

/** The second frame of the second segment, the first header copy of the third, the checkpoint. */
function damage(directory: string): void {
  const segments = segmentFiles(telemetry(directory))
  overwrite(segments[1], FRAMES_POSITION + 150, Buffer.alloc(8, 0xee))
  overwrite(segments[2], 0, Buffer.alloc(64))
  overwrite(path.join(telemetry(directory), 'checkpoint'), 20, Buffer.from('?'))
  fs.appendFileSync(segments.at(-1)!, Buffer.alloc(77, 0xab))
}

test('inspect sums up both lanes, for people and for scripts', async () => {
  const directory = await dataDirectory()
  const { status, stdout, stderr } = run('inspect', directory)
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^telemetry {2}/)
  expect(stdout).toMatch(/records +60, offsets 0 to 59/)
  expect(stdout).toMatch(/^ +uplink +0 +60 /m)
  expect(stdout).toContain('2026-11-22 08:59:00')
  expect(stdout).toMatch(/^alerts {2}/m)
  const { logs } = JSON.parse(run('inspect', directory, '--json').stdout)
  expect(logs.map((log: { lane: string; records: number }) => [log.lane, log.records])).toEqual([
    ['telemetry', 60],
    ['alerts', 1]
  ])
  expect(logs[0].cursors[0]).toMatchObject({ name: 'uplink', lag: 60, oldestAt: T0 })
  const one = JSON.parse(run('inspect', telemetry(directory), '--json').stdout)
  expect(one.logs.length).toBe(1)
})

test('verify, dry run, repair, verify: defects with their place, then none', async () => {
  const directory = await dataDirectory()
  expect(run('verify', directory)).toMatchObject({ status: 0, stderr: '' })
  damage(directory)
  const found = run('verify', directory)
  expect([found.status, found.stderr]).toEqual([1, ''])
  const segments = segmentFiles(telemetry(directory))
  expect(found.stdout).toContain(`DEFECT  ${segments[2]}:0\n`)
  expect(found.stdout).toMatch(new RegExp(`DEFECT {2}${segments[1]}:\\d+\\n.*lost: record \\d+\\n`))
  expect(found.stdout).toContain('4 defects')
  const json = run('verify', directory, '--json')
  expect([json.status, JSON.parse(json.stdout).sound]).toEqual([1, false])

  const before = run('export', directory)
  expect(before.status).toBe(1)
  expect(parsed(before.stdout).length).toBe(RECORDS - 1)
  expect(before.stderr).toMatch(/^fieldline: .*\.seg:\d+: .* skipped: damaged; lost: record \d+$/m)

  const plan = run('repair', directory, '--dry-run')
  expect([plan.status, lines(plan.stdout).filter(line => /^ {2}would /.test(line)).length]).toEqual(
    [0, 4]
  )
  expect(run('verify', directory).stdout).toBe(found.stdout)

  const repaired = run('repair', directory)
  expect([repaired.status, repaired.stderr]).toEqual([0, ''])
  expect(repaired.stdout).toContain('repaired: sound now, 59 records stand where they stood')
  expect(run('verify', directory).status).toBe(0)
  const after = run('export', directory)
  expect([after.status, after.stdout, after.stderr]).toEqual([0, before.stdout, ''])
  expect(run('repair', directory).stdout).toContain('sound: nothing to repair')
})

test('repair is refused while an agent runs, and changes nothing', async () => {
  const directory = await dataDirectory()
  damage(directory)
  const lock = await lockDirectory(directory)
  onTestFinished(() => lock.release())
  for (const target of [directory, telemetry(directory)]) {
    const { status, stdout, stderr } = run('repair', target)
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(
      new RegExp(`^fieldline: The directory .* is in use by process ${process.pid}`)
    )
  }
  expect(fs.existsSync(path.join(telemetry(directory), 'quarantine'))).toBe(false)
})

test('on the log of a running agent unfinished bytes are in flight', async () => {
  const directory = await dataDirectory()
  fs.appendFileSync(segmentFiles(telemetry(directory)).at(-1)!, Buffer.alloc(77, 0xab))
  expect(run('verify', directory).status).toBe(1)
  const lock = await lockDirectory(directory)
  onTestFinished(() => lock.release())
  const { status, stdout } = run('verify', directory)
  expect(stdout).toContain('77 B in flight: sound')
  expect(status).toBe(0)
  expect(run('export', directory)).toMatchObject({ status: 0, stderr: '' })
})

test('export gives records as they came, by offset, time, topic and number', async () => {
  const directory = await dataDirectory()
  const all = parsed(run('export', directory).stdout)
  expect(all.map(({ offset }) => offset)).toEqual([...Array(RECORDS).keys()])
  const { epoch } = all[5]
  expect(all[5]).toEqual({
    id: `gateway-7/${epoch}/5`,
    ...{ epoch, offset: 5, topic: 'telemetry/plant7/pump-2/temperature', clientId: 'pump-2' },
    ...{ qos: 1, dup: true, retain: false, receivedAt: T0 + 300_000, payload: '{"value":5}' }
  })
  expect(all[7]).toMatchObject({ payload: '//4=', payloadEncoding: 'base64' })
  expect(all[8].properties).toEqual({ contentType: 'application/json' })
  const chosen = (...args: string[]) =>
    parsed(run('export', directory, ...args).stdout).map(({ offset }) => offset)
  expect(chosen('--from', '20', '--to', '23')).toEqual([20, 21, 22])
  expect(chosen('--since', '2026-11-22T08:58:00Z')).toEqual([58, 59])
  expect(chosen('--until', String(T0 + 120_000))).toEqual([0, 1])
  expect(chosen('--topic', '+/plant7/pump-1/#', '--limit', '3')).toEqual([1, 4, 7])
  expect(chosen('--topic', 'nothing/#')).toEqual([])
  expect(chosen('--limit', '0')).toEqual([])
})

test('export writes raw payloads, alert events, and files', async () => {
  const directory = await dataDirectory()
  const raw = ['export', directory, '--format', 'raw']
  expect(run(...raw, '--to', '2').stdout).toBe('{"value":0}\n{"value":1}\n')
  expect(run(...raw, '--to', '2', '--no-newline').stdout).toBe('{"value":0}{"value":1}')
  const alerts = parsed(run('export', directory, '--lane', 'alerts').stdout)
  expect(alerts.map(({ id }) => id)).toEqual(['plant7/pump-3/temperature/anomaly/1#1', 'second'])
  expect(
    run('export', directory, '--lane', 'alerts', '--topic', 'alerts/plant7/+/+/silent').stdout
  ).toBe('')
  const file = path.join(directory, 'out.ndjson')
  expect(run('export', directory, '--out', file)).toEqual({ status: 0, stdout: '', stderr: '' })
  expect(parsed(fs.readFileSync(file, 'utf8')).length).toBe(RECORDS)
  expect(run('export', directory, '--out', '/nowhere/at/all')).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^fieldline: Cannot write \/nowhere\/at\/all: .*\n$/)
  })
})

test('clock marks are no messages; what this version cannot read is exported as it stands', async () => {
  const directory = temporaryDirectory()
  const { log } = await openLog(path.join(directory, 'telemetry'))
  await log.append([
    encodeClockMark({ bootId: 1n, wallAt: T0, monotonicMs: 1 }),
    Buffer.from([9, 9, 9])
  ])
  await log.close()
  const { status, stdout } = run('export', directory)
  expect(status).toBe(0)
  expect(parsed(stdout)).toEqual([{ id: null, epoch: log.status.epoch, offset: 1, record: 'CQkJ' }])
})

test('tail shows the last records, and nothing of them moves a terminal', async () => {
  const directory = await dataDirectory()
  const { log } = await openLog(telemetry(directory))
  await log.append([message(60, '\x1b]0;mine\x07\u009b2J')])
  await log.close()
  const { status, stdout } = run('tail', directory, '-n', '2')
  expect(status).toBe(0)
  expect(lines(stdout)).toEqual([
    '2026-11-22 08:59:00.000  59  telemetry/plant7/pump-2/temperature  {"value":59}',
    '2026-11-22 09:00:00.000  60  telemetry/plant7/pump-0/temperature  \\x1b]0;mine\\x07\\x9b2J'
  ])
  const json = run('tail', directory, '--json', '-n', '1').stdout
  expect(json).toContain('\\u009b')
  expect(parsed(json)[0].payload).toBe('\x1b]0;mine\x07\u009b2J')
  const topic = parsed(
    run('tail', directory, '--json', '-n', '2', '--topic', '+/+/pump-1/#').stdout
  )
  expect(topic.map(({ offset }) => offset)).toEqual([55, 58])
  expect(lines(run('tail', directory).stdout).length).toBe(10)
})

class Follower {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [MAIN, 'log', 'tail', ...args], { env: ENV })
    this.child.stdout!.on('data', text => (this.stdout += text))
    this.child.stderr!.on('data', text => (this.stderr += text))
    onTestFinished(() => void this.child.kill('SIGKILL'))
  }

  shows(text: string): Promise<void> {
    return expect.poll(() => this.stdout, { timeout: 10_000 }).toContain(text)
  }
}

test('tail follows a running agent up to its checkpointed end, and Ctrl-C ends it with 0', async () => {
  const directory = await dataDirectory()
  const lock = await lockDirectory(directory)
  onTestFinished(() => lock.release())
  const { log } = await openLog(telemetry(directory))
  const reader = await log.reader('uplink')
  const follower = new Follower(directory, '--follow', '-n', '1')
  await follower.shows('{"value":59}')
  await log.append([message(60)])
  reader.commit({ epoch: log.status.epoch, offset: 1 })
  await log.checkpoint()
  await follower.shows('{"value":60}')
  await append(log, 61, 200)
  await follower.shows('{"value":170}')
  expect(follower.stdout).not.toContain('{"value":199}')
  const unsettled = run('tail', directory, '-n', '1', '--unsettled')
  expect(lines(unsettled.stdout)).toEqual([expect.stringContaining('{"value":199}')])
  const told = run('tail', directory, '-n', '1')
  expect(told.stderr).toMatch(/^fieldline: \d+ newer records are not behind a checkpoint yet/)

  follower.child.kill('SIGINT')
  const [code] = await once(follower.child, 'exit')
  expect(code).toBe(0)
  // Whether a checkpoint lay between the last append and its look is chance: it may say so, once.
  expect(follower.stderr).toMatch(
    /^(fieldline: \d+ newer records are not behind a checkpoint.*\n)?$/
  )
  const shown = lines(follower.stdout).map(line => Number(line.split(/ {2}/)[1]))
  expect(shown).toEqual(Array.from({ length: shown.length }, (_, n) => 59 + n))
})

async function append(log: DurableLog, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) await log.append([message(n)])
}

test('a reader that goes away is no failure', async () => {
  const directory = await dataDirectory()
  const { log } = await openLog(telemetry(directory), { segmentBytes: 4 << 20, bytesMax: 64 << 20 })
  for (let n = 0; n < 20; n++) {
    await log.append(Array.from({ length: 500 }, () => message(1, 'x'.repeat(500))))
  }
  await log.close()
  const pipe = `"${process.execPath}" "${MAIN}" log export "${directory}" | head -n 1`
  const { status, stderr, stdout } = spawnSync('bash', ['--norc', '-o', 'pipefail', '-c', pipe], {
    encoding: 'utf8',
    env: ENV
  })
  expect([status, stderr, lines(stdout).length]).toEqual([0, '', 1])
})

test('what cannot be read or understood is one clear message', async () => {
  const directory = await dataDirectory()
  const fails = (status: number, text: RegExp, ...args: string[]) => {
    const result = run(...args)
    expect([result.status, result.stdout]).toEqual([status, ''])
    expect(result.stderr).toMatch(text)
    expect(lines(result.stderr).length).toBe(1)
  }
  for (const name of ['inspect', 'verify', 'repair', 'export', 'tail']) {
    fails(1, /^fieldline: \/not\/there cannot be read: ENOENT/, name, '/not/there')
    fails(1, /^fieldline: There is no log in /, name, temporaryDirectory())
  }
  fails(
    2,
    /^fieldline: --from is "x"; it must be a whole number/,
    'export',
    directory,
    '--from',
    'x'
  )
  fails(2, /^fieldline: --limit is "-1"/, 'export', directory, '--limit', '-1')
  fails(2, /^fieldline: --since is "noon"/, 'export', directory, '--since', 'noon')
  fails(2, /^fieldline: --topic is "a\/#\/b"/, 'export', directory, '--topic', 'a/#/b')
  fails(
    2,
    /^fieldline: --lane is "x"; it must be telemetry or alerts/,
    'verify',
    directory,
    '--lane',
    'x'
  )
  fails(2, /^fieldline: --lines is "1.5"/, 'tail', directory, '-n', '1.5')
  fs.rmSync(path.join(directory, 'alerts'), { recursive: true })
  fails(1, /^fieldline: There is no alerts log in /, 'export', directory, '--lane', 'alerts')
})
