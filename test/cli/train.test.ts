import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { readTopic } from '../../cli/train/kafka-history.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { METRICS, rigRows, START } from '../detector/train/rig.ts'
import { createTopic, uniqueTopic, useKafka } from '../kit/kafka.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'
import { defaultRoutes, telemetryRecord } from './train-telemetry.ts'

const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli',
  'main.js'
)

function fieldline(...args: string[]) {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' })
}

const stamp = (t: number) => new Date(START + t * 1000).toISOString()

function csv(rows: readonly Float64Array[], separator = ','): string {
  const lines = rows.map((row, t) => [stamp(t), ...row].join(separator))
  return `${[['timestamp', ...METRICS].join(separator), ...lines].join('\n')}\n`
}

function write(name: string, text: string, directory = temporaryDirectory()): string {
  const file = path.join(directory, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
  return file
}

test('a recording becomes a model and a report, in seconds, the same each time', () => {
  const file = write('pump-1.csv', csv(rigRows(new Prng(1), 3000, 2900, 8)))
  const out = path.join(path.dirname(file), 'models', 'pumps')
  // The fault is in the history, but not in what is learned: a part of it is judged.
  const first = fieldline('train', file, '--out', out)
  expect(first.stderr).toBe('')
  expect(first.status).toBe(0)
  expect(first.stdout).toContain('Learned from 3000 rows of 1 device, a row every 1s')
  expect(first.stdout).toMatch(/flow +1\d\d/)
  expect(first.stdout).toMatch(/Threshold [\d.]+ for false alarms of 1\/week/)
  expect(first.stdout).toMatch(/On this history \(50 min\) it would/)
  const files = ['model.onnx', 'model.json'].map(name => path.join(out, name))
  const bytes = files.map(name => fs.readFileSync(name))
  expect(JSON.parse(bytes[1].toString())).toMatchObject({
    input: 'x',
    inputs: METRICS.map(metric => ({ metric })),
    window: { rows: 67, layout: 'metrics_first', every_ms: 1000 },
    fill: { method: 'last', max_ms: 3000 },
    output: 'score',
    contributions: 'contributions',
    reduction: 'none',
    direction: 'higher'
  })
  const json = fieldline('train', file, '--out', out, '--json')
  expect(files.map(name => fs.readFileSync(name))).toEqual(bytes)
  const report = JSON.parse(json.stdout)
  expect(report).toMatchObject({ rows: 3000, devices: 1, files })
  expect(report.threshold).toMatchObject({
    budget: '1/week',
    rehearsedOn: 'history',
    extended: true
  })
  expect(first.stdout).toContain('extended from their largest scores')
})

test('NDJSON, semicolons, several devices and a prior give models as well', () => {
  const directory = temporaryDirectory()
  const prior = write('healthy.csv', csv(rigRows(new Prng(2), 3000), ';'), directory)
  const lines = [3, 4].flatMap(seed =>
    rigRows(new Prng(seed), 600).map((row, t) =>
      JSON.stringify({
        device: `pump-${seed}`,
        ts: stamp(t),
        ...Object.fromEntries(METRICS.map((metric, i) => [metric, row[i]]))
      })
    )
  )
  const file = write('fleet.ndjson', `${lines.join('\n')}\n`, directory)
  const out = path.join(directory, 'model')
  const run = (...args: string[]) =>
    JSON.parse(fieldline('train', file, '--out', out, '--json', ...args).stdout)
  expect(run()).toMatchObject({ rows: 1200, devices: 2, threshold: { rehearsedOn: 'history' } })
  const one = run('--devices', 'pump-3', '--prior', prior, '--false-alarms', '5%')
  expect(one).toMatchObject({ rows: 600, devices: 1, threshold: { rehearsedOn: 'prior' } })
  expect(one.threshold.heldOutShare).toBeCloseTo(0.05, 2)
  const cut = run('--devices', 'pump-3', '--to', stamp(500), '--values', 'flow,current')
  expect(cut).toMatchObject({ rows: 500, metrics: [{ metric: 'flow' }, { metric: 'current' }] })
})

test.each([
  ['too short', csv(rigRows(new Prng(5), 100)), [], 1, /has 100 rows .*needed, there are 34/],
  ['empty', '', [], 1, /is empty/],
  ['a constant', 'timestamp,a\n2026-11-01,1\n2026-11-02,1\n', [], 1, /None of its metrics/],
  ['no budget', csv(rigRows(new Prng(5), 100)), ['--false-alarms', 'few'], 2, /1\/week/]
])('a history that is %s is refused in one line', (_, text, args, status, message) => {
  const file = write('history.csv', text)
  const result = fieldline('train', file, '--out', path.dirname(file), ...args)
  expect(result.stderr).toMatch(message)
  expect(result.stderr.trim().split('\n')).toHaveLength(1)
  expect(result.status).toBe(status)
  expect(fs.existsSync(path.join(path.dirname(file), 'model.onnx'))).toBe(false)
})

test('without files and without Kafka the usage is told', () => {
  const { status, stderr } = fieldline('train')
  expect(status).toBe(2)
  expect(stderr).toMatch(/give files of history, or --kafka/)
})

function skabCsv(rows: readonly Float64Array[], faultFrom?: number): string {
  const labelled = faultFrom !== undefined
  const header = ['datetime', ...METRICS, ...(labelled ? ['anomaly', 'changepoint'] : [])]
  const lines = rows.map((row, t) => {
    const time = stamp(t).slice(0, 19).replace('T', ' ')
    return [time, ...row, ...(labelled ? [t >= faultFrom ? '1.0' : '0.0', '0.0'] : [])].join(';')
  })
  return `${[header.join(';'), ...lines].join('\n')}\n`
}

test('the benchmark is judged over every folder, printed, and written row by row', () => {
  const data = temporaryDirectory()
  write('anomaly-free/anomaly-free.csv', skabCsv(rigRows(new Prng(6), 3000)), data)
  write('valve2/0.csv', skabCsv(rigRows(new Prng(7), 900, 600, 8), 600), data)
  write('other/3.csv', skabCsv(rigRows(new Prng(8), 700, 500, 8), 500), data)
  const out = path.join(data, 'out')
  const text = fieldline('evaluate', 'skab', '--data', data, '--out', out)
  expect(text.stderr).toBe('')
  expect(text.stdout).toMatch(/other\/3\.csv .*\n.*valve2\/0\.csv .*\n\* pooled +[\d.]+ +[\d.]+/)
  const lines = fs
    .readFileSync(path.join(out, 'valve2', '0.csv'), 'utf8')
    .trim()
    .split('\n')
  expect(lines).toHaveLength(901)
  expect(lines[0]).toBe('datetime,alarm')
  expect(lines[1]).toBe('2026-11-01 00:00:00,0')
  expect(lines[900]).toBe('2026-11-01 00:14:59,1')
  const { pooled, files } = JSON.parse(
    fieldline('evaluate', 'skab', '--data', data, '--json').stdout
  )
  expect(files.map((f: { file: string }) => f.file)).toEqual(['other/3.csv', 'valve2/0.csv'])
  const alarms = lines.slice(1 + 400).map(line => Number(line.split(',')[1]))
  const missed = alarms.slice(200).filter(alarm => alarm === 0).length
  expect(files[1]).toMatchObject({ rows: 500, anomalous: 300, missed })
  expect(pooled.mar).toBeLessThan(15)
})

test('what the benchmark lacks is told', () => {
  const data = temporaryDirectory()
  const message = () => fieldline('evaluate', 'skab', '--data', data).stderr
  expect(message()).toMatch(/holds no anomaly-free/)
  write('anomaly-free/anomaly-free.csv', skabCsv(rigRows(new Prng(6), 500)), data)
  expect(message()).toMatch(/no folder of labelled files/)
  write('valve1/0.csv', skabCsv(rigRows(new Prng(6), 300), 200), data)
  expect(message()).toMatch(/0\.csv' has 300 rows: the first 400/)
  write('valve1/0.csv', csv(rigRows(new Prng(6), 500)), data)
  expect(message()).toMatch(/line 1: there is no column 'datetime'/)
  write('valve1/0.csv', skabCsv(rigRows(new Prng(6), 500)), data)
  expect(message()).toMatch(/there is no column 'anomaly'/)
  expect(fieldline('evaluate', 'skab', '--data', path.join(data, 'x')).stderr).toMatch(
    /x' cannot be read/
  )
})

const shared = useKafka()

test('a topic is read up to its end when the reading began, whosever records are in it', async () => {
  const topic = await createTopic(shared.admin, uniqueTopic('train'), { numPartitions: 2 })
  const producer = shared.client().producer({ allowAutoTopicCreation: false })
  await producer.connect()
  const rows = rigRows(new Prng(9), 300)
  const messages = rows.flatMap((row, t) =>
    [1, 2].map(n => ({
      partition: n - 1,
      ...telemetryRecord(`pump-${n}`, t, START + t * 1000, METRICS, row)
    }))
  )
  await producer.send({ topic, messages: [...messages, { partition: 0, key: 'x', value: 'y' }] })
  await producer.disconnect()
  const wanted = { columns: {} }
  const routes = defaultRoutes(topic)
  const all = await readTopic(shared.client(), topic, routes, wanted)
  expect(all).toMatchObject({ devices: 2, readings: 600, unusable: 1 })
  expect(all.firstUnusable).toMatch(/has no fl-id/)
  const [stretch] = all.history.stretches
  expect([...stretch.rows[17]]).toEqual([...rows[17]])
  const one = await readTopic(shared.client(), topic, routes, {
    columns: { values: ['flow'] },
    devices: ['*-2'],
    fromAt: START + 10_000,
    toAt: START + 20_000
  })
  expect(one.history).toMatchObject({ metrics: ['flow'], everyMs: 1000 })
  expect(one.history.stretches.map(s => [s.device, s.firstAt, s.rows.length])).toEqual([
    ['plant7/pump-2', START + 10_000, 10]
  ])
  await expect(readTopic(shared.client(), 'nowhere', routes, wanted)).rejects.toThrow(/'nowhere'/)
})
