import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { judge } from '../../../agent/uplink/kafka-errors.ts'
import type { Action } from '../../../agent/uplink/verdict.ts'
import { mendKafkajs } from '../../../core/kafka/mends.ts'

mendKafkajs()
const require = createRequire(import.meta.url)
const { createErrorFromCode } = require('kafkajs/src/protocol/error.js')
const { KafkaJSNumberOfRetriesExceeded } = require('kafkajs/src/errors.js')

/** The broker's answer by its number, as the client decodes it and its retrier wraps it. */
function answered(code: number) {
  const retries = { retryCount: 20, retryTime: 200 }
  return judge(new KafkaJSNumberOfRetriesExceeded(createErrorFromCode(code), retries))
}

/** Of all that Kafka 4.1 knows (`Errors.java`, -1 and 1 to 133), those that are not retried. */
const NOT_RETRIED: Record<Exclude<Action, 'retry'>, number[]> = {
  park: [3, 12, 17, 29, 30, 31, 33, 34, 35, 43, 44, 50, 53, 55, 58, 76],
  split: [10, 18],
  dead_letter: [32, 87],
  renew: [45, 46, 47, 48, 49, 59, 90, 105, 120, 129]
}
const CODES = [-1, ...Array.from({ length: 133 }, (_, n) => n + 1)]

test('every error of Kafka’s has one verdict; the unknown and the passing are retried', () => {
  const verdicts: Record<string, number[]> = { retry: [] }
  for (const code of CODES) {
    const { action } = answered(code)
    verdicts[action] ??= []
    verdicts[action].push(code)
  }
  const listed = new Set(Object.values(NOT_RETRIED).flat())
  expect(verdicts).toEqual({ ...NOT_RETRIED, retry: CODES.filter(code => !listed.has(code)) })
})

test('only a record that its topic refuses ever becomes a dead letter', () => {
  const letters = CODES.map(answered).filter(verdict => verdict.reason !== undefined)
  expect(letters.map(({ code, reason }) => [code, reason])).toEqual([
    ['MESSAGE_TOO_LARGE', 'too_large'],
    ['RECORD_LIST_TOO_LARGE', 'too_large'],
    ['INVALID_TIMESTAMP', 'invalid_timestamp'],
    ['INVALID_RECORD', 'refused']
  ])
})

/*
 * What a broker of today (4.1) cannot be brought to answer, or the client's versions of the requests
 * do not ask for. The other rows are in kafka-error-rows.test.ts and kafka-error-rows-cluster.test.ts;
 * logins and ACLs in the tests of security.
 */
test.each<[number, string, Action, string]>([
  [59, 'UNKNOWN_PRODUCER_ID', 'renew', 'before 2.5; later a forgotten producer may go on'],
  [46, 'DUPLICATE_SEQUENCE_NUMBER', 'renew', 'a repeated batch is answered as stored'],
  [90, 'PRODUCER_FENCED', 'renew', 'to newer requests; ours get INVALID_PRODUCER_EPOCH'],
  [105, 'TRANSACTIONAL_ID_NOT_FOUND', 'renew', 'to newer requests; ours get 49'],
  [120, 'TRANSACTION_ABORTABLE', 'renew', 'to newer requests'],
  [129, 'REBOOTSTRAP_REQUIRED', 'renew', 'to newer requests'],
  [48, 'INVALID_TXN_STATE', 'renew', 'needs a fault of the client'],
  [87, 'INVALID_RECORD', 'dead_letter', 'ours have keys and ascending offsets'],
  [2, 'CORRUPT_MESSAGE', 'retry', 'needs bytes changed on the way'],
  [20, 'NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'retry', 'between append and answer'],
  [56, 'KAFKA_STORAGE_ERROR', 'retry', 'the broker’s disk fails: its leaders move'],
  [51, 'CONCURRENT_TRANSACTIONS', 'retry', 'for some ms, within the client’s own retries'],
  [52, 'TRANSACTION_COORDINATOR_FENCED', 'retry', 'between brokers'],
  [74, 'FENCED_LEADER_EPOCH', 'retry', 'to newer requests'],
  [75, 'UNKNOWN_LEADER_EPOCH', 'retry', 'to newer requests'],
  [89, 'THROTTLING_QUOTA_EXCEEDED', 'retry', 'of topic creations; sends are delayed instead'],
  [76, 'UNSUPPORTED_COMPRESSION_TYPE', 'park', 'zstd before 2.1'],
  [43, 'UNSUPPORTED_FOR_MESSAGE_FORMAT', 'park', 'headers before 0.11'],
  [44, 'POLICY_VIOLATION', 'park', 'needs a plug-in of the broker'],
  [12, 'OFFSET_METADATA_TOO_LARGE', 'park', 'the cursor’s metadata has a hundred bytes'],
  [107, 'KAFKA_ERROR_107', 'retry', 'no request of ours']
])('%i %s: %s (not provoked: %s)', (number, code, action) => {
  expect(answered(number)).toMatchObject({ code, action })
})
