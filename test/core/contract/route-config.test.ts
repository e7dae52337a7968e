import { expect, test } from 'vitest'
import { routesSchema } from '../../../core/contract/route-config.ts'

const ROUTE = { name: 'a', match: 'x/{site}/{device}', topic: 'a' }

function faults(...routes: object[]): string[] {
  const { error } = routesSchema.safeParse(routes)
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`)
}

test.each([
  [{ sample: 0 }, '0.sample: a share is above 0 and at most 1'],
  [{ sample: 1.5 }, '0.sample: a share is above 0 and at most 1'],
  [{ headers: { 'FL-x': 'y' } }, "0.headers.FL-x: names that begin with 'fl-' are Fieldline's own"],
  [{ headers: { 'a b': 'y' } }, '0.headers.a b: a header name is'],
  [{ headers: { a: 'y'.repeat(1024) } }, '0.headers: 1 headers of 1025 bytes; at most 16 of 1024'],
  [
    { headers: Object.fromEntries([...'abcdefghijklmnopq'].map(name => [name, ''])) },
    '0.headers: 17 headers of 17 bytes'
  ],
  [{ mqtt_properties: ['fl-id'] }, "0.mqtt_properties.0: names that begin with 'fl-'"],
  [{ mqtt_properties: [] }, '0.mqtt_properties: '],
  [
    { headers: { a: 'b' }, mqtt_properties: ['a'] },
    "0.mqtt_properties: 'a' is a static header already"
  ],
  [{ where: {} }, '0.where: names no condition'],
  [{ where: { bytes_min: '2KiB', bytes_max: '1KiB' } }, '0.where: no payload can be'],
  [{ topic: '__x' }, "0.topic: topics that begin with '__'"],
  [{ topic: 'x.{devise}' }, 'did you mean {device}?'],
  [{ drop: true }, '0.topic: has no effect in a route that drops'],
  [{ topic: undefined, drop: true, sample: 0.5 }, '0.sample: has no effect in a route that drops']
])('a route with %j is refused', (changes, fault) => {
  expect(faults({ ...ROUTE, ...changes })).toEqual([expect.stringContaining(fault)])
})

test('all mistakes of a route are told at once', () => {
  const route = { ...ROUTE, sample: 2, headers: { 'fl-a': '' }, where: {}, topic: '{x}' }
  expect(faults(route)).toHaveLength(4)
})

test('a route that drops needs neither site nor device', () => {
  expect(faults({ name: 'a', match: 'debug/#', drop: true })).toEqual([])
  expect(faults({ name: 'a', match: 'debug/+' })).toHaveLength(2)
})

test.each([
  ['x/{site}/{device}', {}, true],
  ['x/+/+', {}, true],
  ['x/#', {}, true],
  ['#', {}, true],
  ['x/p/{device}', {}, false],
  ['x/{site}', {}, false],
  ['x/#', { where: { retained: true } }, false]
])('a route below one that drops %s %j gets nothing: %s', (match, conditions, nothing) => {
  const told = faults({ name: 'd', match, drop: true, ...conditions }, ROUTE)
  expect(told).toEqual(nothing ? ["1.match: route 'd' above drops all that this one matches"] : [])
})

test.each([
  [{ retained: true }, { retained: false }, false],
  [{ qos: 0 }, { qos: [1, 2] }, false],
  [{ bytes_max: '1KiB' }, { bytes_min: '1025B' }, false],
  [{ bytes_max: '1KiB' }, { bytes_min: '1KiB' }, true],
  [{ qos: 1 }, { retained: true }, true]
])('routes where %j and where %j to one topic collide: %s', (one, other, collide) => {
  const told = faults({ ...ROUTE, where: one }, { ...ROUTE, name: 'b', where: other })
  expect(told).toHaveLength(collide ? 1 : 0)
})
