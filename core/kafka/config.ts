import { z } from 'zod'
import { isLoopbackHost, parseAddress } from '../runtime/address.ts'
import { count, duration, text } from '../runtime/config-fields.ts'
import { rotatingSecret } from '../runtime/secret-fields.ts'
import type { Secret } from '../runtime/secrets.ts'
import { tlsFileFields } from '../runtime/tls-fields.ts'

const tls = z.strictObject(tlsFileFields)

const sasl = z.strictObject({
  mechanism: z
    .enum(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'])
    .describe('How the login is proven; `plain` and `oauthbearer` only over TLS'),
  username: text().optional().describe('User known to the brokers (`plain`, `scram-…`)'),
  password: rotatingSecret().optional().describe("The user's password (`plain`, `scram-…`)"),
  provider: z
    .enum(['client_credentials', 'aws-msk-iam'])
    .optional()
    .describe('Where `oauthbearer` gets its tokens: an OAuth 2 token endpoint, or AWS credentials'),
  token_url: text(checkTokenUrl)
    .optional()
    .describe('Token endpoint of `client_credentials`, as https://HOST/PATH'),
  token_ca: text()
    .optional()
    .describe(
      "PEM file (or text) of the authorities to trust for `token_url` instead of the system's"
    ),
  client_id: text().optional().describe('Client id at the token endpoint'),
  client_secret: rotatingSecret().optional().describe("The client's secret at the token endpoint"),
  scope: text().optional().describe('Scopes to ask the token endpoint for, separated by spaces'),
  region: text(checkRegion).optional().describe('AWS region of the cluster (`aws-msk-iam`)')
})

type WrittenSasl = z.output<typeof sasl>

/** A login as code receives it: for each mechanism just what it needs, as plain data. */
export type SaslConfig =
  | {
      mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
      username: string
      password: Secret
    }
  | { mechanism: 'oauthbearer'; provider: OauthConfig }

export type OauthConfig = { kind: 'aws-msk-iam'; region: string } | ClientCredentialsConfig

export interface ClientCredentialsConfig {
  kind: 'client_credentials'
  tokenUrl: string
  /** PEM file or text. */
  tokenCa?: string
  clientId: string
  clientSecret: Secret
  scope?: string
}

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
      .describe(
        '`true`, or files to trust and to identify with, for an encrypted connection; brokers are always verified'
      ),
    sasl: sasl.optional().describe('How to log in'),
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
      .describe(
        'Longest wait for the answer to one request of the detector or a command; the uplink has deadlines of its own'
      )
  })
  .superRefine((kafka, context) => {
    const complain = (path: string[], message: string): void =>
      context.addIssue({ code: 'custom', path, message })
    const certificate = typeof kafka.tls === 'object' ? kafka.tls : {}
    if ((certificate.cert === undefined) !== (certificate.key === undefined)) {
      const missing = certificate.cert === undefined ? 'cert' : 'key'
      complain(['tls'], `a client certificate needs both cert and key; ${missing} is missing`)
    }
    if (kafka.sasl) checkSasl(kafka.sasl, (field, message) => complain(['sasl', field], message))
    const far = kafka.brokers.find(broker => !isLoopbackHost(parseAddress(broker).host))
    const open = kafka.sasl && /^(plain|oauthbearer)$/.test(kafka.sasl.mechanism)
    if (open && !kafka.tls && far !== undefined) {
      const message = `'${kafka.sasl?.mechanism}' would send the secret to ${far} in the clear: set kafka.tls`
      complain(['sasl', 'mechanism'], message)
    }
  })
  .transform(kafka => ({
    brokers: kafka.brokers,
    clientId: kafka.client_id,
    tls: kafka.tls,
    sasl: kafka.sasl && saslOf(kafka.sasl),
    createTopics: kafka.create_topics,
    partitions: kafka.partitions,
    replicationFactor: kafka.replication_factor,
    connectionTimeoutMs: kafka.connection_timeout,
    requestTimeoutMs: kafka.request_timeout
  }))

export type KafkaConfig = z.output<typeof kafkaSchema>

type SaslField = keyof WrittenSasl

const PASSWORD_FIELDS: readonly SaslField[] = ['username', 'password']
const CREDENTIALS_FIELDS: readonly SaslField[] = ['token_url', 'client_id', 'client_secret']
const OPTIONAL_FIELDS: readonly SaslField[] = ['token_ca', 'scope']

/** Of all fields just those that belong to the mechanism, and all of them. */
function checkSasl(sasl: WrittenSasl, complain: (field: SaslField, message: string) => void): void {
  const { mechanism, provider } = sasl
  const bearer = mechanism === 'oauthbearer'
  const needed = new Set<SaslField>(['mechanism', ...(bearer ? ['provider' as const] : [])])
  const allowed = new Set<SaslField>(needed)
  if (!bearer) for (const field of PASSWORD_FIELDS) needed.add(field)
  if (bearer && provider === 'aws-msk-iam') needed.add('region')
  if (bearer && provider === 'client_credentials') {
    for (const field of CREDENTIALS_FIELDS) needed.add(field)
    for (const field of OPTIONAL_FIELDS) allowed.add(field)
  }
  const kind = bearer && provider ? `${mechanism} with ${provider}` : mechanism
  for (const field of needed) {
    if (sasl[field] === undefined) complain(field, `is required for ${kind}`)
  }
  // Without a provider nobody knows which of the others belong.
  if (bearer && !provider) return
  for (const field of Object.keys(sasl) as SaslField[]) {
    const stray = sasl[field] !== undefined && !needed.has(field) && !allowed.has(field)
    if (stray) complain(field, `does not belong to ${kind}`)
  }
}

/** After `checkSasl`: what the mechanism needs is there. */
function saslOf(sasl: WrittenSasl): SaslConfig {
  if (sasl.mechanism !== 'oauthbearer') {
    return { mechanism: sasl.mechanism, username: sasl.username!, password: sasl.password! }
  }
  if (sasl.provider === 'aws-msk-iam') {
    return { mechanism: 'oauthbearer', provider: { kind: 'aws-msk-iam', region: sasl.region! } }
  }
  const provider: ClientCredentialsConfig = {
    kind: 'client_credentials',
    tokenUrl: sasl.token_url!,
    clientId: sasl.client_id!,
    clientSecret: sasl.client_secret!,
    ...(sasl.token_ca === undefined ? {} : { tokenCa: sasl.token_ca }),
    ...(sasl.scope === undefined ? {} : { scope: sasl.scope })
  }
  return { mechanism: 'oauthbearer', provider }
}

/** The URL is never repeated in a message: it may hold a password. */
function checkTokenUrl(value: string): void {
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol)) throw new SyntaxError('expected https://HOST/PATH')
  if (url.username !== '' || url.password !== '') {
    throw new SyntaxError("a user does not belong into the URL: use 'client_id', 'client_secret'")
  }
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname.replace(/^\[|\]$/g, ''))) {
    throw new SyntaxError('would send the secret in the clear: use https')
  }
}

function checkRegion(value: string): void {
  if (!/^[a-z]{2}(-[a-z]+)+-\d+$/.test(value)) {
    throw new SyntaxError('expected an AWS region, such as eu-west-1')
  }
}
