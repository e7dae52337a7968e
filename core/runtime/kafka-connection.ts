import fs from 'node:fs'
import { messageOf, OperationalError } from './errors.ts'
import { createKafka, type Kafka } from './kafka.ts'
import { type KafkaConfig, pemOf } from './kafka-config.ts'
import type { Logger } from './log.ts'

/**
 * A client made from the configuration.
 *
 * @throws {OperationalError} CONFIG_INVALID when a certificate cannot be read.
 */
export function kafkaFromConfig(config: KafkaConfig, role: string, logger: Logger): Kafka {
  return createKafka({
    brokers: config.brokers,
    clientId: `${config.clientId}-${role}`,
    tls: tlsOf(config.tls),
    ...(config.sasl ? { sasl: config.sasl } : {}),
    connectionTimeoutMs: config.connectionTimeoutMs,
    requestTimeoutMs: config.requestTimeoutMs,
    logger
  })
}

function tlsOf(tls: KafkaConfig['tls']) {
  if (typeof tls === 'boolean') return tls
  const pem = (field: 'ca' | 'cert' | 'key') => {
    const value = tls[field]
    return value === undefined ? {} : { [field]: pemOf(value, path => readPem(field, path)) }
  }
  return { ...pem('ca'), ...pem('cert'), ...pem('key') }
}

function readPem(field: string, path: string): string {
  try {
    return fs.readFileSync(path, 'utf8')
  } catch (error) {
    throw new OperationalError('CONFIG_INVALID', `kafka.tls.${field}: ${messageOf(error)}`, {
      cause: error
    })
  }
}
