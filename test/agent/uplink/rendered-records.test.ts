import { expect, test } from 'vitest'
import { outgoingBytes } from '../../../agent/uplink/outgoing-record.ts'
import { RenderedRecords } from '../../../agent/uplink/rendered-records.ts'
import { upTo } from './delivery-kit.ts'
import { recordsOf } from './records.ts'

/** A record each, but for every tenth: a clock mark. */
function filled(count: number) {
  const queue = new RenderedRecords()
  for (const [n, record] of recordsOf('t', 0, count).entries()) {
    if (n % 10 === 9) queue.push([], upTo(n + 1), undefined)
    else queue.push([record], upTo(n + 1), 1000 + n)
  }
  return queue
}

test('parcels hold what fits, in order, and end just behind their last log record', () => {
  const queue = filled(100)
  const ids: number[] = []
  let end = 0
  while (!queue.isEmpty) {
    const parcel = queue.take({ bytes: 700, records: 8 })
    expect(parcel.bytes).toBe(parcel.records.reduce((sum, r) => sum + outgoingBytes(r), 0))
    expect(parcel.bytes).toBeLessThanOrEqual(700)
    expect(parcel.records.length).toBeLessThanOrEqual(8)
    ids.push(...parcel.records.map(({ headers }) => Number(headers['fl-id'])))
    end += parcel.logRecords
    expect(parcel.upTo).toEqual(upTo(end))
  }
  expect(end).toBe(100)
  expect(ids).toEqual(Array.from({ length: 100 }, (_, n) => n).filter(n => n % 10 !== 9))
  expect([queue.bytes, queue.count]).toEqual([0, 0])
})

test('a record larger than the room goes alone', () => {
  const queue = filled(5)
  expect(queue.take({ bytes: 1, records: 100 }).records.length).toBe(1)
  expect(queue.take({ bytes: 1, records: 100 }).upTo).toEqual(upTo(2))
})

test('a parcel can be taken apart behind each of its log records', () => {
  const parcel = filled(12).take({ bytes: 1e6, records: 100 })
  const cuts = parcel.cuts()
  expect(cuts.map(cut => cut.records)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 11])
  expect(cuts[9].upTo).toEqual(upTo(10))
})

test('its age is that of the oldest record, clock marks have none', () => {
  const queue = filled(20)
  expect(queue.oldestAt).toBe(1000)
  queue.take({ bytes: 1e6, records: 9 })
  expect(queue.take({ bytes: 1e6, records: 1 }).oldestAt).toBe(1010)
})
