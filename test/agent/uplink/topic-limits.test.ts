import { expect, test } from 'vitest'
import type { OutgoingRecord } from '../../../agent/uplink/outgoing-record.ts'
import { outgoingBytes } from '../../../agent/uplink/outgoing-record.ts'
import { TopicLimits } from '../../../agent/uplink/topic-limits.ts'
import { recordsOf } from './records.ts'

const bytesOf = (records: OutgoingRecord[]) =>
  records.reduce((sum, record) => sum + outgoingBytes(record), 0)

/** What a broker with this limit makes of a batch, cut as it has been learned. */
function sendAll(limits: TopicLimits, records: OutgoingRecord[], brokerMax: number): number {
  let refusals = 0
  for (let at = 0; at < records.length; ) {
    const bytesMax = limits.bytesMax?.('t') ?? Number.POSITIVE_INFINITY
    let end = at + 1
    while (end < records.length && bytesOf(records.slice(at, end + 1)) <= bytesMax) end++
    const chunk = records.slice(at, end)
    if (bytesOf(chunk) > brokerMax) {
      refusals++
      limits.refused(chunk)
    } else {
      limits.stored(chunk)
      at = end
    }
  }
  return refusals
}

test('a topic’s limit is found once, and later batches are not refused', () => {
  const limits = new TopicLimits(() => 0)
  expect(sendAll(limits, recordsOf('t', 0, 500), 4_000)).toBeGreaterThan(0)
  expect(limits.bytesMax?.('t')).toBeGreaterThan(1_999)
  expect(sendAll(limits, recordsOf('t', 500, 1000), 4_000)).toBe(0)
})

test('the largest topic of a batch is the one that learns', () => {
  const limits = new TopicLimits(() => 0)
  limits.refused([...recordsOf('small', 0, 10), ...recordsOf('large', 0, 100)])
  expect(limits.bytesMax?.('small')).toBe(Number.POSITIVE_INFINITY)
  expect(limits.bytesMax?.('large')).toBeLessThan(bytesOf(recordsOf('large', 0, 100)))
})

test('a single record that is too large teaches nothing about the others', () => {
  const limits = new TopicLimits(() => 0)
  const records = recordsOf('t', 0, 20)
  records[3].value = Buffer.alloc(100_000)
  limits.refused(records)
  limits.refused(records.slice(3, 4))
  expect(limits.bytesMax).toBeUndefined()
})

test('what was stored at once is not undercut by a later refusal of more', () => {
  const limits = new TopicLimits(() => 0)
  limits.refused(recordsOf('t', 0, 400))
  const stored = recordsOf('t', 0, 190)
  limits.stored(stored)
  limits.refused(recordsOf('t', 0, 200))
  expect(limits.bytesMax?.('t')).toBe(bytesOf(stored))
})

test('after an hour a limit is forgotten: it may have been raised', () => {
  let now = 0
  const limits = new TopicLimits(() => now)
  limits.refused(recordsOf('t', 0, 100))
  now = 3_600_001
  expect(limits.bytesMax?.('t')).toBe(Number.POSITIVE_INFINITY)
  expect(limits.bytesMax).toBeUndefined()
})
