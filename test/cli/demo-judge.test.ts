import { expect, test } from 'vitest'
import { type FoundReading, judgeDelivery, sequenceOf } from '../../cli/demo/judge.ts'

const reading = (
  key: string | null,
  sequence: number | undefined,
  id: string | undefined,
  dup = false
): FoundReading => ({ key, sequence, id, dup })

test('everything that was acknowledged is found, once and in order', () => {
  const verdict = judgeDelivery({ 'p/a': 2, 'p/b': 1 }, [
    reading('p/a', 1, 'g/1/0'),
    reading('p/b', 1, 'g/1/1'),
    reading('p/a', 2, 'g/1/2')
  ])
  expect(verdict).toEqual({
    ...{ acknowledged: 3, found: 3, lost: 0, reordered: 0, duplicates: 0 },
    ...{ resent: 0, resentMarked: 0, records: 3, unreadable: 0, lostExamples: [] }
  })
})

test('a reading that was acknowledged and is not in Kafka is lost', () => {
  const verdict = judgeDelivery({ 'p/a': 3, 'p/b': 7 }, [
    reading('p/a', 1, 'g/1/0'),
    reading('p/a', 3, 'g/1/1')
  ])
  expect(verdict).toMatchObject({ acknowledged: 10, found: 2, lost: 8, reordered: 0 })
  expect(verdict.lostExamples).toEqual(['p/a#2', 'p/b#1', 'p/b#2', 'p/b#3', 'p/b#4'])
})

test('a reading that comes first behind a later one of its device is reordered', () => {
  const verdict = judgeDelivery({ 'p/a': 3, 'p/b': 1 }, [
    reading('p/a', 2, 'g/1/0'),
    reading('p/b', 1, 'g/1/1'),
    reading('p/a', 1, 'g/1/2'),
    reading('p/a', 3, 'g/1/3')
  ])
  expect(verdict).toMatchObject({ lost: 0, reordered: 1 })
})

test('one id twice is a duplicate, one reading under two ids was sent again', () => {
  const verdict = judgeDelivery({ 'p/a': 3 }, [
    reading('p/a', 1, 'g/1/0'),
    reading('p/a', 2, 'g/1/1'),
    reading('p/a', 1, 'g/1/0'),
    reading('p/a', 2, 'g/1/2', true),
    reading('p/a', 2, 'g/1/3'),
    reading('p/a', 3, 'g/1/4')
  ])
  expect(verdict).toMatchObject({ duplicates: 1, resent: 2, resentMarked: 1 })
  expect(verdict).toMatchObject({ lost: 0, reordered: 0, records: 6 })
})

test('without an id a repeated sequence is a duplicate', () => {
  const verdict = judgeDelivery({ 'p/a': 1 }, [
    reading('p/a', 1, undefined),
    reading('p/a', 1, undefined)
  ])
  expect(verdict).toMatchObject({ duplicates: 1, resent: 0 })
})

test('strangers are left alone and a reading beyond the ledger is no loss', () => {
  const verdict = judgeDelivery({ 'p/a': 1 }, [
    reading('p/a', 1, 'g/1/0'),
    reading('p/a', 2, 'g/1/1'),
    reading('p/other', 9, 'g/1/2'),
    reading(null, 1, 'g/1/3'),
    reading('constructor', 1, 'g/1/4')
  ])
  expect(verdict).toMatchObject({ acknowledged: 1, found: 1, lost: 0, records: 2 })
})

test('a record without a sequence is unreadable and finds nothing', () => {
  const verdict = judgeDelivery({ 'p/a': 1 }, [reading('p/a', undefined, 'g/1/0')])
  expect(verdict).toMatchObject({ unreadable: 1, found: 0, lost: 1 })
})

test.each([
  ['{"temperature":21.4,"seq":7,"ts":1}', 7],
  ['{"temperature":21.4}', undefined],
  ['{"seq":"7"}', undefined],
  ['{"seq":1.5}', undefined],
  ['null', undefined],
  ['no json', undefined]
])('the sequence of %s is %s', (text, sequence) => {
  expect(sequenceOf(Buffer.from(text))).toBe(sequence)
})
