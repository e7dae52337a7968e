import { expect, test } from 'vitest'
import { filterMatches } from '../../../agent/ingest/topic-filter.ts'

test.each([
  ['a/b', 'a/b', true],
  ['a/+', 'a/b', true],
  ['a/+', 'a', false],
  ['+', 'a/b', false],
  ['a/#', 'a', true],
  ['a/#', 'a/b/c', true],
  ['#', 'a/b', true],
  ['#', '$SYS/x', false],
  ['+/x', '$SYS/x', false],
  ['$SYS/#', '$SYS/x', true],
  ['a/b/+', 'a/b', false],
  ['+/+', '/x', true]
] as const)('the filter %s on the topic %s: %s', (filter, topic, matches) => {
  expect(filterMatches(filter, topic)).toBe(matches)
})
