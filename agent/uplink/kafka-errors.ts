import { securityTrouble } from '../../core/kafka/security-errors.ts'
import { UnansweredError } from '../../core/runtime/deadline.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { type Verdict, verdictOn } from './verdict.ts'

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
  if (type) return verdictOn(type, message, topic)
  const name = chain.at(-1)?.name ?? 'Error'
  if (name === 'KafkaJSTopicMetadataNotLoaded' || name === 'KafkaJSMetadataNotLoaded') {
    return verdictOn('UNKNOWN_TOPIC_OR_PARTITION', message, topic)
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
