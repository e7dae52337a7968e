import zlib from 'node:zlib'
import { expect, test } from 'vitest'
import { uplinkSchema } from '../../../agent/config.ts'
import { compressLz4, decompressLz4 } from '../../../core/kafka/codec-lz4.ts'
import { compressSnappy, decompressSnappy } from '../../../core/kafka/codec-snappy.ts'
import {
  COMPRESSION,
  COMPRESSIONS,
  type Compression,
  codecMissing
} from '../../../core/kafka/codecs.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { createTopic, readTopic, uniqueTopic, useKafka } from '../../kit/kafka.ts'

const shared = useKafka()
const hasZstd = 'zstdCompress' in zlib
const here = COMPRESSIONS.filter(compression => codecMissing(compression) === undefined)

/** Readings, so that there is something to find twice, and one batch larger than a frame's block. */
function readingsOf(count: number): string[] {
  const prng = new Prng(7)
  return Array.from({ length: count }, (_, n) =>
    JSON.stringify({
      temperature: Math.round(prng.float() * 1000) / 10,
      pressure: Math.round(prng.float() * 10_000) / 100,
      unit: 'pump-3',
      n
    })
  )
}

/** Sends what a gateway would, reads it back. @param kept `compression.type` of the topic. */
async function throughKafka(compression: Compression, kept: string): Promise<void> {
  const configEntries = [{ name: 'compression.type', value: kept }]
  const topic = await createTopic(shared.admin, uniqueTopic(compression), { configEntries })
  const producer = shared.client().producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const values = readingsOf(5_000)
  for (const chunk of [values.slice(0, 1), values.slice(1, 3_000), values.slice(3_000)]) {
    const messages = chunk.map(value => ({ key: 'p/d', value }))
    await producer.send({ topic, compression: COMPRESSION[compression], messages })
  }
  await producer.disconnect()
  const records = await readTopic(shared.brokers, topic, { until: values.length })
  expect(records.map(({ value }) => value?.toString())).toEqual(values)
}

test.each(here)(
  '%s: what is sent comes back from a real Kafka as it was sent',
  async compression => {
    await throughKafka(compression, 'producer')
  }
)

const others = here.filter(compression => compression !== 'none' && compression !== 'gzip')

test.each(others)(
  "%s of ours is read by Kafka's own code, which keeps the topic otherwise",
  async compression => {
    await throughKafka(compression, 'gzip')
  }
)

test.each(others)("%s of Kafka's own code is read by ours", async compression => {
  await throughKafka('gzip', compression)
})

test.runIf(!hasZstd)('zstd, where Node has none, is refused with what to take instead', () => {
  const { error } = uplinkSchema.safeParse({ compression: 'zstd' })
  expect(error?.issues[0].message).toMatch(/Node\.js 22\.15 or newer.*choose lz4 or gzip/)
  expect(codecMissing('lz4')).toBeUndefined()
})

const CODECS = [
  ['lz4', compressLz4, decompressLz4],
  ['snappy', compressSnappy, decompressSnappy]
] as const

/** Bytes of every kind: one value, few values, all values, text; lengths around each format's edges. */
function* samples(prng: Prng): Generator<Buffer> {
  const edges = [0, 1, 4, 5, 11, 12, 13, 14, 59, 60, 61, 255, 256, 257, 65_535, 65_536, 65_537]
  const lengths = [
    ...edges,
    270_000,
    1_100_000,
    ...Array.from({ length: 20 }, () => prng.int(100_000))
  ]
  for (const length of lengths) {
    for (const kinds of length > 100_000 ? [] : [1, 3, 256]) {
      yield Buffer.from(Array.from({ length }, () => prng.int(kinds)))
    }
    yield Buffer.from(readingsOf(Math.ceil(length / 40)).join()).subarray(0, length)
  }
}

test.each(CODECS)('%s gives back what it was given', (_, compress, decompress) => {
  for (const bytes of samples(new Prng(11))) {
    const packed = compress(bytes)
    const equal = decompress(packed).equals(bytes)
    expect(equal, `${bytes.length} bytes beginning with ${bytes.toString('hex', 0, 16)}`).toBe(true)
  }
})

test.each(CODECS)(
  '%s of readings is a third of them, and of noise hardly more than it',
  (_, compress) => {
    const readings = Buffer.from(readingsOf(2_000).join('\n'))
    expect(compress(readings).length).toBeLessThan(readings.length / 2.5)
    const prng = new Prng(3)
    const noise = Buffer.from(Array.from({ length: 100_000 }, () => prng.int(256)))
    expect(compress(noise).length).toBeLessThan(100_500)
  }
)

test.each(CODECS)(
  '%s that is damaged or cut short gives an error or other bytes, and nothing else',
  (_, compress, decompress) => {
    const prng = new Prng(5)
    const bytes = Buffer.from(readingsOf(200).join())
    const packed = compress(bytes)
    for (let n = 0; n < 2_000; n++) {
      const damaged = Buffer.from(
        packed.subarray(0, prng.chance(0.3) ? prng.int(packed.length) : undefined)
      )
      if (damaged.length > 0) damaged[prng.int(damaged.length)] ^= 1 << prng.int(8)
      try {
        decompress(damaged)
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError)
      }
    }
    expect(() => decompress(packed.subarray(0, packed.length / 2))).toThrow(RangeError)
  }
)

// Made by `lz4 -BD -BX --content-size` 1.9.4 and by Google's Snappy, of one text.
const TEXT = 'fieldline fieldline fieldline fieldline\n'.repeat(4)
const LZ4_OF_OTHERS =
  'BCJNGHxAoAAAAAAAAABRIAAAAK9maWVsZGxpbmUgCgAKHwoeAAoGPAAPKAA5UGxpbmUKurLjPgAAAACBDNWA'
const SNAPPY_OF_OTHERS = 'oAEkZmllbGRsaW5lIHIKAAAKch4AGTz+KABCKAA='

test('LZ4 frames with a size, linked blocks and checksums, as other writers make them, are read', () => {
  const frame = Buffer.from(LZ4_OF_OTHERS, 'base64')
  expect(decompressLz4(frame).toString()).toBe(TEXT)
})

test('Snappy without a frame, as other writers make it, is read', () => {
  const raw = Buffer.from(SNAPPY_OF_OTHERS, 'base64')
  expect(decompressSnappy(raw).toString()).toBe(TEXT)
})
