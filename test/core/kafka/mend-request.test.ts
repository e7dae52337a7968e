import { createRequire } from 'node:module'
import { afterEach, expect, test, vi } from 'vitest'
import { encodeRecordWith } from '../../../core/kafka/mend-record.ts'
import { createProduceRequestWith, type ProduceInput } from '../../../core/kafka/mend-request.ts'
import { Prng } from '../../../core/runtime/prng.ts'

/** The modules as kafkajs ships them: nothing is mended in this file. */
const require = createRequire(import.meta.url)
const original = require('kafkajs/src/protocol/requests/produce/v3/request.js')
const Long = require('kafkajs/src/utils/long.js')
const seed = Number(process.env.SEED ?? 20_260_104)
const NOW = 1_790_000_000_000
const GZIP = 1

const mended = createProduceRequestWith({
  apiKey: require('kafkajs/src/protocol/requests/apiKeys.js').Produce,
  Encoder: require('kafkajs/src/protocol/encoder.js'),
  encodeRecord: encodeRecordWith(require('kafkajs/src/protocol/recordBatch/record/v0/index.js')),
  encodeBatch: require('kafkajs/src/protocol/recordBatch/v0/index.js').RecordBatch
})

afterEach(() => {
  vi.useRealTimers()
})

function randomRequest(prng: Prng): ProduceInput {
  const text = (max: number): string => 'x'.repeat(prng.int(max))
  const timed = prng.chance(0.7)
  const spreadMs = prng.pick([1, 1000, 3_600_000, 30 * 86_400_000])
  const message = () => ({
    key: prng.chance(0.8) ? text(40) : null,
    value: prng.chance(0.1) ? null : Buffer.from(text(300)),
    ...(prng.chance(0.8) && { headers: { 'fl-id': text(30), 'fl-seq': Buffer.from(text(9)) } }),
    ...(timed && { timestamp: String(NOW - prng.int(spreadMs)) })
  })
  const idempotent = prng.chance(0.7)
  return {
    ...{ acks: prng.pick([-1, 0, 1]), timeout: 30_000 },
    transactionalId: prng.chance(0.4) ? 'tx' : prng.chance(0.5) ? null : undefined,
    producerId: idempotent ? prng.pick(['7', 7, Long.fromValue('9007199254740993')]) : undefined,
    producerEpoch: idempotent ? prng.int(30_000) : undefined,
    compression: prng.pick([undefined, 0, GZIP]),
    topicData: Array.from({ length: prng.int(3) }, (_, n) => ({
      topic: `t${n}`,
      partitions: Array.from({ length: 1 + prng.int(3) }, (_, partition) => ({
        partition,
        firstSequence: idempotent ? prng.int(2 ** 31 - 1) : undefined,
        messages: Array.from({ length: 1 + prng.int(60) }, message)
      }))
    }))
  }
}

test(`requests have the same bytes as the original's (seed ${seed})`, async () => {
  vi.useFakeTimers({ now: NOW, toFake: ['Date'] })
  const prng = new Prng(seed)
  for (let i = 0; i < 200; i++) {
    const input = randomRequest(prng)
    const [ours, theirs] = [mended(input), original(input)]
    const { encode: _ours, expectResponse, ...fields } = ours
    const { encode: _theirs, expectResponse: expected, ...asked } = theirs
    expect(fields).toEqual(asked)
    expect(expectResponse()).toBe(expected())
    const bytes = (await ours.encode()).buffer
    expect(bytes.equals((await theirs.encode()).buffer), `request ${i}`).toBe(true)
  }
})

test('a batch says its first and last time, however many digits they have', async () => {
  const messages = [10_000, 9_999, 20_000].map(at => ({ value: 'v', timestamp: String(at) }))
  const topicData = [{ topic: 't', partitions: [{ partition: 0, messages }] }]
  const { buffer } = await mended({ acks: -1, timeout: 1, topicData }).encode()
  // Behind id, acks, timeout, topic, partition and size.
  const batch = buffer.subarray(27)
  expect([batch.readBigInt64BE(27), batch.readBigInt64BE(35)]).toEqual([9_999n, 20_000n])
})
