import { expect, test } from 'vitest'
import { editDistance, nearestName } from '../../../core/runtime/nearest.ts'

test.each([
  ['', '', 0],
  ['abc', 'abc', 0],
  ['abc', '', 3],
  ['broker', 'brokers', 1],
  ['brokesr', 'brokers', 1],
  ['kitten', 'sitting', 3],
  ['ca', 'abc', 3]
])('the distance from %j to %j is %i', (from, to, distance) => {
  expect(editDistance(from, to)).toBe(distance)
  expect(editDistance(to, from)).toBe(distance)
})

test.each([
  ['broker', 'brokers'],
  ['borkers', 'brokers'],
  ['batchBytesMax', 'batch_bytes_max'],
  ['batch-bytes-max', 'batch_bytes_max'],
  ['TLS', 'tls']
])('%s is taken for %s', (mistyped, meant) => {
  expect(nearestName(mistyped, ['client_id', 'brokers', 'tls', 'batch_bytes_max'])).toBe(meant)
})

test('a name that resembles nothing has no nearest one', () => {
  expect(nearestName('zookeeper', ['brokers', 'client_id', 'tls'])).toBeUndefined()
  expect(nearestName('x', [])).toBeUndefined()
})

test('the nearest of several close names is taken', () => {
  expect(nearestName('cleer', ['clean', 'clear', 'cheer'])).toBe('clear')
})
