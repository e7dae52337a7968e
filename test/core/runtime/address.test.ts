import { expect, test } from 'vitest'
import { formatAddress, isLoopbackHost, parseAddress } from '../../../core/runtime/address.ts'

test.each([
  ['127.0.0.1:1883', { host: '127.0.0.1', port: 1883 }],
  ['kafka-1.example:9092', { host: 'kafka-1.example', port: 9092 }],
  ['[::1]:0', { host: '::1', port: 0 }]
])('%s is read as host and port, and written back', (text, address) => {
  expect(parseAddress(text)).toEqual(address)
  expect(formatAddress(address)).toBe(text)
})

test.each([
  '',
  'host',
  ':1',
  'host:',
  'host:99999',
  'host:1x',
  '::1:80',
  '[host]:1',
  'u:hunter2@h:1'
])('%j is refused without being repeated', text => {
  expect(() => parseAddress(text)).toThrow(SyntaxError)
  expect(() => parseAddress(text)).not.toThrow('hunter2')
})

test('only addresses nobody else can reach count as loopback', () => {
  expect(['127.0.0.1', '127.8.9.1', '::1', 'localhost'].every(isLoopbackHost)).toBe(true)
  expect(['0.0.0.0', '::', '10.0.0.1', '127.example.com', 'host'].some(isLoopbackHost)).toBe(false)
})
