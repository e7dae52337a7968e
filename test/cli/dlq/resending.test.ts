import { expect, test } from 'vitest'
import { renderAlerts } from '../../../agent/routing/alert-renderer.ts'
import { toDeadLetter } from '../../../agent/routing/dead-letter.ts'
import type { DeadLetter } from '../../../cli/dlq/letter.ts'
import { Resending } from '../../../cli/dlq/resending.ts'
import { encodeAlertFrame } from '../../../core/contract/alert-event.ts'
import { configOf, EPOCH, letterOf, NOW, PUMPS, rendered, storedOf } from './letters.ts'

const LATER = NOW + 3_600_000
const READING = { ...PUMPS, name: 'readings', topic: 'readings', value: 'reading' }

function resent(letter: DeadLetter, routes: object[], via?: string) {
  const config = configOf(routes)
  return new Resending(
    config,
    config.routes.find(route => route.name === via)
  ).of(letter, LATER)
}

function sent(letter: DeadLetter, routes: object[]) {
  const result = resent(letter, routes)
  if (result.kind !== 'send') throw new Error(JSON.stringify(result))
  return result.records
}

test('what no route matched goes out by today’s routes, with its id and the place of its dead letter', () => {
  const letter = letterOf(rendered([PUMPS], 9, 'q/plant7/pump-3', '{"a":1}', { dup: true }))
  const copy = { name: 'copy', match: 'q/{site}/{device}', topic: 'copy', headers: { env: 'x' } }
  const records = sent(letter, [PUMPS, { ...copy, name: 'q', topic: 'q', headers: {} }, copy])
  expect(records.map(({ topic }) => topic)).toEqual(['q', 'copy'])
  expect(records[1]).toMatchObject({ key: 'plant7/pump-3', timestampMs: NOW })
  expect(records[1].value.toString()).toBe('{"a":1}')
  expect(records[1].headers).toEqual({
    'fl-id': `gateway-7/${EPOCH}/9`,
    'fl-topic': 'q/plant7/pump-3',
    'fl-received': String(NOW),
    'fl-dup': '1',
    'fl-replayed': '1',
    'fl-replay-of': '2/17',
    env: 'x'
  })
})

test('sent again it is what an agent with today’s routes would have sent, but for its two marks', () => {
  const today = [{ ...READING, match: ['p/{site}/{device}', 'q/{site}/{device}'] }]
  const payload = `[{"ts":${NOW - 5},"a":1}]`
  const [wanted] = rendered(today, 9, 'q/p/x', payload)
  const [record] = sent(letterOf(rendered([PUMPS], 9, 'q/p/x', payload)), today)
  const marks = { 'fl-replayed': '1', 'fl-replay-of': '2/17' }
  expect(record).toEqual({ ...wanted, headers: { ...wanted.headers, ...marks } })
})

test('MQTT 5 properties that a route took as headers are there again when it is run again', () => {
  const route = { ...READING, mqtt_properties: ['traceparent', 'content-type', 'absent'] }
  const properties = { userProperties: { traceparent: '00-ab' }, contentType: 'text/plain' }
  const letter = letterOf(rendered([route], 9, 'p/p/x', '{"a":"1"}', { properties }))
  const [{ headers }] = sent(letter, [{ ...route, value: 'payload' }])
  expect(headers).toMatchObject({ traceparent: '00-ab', 'content-type': 'text/plain' })
  expect(headers).not.toHaveProperty('absent')
  expect(headers).not.toHaveProperty('fl-reason')
})

test('of several routes only the one that failed is run again', () => {
  const letter = letterOf(rendered([PUMPS, READING], 9, 'p/p/x', '{"a":"1"}'))
  expect(letter.headers['fl-route']).toBe('readings')
  const mended = { ...READING, value: 'payload' }
  expect(sent(letter, [PUMPS, mended]).map(({ topic }) => topic)).toEqual(['readings'])
})

test.each([
  ['still fails', [PUMPS, READING], undefined, 'still_fails', 'no_values'],
  ['lost its route', [PUMPS], undefined, 'route_gone', "'readings', which failed"],
  [
    'has a route that takes it no more',
    [{ ...READING, match: 'z/{site}/{device}' }],
    undefined,
    'still_fails',
    'no_route'
  ]
])('a dead letter that %s is left', (_, routes, via, cause, detail) => {
  const letter = letterOf(rendered([PUMPS, READING], 9, 'p/p/x', '{"a":"1"}'))
  const result = resent(letter, routes, via)
  expect(result).toMatchObject({ kind: 'left', cause, detail: expect.stringContaining(detail) })
})

test('a route can be named instead of the one that failed', () => {
  const letter = letterOf(rendered([PUMPS, READING], 9, 'p/p/x', '{"a":"1"}'))
  expect(resent(letter, [PUMPS], 'pumps')).toMatchObject({
    kind: 'send',
    records: [{ topic: 'pumps' }]
  })
})

test('a letter goes out whole or not at all', () => {
  const letter = letterOf(rendered([PUMPS], 9, 'q/p/x', 'x'))
  const match = 'q/{site}/{device}'
  const result = resent(letter, [
    { ...PUMPS, match },
    { ...READING, match }
  ])
  expect(result).toMatchObject({ kind: 'left', cause: 'still_fails' })
})

test('a message of which only the head was kept is never sent as if it were whole', () => {
  const letter = letterOf(rendered([PUMPS], 9, 'p/p/x', Buffer.alloc(70_000)))
  const left = { kind: 'left', cause: 'cut', detail: 'only 65536 of 70000 bytes were kept' }
  expect(resent(letter, [PUMPS])).toEqual(left)
  const { 'fl-bytes': _, ...older } = letter.headers
  expect(resent({ ...letter, headers: older }, [PUMPS])).toEqual(left)
  const whole = letterOf(rendered([PUMPS], 9, 'p/p/x', Buffer.alloc(65_536)))
  expect(sent(whole, [PUMPS])[0].value).toHaveLength(65_536)
})

test('a reading that was too large is rendered anew from the bytes of its message', () => {
  const letter = letterOf(rendered([READING], 9, 'p/p/x', '{"a":  1}'))
  expect(letter.value.toString()).toBe('{"a":  1}')
  const [record] = sent(letter, [READING])
  expect(JSON.parse(record.value.toString())).toMatchObject({ values: { a: 1 } })
})

test('what a route now drops or samples out is settled', () => {
  const letter = letterOf(rendered([PUMPS], 9, 'q/p/x', '1'))
  const drop = { name: 'noise', match: 'q/#', drop: true }
  expect(resent(letter, [drop, PUMPS])).toEqual({ kind: 'settled', how: 'dropped', route: 'noise' })
  const few = { name: 'few', match: 'q/{site}/{device}', topic: 'few', sample: 1e-9 }
  expect(resent(letter, [few])).toMatchObject({ kind: 'settled', how: 'sampled_out' })
})

test('conditions of routes are asked of the message as it was published', () => {
  const route = { ...PUMPS, match: 'q/{site}/{device}' }
  const letter = letterOf(rendered([PUMPS], 9, 'q/p/x', '1', { qos: 2, retain: true }))
  expect(resent(letter, [{ ...route, where: { qos: 2, retained: true } }]).kind).toBe('send')
  expect(resent(letter, [{ ...route, where: { qos: 1 } }]).kind).toBe('left')
  expect(resent(letter, [{ ...route, where: { retained: false } }]).kind).toBe('left')
})

test('a letter that names no route goes by the only one that matches, else it is left', () => {
  const failed = letterOf(rendered([PUMPS], 9, 'p/p/x', '1'))
  const { 'fl-route': _, ...headers } = failed.headers
  const letter = { ...failed, headers }
  expect(sent(letter, [PUMPS])).toHaveLength(1)
  expect(resent(letter, [PUMPS, READING])).toMatchObject({ kind: 'left', cause: 'route_unknown' })
})

test('a stored record that this version knows after all is sent as the message it holds', () => {
  const letter = {
    ...{ partition: 0, brokerOffset: 3, timestampMs: LATER, key: 'gateway-7' },
    value: storedOf('p/p/x', '5', { retain: true, upstream: true }),
    headers: { 'fl-id': `gateway-7/${EPOCH}/9`, 'fl-reason': 'unknown_record' }
  }
  expect(sent(letter, [PUMPS])).toMatchObject([
    { topic: 'pumps', key: 'p/x', timestampMs: NOW, headers: { 'fl-retained': '1' } }
  ])
  const unread = { ...letter, value: Buffer.from([9, 9]) }
  expect(resent(unread, [PUMPS])).toMatchObject({ kind: 'left', cause: 'still_fails' })
})

test('alert events go to the alert topic as they are, unread frames event by event', () => {
  const event = { id: 'x', data: { site: 'p', device: 'a' } }
  const frame = encodeAlertFrame({ source: { epoch: EPOCH, offset: 7 }, events: [event] } as never)
  const render = renderAlerts('gateway-7', 'fieldline.alerts', 'fieldline.dead-letters')
  const [alert] = render({ epoch: EPOCH, offset: 12, payload: frame }, NOW)
  const place = { partition: 0, brokerOffset: 3 }
  const refused = { ...toDeadLetter(alert, 'd', 'produce', 'invalid_timestamp', 'x'), ...place }
  const unread = {
    ...{ ...place, timestampMs: NOW, key: 'gateway-7', value: frame },
    headers: { 'fl-id': `gateway-7/${EPOCH}/12`, 'fl-reason': 'unknown_record' }
  }
  for (const letter of [refused, unread]) {
    expect(sent(letter, [PUMPS])).toEqual([
      { ...alert, timestampMs: LATER, headers: { ...alert.headers, 'fl-replay-of': '0/3' } }
    ])
  }
})

test.each([
  ['without an id', { 'fl-id': 'x', 'fl-topic': 'p/p/x', 'fl-reason': 'no_route' }],
  ['without a reason', { 'fl-id': `g/${EPOCH}/1`, 'fl-topic': 'p/p/x' }],
  ['without a topic', { 'fl-id': `g/${EPOCH}/1`, 'fl-reason': 'no_route' }]
])('a record %s is no dead letter, and left', (_, headers) => {
  const value = Buffer.from('1')
  const letter = { partition: 0, brokerOffset: 3, timestampMs: NOW, key: '', value, headers }
  expect(resent(letter, [PUMPS])).toMatchObject({ kind: 'left', cause: 'no_dead_letter' })
})

test('a letter of a central detector is never sent: its record is in Kafka already', () => {
  const letter = letterOf(rendered([PUMPS], 9, 'q/plant7/pump-3', '{"a":1}'))
  const headers = { ...letter.headers, 'fl-record': 'telemetry/3/17' }
  expect(resent(letter, [{ ...PUMPS, match: 'q/{site}/{device}' }]).kind).toBe('send')
  expect(resent({ ...letter, headers }, [{ ...PUMPS, match: 'q/{site}/{device}' }])).toMatchObject({
    kind: 'left',
    cause: 'in_kafka',
    detail: expect.stringContaining('telemetry/3/17')
  })
})
