import { expect, test } from 'vitest'
import { type Codec, decodePayload } from '../../../core/contract/reading.ts'
import { routesSchema } from '../../../core/contract/route-config.ts'
import { compileFields, type FieldConfig } from '../../../core/contract/route-fields.ts'

function read(
  payload: unknown,
  fields: FieldConfig[],
  { metric, codec = 'json' as Codec }: { metric?: string; codec?: Codec } = {}
) {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
  const decoded = decodePayload(codec, Buffer.from(text), metric, compileFields(fields), true)
  return decoded.ok ? decoded.payloads.map(({ values }) => values) : decoded.reason
}

/** What is wrong with these fields, by place. */
function refusals(fields: unknown): string[] {
  const match = 'telemetry/{site}/{device}'
  const parsed = routesSchema.safeParse([{ name: 'r', match, fields }])
  return parsed.success ? [] : parsed.error.issues.map(i => `${i.path.join('.')}: ${i.message}`)
}

test.each<[string, unknown, FieldConfig, object]>([
  ['a name alone leaves the value as it is', { t: 21.4 }, 't', { metric: 't', value: 21.4 }],
  [
    'a unit is told and changes nothing',
    { t: 21.4 },
    { name: 't', unit: '°C' },
    { metric: 't', value: 21.4, unit: '°C' }
  ],
  [
    'scale comes before offset',
    { t: 250 },
    { name: 't', scale: 0.5, offset: -40 },
    { metric: 't', value: 85 }
  ],
  ['an offset alone is added', { t: 294 }, { name: 't', offset: -273 }, { metric: 't', value: 21 }],
  [
    'nothing is rounded',
    { t: 3 },
    { name: 't', scale: 0.1 },
    { metric: 't', value: 0.30000000000000004 }
  ],
  [
    'as renames a nested leaf',
    { m: { t: 2 } },
    { name: 'm.t', as: 'temperature', scale: 10, unit: 'K' },
    { metric: 'temperature', value: 20, unit: 'K' }
  ],
  [
    'an element of an array has a name of its own',
    { axes: [1, 2] },
    { name: 'axes.1', scale: -1 },
    { metric: 'axes.1', value: -2 }
  ]
])('a declared field is read as it says: %s', (_, payload, field, value) =>
  expect(read(payload, [field])).toEqual([[value]])
)

test('with a topic metric a field is found under its full name first, then under its own', () => {
  const payload = { value: 3, peak: 5 }
  const options = { metric: 'level' }
  expect(read(payload, [{ name: 'level', scale: 2 }], options)).toEqual([
    [{ metric: 'level', value: 6 }]
  ])
  expect(read(payload, [{ name: 'peak', scale: 2 }], options)).toEqual([
    [{ metric: 'level.peak', value: 10 }]
  ])
  const both = [
    { name: 'level.peak', scale: 3 },
    { name: 'peak', scale: 2 }
  ]
  expect(read(payload, both, options)).toEqual([[{ metric: 'level.peak', value: 15 }]])
})

test('a bare number is scaled by what is declared of its metric, whatever the codec', () => {
  const fields = [{ name: 'level', scale: 0.1, as: 'depth', unit: 'm' }]
  for (const codec of ['json', 'number'] as const) {
    const options = { metric: 'level', codec }
    expect(read('50', fields, options)).toEqual([[{ metric: 'depth', value: 5, unit: 'm' }]])
    expect(read('50', fields, { codec, metric: 'other' })).toEqual([
      [{ metric: 'other', value: 50 }]
    ])
  }
})

test('each element of an array of readings is scaled', () => {
  expect(read([{ t: 1 }, { t: 2 }], [{ name: 't', scale: 10 }])).toEqual([
    [{ metric: 't', value: 10 }],
    [{ metric: 't', value: 20 }]
  ])
})

test('a value that is no number any more once it is scaled is none', () => {
  expect(read({ t: 1e300, u: 1 }, [{ name: 't', scale: 1e300 }, 'u'])).toEqual([
    [{ metric: 'u', value: 1 }]
  ])
  const options = { codec: 'number' as const, metric: 't' }
  expect(read('1e300', [{ name: 't', scale: 1e300 }], options)).toBe('not_a_number')
})

test('a leaf that is text or null is told under the name that its series has', () => {
  const fields = compileFields([{ name: 't', as: 'temperature' }])
  const decoded = decodePayload('json', Buffer.from('{"t":null}'), undefined, fields, true)
  expect(decoded).toMatchObject({ payloads: [{ values: [], unusable: ['temperature'] }] })
})

test('names, and names with what is made of them, may stand side by side', () => {
  const plain = ['a', 'a', 'b.c']
  expect(refusals(plain)).toEqual([])
  expect(refusals(['a', { name: 'b', as: 'c', unit: '%', scale: 0.1, offset: 5 }])).toEqual([])
  const [route] = routesSchema.parse([
    { name: 'r', match: 'telemetry/{site}/{device}', fields: plain }
  ])
  expect(route.fields).toEqual(plain)
})

test.each([
  [[{ name: 'a', scale: 0 }], 'fields.0.scale: everything would be the same number'],
  [['a', { name: 'a', scale: 2 }], "fields.1: 'a' is listed twice"],
  [['a', { name: 'b', as: 'a' }], "fields.1: 'a' would be two series"],
  [
    [
      { name: 'a', as: 'c' },
      { name: 'b', as: 'c' }
    ],
    "fields.1: 'c' would be two series"
  ]
])('%j is refused where it stands', (fields, message) => {
  expect(refusals(fields)).toEqual([`0.${message}`])
})

test.each([
  [[{ name: 'a', scale: Number.POSITIVE_INFINITY }]],
  [[{ name: 'a', scales: 2 }]],
  [[{ unit: 'm' }]],
  [[{ name: 'a', unit: '' }]],
  [[{ name: 'a', unit: 'x'.repeat(33) }]],
  [[]]
])('%j is refused', fields => expect(refusals(fields)).not.toEqual([]))
