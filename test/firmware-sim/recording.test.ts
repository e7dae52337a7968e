import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { OperationalError } from '../../core/runtime/errors.ts'
import {
  parseRecording,
  prefixOf,
  type RecordingColumns,
  RecordingSource,
  readRecording
} from '../../firmware-sim/recording.ts'

const parse = (text: string, columns: RecordingColumns = {}) =>
  parseRecording(text, 'pump.csv', columns)

function refusal(text: string, columns: RecordingColumns = {}): string {
  try {
    parse(text, columns)
  } catch (error) {
    expect(error).toBeInstanceOf(OperationalError)
    expect((error as OperationalError).code).toBe('INPUT_UNREADABLE')
    return (error as OperationalError).message
  }
  throw new Error('it was accepted')
}

test('a plain recording is read with its time as UTC', () => {
  const r = parse('timestamp,value\n2015-02-26 21:42:53,7\n2015-02-26 21:47:53,4.5\n')
  expect(r.metrics).toEqual(['value'])
  expect(r.times).toEqual([Date.UTC(2015, 1, 26, 21, 42, 53), Date.UTC(2015, 1, 26, 21, 47, 53)])
  expect(r.rows).toEqual([[7], [4.5]])
})

test('byte order mark, CRLF, semicolons, comments, blank lines, quotes and empty cells are tolerated', () => {
  const r = parse(
    '\uFEFF# rig 3\r\n"datetime";"Flow; raw";Current\r\n\r\n2020-02-08 13:30:47;"0.5";\r\n# pause\r\n2020-02-08 13:30:48;NaN;-1e-3\r\n'
  )
  expect(r.metrics).toEqual(['Flow; raw', 'Current'])
  expect(r.rows).toEqual([
    [0.5, undefined],
    [undefined, -0.001]
  ])
})

test('columns are chosen by name', () => {
  const text = 'id,when,a,b\nx,1600000000,1,2\n'
  const r = parse(text, { time: 'when', values: ['b'] })
  expect(r).toEqual({ metrics: ['b'], times: [1_600_000_000_000], rows: [[2]] })
})

test('times are read as s, ms, µs and ns by magnitude, and with a zone', () => {
  const cells = [
    '1600000000',
    '1600000000000',
    '1600000000000000',
    '1600000000000000000',
    '1600000000.25'
  ]
  const r = parse(`ts,value\n${cells.map(c => `${c},1`).join('\n')}`)
  expect(r.times).toEqual([1.6e12, 1.6e12, 1.6e12, 1.6e12, 1.6e12 + 250])
  const z = parse('time,value\n2020-09-13T12:26:40Z,1\n2020-09-13T14:26:40.5+02:00,1\n')
  expect(z.times).toEqual([1.6e12, 1.6e12 + 500])
})

test('a mistake in a recording is told with file, line and what to do', () => {
  const good = 'timestamp,value\n2015-02-26 21:42:53,7\n'
  expect(refusal(`${good}2015-02-26 21:47:53,high\n`)).toMatch(/^pump\.csv:3: .*"value".*"high"/)
  expect(refusal(`${good}yesterday,4\n`)).toMatch(/^pump\.csv:3: .*"yesterday", not a time/)
  expect(refusal(`${good}2015-13-40 99:99:99,4\n`)).toMatch(/^pump\.csv:3: .*not a time/)
  expect(refusal(`${good}\n2015-02-26 21:47:53\n`)).toMatch(/^pump\.csv:4: 1 columns .* has 2/)
  expect(refusal(`${good}2015-02-26 21:47:53,"7\n`)).toMatch(/^pump\.csv:3: a quote is opened/)
  expect(refusal('')).toMatch(/is empty/)
  expect(refusal('timestamp,value\n')).toMatch(/no rows/)
  expect(refusal('a,b\n1,2\n')).toMatch(/^pump\.csv:1: .*--time-column, one of: a, b/)
  expect(refusal(good, { values: ['Value'] })).toMatch(/no column "Value".*--value-column.*value/)
  expect(refusal('timestamp\n2015-02-26 21:42:53\n')).toMatch(/no column of values/)
})

test('a file that is not there is one clear error', async () => {
  await expect(readRecording('/nonexistent/pump.csv', {})).rejects.toMatchObject({
    code: 'INPUT_UNREADABLE',
    message: expect.stringContaining('/nonexistent/pump.csv: ENOENT')
  })
})

test('a recording is played at its own pace, sped up, never ahead and in order', () => {
  const r = parse('ts,value\n1600000000,1\n1600000300,2\n1600000240,3\n1600000600,\n1600000900,5\n')
  const source = new RecordingSource(r, {
    devices: 2,
    site: 'plant1',
    prefix: 'pump-',
    startAt: 1000,
    speed: 300
  })
  const readings = [...source.readings()]
  expect(readings.map(x => [x.device, x.at, x.ts, x.values[0]])).toEqual([
    [0, 1000, 1000, 1],
    [1, 1000, 1000, 1],
    [0, 2000, 2000, 2],
    [1, 2000, 2000, 2],
    [0, 2000, 1800, 3],
    [1, 2000, 1800, 3],
    [0, 4000, 4000, 5],
    [1, 4000, 4000, 5]
  ])
  expect(source.labels()).toEqual([])
  expect(source.devices.map(d => d.device)).toEqual(['pump-001', 'pump-002'])
})

test('device names tell what is played', () => {
  expect(prefixOf('/data/machine temperature.csv')).toBe('machine-temperature-')
})

const NAB = '../shared/data/nab/data/realTweets/Twitter_volume_IBM.csv'

test.runIf(existsSync(NAB))('a benchmark recording is read whole', async () => {
  const r = await readRecording(NAB, {})
  expect(r.rows.length).toBeGreaterThan(10_000)
  expect(r.metrics).toEqual(['value'])
})
