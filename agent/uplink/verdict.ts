import type { DeadLetterReason } from '../../core/contract/headers.ts'

/**
 * What to do about an error of Kafka's. Nothing that time may heal ends in a dead letter.
 *
 * - `retry`: the same batch again, with the same producer: its sequence drops a copy.
 * - `park`: an operator must act (topic, ACL, login): wait, say so, try with a new producer.
 * - `renew`: the producer is of no use any more, or the outcome is unclear: a new one.
 * - `split`: too large together; a single record that is too large is a dead letter.
 * - `dead_letter`: this record can never be stored; found by splitting.
 */
export type Action = 'retry' | 'park' | 'renew' | 'split' | 'dead_letter'

export interface Verdict {
  action: Action
  /** Kafka's name of the error, or the client's. */
  code: string
  message: string
  topic?: string
  reason?: DeadLetterReason
}

/**
 * Kafka protocol errors by name (Kafka 4.1, `org.apache.kafka.common.protocol.Errors`). What is not
 * here is retried: an election, a coordinator that loads, too few replicas, a quota.
 */
const TABLE: Record<string, Action> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'park',
  TOPIC_AUTHORIZATION_FAILED: 'park',
  CLUSTER_AUTHORIZATION_FAILED: 'park',
  GROUP_AUTHORIZATION_FAILED: 'park',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'park',
  SASL_AUTHENTICATION_FAILED: 'park',
  UNSUPPORTED_SASL_MECHANISM: 'park',
  ILLEGAL_SASL_STATE: 'park',
  INVALID_TOPIC_EXCEPTION: 'park',
  // Of a transaction's other topics, when one of them is refused; the client shows any of the two.
  OPERATION_NOT_ATTEMPTED: 'park',
  POLICY_VIOLATION: 'park',
  UNSUPPORTED_VERSION: 'park',
  INVALID_TRANSACTION_TIMEOUT: 'park',
  // The codec, or headers, under a topic kept in an old format.
  UNSUPPORTED_COMPRESSION_TYPE: 'park',
  UNSUPPORTED_FOR_MESSAGE_FORMAT: 'park',
  // `offset.metadata.max.bytes` leaves no room for the cursor's hundred.
  OFFSET_METADATA_TOO_LARGE: 'park',
  MESSAGE_TOO_LARGE: 'split',
  RECORD_LIST_TOO_LARGE: 'split',
  INVALID_TIMESTAMP: 'dead_letter',
  INVALID_RECORD: 'dead_letter',
  CORRUPT_MESSAGE: 'retry',
  OUT_OF_ORDER_SEQUENCE_NUMBER: 'renew',
  DUPLICATE_SEQUENCE_NUMBER: 'renew',
  UNKNOWN_PRODUCER_ID: 'renew',
  INVALID_PRODUCER_EPOCH: 'renew',
  INVALID_PRODUCER_ID_MAPPING: 'renew',
  PRODUCER_FENCED: 'renew',
  INVALID_TXN_STATE: 'renew',
  TRANSACTIONAL_ID_NOT_FOUND: 'renew',
  TRANSACTION_ABORTABLE: 'renew',
  REBOOTSTRAP_REQUIRED: 'renew'
}

const REASONS: Record<string, DeadLetterReason> = {
  MESSAGE_TOO_LARGE: 'too_large',
  RECORD_LIST_TOO_LARGE: 'too_large',
  INVALID_TIMESTAMP: 'invalid_timestamp'
}

/** @param code Kafka's name of the error. */
export function verdictOn(code: string, message: string, topic?: string): Verdict {
  const action = TABLE[code] ?? 'retry'
  const reason = REASONS[code] ?? (action === 'dead_letter' ? 'refused' : undefined)
  return { action, code, message, ...(topic ? { topic } : {}), ...(reason ? { reason } : {}) }
}

/** Whether one topic of a send is refused, and it is not said which. */
export function isOneTopics({ code }: Verdict): boolean {
  return /^(TOPIC_AUTHORIZATION_FAILED|UNKNOWN_TOPIC_OR_PARTITION|OPERATION_NOT_ATTEMPTED)$/.test(
    code
  )
}
