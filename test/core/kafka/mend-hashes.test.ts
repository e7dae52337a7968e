import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { crc32C } from '../../../core/kafka/mend-crc.ts'
import { murmur2 } from '../../../core/kafka/mend-murmur.ts'
import { Prng } from '../../../core/runtime/prng.ts'

/** The modules as kafkajs ships them: nothing is mended in this file. */
const require = createRequire(import.meta.url)
const originalMurmur2 = require('kafkajs/src/producer/partitioners/default/murmur2.js')
const originalCrc32C = require('kafkajs/src/protocol/recordBatch/crc32C/index.js')
const seed = Number(process.env.SEED ?? 20_260_103)

function randomBytes(prng: Prng, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => prng.int(256)))
}

// Source: Kafka's UtilsTest.testMurmur2.
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971]
])('the hash of %s is that of Kafka’s Java client', (key, hash) => {
  expect(murmur2(key)).toBe(hash)
  expect(murmur2(Buffer.from(key))).toBe(hash)
})

test(`keys of every length have the hash of the original (seed ${seed})`, () => {
  const prng = new Prng(seed)
  for (let i = 0; i < 4000; i++) {
    const key = randomBytes(prng, i % 67)
    expect(murmur2(key), key.toString('hex')).toBe(originalMurmur2(key))
  }
  for (const length of [1 << 16, (1 << 16) + 3]) {
    const key = randomBytes(prng, length)
    expect(murmur2(key)).toBe(originalMurmur2(key))
  }
})

test('keys that are no bytes are hashed as the text they are, as by the original', () => {
  for (const key of ['', 'ü€😀', 42, true, '\ud800', Buffer.alloc(0)]) {
    expect(murmur2(key)).toBe(originalMurmur2(key))
  }
})

// Source: RFC 3720, appendix B.4.
test.each<[string, Buffer, number]>([
  ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 bytes ascending', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ['the digits', Buffer.from('123456789'), 0xe3069283]
])('the CRC-32C of %s is that of the standard', (_what, bytes, sum) => {
  expect(crc32C(bytes)).toBe(sum)
})

test(`bytes of every length have the checksum of the original (seed ${seed})`, () => {
  const prng = new Prng(seed)
  for (let i = 0; i < 2000; i++) {
    const bytes = randomBytes(prng, i % 131)
    expect(crc32C(bytes), bytes.toString('hex')).toBe(originalCrc32C(bytes))
  }
  const large = randomBytes(prng, 300_000)
  for (const end of [300_000, 299_999, 299_993]) {
    const bytes = large.subarray(3, end)
    expect(crc32C(bytes)).toBe(originalCrc32C(bytes))
  }
})
