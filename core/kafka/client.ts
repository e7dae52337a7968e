import { createRequire } from 'node:module'
import net from 'node:net'
import tls, { type SecureContext } from 'node:tls'
import type {
  ISocketFactory,
  Kafka,
  LogEntry,
  logCreator,
  Mechanism,
  RetryOptions,
  SASLOptions
} from 'kafkajs'
import type { Logger } from '../runtime/log.ts'
import { CODECS } from './codecs.ts'
import { mendKafkajs } from './mends.ts'
import { KafkaSockets, keepSockets, watchSockets } from './sockets.ts'

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
  /**
   * Makes connections TLS: called for each, so certificates may be exchanged. What it throws, an error
   * with a `code`, is that connection's. Brokers are verified, whatever the environment says.
   */
  tls?: () => SecureContext
  sasl?: SASLOptions | Mechanism
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
  const sockets = new KafkaSockets()
  const kafka = new Kafka({
    brokers: connection.brokers,
    clientId: connection.clientId,
    // The sockets are ours; it only needs to know that they are safe.
    ssl: connection.tls !== undefined,
    socketFactory: watchSockets(sockets, socketFactoryOf(connection.tls)),
    sasl: connection.sasl,
    connectionTimeout: connection.connectionTimeoutMs ?? 10_000,
    authenticationTimeout: connection.connectionTimeoutMs ?? 10_000,
    requestTimeout: connection.requestTimeoutMs ?? 30_000,
    enforceRequestTimeout: true,
    retry: { ...KAFKA_RETRY, ...connection.retry },
    logLevel: logLevel.INFO,
    logCreator: bridgeTo(connection.logger)
  })
  return keepSockets(kafka, sockets)
}

/** Required, not imported: the mends must be in place before kafkajs' modules take hold of each other. */
function loadKafkajs(): typeof import('kafkajs') {
  mendKafkajs()
  const kafkajs = createRequire(import.meta.url)('kafkajs') as typeof import('kafkajs')
  Object.assign(kafkajs.CompressionCodecs, CODECS)
  return kafkajs
}

const KEEP_ALIVE_DELAY_MS = 60_000

/** As kafkajs' own, but for what it is told of TLS. */
function socketFactoryOf(secureContext: KafkaConnection['tls']): ISocketFactory {
  return ({ host, port, onConnect }) => {
    const socket = secureContext
      ? connectTls(host, port, secureContext, onConnect)
      : net.connect({ host, port }, onConnect)
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS)
    return socket
  }
}

/** As Node's own; for an address its message does not say which names there are. */
function checkNames(host: string, certificate: tls.PeerCertificate): Error | undefined {
  const error = tls.checkServerIdentity(host, certificate)
  if (error)
    error.message = `it is for ${certificate.subjectaltname ?? 'nobody by name'}, not ${host}`
  return error
}

function connectTls(
  host: string,
  port: number,
  secureContext: () => SecureContext,
  onConnect: () => void
): net.Socket {
  try {
    return tls.connect(
      {
        host,
        port,
        secureContext: secureContext(),
        // Said aloud, as NODE_TLS_REJECT_UNAUTHORIZED=0 would turn it off for all who say nothing.
        rejectUnauthorized: true,
        checkServerIdentity: checkNames,
        ...(net.isIP(host) ? {} : { servername: host })
      },
      onConnect
    )
  } catch (error) {
    // kafkajs drops the code of an error that is thrown, and keeps that of one that is emitted.
    const socket = new net.Socket()
    process.nextTick(() => socket.destroy(error as Error))
    return socket
  }
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
