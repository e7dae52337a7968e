import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { crc32C } from './mend-crc.ts'
import { groupMessagesPerPartition } from './mend-group.ts'
import { murmur2 } from './mend-murmur.ts'
import { createProducerWith } from './mend-producer.ts'
import { encodeRecordWith, type RecordEncoder } from './mend-record.ts'
import { createProduceRequestWith } from './mend-request.ts'
import { createSendMessagesWith, type SendMessagesParts } from './mend-send.ts'

/*
 * Eight mends of kafkajs 2.2.4, put in place when it is loaded:
 *
 * | module | upstream | mended |
 * |---|---|---|
 * | network/requestQueue | a 1 ms timer after every answer, for ever: 5 % of a core while idle | a timer only while a request waits |
 * | producer/groupMessagesPerPartition | O(n²): 20,000 messages block for 2.5 s | O(n) |
 * | protocol/recordBatch/record/v0 | a zero-filled 512-byte buffer a record and a header | one buffer of the exact size, the same bytes |
 * | protocol/requests/produce/v3/request | copies every message once and every batch five times, sorts times | `mend-request.ts`, the same bytes |
 * | protocol/recordBatch/crc32C | byte by byte | by eight bytes: a quarter of the time |
 * | producer/partitioners/default/murmur2 | computes with BigInt: 2 µs a key | a tenth of it, the same hash |
 * | producer/sendMessages | a send over several leaders loses and doubles when one fails | `mend-send.ts` |
 * | producer/index | asks for coordinators again and again, and for the metadata of all topics | `mend-producer.ts` |
 *
 * kafkajs is pinned: another version must be looked at before its mends are believed.
 */

export const KAFKAJS_VERSION = '2.2.4'

/** Modules that take hold of a mended one when they load: none may be there before the mend is. */
const HOLDERS = [
  'kafkajs/src/index.js',
  'kafkajs/src/producer/index.js',
  'kafkajs/src/producer/messageProducer.js',
  'kafkajs/src/producer/sendMessages.js',
  'kafkajs/src/producer/partitioners/default/index.js',
  'kafkajs/src/protocol/recordBatch/v0/index.js',
  'kafkajs/src/protocol/requests/produce/v3/request.js',
  'kafkajs/src/protocol/requests/produce/v4/request.js',
  'kafkajs/src/protocol/requests/produce/v5/request.js'
]

interface RequestQueue {
  pending: unknown[]
  scheduleCheckPendingRequests(): void
}

const MENDED = Symbol.for('fieldline.kafkajs.mended')

/**
 * Mends kafkajs in this process, once; call it before `require('kafkajs')`.
 *
 * Asserts that kafkajs has the version the mends were written for, and that nobody loaded it before.
 */
export function mendKafkajs(): void {
  const require = createRequire(import.meta.url)
  const queueClass = require('kafkajs/src/network/requestQueue/index.js')
  if (queueClass[MENDED]) return

  const { version } = require('kafkajs/package.json')
  assert.equal(version, KAFKAJS_VERSION, 'the mends of kafkajs were written for another version')
  for (const holder of HOLDERS) {
    assert(!require.cache[require.resolve(holder)], `${holder} was loaded before it was mended`)
  }

  const queue: RequestQueue = queueClass.prototype
  const schedule = queue.scheduleCheckPendingRequests
  queue.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.pending.length > 0) schedule.call(this)
  }

  replace(require, 'kafkajs/src/producer/groupMessagesPerPartition.js', groupMessagesPerPartition)

  replace(require, 'kafkajs/src/producer/partitioners/default/murmur2.js', murmur2)
  replace(require, 'kafkajs/src/protocol/recordBatch/crc32C/index.js', crc32C)

  const recordPath = 'kafkajs/src/protocol/recordBatch/record/v0/index.js'
  const encodeRecord = encodeRecordWith(require(recordPath) as RecordEncoder)
  replace(require, recordPath, encodeRecord)

  const Encoder = require('kafkajs/src/protocol/encoder.js')
  const produceRequest = createProduceRequestWith({
    apiKey: require('kafkajs/src/protocol/requests/apiKeys.js').Produce,
    ...{ Encoder, encodeRecord },
    encodeBatch: require('kafkajs/src/protocol/recordBatch/v0/index.js').RecordBatch
  })
  replace(require, 'kafkajs/src/protocol/requests/produce/v3/request.js', produceRequest)

  const { KafkaJSMetadataNotLoaded, KafkaJSNonRetriableError } = require('kafkajs/src/errors.js')
  const { staleMetadata } = require('kafkajs/src/protocol/error.js')
  const parts: SendMessagesParts = {
    staleMetadata,
    metadataMissing: message => new KafkaJSMetadataNotLoaded(message),
    fatal: message => new KafkaJSNonRetriableError(message)
  }
  replace(require, 'kafkajs/src/producer/sendMessages.js', createSendMessagesWith(parts))

  // Holds what was mended before: last.
  const producerPath = 'kafkajs/src/producer/index.js'
  replace(require, producerPath, createProducerWith(require(producerPath), Encoder))

  Object.defineProperty(queueClass, MENDED, { value: true })
}

/** Loads the module (unless it is replaced unread) and puts ours where others will look for it. */
function replace(require: NodeJS.Require, path: string, exports: unknown): void {
  require(path)
  const module = require.cache[require.resolve(path)]
  assert(module, `${path} is not in the module cache`)
  module.exports = exports
}
