import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { groupMessagesPerPartition } from './kafka-mend-group.ts'
import { createProducerWith } from './kafka-mend-producer.ts'
import { encodeRecordWith, type RecordEncoder } from './kafka-mend-record.ts'
import { createSendMessagesWith, type SendMessagesParts } from './kafka-mend-send.ts'

/*
 * Five mends of kafkajs 2.2.4, put in place when it is loaded:
 *
 * | module | upstream | mended |
 * |---|---|---|
 * | network/requestQueue | a 1 ms timer after every answer, for ever: 5 % of a core while idle | a timer only while a request waits |
 * | producer/groupMessagesPerPartition | O(n²): 20,000 messages block for 2.5 s | O(n) |
 * | protocol/recordBatch/record/v0 | a zero-filled 512-byte buffer a record and a header | one buffer of the exact size, the same bytes |
 * | producer/sendMessages | a send over several leaders loses and doubles when one fails | `kafka-mend-send.ts` |
 * | producer/index | asks for coordinators again and again, and for the metadata of all topics | `kafka-mend-producer.ts` |
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
  'kafkajs/src/protocol/requests/produce/v3/request.js'
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

  const recordPath = 'kafkajs/src/protocol/recordBatch/record/v0/index.js'
  replace(require, recordPath, encodeRecordWith(require(recordPath) as RecordEncoder))

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
  const Encoder = require('kafkajs/src/protocol/encoder.js')
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
