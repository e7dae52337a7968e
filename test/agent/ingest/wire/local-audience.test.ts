import { expect, test } from 'vitest'
import { LocalAudience } from '../../../../agent/ingest/wire/local-audience.ts'

test('a topic is watched while a filter that matches it is subscribed, as often as it is', () => {
  const audience = new LocalAudience()
  expect(audience.has('a/b')).toBe(false)
  audience.add('a/+')
  audience.add('a/+')
  audience.add('c')
  expect(['a/b', 'c', 'a', 'a/b/c'].map(topic => audience.has(topic))).toEqual([
    true,
    true,
    false,
    false
  ])
  audience.remove('a/+')
  expect(audience.has('a/b')).toBe(true)
  audience.remove('a/+')
  audience.remove('never')
  expect([audience.has('a/b'), audience.has('c')]).toEqual([false, true])
})

test('an answer is never older than the filters', () => {
  const audience = new LocalAudience()
  audience.add('x')
  for (let n = 0; n < 20_000; n++) audience.has(`t/${n}`)
  audience.add('t/#')
  expect(audience.has('t/7')).toBe(true)
})
