import { expect, test } from 'vitest'
import { SentOffsets } from '../../../cli/dlq/sent-offsets.ts'
import { Prng } from '../../../core/runtime/prng.ts'

const none = () => SentOffsets.parse(undefined)

test('what is done without a gap needs no metadata', () => {
  const sent = none()
  sent.add(0, 3)
  sent.add(3, 7)
  expect(sent.format()).toEqual({ offset: '7', metadata: '1:' })
  expect([sent.has(6), sent.has(7)]).toEqual([true, false])
})

test('a gap stays open until it is done, and then the first place passes all behind it', () => {
  const sent = none()
  sent.add(1, 4)
  sent.add(6, 7)
  expect(sent.format()).toEqual({ offset: '0', metadata: '1:1.3,2.1' })
  sent.add(4, 6)
  expect(sent.format()).toEqual({ offset: '0', metadata: '1:1.6' })
  sent.add(0, 1)
  expect(sent.format()).toEqual({ offset: '7', metadata: '1:' })
})

test.each([undefined, { offset: '-1' }, { offset: 'x' }])('%j begins at the first', committed => {
  expect(SentOffsets.parse(committed).first).toBe(0)
})

test.each([null, '', 'else', '1:', '1:5', '1:1.2,'])(
  'metadata %j that says nothing leaves the offset alone',
  metadata => {
    const sent = SentOffsets.parse({ offset: '12', metadata })
    expect([sent.first, sent.has(11), sent.has(12), sent.has(14)]).toEqual([12, true, false, false])
  }
)

const seed = 20_261_122
test(`places survive being written down and read again, whatever their order (seed ${seed})`, () => {
  const random = new Prng(seed)
  for (let round = 0; round < 200; round++) {
    let sent = none()
    const expected = new Set<number>()
    for (let step = 0; step < 30; step++) {
      const from = random.int(100)
      const end = from + 1 + random.int(5)
      sent.add(from, end)
      for (let offset = from; offset < end; offset++) expected.add(offset)
      const written = sent.format()
      sent = SentOffsets.parse(written)
      expect(sent.format()).toEqual(written)
    }
    for (let offset = 0; offset < 110; offset++) {
      expect(sent.has(offset), `${offset} of round ${round}`).toBe(expected.has(offset))
    }
  }
})

test('more gaps than a group can remember are told, not cut', () => {
  const sent = none()
  for (let at = 0; sent.format(); at += 2) sent.add(at + 1, at + 2)
  expect(sent.has(1)).toBe(true)
  expect(sent.first).toBe(0)
})
