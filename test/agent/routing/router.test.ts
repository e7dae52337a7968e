import { expect, test } from 'vitest'
import { toDeadLetter } from '../../../agent/routing/dead-letter.ts'
import { Router, type RouterOptions } from '../../../agent/routing/router.ts'
import { routesSchema } from '../../../core/contract/route-config.ts'
import {
  encodeClockMark,
  encodeStoredMessage,
  type StoredMessage
} from '../../../core/contract/stored-message.ts'
import type { LogRecord } from '../../../core/log/reader.ts'
import { TelemetryDecoder } from '../../../detector/source/telemetry-record.ts'

const NOW = 1_795_336_000_000
const DAY = 86_400_000
const EPOCH = '1-9f2c03d1a7b4e655'
const DEFAULT = {
  name: 'default',
  match: ['telemetry/{site}/{device}', 'telemetry/{site}/{device}/{metric}']
}

function router(routes: object[] = [DEFAULT], options: Partial<RouterOptions> = {}): Router {
  return new Router({
    agentId: 'gateway-7',
    routes: routesSchema.parse(routes),
    deadLetterTopic: 'fieldline.dead-letters',
    pastMsMax: 7 * DAY,
    futureMsMax: 60_000,
    replayedAfterMs: 30_000,
    ...options
  })
}

function stored(
  changes: Partial<Omit<StoredMessage, 'payload'>> & { payload?: unknown } = {}
): LogRecord {
  const { payload = { temperature: 21.4 }, ...rest } = changes
  const bytes = encodeStoredMessage({
    topic: 'telemetry/plant7/pump-3',
    qos: 1,
    retain: false,
    dup: false,
    packetId: 5,
    clientId: 'client-1',
    upstream: false,
    receivedAt: NOW,
    monotonicMs: 500_000,
    bootId: 7n,
    clockUnsynced: false,
    ...rest,
    payload: Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload))
  })
  return { epoch: EPOCH, offset: 184_467, payload: bytes }
}

function one(record: LogRecord, routes?: object[], options?: Partial<RouterOptions>, now = NOW) {
  const records = router(routes, options).route(record, now)
  expect(records).toHaveLength(1)
  return { ...records[0], text: records[0].value.toString() }
}

// --- Headers, key, value -----------------------------------------------------------------------

test('a plain reading goes out untouched, keyed by site/device, with three headers and no more', () => {
  expect(one(stored({ payload: '{ "temperature" : 21.40 }' }))).toMatchObject({
    topic: 'telemetry',
    key: 'plant7/pump-3',
    text: '{ "temperature" : 21.40 }',
    timestampMs: NOW
  })
  expect(one(stored()).headers).toEqual({
    'fl-id': `gateway-7/${EPOCH}/184467`,
    'fl-topic': 'telemetry/plant7/pump-3',
    'fl-received': String(NOW)
  })
})

test.each([
  [
    'fl-observed',
    'the device gives a time',
    { payload: { ts: NOW - 5000, x: 1 } },
    String(NOW - 5000)
  ],
  ['fl-dup', 'the device set DUP', { dup: true }, '1'],
  [
    'fl-retained',
    'an upstream broker echoes a retained message',
    { retain: true, upstream: true },
    '1'
  ],
  ['fl-replayed', 'it is sent later than replayed_after', { receivedAt: NOW - 30_001 }, '1'],
  ['fl-clock', 'its time is not known', { clockUnsynced: true }, 'unsynced']
] as const)('%s is there when %s', (header, _, changes, value) => {
  const { headers } = one(stored(changes))
  expect(headers[header]).toBe(value)
  expect(Object.keys(headers)).toHaveLength(4)
})

test('a device that sets RETAIN is no echo, and a reading sent in time is not replayed', () => {
  const { headers } = one(stored({ retain: true, receivedAt: NOW - 30_000 }))
  expect(Object.keys(headers)).toHaveLength(3)
})

test("an array's time is its first element's", () => {
  const payload = [
    { ts: NOW - 1, x: 1 },
    { ts: NOW - 2, x: 2 }
  ]
  expect(one(stored({ payload }))).toMatchObject({
    timestampMs: NOW - 1,
    headers: { 'fl-observed': String(NOW - 1) }
  })
})

// --- Time --------------------------------------------------------------------------------------

test.each([
  ['7 days before', -7 * DAY, true],
  ['more than 7 days before', -7 * DAY - 1, false],
  ['a minute after', 60_000, true],
  ['more than a minute after', 60_001, false]
])(
  "a device's time %s the agent's is believed or not, and told either way",
  (_, away, believed) => {
    const { timestampMs, headers } = one(stored({ payload: { ts: NOW + away, x: 1 } }))
    expect(timestampMs).toBe(believed ? NOW + away : NOW)
    expect(headers['fl-observed']).toBe(String(NOW + away))
  }
)

test('readings taken before time was known are corrected by the mark of their boot that precedes them', () => {
  const routed = router()
  const early = stored({ clockUnsynced: true, receivedAt: 3_000, monotonicMs: 400_000 })
  expect(routed.route(early, NOW)[0].headers).toMatchObject({
    'fl-clock': 'unsynced',
    'fl-received': '3000'
  })
  const mark = encodeClockMark({ bootId: 7n, wallAt: NOW, monotonicMs: 500_000 })
  expect(routed.route({ ...early, payload: mark }, NOW)).toEqual([])
  const [corrected] = routed.route(early, NOW)
  expect(corrected.timestampMs).toBe(NOW - 100_000)
  expect(corrected.headers).toEqual({
    'fl-id': expect.anything(),
    'fl-topic': expect.anything(),
    'fl-received': String(NOW - 100_000),
    'fl-replayed': '1'
  })
  const other = stored({ clockUnsynced: true, receivedAt: 3_000, bootId: 8n })
  expect(routed.route(other, NOW)[0].timestampMs).toBe(3_000)
  const synced = stored({ receivedAt: NOW - 5, monotonicMs: 1 })
  expect(routed.route(synced, NOW)[0].timestampMs).toBe(NOW - 5)
})

test('what is known of the running boot corrects the uplink before the mark is read', () => {
  const mark = { bootId: 7n, wallAt: NOW, monotonicMs: 500_000 }
  const knownMark = (bootId: bigint) => (bootId === 7n ? mark : undefined)
  const early = stored({ clockUnsynced: true, receivedAt: 3_000, monotonicMs: 499_000 })
  expect(one(early, undefined, { knownMark }).timestampMs).toBe(NOW - 1_000)
})

// --- Dead letters ------------------------------------------------------------------------------

test('what no route wants is a dead letter under its client’s id, with its bytes', () => {
  const subject = router()
  const [letter] = subject.route(stored({ topic: 'elsewhere/x', payload: '\0raw' }), NOW)
  expect(letter).toMatchObject({
    topic: 'fieldline.dead-letters',
    key: 'client-1',
    timestampMs: NOW
  })
  expect(letter.value.toString()).toBe('\0raw')
  expect(letter.headers).toEqual({
    'fl-id': `gateway-7/${EPOCH}/184467`,
    'fl-topic': 'elsewhere/x',
    'fl-received': String(NOW),
    'fl-qos': '1',
    'fl-stage': 'route',
    'fl-reason': 'no_route',
    'fl-detail': "no route matches 'elsewhere/x'"
  })
  expect(subject.deadLetters).toEqual({ no_route: 1 })
})

test('a stored record of an unknown kind is a dead letter with its bytes and its id', () => {
  const letter = one({ epoch: EPOCH, offset: 5, payload: Buffer.from([9, 1, 2]) })
  expect(letter).toMatchObject({ topic: 'fieldline.dead-letters', key: 'gateway-7' })
  expect([...letter.value]).toEqual([9, 1, 2])
  expect(letter.headers).toMatchObject({
    'fl-id': `gateway-7/${EPOCH}/5`,
    'fl-stage': 'decode',
    'fl-reason': 'unknown_record'
  })
})

test('an untouched value that nobody can decode is still telemetry', () => {
  expect(one(stored({ payload: '{broken' }))).toMatchObject({ topic: 'telemetry', text: '{broken' })
})

// --- Topics ------------------------------------------------------------------------------------

const TEMPLATED = { ...DEFAULT, topic: 'iot.{site}.{device}' }

test.each([
  ['telemetry/plant7/pump-3', 'iot.plant7.pump-3'],
  ['telemetry/a b/é漢', 'iot.a_b.__'],
  ['telemetry/../.', 'iot.__._'],
  ['telemetry/a.b/c', 'iot.a_b.c']
])('strangers’ levels of %s are confined to the prefix, in Kafka’s alphabet', (topic, expected) => {
  expect(one(stored({ topic }), [TEMPLATED]).topic).toBe(expected)
})

test('a topic beyond Kafka’s 249 characters is a dead letter, stage route', () => {
  const letter = one(stored({ topic: `telemetry/p/${'d'.repeat(250)}` }), [TEMPLATED])
  expect(letter.headers).toMatchObject({ 'fl-stage': 'route', 'fl-reason': 'topic_invalid' })
  expect(letter.topic).toBe('fieldline.dead-letters')
})

test.each(['cursors', 'alerts', 'dead-letters', 'status', 'detector-state'])(
  "a device called '%s' does not write into Fieldline's own topic of that name",
  device => {
    const route = { ...DEFAULT, topic: 'fieldline.{device}' }
    const letter = one(stored({ topic: `telemetry/p/${device}` }), [route])
    expect(letter.headers['fl-reason']).toBe('topic_invalid')
  }
)

test('two routes give two records with one id; a route takes a message once', () => {
  const all = { name: 'all', match: '+/{site}/{device}', topic: 'all' }
  const records = router([DEFAULT, all]).route(stored(), NOW)
  expect(records.map(({ topic }) => topic)).toEqual(['telemetry', 'all'])
  expect(new Set(records.map(({ headers }) => headers['fl-id'])).size).toBe(1)
})

test('a route’s own site stands where the topic names none', () => {
  const route = { name: 'tasmota', match: 'tele/{device}/SENSOR', site: 'home', topic: 'tele' }
  expect(one(stored({ topic: 'tele/plug/SENSOR' }), [route])).toMatchObject({ key: 'home/plug' })
})

// --- value: reading ----------------------------------------------------------------------------

const READING = { ...DEFAULT, value: 'reading' }

test('value: reading is one object, or an array for a payload of several', () => {
  const topic = 'telemetry/plant7/pump-3/temperature'
  const single = one(stored({ topic, payload: { v: 21.4, ts: NOW } }), [READING])
  const reading = {
    site: 'plant7',
    device: 'pump-3',
    metric: 'temperature',
    values: { temperature: 21.4 },
    observedAt: NOW,
    receivedAt: NOW
  }
  expect(JSON.parse(single.text)).toEqual(reading)
  const several = one(stored({ payload: [{ a: 1 }, { a: 2 }] }), [READING])
  const common = { site: 'plant7', device: 'pump-3', receivedAt: NOW }
  expect(JSON.parse(several.text)).toEqual([
    { ...common, values: { a: 1 } },
    { ...common, values: { a: 2 } }
  ])
})

test.each([
  ['{broken', 'not_json'],
  ['{"a":"x"}', 'no_values'],
  ['[]', 'no_values']
])(
  'value: reading of %s is a dead letter, stage decode, with the original bytes',
  (payload, reason) => {
    const letter = one(stored({ payload }), [READING])
    expect(letter).toMatchObject({
      topic: 'fieldline.dead-letters',
      key: 'plant7/pump-3',
      text: payload
    })
    expect(letter.headers).toMatchObject({ 'fl-stage': 'decode', 'fl-reason': reason })
  }
)

// --- For the detector --------------------------------------------------------------------------

test('the detector gets the numbers once, with event time and the id that Kafka will carry', () => {
  const other = { name: 'copy', match: '+/{site}/{device}', topic: 'copy' }
  const payload = [{ ts: NOW - 10, a: 1 }, { b: 2 }]
  expect(router([DEFAULT, other]).readings(stored({ payload }))).toEqual([
    expect.objectContaining({
      at: NOW - 10,
      eventId: `gateway-7/${EPOCH}/184467`,
      values: [{ metric: 'a', value: 1 }]
    }),
    expect.objectContaining({
      at: NOW,
      site: 'plant7',
      device: 'pump-3',
      values: [{ metric: 'b', value: 2 }]
    })
  ])
})

test('the detector gets nothing of raw routes, of what cannot be decoded, and of no route', () => {
  expect(router([{ ...DEFAULT, codec: 'raw' }]).readings(stored())).toEqual([])
  expect(router().readings(stored({ payload: 'x' }))).toEqual([])
  expect(router().readings(stored({ topic: 'x' }))).toEqual([])
  expect(router().readings({ epoch: EPOCH, offset: 1, payload: Buffer.from([9]) })).toEqual([])
})

// --- Branches: where, headers, sample, drop ----------------------------------------------------

const ids = (count: number) =>
  Array.from({ length: count }, (_, offset) => ({ ...stored(), offset: offset + 1 }))

test('a dead letter names the route that failed, and not the one that delivered', () => {
  const reading = { ...DEFAULT, name: 'decoded', topic: 'decoded', value: 'reading' }
  const [delivered, letter] = router([DEFAULT, reading]).route(stored({ payload: 'x' }), NOW)
  expect(delivered.topic).toBe('telemetry')
  expect(letter.headers).toMatchObject({ 'fl-route': 'decoded', 'fl-reason': 'not_json' })
  expect(letter).not.toHaveProperty('route')
})

test('a record made of a reading has the message’s own bytes with it, for its dead letter', () => {
  const [record] = router([READING]).route(stored({ payload: '{"a": 1}' }), NOW)
  expect(record.original?.toString()).toBe('{"a": 1}')
  const letter = toDeadLetter(record, 'dead', 'produce', 'refused', '')
  expect(letter.value.toString()).toBe('{"a": 1}')
  expect(letter.headers['fl-route']).toBe('default')
  expect(letter).not.toHaveProperty('original')
})

test('value: reading of an array of one is an array', () => {
  const { text } = one(stored({ payload: [{ a: 1 }] }), [READING])
  expect(JSON.parse(text)).toEqual([expect.objectContaining({ values: { a: 1 } })])
})

test('static headers stand beside Fieldline’s own, on every record of their route alone', () => {
  const copy = { ...DEFAULT, name: 'copy', topic: 'copy', headers: { env: 'prod', line: '4' } }
  const payload = { ts: NOW - 1, a: 1 }
  const [plain, marked] = router([DEFAULT, copy]).route(stored({ payload }), NOW)
  expect(plain.headers).not.toHaveProperty('env')
  expect(marked.headers).toEqual({ ...plain.headers, env: 'prod', line: '4' })
})

test('a route with drop keeps what it matches from the routes below it, not from those above', () => {
  const drop = { name: 'noise', match: 'telemetry/+/pump-3/#', drop: true }
  const copy = { ...DEFAULT, name: 'copy', topic: 'copy' }
  const subject = router([DEFAULT, drop, copy])
  expect(subject.route(stored(), NOW).map(({ topic }) => topic)).toEqual(['telemetry'])
  expect(subject.filtered).toEqual({ noise: { dropped: 1, sampledOut: 0 } })
  expect(subject.route(stored({ topic: 'telemetry/p/x' }), NOW)).toHaveLength(2)
  const alone = router([drop, DEFAULT])
  expect(alone.route(stored(), NOW)).toEqual([])
  expect(alone.readings(stored())).toEqual([])
  expect(alone.deadLetters).toEqual({})
})

test.each([
  [{ qos: 1 }, { qos: 1 }, { qos: 0 }],
  [{ qos: [0, 2] }, { qos: 2 }, { qos: 1 }],
  [{ retained: true }, { retain: true }, {}],
  [{ retained: false }, {}, { retain: true }],
  [{ bytes_min: '5B' }, { payload: '12345' }, { payload: '1234' }],
  [{ bytes_max: '5B' }, { payload: '12345' }, { payload: '123456' }]
] as const)('where %j takes %j and not %j', (where, wanted, unwanted) => {
  const route = { ...DEFAULT, where }
  expect(one(stored(wanted), [route]).topic).toBe('telemetry')
  expect(one(stored(unwanted), [route]).headers['fl-reason']).toBe('no_route')
})

test('a sample keeps its share, and chooses the same readings each time and in each route', () => {
  const tenth = { ...DEFAULT, name: 'tenth', topic: 'tenth', sample: 0.1 }
  const half = { ...DEFAULT, name: 'half', topic: 'half', sample: 0.5 }
  const chosen = () => {
    const subject = router([DEFAULT, tenth, half])
    const records = ids(20_000).flatMap(record => subject.route(record, NOW))
    const of = (topic: string) =>
      records.filter(record => record.topic === topic).map(({ headers }) => headers['fl-id'])
    return { all: of('telemetry'), tenth: of('tenth'), half: of('half'), subject }
  }
  const first = chosen()
  expect(first.all).toHaveLength(20_000)
  expect(first.tenth.length).toBeGreaterThan(1_800)
  expect(first.tenth.length).toBeLessThan(2_200)
  expect(first.half.length).toBeGreaterThan(9_600)
  expect(first.half.length).toBeLessThan(10_400)
  expect(new Set(first.half)).toEqual(new Set([...first.half, ...first.tenth]))
  const second = chosen()
  expect(second.tenth).toEqual(first.tenth)
  expect(second.subject.filtered).toEqual({
    tenth: { dropped: 0, sampledOut: 20_000 - first.tenth.length },
    half: { dropped: 0, sampledOut: 20_000 - first.half.length }
  })
})

test('what is sampled out is no dead letter, and the detector on this box still sees it', () => {
  const route = { ...DEFAULT, sample: 1e-9, value: 'reading' }
  const subject = router([route])
  expect(subject.route(stored({ payload: 'x' }), NOW)).toEqual([])
  expect(subject.deadLetters).toEqual({})
  expect(subject.readings(stored())).toHaveLength(1)
})

test('two routes that a device’s name leads to one topic store the message there once', () => {
  const templated = { ...DEFAULT, name: 'each', topic: 'iot.{device}' }
  const all = { ...DEFAULT, name: 'all', topic: 'iot.all' }
  const records = router([all, templated]).route(stored({ topic: 'telemetry/p/all' }), NOW)
  expect(records.map(({ topic }) => topic)).toEqual(['iot.all', 'fieldline.dead-letters'])
  expect(records[1].headers).toMatchObject({
    'fl-reason': 'topic_invalid',
    'fl-detail': "route 'all' leads it to 'iot.all' already"
  })
})

test.each([
  ['plant.{device}', 'alarms', { alertTopic: 'plant.alarms' }, "'plant.alarms', not for telemetry"],
  ['_{device}', '_consumer_offsets', {}, "Kafka's own"],
  ['x{device}', 'd'.repeat(249), {}, '250 characters, Kafka takes 249']
])('a device cannot lead %s elsewhere by calling itself %s', (topic, device, options, detail) => {
  const letter = one(stored({ topic: `telemetry/p/${device}` }), [{ ...DEFAULT, topic }], options)
  expect(letter.topic).toBe('fieldline.dead-letters')
  expect(letter.headers['fl-detail']).toContain(detail)
})

// --- MQTT 5 properties -------------------------------------------------------------------------

test('MQTT 5 properties become headers of the routes that name them, and of no other', () => {
  const properties = {
    userProperties: { traceparent: '00-ab', tag: ['a', 'b'], other: 'x' },
    contentType: 'application/json'
  }
  const routes = [
    { ...DEFAULT, mqtt_properties: ['traceparent', 'tag', 'content-type', 'absent'] },
    { ...DEFAULT, name: 'plain', topic: 'plain' }
  ]
  const [named, plain] = router(routes).route(stored({ upstream: true, properties }), NOW)
  expect(named.headers).toMatchObject({
    ...{ traceparent: '00-ab', tag: 'a,b', 'content-type': 'application/json' },
    'fl-topic': 'telemetry/plant7/pump-3'
  })
  expect(named.headers).not.toHaveProperty('absent')
  expect(named.headers).not.toHaveProperty('other')
  expect(plain.headers).not.toHaveProperty('traceparent')
  expect(one(stored(), [routes[0]]).headers).not.toHaveProperty('traceparent')
})

// --- Declared fields -----------------------------------------------------------------------------

test('declared fields: edge and centre see the same scaled values, whatever the Kafka value is', () => {
  const fields = [
    { name: 't', as: 'temperature', unit: '°C', scale: 0.1, offset: -40 },
    { name: 'p', unit: 'bar' },
    'n'
  ]
  const record = stored({ payload: '{ "t" : 614, "p": 5, "n": 7, "other": 1 }' })
  const seen = (value: 'payload' | 'reading') => {
    const routes = routesSchema.parse([{ ...DEFAULT, value, fields }])
    const [{ key, value: bytes, timestampMs, headers, topic, ...rest }] = router([
      { ...DEFAULT, value, fields }
    ]).route(record, NOW)
    const centre = new TelemetryDecoder(routes).decode({
      ...{ topic, timestampMs, value: bytes, key: Buffer.from(key ?? '') },
      header: name => headers[name]
    })
    expect(rest.route).toBe('default')
    return { text: bytes.toString(), values: centre.ok && centre.readings[0].values }
  }
  const [edge] = router([{ ...DEFAULT, fields }]).readings(record)
  expect(edge.values).toEqual([
    { metric: 'temperature', value: 614 * 0.1 - 40, unit: '°C' },
    { metric: 'p', value: 5, unit: 'bar' },
    { metric: 'n', value: 7 }
  ])
  const untouched = seen('payload')
  expect(untouched).toEqual({
    text: '{ "t" : 614, "p": 5, "n": 7, "other": 1 }',
    values: edge.values
  })
  const reading = seen('reading')
  expect(reading.values).toEqual(edge.values)
  expect(JSON.parse(reading.text)).toMatchObject({
    values: { temperature: 614 * 0.1 - 40, p: 5, n: 7 },
    units: { temperature: '°C', p: 'bar' }
  })
})

test('a reading whose values all have one unit names it once', () => {
  const fields = [
    { name: 'a', unit: 'mm' },
    { name: 'b', unit: 'mm' }
  ]
  const { text } = one(stored({ payload: { a: 1, b: 2 } }), [
    { ...DEFAULT, value: 'reading', fields }
  ])
  expect(JSON.parse(text)).toEqual({
    ...{ site: 'plant7', device: 'pump-3', values: { a: 1, b: 2 } },
    ...{ receivedAt: NOW, unit: 'mm' }
  })
})
