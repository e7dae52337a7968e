import type { Logger } from '../runtime/log.ts'
import { createKafka, type Kafka } from './client.ts'
import type { KafkaConfig } from './config.ts'
import { KafkaCredentials } from './credentials.ts'

const credentialsOf = new WeakMap<Kafka, KafkaCredentials>()

/**
 * A client made from the configuration. Certificates and secrets in files are read for each of its
 * connections: what is wrong with them is told by a call that needs one.
 *
 * @param lookIntervalMs See `credentialsChanged`.
 */
export function kafkaFromConfig(
  config: KafkaConfig,
  role: string,
  logger: Logger,
  lookIntervalMs?: number
): Kafka {
  const credentials = new KafkaCredentials(config, lookIntervalMs)
  const sasl = credentials.login()
  const kafka = createKafka({
    brokers: config.brokers,
    clientId: `${config.clientId}-${role}`,
    ...(config.tls ? { tls: () => credentials.secureContext() } : {}),
    ...(sasl ? { sasl } : {}),
    connectionTimeoutMs: config.connectionTimeoutMs,
    requestTimeoutMs: config.requestTimeoutMs,
    logger
  })
  credentialsOf.set(kafka, credentials)
  return kafka
}

/**
 * Whether a certificate or a secret was exchanged since this client was made, and the new one can be
 * read: time for a new client, between two batches. Looks at the files every 5 s at most.
 */
export function credentialsChanged(kafka: Kafka): boolean {
  return credentialsOf.get(kafka)?.changed ?? false
}
