import { expect, test } from 'vitest'
import { sequenceOf } from '../../cli/demo/judge.ts'
import { decodePayload } from '../../core/contract/reading.ts'
import { Payload } from './payload.ts'

const AT = 1_790_000_000_123

test('a reading has its length, sequence, value and time, whatever was written there before', () => {
  const payload = new Payload(200)
  for (const sequence of [1, 4_294_967_296, 57]) {
    payload.write(payload.bytes, 0, sequence, AT)
    expect(payload.bytes).toHaveLength(200)
    expect(sequenceOf(payload.bytes)).toBe(sequence)
    const decoded = decodePayload('json', payload.bytes, 'temperature')
    const value = (sequence % 100) / 10
    expect(decoded).toEqual({
      ok: true,
      payloads: [{ observedAt: AT, values: [{ metric: 'temperature', value }] }]
    })
  }
})

test('a reading is written into the middle of a buffer and nowhere else', () => {
  const payload = new Payload(100)
  const into = Buffer.alloc(300)
  payload.write(into, 100, 7, AT)
  expect(sequenceOf(into.subarray(100, 200))).toBe(7)
  expect(into.subarray(0, 100)).toEqual(Buffer.alloc(100))
  expect(into.subarray(200)).toEqual(Buffer.alloc(100))
})
