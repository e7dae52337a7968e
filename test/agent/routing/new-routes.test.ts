import { expect, test } from 'vitest'
import { Router } from '../../../agent/routing/router.ts'
import { routesSchema } from '../../../core/contract/route-config.ts'
import {
  encodeClockMark,
  encodeStoredMessage,
  type StoredMessage
} from '../../../core/contract/stored-message.ts'
import type { LogRecord } from '../../../core/log/reader.ts'

const NOW = 1_795_336_000_000
const DEFAULT = { name: 'default', match: ['telemetry/{site}/{device}'] }

function stored(changes: Partial<StoredMessage> = {}): LogRecord {
  const payload = encodeStoredMessage({
    ...{ topic: 'telemetry/plant7/pump-3', qos: 1, retain: false, dup: false, packetId: 5 },
    ...{ clientId: 'c', upstream: false, receivedAt: NOW, monotonicMs: 500_000, bootId: 7n },
    ...{ clockUnsynced: false, payload: Buffer.from('{"t":1}') },
    ...changes
  })
  return { epoch: '1-9f2c03d1a7b4e655', offset: 1, payload }
}

test('new routes hold from the next record on; clocks that are known stay known, and so do counts', () => {
  const half = { ...DEFAULT, name: 'half', match: ['telemetry/{site}/pump-3'], drop: true }
  const other = { ...half, name: 'other', match: ['telemetry/{site}/pump-4'] }
  const under = new Router({
    ...{ agentId: 'gateway-7', routes: routesSchema.parse([half]), deadLetterTopic: 'letters' },
    ...{ pastMsMax: 7 * 86_400_000, futureMsMax: 60_000, replayedAfterMs: 30_000 }
  })
  under.route(
    { ...stored(), payload: encodeClockMark({ bootId: 7n, monotonicMs: 600_000, wallAt: NOW }) },
    NOW
  )
  expect(under.route(stored(), NOW)).toEqual([])
  under.useRoutes(routesSchema.parse([half, { ...DEFAULT, topic: 'all' }]))
  expect(under.filtered).toEqual({ half: { dropped: 1, sampledOut: 0 } })
  under.useRoutes(routesSchema.parse([other, { ...DEFAULT, topic: 'all' }]))
  expect(under.filtered).toEqual({ other: { dropped: 0, sampledOut: 0 } })
  const [record] = under.route(stored({ clockUnsynced: true, receivedAt: 5 }), NOW)
  expect(record.topic).toBe('all')
  expect(record.headers['fl-received']).toBe(String(NOW - 100_000))
})
