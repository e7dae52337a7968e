import { expect, test } from 'vitest'
import {
  type BadLine,
  type HistoryOptions,
  type HistoryReading,
  readHistory
} from '../../../detector/source/history.ts'
import { LINE_CHARS_MAX, linesOf } from '../../../detector/source/history-lines.ts'
import { epochMs, InstantParser, instantOf } from '../../../detector/source/history-time.ts'

const T = Date.UTC(2026, 10, 22, 8)

async function* cut(text: string, bytes: number): AsyncGenerator<Uint8Array> {
  const all = Buffer.from(text)
  for (let i = 0; i < all.length; i += bytes) yield all.subarray(i, i + bytes)
}

function input(text: string, name = 'pump.csv', bytes = 7) {
  return { name, device: name.replace(/\.\w+$/, ''), chunks: () => cut(text, bytes) }
}

async function read(text: string | string[], options: HistoryOptions = {}) {
  const bad: BadLine[] = []
  const notes: BadLine[] = []
  const readings: HistoryReading[] = []
  const inputs = [text].flat().map((each, i) => input(each, i === 0 ? 'pump.csv' : `pump-${i}.csv`))
  const onBad = (each: BadLine) => bad.push(each)
  const onNote = (each: BadLine) => notes.push(each)
  for await (const one of readHistory(inputs, { onBad, onNote, ...options })) readings.push(one)
  return { readings, bad, notes }
}

const valuesOf = (readings: HistoryReading[]) =>
  readings.map(({ values }) => Object.fromEntries(values.map(v => [v.metric, v.value])))

test.each([
  ['1795334400', T],
  ['1795334400.25', T + 250],
  ['1795334400000', T],
  ['1795334400000000', T],
  ['1795334400000000000', T],
  ['1.7953344e9', T],
  ['2026-11-22 08:00:00', T],
  ['2026-11-22T08:00:00', T],
  ['2026-11-22T08:00', T],
  ['2026/11/22 08:00:00', T],
  ['2026-11-22 08:00:00.250', T + 250],
  ['2026-11-22 08:00:00,250', T + 250],
  ['2026-11-22T08:00:00Z', T],
  ['2026-11-22T10:00:00+02:00', T],
  ['2026-11-22 10:00:00 +0200', T],
  ['2026-11-22 08:00:00 UTC', T],
  ['2026-11-22', T - 8 * 3_600_000],
  ['0', 0]
])('an instant is read by its form or magnitude: %s', (text, at) => {
  expect(new InstantParser().parse(text)).toBe(at)
  expect(instantOf(text)).toBe(at)
})

test.each([
  '',
  'yesterday',
  '22.11.2026',
  '2026-13-01',
  '2026-11-22 25:00:00',
  '1e30',
  '0x10',
  '8'.repeat(30)
])('what is no instant is none: %j', text => expect(new InstantParser().parse(text)).toBeNaN())

test('the day of the line before does not stick to another day, nor to no day', () => {
  const parser = new InstantParser()
  expect(parser.parse('2026-11-22 08:00:00')).toBe(T)
  expect(parser.parse('2026-11-23 08:00:00')).toBe(T + 86_400_000)
  expect(parser.parse('2026-99-23 08:00:00')).toBeNaN()
  expect(parser.parse('2026-11-22 08:00:61')).toBeNaN()
  expect(parser.parse('2026-11-22 08:00:01')).toBe(T + 1000)
  expect(epochMs(Number.NaN)).toBeNaN()
})

test.each([1, 2, 3, 1000])(
  'lines are the same however bytes are cut (%i at a time)',
  async bytes => {
    const lines = []
    for await (const some of linesOf(cut('\uFEFFä,1\r\n\n€,2\n😀', bytes))) lines.push(...some)
    expect(lines.map(l => l.text)).toEqual(['ä,1', '', '€,2', '😀'])
    expect(lines.map(l => l.number)).toEqual([1, 2, 3, 4])
  }
)

test('a line too long is passed over, and those around it are not', async () => {
  const long = 'x'.repeat(LINE_CHARS_MAX + 10)
  const lines = []
  for await (const some of linesOf(cut(`a\n${long}\nb`, 1 << 20))) lines.push(...some)
  expect(lines).toEqual([
    { text: 'a', number: 1 },
    { text: undefined, number: 2 },
    { text: 'b', number: 3 }
  ])
})

test.each([',', ';', '\t'])('a wide table has a column a metric (separator %j)', async s => {
  const rows = [
    ['timestamp', 'temp', 'pressure'],
    ['2026-11-22 08:00:00', '20.5', '4'],
    ['2026-11-22 08:01:00', '', '-4e-1']
  ]
  const { readings, bad } = await read(rows.map(r => r.join(s)).join('\r\n'))
  expect(bad).toEqual([])
  expect(readings[0]).toEqual({
    at: T,
    site: 'history',
    device: 'pump',
    values: [
      { metric: 'temp', value: 20.5 },
      { metric: 'pressure', value: 4 }
    ],
    file: 'pump.csv',
    line: 2
  })
  expect(valuesOf(readings)).toEqual([{ temp: 20.5, pressure: 4 }, { pressure: -0.4 }])
})

test('a table may name its site and device, and columns of no numbers are left out with a note', async () => {
  const { readings, bad, notes } = await read(
    [
      '# made by hand',
      'Time,Site,Device ID,seq,state,temp',
      `${T},plant7,a,1,on,1`,
      `${T},plant7,"b, ""left""",2,off,2`,
      `${T},,,3,off,NaN`
    ].join('\n'),
    { site: 'attic' }
  )
  expect(bad).toEqual([])
  expect(notes).toEqual([
    {
      file: 'pump.csv',
      line: 3,
      why: 'column "state" holds "on", no number: the column is left out'
    }
  ])
  expect(readings.map(r => `${r.site}/${r.device}`)).toEqual([
    'plant7/a',
    'plant7/b, "left"',
    'attic/pump'
  ])
  expect(valuesOf(readings)).toEqual([{ temp: 1 }, { temp: 2 }, {}])
})

test('a long table has a row a value; neighbours of one device and instant are one reading', async () => {
  const { readings } = await read(
    [
      'time,device,metric,value',
      `${T},a,temp,1`,
      `${T},a,pressure,2`,
      `${T},b,temp,3`,
      `${T + 1},b,temp,4`,
      `${T + 1},b,temp,5`
    ].join('\n')
  )
  expect(readings.map(({ device, at, line }) => [device, at - T, line])).toEqual([
    ['a', 0, 2],
    ['b', 0, 4],
    ['b', 1, 5],
    ['b', 1, 6]
  ])
  expect(valuesOf(readings)).toEqual([
    { temp: 1, pressure: 2 },
    { temp: 3 },
    { temp: 4 },
    { temp: 5 }
  ])
})

test('columns are named, and a decimal comma is one where the comma does not separate', async () => {
  const { readings } = await read('when;who;x;y\n22;a;1,5;2\n23;b;0;1', {
    columns: { time: 'when', device: 'who', values: ['x'] }
  })
  expect(readings.map(r => [r.at, r.device])).toEqual([
    [22_000, 'a'],
    [23_000, 'b']
  ])
  expect(valuesOf(readings)).toEqual([{ x: 1.5 }, { x: 0 }])
})

test.each<[string, string, HistoryOptions['columns'], RegExp]>([
  [
    'a time that is not there',
    'a,b\n1,2',
    {},
    /pump\.csv:1: no column is called timestamp, time.* "a", "b"/
  ],
  [
    'a name mistyped',
    'timestamp,pressure\n1,2',
    { values: ['presure'] },
    /--values names "presure".*Did you mean "pressure"\?/
  ],
  [
    'a name far off',
    'timestamp,b\n1,2',
    { device: 'machine' },
    /--device names "machine", which is no column\. There are: "timestamp", "b"/
  ],
  ['no values', 'timestamp,seq\n1,2', {}, /a column of numbers with --values/],
  [
    'several values of a long table',
    't,m,a,b\n1,x,2,3',
    { time: 't', metric: 'm' },
    /the one column that holds the values/
  ],
  ['twice the same name', 'time,a,a\n1,2,3', {}, /two columns are called "a"/],
  ['nothing', '\n\n', {}, /pump\.csv is empty/]
])('a header that does not fit is refused: %s', async (_, text, columns, message) => {
  await expect(read(text, { columns: columns ?? {} })).rejects.toThrow(message)
})

test('lines that cannot be used are told with their place, and the others count', async () => {
  const { readings, bad } = await read(
    ['time,a,b', '1,1,1', '2,1', 'x\u001b[2J,1,1', '3,one,2', '4,"1,1', '5,0x10,3', '6,1,1'].join(
      '\n'
    )
  )
  expect(bad.map(({ line, why }) => `${line}: ${why}`)).toEqual([
    '3: 2 columns where the header has 3',
    '4: column "time" holds "x\\u001b[2J", no time',
    '5: column "a" holds "one", no number',
    '6: a quote is opened and not closed',
    '7: column "a" holds "0x10", no number'
  ])
  expect(valuesOf(readings)).toEqual([{ a: 1, b: 1 }, { b: 2 }, { b: 3 }, { a: 1, b: 1 }])
})

test('payloads as devices send them are read, one object or array a line', async () => {
  const { readings, bad } = await read(
    [
      { ts: T, motor: { temp: 1 }, seq: 7 },
      { time: '2026-11-22T08:00:01Z', site: 'plant7', device: 'a', x: 2, up: true },
      { timestamp: '2026-11-22 08:00:02', device: 3, metric: 'rpm', value: 3 },
      [
        { ts: T + 3000, v: 4 },
        { ts: T + 4000, v: 5 }
      ],
      { v: 6 },
      7,
      { specversion: '1.0', type: 'io.fieldline.alert.raised' }
    ]
      .map(each => JSON.stringify(each))
      .concat('{"ts":')
      .join('\n')
  )
  expect(readings.map(r => [r.site, r.device, r.at - T])).toEqual([
    ['history', 'pump', 0],
    ['plant7', 'a', 1000],
    ['history', '3', 2000],
    ['history', 'pump', 3000],
    ['history', 'pump', 4000]
  ])
  expect(valuesOf(readings)).toEqual([
    { 'motor.temp': 1 },
    { x: 2 },
    { rpm: 3 },
    { v: 4 },
    { v: 5 }
  ])
  expect(bad.map(({ line, why }) => `${line}: ${why}`)).toEqual([
    '5: no time: name its field with --time',
    '6: no JSON object',
    '7: an alert event, no reading',
    '8: no JSON: "{\\"ts\\":"'
  ])
})

test('what is null or text in a payload is named, but not whose it is', async () => {
  const payload = { ts: T, site: 's', device: 'd', temp: null, motor: { rpm: 'ERR' }, x: 1 }
  const long = { ts: T, device: 'd', metric: 'temp', value: null }
  const { readings } = await read(`${JSON.stringify(payload)}\n${JSON.stringify(long)}`)
  expect(readings.map(r => r.unusable)).toEqual([['temp', 'motor.rpm'], ['temp']])
})

test('records of `value: reading` are read, single or several', async () => {
  const one = { site: 'plant7', device: 'a', values: { t: 1, n: null }, receivedAt: T + 5 }
  const two = { ...one, observedAt: T, values: { t: 2 } }
  const { readings } = await read(`${JSON.stringify(one)}\n${JSON.stringify([two, one])}`)
  expect(readings.map(r => r.at - T)).toEqual([5, 0, 5])
  expect(valuesOf(readings)).toEqual([{ t: 1 }, { t: 2 }, { t: 1 }])
})

test('what the log exports is read by its route, and keeps its name', async () => {
  const stored = (offset: number, topic: string, payload: string, more = {}) =>
    JSON.stringify({
      ...{ id: `gw/1-9f2c03d1a7b4e655/${offset}`, epoch: '1-9f2c03d1a7b4e655', offset, topic },
      ...{
        clientId: 'c',
        qos: 1,
        dup: false,
        retain: false,
        receivedAt: T + offset,
        payload,
        ...more
      }
    })
  const base64 = { payloadEncoding: 'base64' }
  const { readings, bad } = await read(
    [
      stored(0, 'telemetry/plant7/a/temp', '21.5'),
      stored(1, 'telemetry/plant7/b', JSON.stringify([{ ts: T, x: 1 }, { x: 2 }])),
      stored(2, 'telemetry/plant7/a/temp', Buffer.from('9').toString('base64'), base64),
      stored(3, 'other/topic', '1'),
      stored(4, 'telemetry/plant7/a/temp', 'hot'),
      JSON.stringify({ id: null, epoch: '1-9f2c03d1a7b4e655', offset: 5, record: 'AAA=' })
    ].join('\n')
  )
  expect(readings.map(r => [r.device, r.at - T, r.record?.offset, r.record?.index])).toEqual([
    ['a', 0, 0, 0],
    ['b', 0, 1, 0],
    ['b', 1, 1, 1],
    ['a', 2, 2, 0]
  ])
  expect(readings.map(r => r.record?.observedAt)).toEqual([undefined, T, undefined, undefined])
  expect(readings[0].record).toMatchObject({ agentId: 'gw', eventId: 'gw/1-9f2c03d1a7b4e655/0' })
  expect(valuesOf(readings)).toEqual([{ temp: 21.5 }, { x: 1 }, { x: 2 }, { temp: 9 }])
  expect(bad.map(b => b.why)).toEqual([
    'no route decodes topic "other/topic"',
    'the payload cannot be decoded: not_json',
    'a record that the exporting version could not read'
  ])
})

test('several inputs are merged by time, each in its own order', async () => {
  const { readings } = await read(['time,a\n1,1\n5,2\n3,3\n9,4', 'time,a\n2,5\n4,6', 'time,a\n5,7'])
  expect(readings.map(r => [r.at / 1000, r.device, r.values[0].value])).toEqual([
    [1, 'pump', 1],
    [2, 'pump-1', 5],
    [4, 'pump-1', 6],
    [5, 'pump', 2],
    [3, 'pump', 3],
    [5, 'pump-2', 7],
    [9, 'pump', 4]
  ])
})

test('only the times asked for come out, the end not included', async () => {
  const { readings } = await read('time,a\n1,1\n2,2\n3,3', { fromAt: 2000, toAt: 3000 })
  expect(valuesOf(readings)).toEqual([{ a: 2 }])
})

test('memory does not grow with the length: what was read is let go', async () => {
  let given = 0
  const endless = {
    name: 'endless',
    device: 'endless',
    chunks: async function* () {
      yield Buffer.from('time,a\n')
      for (;;) {
        given++
        yield Buffer.from(`${given},1\n`)
      }
    }
  }
  let taken = 0
  for await (const _ of readHistory([endless])) if (++taken === 1000) break
  expect(given).toBeLessThanOrEqual(1001)
})
