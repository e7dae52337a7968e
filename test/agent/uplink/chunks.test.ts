import { expect, test } from 'vitest'
import { Chunks } from '../../../agent/uplink/chunks.ts'
import type { Verdict } from '../../../agent/uplink/verdict.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { recordsOf } from './records.ts'

const SEED = 5
const TOO_LARGE: Verdict = {
  action: 'split',
  code: 'MESSAGE_TOO_LARGE',
  message: 'too large',
  reason: 'too_large'
}

function chunksOf(count: number) {
  const letters: string[] = []
  const chunks = new Chunks(recordsOf('t', 0, count), 'dead', reason => letters.push(reason))
  const ids = () => chunks.all.map(chunk => chunk.map(({ headers }) => Number(headers['fl-id'])))
  return { chunks, letters, ids }
}

test('a refused chunk is halved, and what was behind it stays behind it', () => {
  const { chunks, ids } = chunksOf(5)
  expect(chunks.refine(0, TOO_LARGE)).toBe(true)
  expect(ids()).toEqual([
    [0, 1],
    [2, 3, 4]
  ])
  expect(chunks.refine(1, TOO_LARGE)).toBe(true)
  expect(ids()).toEqual([[0, 1], [2], [3, 4]])
  chunks.shift()
  expect(ids()).toEqual([[2], [3, 4]])
})

test(`however it is split, every record is there once and in order (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  for (let run = 0; run < 100; run++) {
    const { chunks, ids } = chunksOf(50)
    for (let n = 0; n < 40; n++) chunks.refine(prng.int(chunks.all.length), TOO_LARGE)
    expect(ids().flat()).toEqual(Array.from({ length: 50 }, (_, n) => n))
  }
})

test('a single record that is refused becomes its dead letter, in its place and counted', () => {
  const { chunks, letters } = chunksOf(1)
  expect(chunks.refine(0, TOO_LARGE)).toBe(true)
  const [letter] = chunks.all[0]
  expect(letter).toMatchObject({
    topic: 'dead',
    key: 'site/device-0',
    headers: {
      'fl-id': '0',
      'fl-stage': 'produce',
      'fl-reason': 'too_large',
      'fl-detail': 'MESSAGE_TOO_LARGE: too large'
    }
  })
  expect(letters).toEqual(['too_large'])
})

test('a dead letter that is refused itself is kept as it is: the lane must park', () => {
  const { chunks, letters } = chunksOf(1)
  chunks.refine(0, TOO_LARGE)
  expect(chunks.refine(0, TOO_LARGE)).toBe(false)
  expect([chunks.all.length, letters]).toEqual([1, ['too_large']])
})

test('the dead letter of a refused timestamp carries the present one', () => {
  const { chunks } = chunksOf(1)
  const [record] = chunks.first!
  record.timestampMs = 5
  const verdict: Verdict = { ...TOO_LARGE, action: 'dead_letter', reason: 'invalid_timestamp' }
  chunks.refine(0, verdict)
  expect(chunks.first![0].timestampMs).toBeGreaterThan(1_700_000_000_000)
})

test('a batch without records has no chunk', () => {
  expect(chunksOf(0).chunks.first).toBeUndefined()
})
