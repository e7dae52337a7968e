import { expect, test } from 'vitest'
import { Admission, type AdmissionOptions } from '../../../agent/ingest/admission.ts'

function admission(options: Partial<AdmissionOptions> = {}): Admission {
  return new Admission({
    anonymous: 'loopback',
    users: [],
    topicBytesMax: 100,
    topicLevelsMax: 3,
    packetBytesMax: 1000,
    ...options
  })
}

test.each([
  ['127.0.0.1', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['10.0.0.1', false],
  ['::ffff:10.0.0.1', false],
  [undefined, false]
])('without a user name %s is let in on loopback only: %s', (remote, admitted) => {
  expect(admission().admitsClient(undefined, undefined, remote)).toBe(admitted)
})

test("'always' lets anybody in, 'never' nobody without a user", () => {
  expect(admission({ anonymous: 'always' }).admitsClient(undefined, undefined, '10.0.0.1')).toBe(
    true
  )
  expect(admission({ anonymous: 'never' }).admitsClient(undefined, undefined, '::1')).toBe(false)
})

test('a user name that is given must be known, wherever it comes from', () => {
  const strict = admission({ anonymous: 'always', users: [{ username: 'u', password: 'p' }] })
  const admits = (name: string, password?: string) =>
    strict.admitsClient(name, password === undefined ? undefined : Buffer.from(password), '::1')
  expect(admits('u', 'p')).toBe(true)
  expect(admits('u', 'q')).toBe(false)
  expect(admits('u')).toBe(false)
  expect(admits('v', 'p')).toBe(false)
  expect(admits('v', '\0none')).toBe(false)
})

test('limits count bytes, not characters', () => {
  expect(admission().refuses('é'.repeat(50), 0)).toBeUndefined()
  expect(admission().refuses('é'.repeat(51), 0)).toBe('topic_too_long')
  expect(admission().refuses('a/b/c', 1000)).toBeUndefined()
  expect(admission().refuses('a/b/c/d', 0)).toBe('topic_too_deep')
  expect(admission().refuses('a', 1001)).toBe('packet_too_large')
})
