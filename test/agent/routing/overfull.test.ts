import { expect, test } from 'vitest'
import { Router } from '../../../agent/routing/router.ts'
import { routesSchema } from '../../../core/contract/route-config.ts'
import { encodeStoredMessage } from '../../../core/contract/stored-message.ts'
import type { LogRecord } from '../../../core/log/reader.ts'

const NOW = 1_795_336_000_000
const ROUTE = { name: 'all', match: 'telemetry/{site}/{device}', topic: 'readings' }

function router(route: object): Router {
  return new Router({
    agentId: 'gateway-7',
    routes: routesSchema.parse([{ ...ROUTE, ...route }]),
    deadLetterTopic: 'fieldline.dead-letters',
    ...{ pastMsMax: 86_400_000, futureMsMax: 60_000, replayedAfterMs: 30_000 }
  })
}

/** Of a PLC that sends all it has in one payload: k0, k1, … */
const payload = JSON.stringify(
  Object.fromEntries(Array.from({ length: 513 }, (_, n) => [`k${n}`, n]))
)
const record: LogRecord = {
  epoch: '1-9f2c03d1a7b4e655',
  offset: 184_467,
  payload: encodeStoredMessage({
    topic: 'telemetry/plant7/plc-1',
    payload: Buffer.from(payload),
    ...{ qos: 1, retain: false, dup: false, packetId: 5, clientId: 'client-1', upstream: false },
    ...{ receivedAt: NOW, monotonicMs: 500_000, bootId: 7n, clockUnsynced: false }
  })
}

test('value: reading of more values than it can hold is a dead letter: none of them is lost', () => {
  const [letter, ...others] = router({ value: 'reading' }).route(record, NOW)
  expect(others).toEqual([])
  expect(letter).toMatchObject({ topic: 'fieldline.dead-letters', key: 'plant7/plc-1' })
  expect(letter.value.toString()).toBe(payload)
  expect(letter.headers).toMatchObject({
    'fl-stage': 'decode',
    'fl-reason': 'too_many_values',
    'fl-detail': expect.stringContaining('more than 100000 readings, or 512 values in one')
  })
})

test('value: reading of the values that its route names is delivered, however many there are', () => {
  const [sent] = router({ value: 'reading', fields: ['k0', 'k512'] }).route(record, NOW)
  expect(sent.topic).toBe('readings')
  expect(JSON.parse(sent.value.toString()).values).toEqual({ k0: 0, k512: 512 })
})

test('an untouched value is delivered whatever it holds, and the detector is told that there is more', () => {
  const [sent] = router({}).route(record, NOW)
  expect(sent.topic).toBe('readings')
  expect(sent.value.toString()).toBe(payload)
  const [reading] = router({}).readings(record)
  expect(reading.values).toHaveLength(512)
  expect(reading.overfull).toBe(true)
})
