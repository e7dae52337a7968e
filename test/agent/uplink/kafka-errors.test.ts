import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { judge } from '../../../agent/uplink/kafka-errors.ts'
import { mendKafkajs } from '../../../core/kafka/mends.ts'
import { UnansweredError } from '../../../core/runtime/deadline.ts'

mendKafkajs()
const errors = createRequire(import.meta.url)('kafkajs/src/errors.js')

/** As kafkajs rejects: the broker's answer inside what its retrier makes of it. */
function refused(type: string) {
  const answer = new errors.KafkaJSProtocolError({ type, message: `the broker says ${type}` })
  return new errors.KafkaJSNumberOfRetriesExceeded(answer, { retryCount: 20, retryTime: 200 })
}

test.each([
  ['UNKNOWN_TOPIC_OR_PARTITION', 'park'],
  ['TOPIC_AUTHORIZATION_FAILED', 'park'],
  ['TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'park'],
  ['OPERATION_NOT_ATTEMPTED', 'park'],
  ['SASL_AUTHENTICATION_FAILED', 'park'],
  ['MESSAGE_TOO_LARGE', 'split'],
  ['RECORD_LIST_TOO_LARGE', 'split'],
  ['INVALID_TIMESTAMP', 'dead_letter'],
  ['INVALID_RECORD', 'dead_letter'],
  ['NOT_LEADER_FOR_PARTITION', 'retry'],
  ['NOT_ENOUGH_REPLICAS', 'retry'],
  ['THROTTLING_QUOTA_EXCEEDED', 'retry'],
  ['NEVER_HEARD_OF', 'retry'],
  ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'renew'],
  ['INVALID_PRODUCER_EPOCH', 'renew'],
  ['PRODUCER_FENCED', 'renew'],
  ['INVALID_TXN_STATE', 'renew']
])('on %s the verdict is: %s', (type, action) => {
  expect(judge(refused(type))).toMatchObject({
    action,
    code: type,
    message: `the broker says ${type}`
  })
})

test.each([
  ['MESSAGE_TOO_LARGE', 'too_large'],
  ['INVALID_TIMESTAMP', 'invalid_timestamp'],
  ['INVALID_RECORD', 'refused']
])('the dead letter of %s says %s', (type, reason) => {
  expect(judge(refused(type)).reason).toBe(reason)
})

test('a connection that is refused or lost means the same batch again', () => {
  const lost = new errors.KafkaJSConnectionError('Connection error: connect ECONNREFUSED', {})
  expect(judge(lost).action).toBe('retry')
  const options = { retryCount: 20, retryTime: 200 }
  expect(judge(new errors.KafkaJSNumberOfRetriesExceeded(lost, options)).action).toBe('retry')
  const timeout = new errors.KafkaJSRequestTimeoutError('Request Produce timed out', {})
  expect(judge(timeout).action).toBe('retry')
})

test('a call without an answer, and whatever is unclear, mean a new producer', () => {
  expect(judge(new UnansweredError('sending', 5))).toMatchObject({
    action: 'renew',
    code: 'UNANSWERED'
  })
  expect(judge(new TypeError('undefined is not a function'))).toMatchObject({ action: 'renew' })
  for (const thrown of ['text', undefined, null, 5]) expect(judge(thrown).action).toBe('renew')
})

test('an error that is its own cause is judged all the same', () => {
  const error: Error & { cause?: unknown } = new Error('round')
  error.cause = error
  expect(judge(error).action).toBe('renew')
})

test('a login that is refused parks', () => {
  const error = new errors.KafkaJSSASLAuthenticationError('SASL PLAIN authentication failed')
  expect(judge(error)).toMatchObject({ action: 'park', code: 'SASL_AUTHENTICATION_FAILED' })
})
