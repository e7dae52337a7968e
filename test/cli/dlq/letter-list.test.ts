import { expect, test } from 'vitest'
import { LetterList } from '../../../cli/dlq/letter-list.ts'
import { isSelected, type Selection } from '../../../cli/dlq/selection.ts'
import { letterOf, NOW, PUMPS, rendered } from './letters.ts'

const letters = Array.from({ length: 300 }, (_, n) => {
  const payload = n % 3 === 0 ? Buffer.from([0xff, 0x1b, n & 0xff]) : `\u001b[31m{"n":${n}}é`
  const records = rendered([PUMPS], n, `q/p/${n}`, payload, { receivedAt: NOW + n })
  return letterOf(records, [n % 2, n])
})

function listOf(limit: number, order: 'newest' | 'oldest', headBytes = 200) {
  const list = new LetterList({ limit, order, headBytes })
  for (const letter of letters) list.add(letter)
  return list
}

test.each([
  ['newest', ['1/299', '0/298']],
  ['oldest', ['0/0', '1/1']]
] as const)('the %s are shown, all are counted by reason', (order, places) => {
  const list = listOf(2, order)
  expect(list.letters.map(({ place }) => place)).toEqual(places)
  expect(list.json('dead')).toMatchObject({
    topic: 'dead',
    total: 300,
    byReason: { no_route: 300 }
  })
  expect(list.text('dead')).toContain('dead: 300 dead letters (no_route 300); the ')
})

test('a person sees bytes that no terminal obeys, and how many there are', () => {
  const text = listOf(3, 'newest', 6).text('dead')
  expect(text).not.toContain('\u001b')
  expect(text).toContain('payload  \\x1b[31m{ …  (16 bytes)')
  expect(text).toContain('payload  ff 1b 29 (hex)  (3 bytes)')
})

test('a script gets text or base64, and whether it is all', () => {
  const { letters: shown } = listOf(3, 'oldest', 13).json('dead') as { letters: object[] }
  expect(shown[0]).toMatchObject({ payload: '/xsA', payloadEncoding: 'base64', bytes: 3 })
  expect(shown[0]).not.toHaveProperty('payloadCut')
  // The cut went through its last letter.
  expect(shown[1]).toMatchObject({ payload: '\u001b[31m{"n":1}', bytes: 14, payloadCut: true })
})

test.each<[Selection, number]>([
  [{}, 300],
  [{ reason: ['no_route', 'x'] }, 300],
  [{ reason: ['too_large'] }, 0],
  [{ topic: 'q/+/7' }, 1],
  [{ topic: 'q/#', agent: 'gateway-7' }, 300],
  [{ agent: 'gateway-8' }, 0],
  [{ route: 'pumps' }, 0],
  [{ since: NOW + 10, until: NOW + 20 }, 10]
])('%j selects %i of them', (selection, expected) => {
  expect(letters.filter(letter => isSelected(selection, letter))).toHaveLength(expected)
})
