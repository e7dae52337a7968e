import type { DeadLetterReason } from '../../core/contract/headers.ts'
import { UnansweredError } from '../../core/runtime/deadline.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { securityTrouble } from '../../core/runtime/kafka-security-errors.ts'

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

/** Of those younger than the client, which knows them by number only, the ones worth a name. */
const YOUNG: Record<number, string> = {
  89: 'THROTTLING_QUOTA_EXCEEDED',
  90: 'PRODUCER_FENCED',
  97: 'PRINCIPAL_DESERIALIZATION_FAILURE',
  100: 'UNKNOWN_TOPIC_ID',
  103: 'INCONSISTENT_TOPIC_ID',
  105: 'TRANSACTIONAL_ID_NOT_FOUND',
  120: 'TRANSACTION_ABORTABLE',
  129: 'REBOOTSTRAP_REQUIRED'
}

const REASONS: Record<string, DeadLetterReason> = {
  MESSAGE_TOO_LARGE: 'too_large',
  RECORD_LIST_TOO_LARGE: 'too_large',
  INVALID_TIMESTAMP: 'invalid_timestamp'
}

interface ClientError extends Error {
  type?: string
  topic?: string
  originalError?: unknown
}

/**
 * Judges a rejection of the client. Its `.retriable` means nothing (it says no after its own
 * attempts), so the cause is dug out of its wrappers.
 */
export function judge(error: unknown): Verdict {
  if (error instanceof UnansweredError) {
    return { action: 'renew', code: 'UNANSWERED', message: error.message }
  }
  const chain = causes(error)
  const security = securityTrouble(chain)
  if (security) {
    const { code, message, needsPerson } = security
    return { action: needsPerson ? 'park' : 'retry', code, message }
  }
  const message = messageOf(chain.at(-1) ?? error)
  const topic = chain.find(cause => typeof cause.topic === 'string')?.topic
  const type = nameOf(chain)
  if (type) {
    const action = TABLE[type] ?? 'retry'
    const reason = REASONS[type] ?? (action === 'dead_letter' ? 'refused' : undefined)
    return {
      action,
      code: type,
      message,
      ...(topic ? { topic } : {}),
      ...(reason ? { reason } : {})
    }
  }
  const name = chain.at(-1)?.name ?? 'Error'
  if (name === 'KafkaJSTopicMetadataNotLoaded' || name === 'KafkaJSMetadataNotLoaded') {
    return {
      action: 'park',
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
      message,
      ...(topic ? { topic } : {})
    }
  }
  const transient = /Connection|RequestTimeout|Broker|Lock|NumberOfRetries|Aggregate/.test(name)
  return { action: transient ? 'retry' : 'renew', code: name, message }
}

/** Kafka's name of the broker's answer; undefined when it is the client's own error. */
function nameOf(chain: readonly ClientError[]): string | undefined {
  const answer = chain.find(cause => typeof cause.type === 'string')
  if (answer?.type !== 'KAFKAJS_UNKNOWN_ERROR_CODE') return answer?.type
  const code = /^Unknown error code (-?\d+)$/.exec(answer.message)?.[1]
  return YOUNG[Number(code)] ?? `KAFKA_ERROR_${code}`
}

/** The error and its causes, outermost first. */
function causes(error: unknown): ClientError[] {
  const chain: ClientError[] = []
  for (let at = error as ClientError | undefined; at instanceof Error && chain.length < 8; ) {
    chain.push(at)
    at = (at.cause ?? at.originalError) as ClientError | undefined
  }
  return chain
}
