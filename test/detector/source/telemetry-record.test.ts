import { expect, test } from 'vitest'
import type { RouteConfig } from '../../../core/contract/route-config.ts'
import { TelemetryDecoder } from '../../../detector/source/telemetry-record.ts'
import { EPOCH, T0 } from '../kit.ts'

const ROUTE: RouteConfig = {
  name: 'default',
  match: ['telemetry/{site}/{device}', 'telemetry/{site}/{device}/{metric}'],
  site: undefined,
  topic: 'telemetry',
  codec: 'json',
  value: 'payload',
  fields: undefined
}

function decode(
  value: string,
  headers: Record<string, string> = {},
  route: Partial<RouteConfig> = {},
  key: string | null = 'plant7/pump-3'
) {
  const all: Record<string, string> = {
    'fl-id': `gateway-7/${EPOCH}/42`,
    'fl-topic': 'telemetry/plant7/pump-3',
    'fl-received': String(T0 + 7),
    ...headers
  }
  return new TelemetryDecoder([{ ...ROUTE, ...route }]).decode({
    topic: 'telemetry',
    key: key === null ? null : Buffer.from(key),
    value: Buffer.from(value),
    timestampMs: T0,
    header: name => all[name]
  })
}

test('a telemetry record becomes a reading with its id, device, times and values', () => {
  expect(decode('{"temperature":21.4,"motor":{"temp":60},"seq":9}')).toEqual({
    ok: true,
    readings: [
      {
        epoch: EPOCH,
        offset: 42,
        index: 0,
        agentId: 'gateway-7',
        eventId: `gateway-7/${EPOCH}/42`,
        site: 'plant7',
        device: 'pump-3',
        at: T0,
        receivedAt: T0 + 7,
        values: [
          { metric: 'temperature', value: 21.4 },
          { metric: 'motor.temp', value: 60 }
        ]
      }
    ]
  })
})

test('the metric of the topic names a bare number', () => {
  const decoded = decode('21.4', { 'fl-topic': 'telemetry/plant7/pump-3/temperature' })
  expect(decoded.ok && decoded.readings[0].values).toEqual([{ metric: 'temperature', value: 21.4 }])
})

test('elements of an array are readings of one record, as far apart as the device says', () => {
  const decoded = decode(`[{"ts":${T0},"t":1},{"ts":${T0 + 250},"t":2}]`)
  expect(decoded.ok && decoded.readings.map(r => [r.index, r.at, r.values[0].value])).toEqual([
    [0, T0, 1],
    [1, T0 + 250, 2]
  ])
})

test('values written by a route of readings are read as such', () => {
  const value = JSON.stringify({ site: 'plant7', device: 'pump-3', values: { a: 1, b: 2 } })
  const decoded = decode(value, {}, { value: 'reading' })
  expect(decoded.ok && decoded.readings[0].values).toEqual([
    { metric: 'a', value: 1 },
    { metric: 'b', value: 2 }
  ])
})

test('a dead letter sent again is known by its header', () => {
  const decoded = decode('{"t":1}', { 'fl-replay-of': '0/12' })
  expect(decoded.ok && decoded.readings[0].resent).toBe(true)
})

test('what can never be read has a reason', () => {
  const reasonOf = (...args: Parameters<typeof decode>) => {
    const decoded = decode(...args)
    return decoded.ok ? undefined : decoded.reason
  }
  expect(reasonOf('{"t":1}', { 'fl-id': 'nonsense' })).toBe('unknown_record')
  expect(reasonOf('{"t":1}', {}, {}, null)).toBe('unknown_record')
  expect(reasonOf('{"t":1}', {}, {}, 'pump-3')).toBe('unknown_record')
  expect(reasonOf('not json')).toBe('not_json')
  expect(reasonOf('warm', {}, { codec: 'number' })).toBe('not_a_number')
  expect(reasonOf('[1]', {}, { value: 'reading' })).toBe('not_json')
})

test('what holds no numbers, or comes of a raw route, is no fault of the record', () => {
  expect(decode('{"state":"on"}')).toMatchObject({ ok: true, readings: [{ values: [] }] })
  expect(decode('{"t":1}', {}, { codec: 'raw' })).toEqual({ ok: true, readings: [] })
})

test('a record that no route explains is told apart', () => {
  const unrouted = { ok: true, readings: [], unrouted: true }
  expect(decode('{"t":1}', { 'fl-topic': 'else/where' })).toEqual(unrouted)
  expect(decode('{"t":1}', {}, { topic: 'other' })).toEqual(unrouted)
  expect(decode('{"t":1}', {}, { drop: true })).toEqual(unrouted)
})

test('where several routes match a message, its topic tells which one wrote the record', () => {
  const match = ['telemetry/{site}/{device}']
  const routes: RouteConfig[] = [
    { ...ROUTE, match, name: 'raw', topic: 'raw', codec: 'raw' },
    { ...ROUTE, match, name: 'heat', topic: 'heat.{site}', fields: ['temperature'] },
    { ...ROUTE, match, name: 'readings', topic: 'readings', value: 'reading' },
    { ...ROUTE, match }
  ]
  const decoder = new TelemetryDecoder(routes)
  const metricsOf = (topic: string, value: string) => {
    const headers: Record<string, string> = {
      'fl-id': `gateway-7/${EPOCH}/42`,
      'fl-topic': 'telemetry/plant7/pump-3'
    }
    const decoded = decoder.decode({
      ...{ topic, key: Buffer.from('plant7/pump-3'), value: Buffer.from(value), timestampMs: T0 },
      header: name => headers[name]
    })
    return decoded.ok && decoded.readings.flatMap(r => r.values.map(v => v.metric))
  }
  const payload = '{"temperature":21,"pressure":5}'
  expect(metricsOf('raw', payload)).toEqual([])
  expect(metricsOf('heat.plant7', payload)).toEqual(['temperature'])
  expect(metricsOf('readings', '{"values":{"a":1}}')).toEqual(['a'])
  expect(metricsOf('telemetry', payload)).toEqual(['temperature', 'pressure'])
})

test('declared fields scale an untouched value, and never one that the agent has scaled', () => {
  const fields = [{ name: 't', as: 'temperature', unit: '°C', scale: 0.1 }]
  const untouched = decode('{"t":214,"u":1}', {}, { fields })
  const scaled = [{ metric: 'temperature', value: 21.400000000000002, unit: '°C' }]
  expect(untouched.ok && untouched.readings[0].values).toEqual(scaled)
  const reading = JSON.stringify({ values: { temperature: scaled[0].value }, unit: '°C' })
  const read = decode(reading, {}, { fields, value: 'reading' })
  expect(read.ok && read.readings[0].values).toEqual(scaled)
})

test('units of a reading are one for all its values, or by name', () => {
  const read = (value: object) => {
    const decoded = decode(JSON.stringify(value), {}, { value: 'reading' })
    return decoded.ok && decoded.readings[0].values.map(({ unit }) => unit)
  }
  expect(read({ values: { a: 1, b: 2 }, unit: 'm' })).toEqual(['m', 'm'])
  expect(read({ values: { a: 1, b: 2 }, units: { b: 's' } })).toEqual([undefined, 's'])
  expect(read({ values: { a: 1 }, units: null, unit: 5 })).toEqual([undefined])
})
