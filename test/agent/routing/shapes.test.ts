import v8 from 'node:v8'
import vm from 'node:vm'
import { expect, test } from 'vitest'
import { Router } from '../../../agent/routing/router.ts'
import { routesSchema } from '../../../core/contract/route-config.ts'
import { encodeStoredMessage } from '../../../core/contract/stored-message.ts'
import type { LogRecord } from '../../../core/log/reader.ts'

/*
 * Node.js 20 makes a hidden class for every object that is copied by a spread and then extended: half
 * a microsecond and 400 bytes of the old heap each. A message a thing, that was a collection of
 * the old heap every other second, and PUBACKs that waited 30 ms for it.
 */

v8.setFlagsFromString('--allow-natives-syntax')
const sameShape: (a: object, b: object) => boolean = vm.runInThisContext(
  '(a, b) => %HaveSameMap(a, b)'
)
// Compiled by its first call.
sameShape({}, {})
v8.setFlagsFromString('--no-allow-natives-syntax')

const NOW = 1_795_336_000_000
/** The first ones are made by slow paths, which share. */
const WARM = 1_000

const record = (offset: number): LogRecord => ({
  epoch: '1-9f2c03d1a7b4e655',
  offset,
  payload: encodeStoredMessage({
    topic: `telemetry/plant7/pump-${offset}/temperature`,
    payload: Buffer.from(JSON.stringify({ ts: NOW, value: offset, note: 'warm', unit: 'C' })),
    ...{ qos: 1, retain: false, dup: false, packetId: 5, clientId: `client-${offset}` },
    ...{ upstream: false, receivedAt: NOW, monotonicMs: 500_000, bootId: 7n },
    clockUnsynced: false,
    properties: { contentType: 'application/json' }
  })
})

const router = new Router({
  agentId: 'gateway-7',
  routes: routesSchema.parse([
    {
      ...{ name: 'all', match: ['telemetry/{site}/{device}/{metric}'] },
      mqtt_properties: ['content_type']
    }
  ]),
  deadLetterTopic: 'fieldline.dead-letters',
  ...{ pastMsMax: 86_400_000, futureMsMax: 60_000, replayedAfterMs: 30_000 }
})

/** What is made of the nth message. */
const MADE: Record<string, (n: number) => object> = {
  'a sighting': n => router.sighting(record(n))!,
  'a decoded payload': n => router.sighting(record(n))!.decode()[0],
  'a reading': n => router.readings(record(n))[0],
  'a Kafka record': n => router.route(record(n), NOW)[0],
  "a Kafka record's headers": n => router.route(record(n), NOW)[0].headers
}

test.each(Object.keys(MADE))('%s has the shape of the one before', name => {
  const made = Array.from({ length: WARM + 2 }, (_, n) => MADE[name](n))
  expect(sameShape(made[WARM], made[WARM + 1])).toBe(true)
})

test('shapes can be told apart', () => {
  expect(sameShape({ a: 1 }, { b: 1 })).toBe(false)
})
