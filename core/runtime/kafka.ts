import { createRequire } from 'node:module'
import type { ConnectionOptions } from 'node:tls'
import type { Kafka, LogEntry, logCreator, RetryOptions, SASLOptions } from 'kafkajs'
import { mendKafkajs } from './kafka-mends.ts'
import type { Logger } from './log.ts'

export type {
  Admin,
  Batch,
  Consumer,
  EachBatchPayload,
  IHeaders,
  ITopicConfig,
  Kafka,
  KafkaMessage,
  Message,
  Offsets,
  Producer,
  ProducerBatch,
  RecordMetadata,
  RetryOptions,
  SASLOptions,
  TopicMessages,
  Transaction
} from 'kafkajs'

export interface KafkaConnection {
  /** `HOST:PORT`, one or more. */
  brokers: string[]
  clientId: string
  tls?: boolean | ConnectionOptions
  sasl?: SASLOptions
  /** Per connection, TLS handshake included. Default 10 s: cellular links need it. */
  connectionTimeoutMs?: number
  /** Per request; the broker's own waiting (long polls, acks) comes on top. Default 30 s. */
  requestTimeoutMs?: number
  logger: Logger
  /** Default: `KAFKA_RETRY`. */
  retry?: RetryOptions
}

/**
 * Short waits, many of them: back-to-back transactions meet CONCURRENT_TRANSACTIONS for a few ms,
 * which kafkajs' own 300 ms would turn into a tenth of the throughput. The waits add up to
 * about 3 s; a call can spend them twice, sending and connecting (5.5 s until a send was rejected with
 * the broker killed), and each attempt's own timeouts come on top. The caller owns the real retrying.
 */
export const KAFKA_RETRY: Readonly<Required<Omit<RetryOptions, 'restartOnFailure'>>> = {
  initialRetryTime: 4,
  factor: 0.2,
  multiplier: 1.5,
  maxRetryTime: 200,
  retries: 20
}

/**
 * For `consumer({ retry: KAFKA_CONSUMER_RETRY })`. A consumer that has spent its retries leaves the
 * group and joins again, which costs every member a rebalance. A `consumer.crash` event with
 * `restart: true` is no failure: a coordinator that is loading brings it about, and it restarts.
 */
export const KAFKA_CONSUMER_RETRY: typeof KAFKA_RETRY = {
  initialRetryTime: 50,
  factor: 0.2,
  multiplier: 2,
  maxRetryTime: 2000,
  retries: 15
}

/**
 * A client of Kafka: the only place that makes one, so that every one is mended (`kafka-mends.ts`),
 * has the same retries, whatever NODE_ENV is, and tells its troubles to our logger at debug only:
 * what is wrong for an operator, the caller says once and better.
 *
 * Connects to nothing by itself. Producers use Kafka's murmur2 partitioner (kafkajs' default, the
 * same as the Java client's). Pass `allowAutoTopicCreation: false` and `idempotent: true` yourself.
 */
export function createKafka(connection: KafkaConnection): Kafka {
  const { Kafka, logLevel } = loadKafkajs()
  return new Kafka({
    brokers: connection.brokers,
    clientId: connection.clientId,
    ssl: connection.tls,
    sasl: connection.sasl,
    connectionTimeout: connection.connectionTimeoutMs ?? 10_000,
    authenticationTimeout: connection.connectionTimeoutMs ?? 10_000,
    requestTimeout: connection.requestTimeoutMs ?? 30_000,
    enforceRequestTimeout: true,
    retry: { ...KAFKA_RETRY, ...connection.retry },
    logLevel: logLevel.INFO,
    logCreator: bridgeTo(connection.logger)
  })
}

/** Required, not imported: the mends must be in place before kafkajs' modules take hold of each other. */
function loadKafkajs(): typeof import('kafkajs') {
  mendKafkajs()
  return createRequire(import.meta.url)('kafkajs')
}

/** Only these details pass: whatever else kafkajs puts beside a message may be a secret. */
const LOGGED_DETAILS = ['broker', 'error', 'retryCount', 'retryTime', 'groupId', 'topic']

function bridgeTo(logger: Logger): logCreator {
  return () =>
    ({ namespace, log }: LogEntry) => {
      if (!logger.isLevelEnabled('debug')) return
      const details = LOGGED_DETAILS.filter(name => typeof log[name] !== 'object' && name in log)
      const fields = Object.fromEntries(details.map(name => [name, log[name]]))
      logger.debug({ event: 'kafka.client', part: namespace, ...fields }, log.message)
    }
}
