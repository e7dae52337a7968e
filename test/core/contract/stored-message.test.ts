import { expect, test } from 'vitest'
import {
  decodeStoredRecord,
  encodeClockMark,
  encodeStoredMessage,
  type StoredMessage
} from '../../../core/contract/stored-message.ts'
import { Prng } from '../../../core/runtime/prng.ts'

const SEED = 20261122

function anyMessage(prng: Prng): StoredMessage {
  const text = (most: number) =>
    Array.from({ length: prng.int(most) }, () => prng.pick([...'abc/-é漢🚀\u0001'])).join('')
  return {
    topic: text(40),
    payload: Buffer.from(Array.from({ length: prng.int(200) }, () => prng.int(256))),
    qos: prng.pick([0, 1, 2] as const),
    retain: prng.chance(0.5),
    dup: prng.chance(0.5),
    packetId: prng.int(65_536),
    clientId: text(20),
    upstream: prng.chance(0.5),
    receivedAt: prng.int(2 ** 47),
    monotonicMs: prng.int(2 ** 47),
    bootId: (BigInt(prng.uint32()) << 32n) | BigInt(prng.uint32()),
    clockUnsynced: prng.chance(0.5),
    ...(prng.chance(0.3) ? { properties: { userProperties: { [text(5)]: text(9) } } } : {})
  }
}

test(`a stored message comes back as it was (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  for (let n = 0; n < 2000; n++) {
    const message = anyMessage(prng)
    expect(decodeStoredRecord(encodeStoredMessage(message))).toEqual({ kind: 'message', message })
  }
})

test('a clock mark comes back as it was', () => {
  const mark = { bootId: 2n ** 64n - 1n, wallAt: 1_795_336_000_123, monotonicMs: 42_001 }
  expect(decodeStoredRecord(encodeClockMark(mark))).toEqual({ kind: 'clock-mark', mark })
})

test('the bytes of version 1 stay: a log written by this version is read by the next', () => {
  const bytes = encodeStoredMessage({
    topic: 'a/b',
    payload: Buffer.from('42'),
    qos: 1,
    retain: true,
    dup: true,
    packetId: 0x0102,
    clientId: 'c',
    upstream: true,
    receivedAt: 0x010203040506,
    monotonicMs: 7,
    bootId: 0x1122334455667788n,
    clockUnsynced: true,
    properties: { x: 1 }
  })
  expect(bytes.toString('hex')).toBe(
    '017d0102010203040506000000000007112233445566778800010003' +
      '63612f62' +
      '000000077b2278223a317d' +
      '3432'
  )
})

test(`strangers' bytes end as unknown or as a message, never as an exception (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  const valid = Array.from({ length: 500 }, () => encodeStoredMessage(anyMessage(prng)))
  for (let n = 0; n < 120_000; n++) {
    let bytes: Buffer
    if (n % 3 === 0) {
      bytes = Buffer.from(Array.from({ length: prng.int(64) }, () => prng.int(256)))
      if (bytes.length > 0 && prng.chance(0.7)) bytes[0] = 1 + prng.int(2)
    } else {
      bytes = Buffer.from(prng.pick(valid))
      if (n % 3 === 1) bytes = bytes.subarray(0, prng.int(bytes.length))
      else for (let k = prng.int(4); k >= 0; k--) bytes[prng.int(bytes.length)] = prng.int(256)
    }
    const { kind } = decodeStoredRecord(bytes)
    if (bytes.length === 0 || bytes[0] > 2) expect(kind).toBe('unknown')
  }
})

test('a record cut within its lengths is unknown, not a shorter message', () => {
  const whole = encodeStoredMessage({ ...anyMessage(new Prng(1)), payload: Buffer.alloc(0) })
  for (let length = 0; length < whole.length; length++) {
    expect(decodeStoredRecord(whole.subarray(0, length)).kind, `${length}`).toBe('unknown')
  }
})
