import { expect, test } from 'vitest'
import {
  formatEpoch,
  formatEventId,
  parseEpoch,
  parseEventId
} from '../../../core/contract/event-id.ts'

test('an epoch is its generation and sixteen hex digits', () => {
  expect(formatEpoch({ generation: 1, random: 0x9f2c03d1a7b4e655n })).toBe('1-9f2c03d1a7b4e655')
  expect(formatEpoch({ generation: 12, random: 0xffn })).toBe('12-00000000000000ff')
  for (const random of [0n, 1n, 2n ** 64n - 1n]) {
    expect(parseEpoch(formatEpoch({ generation: 7, random }))).toEqual({ generation: 7, random })
  }
})

test.each(['', '1', '0-9f2c03d1a7b4e655', '1-9F2C03D1A7B4E655', '1-9f2c', '1-9f2c03d1a7b4e6550'])(
  '%j is no epoch',
  text => expect(parseEpoch(text)).toBeUndefined()
)

test('an event id names agent, epoch and offset, and an alert its number in the frame', () => {
  expect(formatEventId('gateway-7', '1-9f2c03d1a7b4e655', 184467)).toBe(
    'gateway-7/1-9f2c03d1a7b4e655/184467'
  )
  expect(parseEventId('gateway-7/1-9f2c03d1a7b4e655/184467')).toEqual({
    agentId: 'gateway-7',
    epoch: '1-9f2c03d1a7b4e655',
    offset: 184467
  })
  const alert = formatEventId('a', '1-9f2c03d1a7b4e655', 5, 0)
  expect(alert).toBe('a/1-9f2c03d1a7b4e655/5/0')
  expect(parseEventId(alert)).toMatchObject({ offset: 5, index: 0 })
})

test.each([
  'a/1-9f2c03d1a7b4e655',
  'a b/1-9f2c03d1a7b4e655/1',
  'a/1-9f2c03d1a7b4e655/-1',
  'a/1-9f2c03d1a7b4e655/1/2/3',
  'a/1-9f2c03d1a7b4e655/1\n',
  `${'a'.repeat(65)}/1-9f2c03d1a7b4e655/1`
])('%j is no event id', text => expect(parseEventId(text)).toBeUndefined())
