import { expect, test } from 'vitest'
import { type Codec, decodePayload, parseInstant } from '../../../core/contract/reading.ts'

const AT = 1_763_800_000_000

/** Values by metric, per payload. */
function read(payload: unknown, metric?: string, fields?: string[], codec: Codec = 'json') {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
  const decoded = decodePayload(codec, Buffer.from(text), metric, fields && new Set(fields))
  if (!decoded.ok) return decoded.reason
  return decoded.payloads.map(({ values, observedAt }) => ({
    ...(observedAt === undefined ? {} : { observedAt }),
    ...Object.fromEntries(values.map(({ metric: name, value }) => [name, value]))
  }))
}

// --- codec number ------------------------------------------------------------------------------

test.each([
  ['21.4', 21.4],
  [' -3 \n', -3],
  ['+.5e-3', 0.0005],
  ['7.', 7]
])('number: %j is one value of the topic’s metric', (text, value) => {
  expect(read(text, 'temperature', undefined, 'number')).toEqual([{ temperature: value }])
  expect(read(text, undefined, undefined, 'number')).toEqual([{ value }])
})

test.each(['', ' ', '0x10', 'Infinity', 'NaN', '1e999', '1,5', '{"a":1}', '.', '1e', 'é'])(
  'number: %j is none',
  text => expect(read(text, 't', undefined, 'number')).toBe('not_a_number')
)

test('number: a million digits and a letter are refused at once', () => {
  const startedAt = performance.now()
  expect(read(`${'1'.repeat(1_000_000)}x`, 't', undefined, 'number')).toBe('not_a_number')
  expect(performance.now() - startedAt).toBeLessThan(500)
})

// --- codec json, raw ---------------------------------------------------------------------------

test.each([
  ['a bare number', '21.4', undefined, [{ value: 21.4 }]],
  ['a bare number with a topic metric', '21.4', 't', [{ t: 21.4 }]],
  ['a leaf a value', { a: 1, b: 2.5 }, undefined, [{ a: 1, b: 2.5 }]],
  [
    'nested leaves',
    { motor: { temp: 61, rpm: 900 } },
    undefined,
    [{ 'motor.temp': 61, 'motor.rpm': 900 }]
  ],
  [
    'arrays of numbers',
    { axes: [1, 2, 3] },
    undefined,
    [{ 'axes.0': 1, 'axes.1': 2, 'axes.2': 3 }]
  ],
  [
    'a top-level array of objects',
    [{ a: 1, ts: AT }, { a: 2 }],
    undefined,
    [{ observedAt: AT, a: 1 }, { a: 2 }]
  ],
  ['a top-level array of numbers', [1, 2], 't', [{ 't.0': 1, 't.1': 2 }]],
  ['`value` with a topic metric', { value: 3 }, 't', [{ t: 3 }]],
  ['`v` with a topic metric', { v: 3 }, 't', [{ t: 3 }]],
  ['a leaf named like the topic metric', { t: 3, u: 4 }, 't', [{ t: 3, 't.u': 4 }]],
  ['`value` without a topic metric', { value: 3 }, undefined, [{ value: 3 }]],
  [
    'counters, ids and times',
    { seq: 9, id: 5, time: AT, x: 1, sub: { ID: 3 } },
    undefined,
    [{ observedAt: AT, x: 1 }]
  ],
  ['texts, booleans and nulls', { a: '5', b: true, c: null, d: 1 }, undefined, [{ d: 1 }]],
  ['no number', { a: 'x' }, undefined, [{}]],
  ['an empty array', [], undefined, [{}]],
  ['a text', '"x"', undefined, [{}]],
  [
    'names of Object.prototype',
    '{"__proto__":1,"constructor":2}',
    undefined,
    [
      Object.fromEntries([
        ['__proto__', 1],
        ['constructor', 2]
      ])
    ]
  ]
])('json is read as CONTRACT says: %s', (_, payload, metric, expected) => {
  expect(read(payload, metric)).toEqual(expected)
})

test('json: fields lists the wanted leaves, even counters', () => {
  const payload = { a: 1, b: { c: 2, d: 3 }, seq: 4 }
  expect(read(payload, undefined, ['b.c', 'seq'])).toEqual([{ 'b.c': 2, seq: 4 }])
  expect(read(payload, 'm', ['b.c', 'm.a'])).toEqual([{ 'm.a': 1, 'm.b.c': 2 }])
})

test.each(['{', '', 'NaN', '{"a":01}', '\uFEFF{"a":1}', '[1,]'])('json: %j is not_json', text => {
  expect(read(text)).toBe('not_json')
})

test('raw: nothing is decoded, whatever it is', () => {
  expect(read('{"a":1}', 't', undefined, 'raw')).toEqual([])
})

test('nesting is read to eight levels; deeper is refused, however deep', () => {
  const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
  expect(read(nested(8))).toEqual([{ 'a.a.a.a.a.a.a.a': 1 }])
  expect(read(nested(9))).toBe('too_deep')
  expect(read(nested(150_000))).toBe('too_deep')
  expect(read('['.repeat(1_000_000))).toBe('not_json')
})

test('a name longer than 256 characters is no series: it would become a topic and a label', () => {
  expect(read({ ['x'.repeat(257)]: 1, ['y'.repeat(256)]: 2 })).toEqual([{ ['y'.repeat(256)]: 2 }])
})

test('huge payloads give a limited number of values in a limited time', () => {
  const huge = {
    numbers: `[${'0,'.repeat(500_000)}0]`,
    strings: `[${'"",'.repeat(300_000)}""]`,
    members: `{${Array.from({ length: 100_000 }, (_, n) => `"k${n}":${n}`).join()}}`
  }
  for (const [name, text] of Object.entries(huge)) {
    const startedAt = performance.now()
    const decoded = decodePayload('json', Buffer.from(text), undefined)
    expect(performance.now() - startedAt, name).toBeLessThan(1000)
    expect(decoded.ok && decoded.payloads[0].values.length, name).toBe(name === 'strings' ? 0 : 512)
  }
})

const leaves = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, n]))

test('of a reading with more values than 512 it is said that there are more, of others not', () => {
  const overfull = (payload: unknown, fields?: Set<string>) => {
    const text = JSON.stringify(payload)
    const decoded = decodePayload('json', Buffer.from(text), undefined, fields)
    return decoded.ok && decoded.payloads.map(one => [one.values.length, one.overfull === true])
  }
  expect(overfull(leaves(513))).toEqual([[512, true]])
  expect(overfull([...Array(600).keys()])).toEqual([[512, true]])
  expect(overfull([{ a: 1 }, leaves(600)])).toEqual([
    [1, false],
    [512, true]
  ])
  expect(overfull({ ...leaves(512), seq: 9, note: 'x', off: false })).toEqual([[512, false]])
  expect(overfull(leaves(600), new Set(['k1', 'k599']))).toEqual([[2, false]])
})

test('of an array a hundred thousand readings are decoded, and the last of them says that there are more', () => {
  const decode = (count: number) => {
    const decoded = decodePayload('json', Buffer.from(`[${'{},'.repeat(count - 1)}{}]`), undefined)
    if (!decoded.ok) throw new Error(decoded.detail)
    const overfull = decoded.payloads.flatMap((one, index) => (one.overfull ? [index] : []))
    return [decoded.payloads.length, overfull]
  }
  expect(decode(100_000)).toEqual([100_000, []])
  expect(decode(100_001)).toEqual([100_000, [99_999]])
  expect(decode(349_000)).toEqual([100_000, [99_999]])
})

// --- the device's time -------------------------------------------------------------------------

test.each([
  ['seconds', 1_763_800_000, AT],
  ['seconds with a fraction', 1_763_800_000.25, AT + 250],
  ['milliseconds', AT, AT],
  ['microseconds', AT * 1e3, AT],
  ['nanoseconds', AT * 1e6, AT],
  ['digits as text', '1763800000', AT],
  ['RFC 3339', '2025-11-22T08:26:40Z', AT],
  ['RFC 3339 with an offset and a fraction', '2025-11-22T09:26:40.500+01:00', AT + 500],
  ['RFC 3339 with a space', '2025-11-22 08:26:40Z', AT],
  ['RFC 3339 in lower case', '2025-11-22t08:26:40z', AT]
])('%s are told apart by magnitude', (_, value, at) => {
  expect(parseInstant(value)).toBe(at)
  expect(read({ ts: value, x: 1 })).toEqual([{ observedAt: at, x: 1 }])
})

test.each([
  0,
  -5,
  1e20,
  '2025-11-22',
  '2025-11-22T08:26:40',
  'now',
  null,
  {},
  '12',
  '2025-99-99T00:00:00Z'
])('%j is no instant', value => expect(parseInstant(value)).toBeUndefined())

test('ts, timestamp and time are looked at in this order until one can be read', () => {
  expect(read({ time: 1, timestamp: 2, ts: AT })).toEqual([{ observedAt: AT }])
  expect(read({ ts: null, timestamp: 'never', time: AT })).toEqual([{ observedAt: AT }])
})

test('null and text are named where that is asked for, and stay no values', () => {
  const payload = Buffer.from(
    JSON.stringify({ a: 1, b: null, c: 'NaN', d: true, ts: 'now', id: 'x', motor: { temp: null } })
  )
  const asked = decodePayload('json', payload, undefined, undefined, true)
  expect(asked).toMatchObject({
    payloads: [{ values: [{ metric: 'a', value: 1 }], unusable: ['b', 'c', 'motor.temp'] }]
  })
  const wanted = decodePayload('json', payload, undefined, new Set(['a', 'c']), true)
  expect(wanted).toMatchObject({ payloads: [{ unusable: ['c'] }] })
  const plain = decodePayload('json', payload, undefined)
  expect(plain).toEqual({ ok: true, payloads: [{ values: [{ metric: 'a', value: 1 }] }] })
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`m${i}`, null]))
  const limited = decodePayload('json', Buffer.from(JSON.stringify(many)), 'x', undefined, true)
  expect(limited.ok && limited.payloads[0].unusable?.length).toBe(32)
})

test.each([
  ['the last second', 1e11 - 1, (1e11 - 1) * 1e3],
  ['the first millisecond', 1e11, 1e11],
  ['the last millisecond', 1e14 - 1, 1e14 - 1],
  ['the first microsecond', 1e14, 1e11],
  ['the last microsecond', 1e17 - 16, 1e14],
  ['the first nanosecond', 1e17, 1e11],
  ['the last nanosecond', 99_999_999_999_999_980_000, 1e14]
])('an instant is read by its magnitude up to the bounds: %s', (_, value, at) => {
  expect(parseInstant(value)).toBe(at)
  expect(parseInstant(String(value))).toBe(String(value).length > 20 ? undefined : at)
})

test('of a name that is there twice the last counts, as JSON.parse says', () => {
  expect(read('{"a":1,"a":2,"ts":5,"ts":1763800000}')).toEqual([{ observedAt: AT, a: 2 }])
})

test('numbers as text, and numbers that are none, are no values', () => {
  expect(read('{"a":"1","b":1e999,"c":-1e999,"d":-0,"e":5e-324}')).toEqual([{ d: -0, e: 5e-324 }])
  expect(read('{"a":NaN}')).toBe('not_json')
  expect(read('{"a":Infinity}')).toBe('not_json')
  expect(read('1e999', 't')).toBe('not_a_number')
})

test('a nested array of readings is one reading, its leaves numbered', () => {
  expect(read({ samples: [{ t: 1 }, { t: 2 }], ts: AT })).toEqual([
    { observedAt: AT, 'samples.0.t': 1, 'samples.1.t': 2 }
  ])
})

test('a hundred thousand readings in one payload are read in a limited time', () => {
  const text = `[${'{"a":1},'.repeat(99_999)}{"a":1}]`
  const startedAt = performance.now()
  const decoded = decodePayload('json', Buffer.from(text), undefined)
  expect(performance.now() - startedAt).toBeLessThan(2000)
  expect(decoded.ok && decoded.payloads.length).toBe(100_000)
})
