import { z } from 'zod'
import { parseAddress } from './address.ts'
import { count, duration, text } from './config-fields.ts'
import { secret } from './secrets.ts'

const tls = z.strictObject({
  ca: text()
    .optional()
    .describe("PEM file (or text) of the authorities to trust instead of the system's"),
  cert: text().optional().describe('PEM file (or text) of the client certificate'),
  key: secret().optional().describe("PEM file (or text) of the client certificate's private key")
})

const sasl = z.strictObject({
  mechanism: z
    .enum(['plain', 'scram-sha-256', 'scram-sha-512'])
    .describe('How the password is proven; `plain` only over TLS'),
  username: text().describe('User known to the brokers'),
  password: secret().describe("The user's password")
})

export const kafkaSchema = z
  .strictObject({
    brokers: z
      .array(text(parseAddress))
      .min(1)
      .max(100)
      .default(['localhost:9092'])
      .describe(
        'Brokers to begin with, as HOST:PORT; the rest of the cluster is learned from them'
      ),
    client_id: text().default('fieldline').describe("Name in the brokers' logs and quotas"),
    tls: z
      .union([z.boolean(), tls])
      .default(false)
      .describe('`true`, or files to trust and to identify with, for an encrypted connection'),
    sasl: sasl.optional().describe('User and password'),
    create_topics: z
      .boolean()
      .default(false)
      .describe('Create missing topics at start (else: `fieldline topics create`)'),
    partitions: count(1, 10_000).default(6).describe('Partitions of topics that are created'),
    replication_factor: count(1, 100)
      .nullable()
      .default(null)
      .describe("Replicas of topics that are created; null takes the brokers' default"),
    connection_timeout: duration({ min: 100 })
      .prefault('10s')
      .describe('Longest wait for a connection, TLS and login included'),
    request_timeout: duration({ min: 1000 })
      .prefault('30s')
      .describe('Longest wait for the answer to one request')
  })
  .superRefine((kafka, context) => {
    const certificate = typeof kafka.tls === 'object' ? kafka.tls : {}
    if ((certificate.cert === undefined) !== (certificate.key === undefined)) {
      const missing = certificate.cert === undefined ? 'cert' : 'key'
      const message = `a client certificate needs both cert and key; ${missing} is missing`
      context.addIssue({ code: 'custom', path: ['tls'], message })
    }
  })
  .transform(kafka => ({
    brokers: kafka.brokers,
    clientId: kafka.client_id,
    tls: kafka.tls,
    sasl: kafka.sasl,
    createTopics: kafka.create_topics,
    partitions: kafka.partitions,
    replicationFactor: kafka.replication_factor,
    connectionTimeoutMs: kafka.connection_timeout,
    requestTimeoutMs: kafka.request_timeout
  }))

export type KafkaConfig = z.output<typeof kafkaSchema>

/** The PEM text itself, where a field holds a path or the text. */
export function pemOf(value: string, readFile: (path: string) => string): string {
  return value.includes('-----BEGIN ') ? value : readFile(value)
}
