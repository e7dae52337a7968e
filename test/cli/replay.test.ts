import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { loadFieldlineConfig } from '../../cli/config.ts'
import { BUCKETS_MAX, ChartRecorder } from '../../cli/replay/chart-recorder.ts'
import { judge, readLabels } from '../../cli/replay/labels.ts'
import { replay } from '../../cli/replay/replay.ts'
import { htmlReport } from '../../cli/replay/report/report.ts'
import { Tally } from '../../cli/replay/tally.ts'
import type { AlertEvent } from '../../core/contract/alert-event.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { noCounters } from '../../detector/counters.ts'
import { Detector } from '../../detector/detector.ts'
import { fileInputs } from '../../detector/source/file-input.ts'
import { EPOCH, eventfulReadings, T0 } from '../detector/kit.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli',
  'main.js'
)

/** Of one device, a minute apart: noise, a shift of 12 σ from row 900 to 1000. */
function pumpCsv(rows = 1500): string {
  const prng = new Prng(1)
  const lines = ['timestamp,temperature']
  for (let row = 0; row < rows; row++) {
    const value = 50 + prng.normal() + (row >= 900 && row < 1000 ? 12 : 0)
    lines.push(`${new Date(T0 + row * 60_000).toISOString()},${value}`)
  }
  return `${lines.join('\n')}\n`
}

interface Played {
  whole: boolean
  out: string
  told: string
}

async function play(
  files: readonly string[],
  changes: Partial<Parameters<typeof replay>[0]> = {}
): Promise<Played> {
  const { config } = await loadFieldlineConfig()
  let out = ''
  let told = ''
  const whole = await replay({
    ...{ files, config, detector: config.detector, columns: {}, json: false },
    ...{ graceMs: 600_000, chartsMax: 40 },
    output: {
      write: async chunk => {
        out += chunk.toString()
      },
      end: async () => {}
    },
    tell: text => {
      told += text
    },
    ...changes
  })
  return { whole, out, told }
}

function written(name: string, text: string): string {
  const file = path.join(temporaryDirectory(), name)
  fs.writeFileSync(file, text)
  return file
}

function eventsOf({ out }: Played): AlertEvent[] {
  return out
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as AlertEvent)
}

test('a replayed log gives the very events that the edge detector raised on it', async () => {
  const readings = eventfulReadings(3, 12_000).map(reading => ({
    ...reading,
    observedAt: reading.at,
    ...(reading.offset % 3000 > 2950 ? { unusable: ['flow'] } : {})
  }))
  const { config } = await loadFieldlineConfig()
  const edge = new Detector(config.detector, { source: '/fieldline/replay', logger: silentLogger })
  const raised = (await edge.process(readings)).flatMap(({ events }) => events)
  expect(raised.length).toBeGreaterThan(5)

  const log = readings.map(
    ({ offset, at, receivedAt, site, device, values, unusable, eventId }) => {
      const failed = Object.fromEntries((unusable ?? []).map(metric => [metric, null]))
      const payload = {
        ts: at,
        ...failed,
        ...Object.fromEntries(values.map(v => [v.metric, v.value]))
      }
      return JSON.stringify({
        ...{
          id: eventId,
          epoch: EPOCH,
          offset,
          topic: `telemetry/${site}/${device}`,
          clientId: 'c'
        },
        ...{ qos: 1, dup: false, retain: false, receivedAt, payload: JSON.stringify(payload) }
      })
    }
  )
  const played = await play([written('log.ndjson', log.join('\n'))], { json: true })
  expect(eventsOf(played)).toEqual(raised)
  expect(played.whole).toBe(true)
  expect(played.told).toContain('12,000 readings')
})

test('the same readings raise the same alerts, as a table or as payloads, in one file or several', async () => {
  const readings = eventfulReadings(5, 8000, 3)
  const rows = readings.map(({ at, device, values }) => [at, device, ...values.map(v => v.value)])
  const wide = ['time,device,temperature,pressure', ...rows.map(r => r.join(','))]
  const long = [
    'time;device;metric;value',
    ...readings.flatMap(({ at, device, values }) =>
      values.map(v => [at, device, v.metric, v.value].join(';'))
    )
  ]
  const payloads = readings.map(({ at, device, values }) =>
    JSON.stringify({ ts: at, device, ...Object.fromEntries(values.map(v => [v.metric, v.value])) })
  )
  const alerts = async (...files: string[]) =>
    eventsOf(await play(files, { json: true })).map(({ data: { eventId: _, ...data } }) => data)
  const whole = await alerts(written('wide.csv', wide.join('\n')))
  expect(whole.length).toBeGreaterThan(5)
  expect(await alerts(written('long.csv', long.join('\n')))).toEqual(whole)
  expect(await alerts(written('payloads.ndjson', payloads.join('\n')))).toEqual(whole)
  const directory = temporaryDirectory()
  const files = ['pump-0', 'pump-1', 'pump-2'].map(device => {
    const file = path.join(directory, `${device}.csv`)
    const own = rows.filter(row => row[1] === device).map(([at, , ...values]) => [at, ...values])
    fs.writeFileSync(file, ['time,temperature,pressure', ...own.map(r => r.join(','))].join('\n'))
    return file
  })
  expect(await alerts(...files)).toEqual(whole)
})

test('without times of receipt, one device’s fast clock makes no other device late', async () => {
  const prng = new Prng(4)
  const lines = ['time,device,a']
  for (let minute = 0; minute < 600; minute++) {
    for (const device of ['a', 'b', 'c', 'd', 'e']) {
      const fast = device === 'b' && minute >= 300 && minute < 320 ? 45 : 0
      lines.push(`${T0 + (minute + fast) * 60_000},${device},${prng.normal()}`)
    }
  }
  const events = eventsOf(await play([written('fleet.csv', lines.join('\n'))], { json: true }))
  expect(events.filter(({ data }) => data.device !== 'b' && data.kind !== 'anomaly')).toEqual([])
  expect(events.filter(({ data }) => data.device !== 'b' && data.late)).toEqual([])
})

test('a person is told alerts, what they would have lived with, and what was found', async () => {
  const file = written('pump-3.csv', pumpCsv())
  const fault = { site: 'plant7', device: 'pump-3', metric: 'temperature', kind: 'shift' }
  const label = { ...fault, magnitude: 12, from: T0 + 900 * 60_000, to: T0 + 1000 * 60_000 }
  const other = { ...label, kind: 'spike', from: T0, to: T0 + 60_000 }
  const elsewhere = { ...label, device: 'pump-4' }
  const labels = written(
    'truth.ndjson',
    [label, other, elsewhere].map(l => JSON.stringify(l)).join('\n')
  )
  const { out, whole } = await play([file], { labels })
  expect(whole).toBe(true)
  expect(out).toMatch(/^2026-11-22 23:00:00 {2}\w+ +history\/pump-3.* [\d.]+ σ above/m)
  expect(out).toMatch(/cleared {3}history\/pump-3.* after /)
  expect(out).toContain('1,500 readings, 1 series, 1 device, 2026-11-22 08:00:00 to')
  expect(out).toContain('30 values only learned from')
  expect(out).toMatch(/^shift +1 +1 +0 +0 s$/m)
  expect(out).toMatch(/^spike +1 +0 +1 +-$/m)
  expect(out).toContain('1 label of what this history does not hold')
})

test('the engine that plays has the sensitivity, scorer and routes that it is given', async () => {
  const { config } = await loadFieldlineConfig()
  const file = written('pump.csv', pumpCsv())
  const never = { ...config.detector, raise: 1, clear: 0.9 }
  expect(eventsOf(await play([file], { json: true, detector: never }))).toEqual([])
  const detector = { ...config.detector, scorer: 'zscore' as const, sensitivity: 'high' as const }
  const [first] = eventsOf(await play([file], { json: true, detector }))
  expect(first.data.detector).toMatchObject({ name: 'zscore', params: { sigmas: 3.7 } })
})

test('lines that cannot be used are told with their place, ten of them, and the exit says so', async () => {
  const bad = Array.from({ length: 15 }, () => 'yesterday,1').join('\n')
  const file = written('pump.csv', `${pumpCsv(50)}${bad}\n`)
  const { whole, told, out } = await play([file])
  expect(whole).toBe(false)
  expect(told.split('\n').filter(l => l.includes('"yesterday", no time'))).toHaveLength(10)
  expect(told).toContain(`${file}:52: column "timestamp" holds "yesterday"`)
  expect(told).toContain('and 5 more such lines or cells')
  expect(out).toContain('15 bad lines or cells passed over')
})

test('values out of order, repeated or doubled are counted', async () => {
  const { out } = await play([written('a.csv', 'time,a\n10,1\n9,1\n11,1\n11,2\n')])
  expect(out).toContain('1 earlier than the one before, 1 at the time of the one before')
})

test('a history without a usable reading is an error', async () => {
  const file = written('a.csv', 'time,a\n10,1\n')
  await expect(play([file], { fromAt: T0 })).rejects.toThrow(/not one reading between --from/)
  await expect(play([written('b.csv', 'time,a\nx,1\n')])).rejects.toThrow(/that can be used/)
  await expect(play([path.join(path.dirname(file), 'none')])).rejects.toThrow(
    /Cannot read .*ENOENT/
  )
})

test('a history without a number that is wanted is an error, and a field mistyped is guessed', async () => {
  const file = written('a.ndjson', `{"ts":${T0},"temp":1}\n{"ts":${T0 + 1},"temp":1}\n`)
  const values = { columns: { values: ['tmp'] } }
  await expect(play([file], values)).rejects.toThrow(/not one number called tmp in 2 readings/)
  let told = ''
  const tell = (text: string) => {
    told += text
  }
  await expect(play([file], { columns: { time: 'tss' }, tell })).rejects.toThrow(/that can be used/)
  expect(told).toContain(':1: no time in its field "tss"; did you mean "ts"?')
})

test('windows are taken by the end of a path, both edges belonging to them', () => {
  const inputs = fileInputs(['/data/realPumps/pump.csv', '/data/realPumps/other.csv'])
  const labels = written(
    'windows.json',
    JSON.stringify({
      'realPumps/pump.csv': [['2026-11-22 08:00:00.000000', '2026-11-22 09:00:00.000000']],
      'realPumps/another.csv': []
    })
  )
  const [label] = readLabels(labels, inputs)
  expect(label).toMatchObject({ device: 'pump', metric: '-', from: T0, to: T0 + 3_600_001 })
  expect(() => readLabels(labels, fileInputs(['x.csv']))).toThrow(/none of its names/)
  expect(() => readLabels(written('l', '{"from":1}'), inputs)).toThrow(/l:1: no label/)
  const odd = written('odd.json', JSON.stringify({ 'realPumps/pump.csv': [['x']] }))
  expect(() => readLabels(odd, inputs)).toThrow(/no pair of times/)
})

test('an alert is of a label from its beginning to the grace behind its end', () => {
  const series = { site: 's', device: 'd', metric: 'm', values: 1, firstAt: 0, lastAt: 10_000 }
  const tally = { ...series, learning: false, backward: 0, repeated: 0, raised: 0 }
  const label = { site: 's', device: 'd', metric: 'm', kind: 'spike', from: 1000, to: 2000 }
  const alertAt = (at: number, changes = {}) => {
    const raised = {
      site: 's',
      device: 'd',
      metric: 'm',
      at: new Date(at).toISOString(),
      ...changes
    }
    return { raised, receivedAt: at, last: raised, metrics: new Set() } as never
  }
  const found = (at: number, changes = {}) =>
    judge([label], [alertAt(at, changes)], [tally], 500).labels[0].delayMs
  expect(found(999)).toBeUndefined()
  expect(found(1000)).toBe(0)
  expect(found(2499)).toBe(1499)
  expect(found(2500)).toBeUndefined()
  expect(found(1500, { metric: '-' })).toBe(500)
  expect(found(1500, { metric: 'n' })).toBeUndefined()
  expect(found(1500, { site: 't' })).toBeUndefined()
})

test('a report holds everything, asks nobody, and takes a stranger’s names for text', async () => {
  const evil = '<script>alert(1)</script>"\'&'
  const rows = pumpCsv().trim().split('\n').slice(1)
  const csv = [
    'time,device,temperature',
    ...rows.map(r => r.replace(',', `,"${evil.replace('"', '""')}",`))
  ]
  const html = path.join(temporaryDirectory(), 'report.html')
  const labels = written(
    'truth.ndjson',
    JSON.stringify({
      device: evil,
      kind: '<img src=x>',
      from: T0 + 54_000_000,
      to: T0 + 60_000_000
    })
  )
  await play([written('fleet.csv', csv.join('\n'))], { html, labels })
  const page = fs.readFileSync(html, 'utf8')
  expect(page).not.toContain('<script>alert')
  expect(page).not.toContain('<img')
  expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;')
  expect(page.match(/<script/g)).toHaveLength(1)
  expect(page).toMatch(/default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-/)
  expect(page).not.toMatch(/(src|href)="(?!#)/)
  expect(page).not.toMatch(/https?:/)
  expect(page).toContain('prefers-color-scheme: dark')
  expect(page).toMatch(/class="mark \w+" id="a1" href="#r1"/)
  expect(page).toMatch(/<tr id="r1">.*<a href="#a1">/)
  expect(page).toContain('σ above')
  expect(page).toContain('1 of 1</b><span>labels found')
})

test('a report’s size does not grow with the length of the history, nor with the series', async () => {
  const sizeOf = async (rows: number, devices: number) => {
    const html = path.join(temporaryDirectory(), 'report.html')
    const prng = new Prng(2)
    const lines = ['time,device,a,b']
    for (let row = 0; row < rows; row++) {
      const time = 1_800_000_000 + row * 60
      for (let d = 0; d < devices; d++)
        lines.push(`${time},d${d},${prng.normal()},${prng.normal()}`)
    }
    const { out } = await play([written('a.csv', lines.join('\n'))], { html, chartsMax: 5 })
    expect(out).toContain(`${2 * devices} series`)
    return fs.statSync(html).size
  }
  const small = await sizeOf(3000, 2)
  expect(small).toBeLessThan(400_000)
  expect(await sizeOf(12_000, 2)).toBeLessThan(1.5 * small)
  expect(await sizeOf(3000, 8)).toBeLessThan(2 * small)
})

test('a chart keeps extremes, the band’s mean and late values in a bounded number of buckets', () => {
  const recorder = new ChartRecorder()
  const add = (at: number, value: number, learning = false) =>
    recorder.add({
      ...{ series: { site: 's', device: 'd', metric: 'm' }, at, value, learning },
      score: value > 100 ? 0.9 : 0,
      explain: () => ({ expected: 0, lower: -1, upper: 1, reason: '' })
    })
  for (let i = 0; i < 50_000; i++) add(T0 + i * 60_000, i === 31_234 ? 500 : i % 7, i < 100)
  const before = recorder.points()
  expect(before.length).toBeLessThanOrEqual(BUCKETS_MAX)
  expect(before.length).toBeGreaterThan(BUCKETS_MAX / 4)
  expect(before.every((p, i) => i === 0 || p.at > before[i - 1].at)).toBe(true)
  expect(before[0].band).toBeUndefined()
  expect(before.at(-1)?.band).toEqual({ lower: -1, upper: 1 })
  const [peak] = before.filter(p => p.max === 500)
  expect(peak.score).toBe(0.9)
  expect(Math.abs(peak.at - (T0 + 31_234 * 60_000))).toBeLessThan(recorder.widthMs)
  // A late one joins its bucket; one before all others makes its own.
  add(T0 + 31_234 * 60_000, -9)
  add(T0 - 86_400_000, 3)
  const after = recorder.points()
  expect(after.filter(p => p.max === 500)[0].min).toBe(-9)
  expect(after[0].at).toBeLessThanOrEqual(T0 - 86_400_000)
  expect(after.length).toBe(before.length + 1)
})

test('nothing raised is said in the report, too', () => {
  const page = htmlReport({
    ...{
      tally: new Tally(),
      counters: noCounters(),
      lines: { bad: 0, files: 1 },
      files: ['a.csv']
    },
    ...{ detector: 'auto', charts: new Map(), chartsMax: 40, verdict: undefined, raise: 0.8 },
    version: '1'
  })
  expect(page).toContain('no alert would have been raised')
})

function run(
  args: readonly string[],
  input = ''
): Promise<{ status: number | null; out: string; err: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, 'replay', ...args])
    let out = ''
    let err = ''
    child.stdout.on('data', data => {
      out += data
    })
    child.stderr.on('data', data => {
      err += data
    })
    child.on('error', reject).on('close', status => resolve({ status, out, err }))
    child.stdin.end(input)
  })
}

test('the command reads standard input, prints alerts as NDJSON, and its exit codes tell', async () => {
  const fine = await run(['-', '--json', '--site', 'plant7', '--sensitivity', 'low'], pumpCsv())
  expect(fine.status).toBe(0)
  const [first] = fine.out
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  expect(first).toMatchObject({ type: 'io.fieldline.alert.raised' })
  expect(first.data).toMatchObject({ site: 'plant7', device: 'stdin' })
  expect(fine.err).toContain('1,500 readings')

  const [bad, mistyped, loud, config, onnx] = await Promise.all([
    run(['-'], `${pumpCsv(40)}x,1\n`),
    run(['-', '--values', 'temprature'], pumpCsv(40)),
    run(['-', '--sensitivity', 'loud']),
    run(['-', '-c', 'none.yaml']),
    run(['-', '--scorer', 'onnx'], pumpCsv(40))
  ])
  expect(bad.status).toBe(1)
  expect(bad.err).toContain('standard input:42: column "timestamp" holds "x", no time')
  expect(mistyped.status).toBe(1)
  expect(mistyped.err).toContain('Did you mean "temperature"?')
  expect(loud.status).toBe(2)
  expect(config.status).toBe(78)
  expect(onnx.status).toBe(2)
  expect(onnx.err).toContain('needs a configuration with detector.models')
})
