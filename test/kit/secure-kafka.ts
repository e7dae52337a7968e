import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { javaCommand, kafkaJars } from '../../cli/local-kafka-tools.ts'
import type { Admin } from '../../core/kafka/client.ts'
import { type KafkaConfig, kafkaSchema } from '../../core/kafka/config.ts'
import { type Certificate, TestAuthority } from './certificates.ts'
import { testClient } from './kafka.ts'
import { type KafkaNode, startKafkaNodes } from './kafka-nodes.ts'

const HOSTS = ['127.0.0.1', 'localhost']
/** Known to the broker by PLAIN and both kinds of SCRAM. */
export const USER = 'gateway'
export const PASSWORD = 'gateway-secret'

export interface SecureKafkaOptions {
  /** Whether clients must show a certificate; of `authority`. */
  clientCertificates?: boolean
  properties?: Record<string, string>
}

/** A broker whose clients' listener is SASL_SSL, with ACLs: what is not allowed is forbidden. */
export interface SecureKafka {
  readonly node: KafkaNode
  readonly brokers: string[]
  readonly authority: TestAuthority
  /** For files that a test's configuration names. */
  readonly directory: string
  /** The authority's certificate. */
  readonly caFile: string
  /** The brokers' own listener, without TLS: who comes there may do everything. */
  readonly internal: string[]
  readonly admin: Admin
  /** A configuration that works: TLS by `caFile`, `USER` by SCRAM-SHA-512. Fields as in the YAML. */
  config(fields?: Record<string, unknown>): KafkaConfig
  /** Writes a file of the directory. @returns Its path. */
  write(name: string, text: string): string
  /** What the broker shows from its next start on. */
  useCertificate(certificate: Certificate): void
  changePassword(password: string, mechanism?: string): Promise<void>
  remove(): Promise<void>
}

export async function startSecureKafka(options: SecureKafkaOptions = {}): Promise<SecureKafka> {
  const directory = mkdtempSync(join(tmpdir(), 'fieldline-secure-kafka-'))
  const write = (name: string, text: string): string => {
    const file = join(directory, name)
    writeFileSync(file, text)
    return file
  }
  const authority = new TestAuthority()
  const useCertificate = ({ cert, key }: Certificate) => write('broker.pem', key + cert)
  const keystore = useCertificate(authority.issue({ name: 'broker', hosts: HOSTS }))
  const caFile = write('ca.pem', authority.cert)
  const scram = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap(mechanism => [
    '--add-scram',
    `${mechanism}=[name=${USER},password=${PASSWORD}]`
  ])
  const cluster = await startKafkaNodes({
    protocol: 'SASL_SSL',
    formatArguments: scram,
    properties: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
      ...sslProperties(keystore, caFile, options.clientCertificates ?? false),
      ...loginProperties(),
      ...options.properties
    }
  }).catch(error => {
    rmSync(directory, { recursive: true, force: true })
    throw error
  })
  const [node] = cluster.nodes
  const internal = [internalAddressOf(node)]
  const admin = testClient(internal, 'test-admin').admin()
  await admin.connect()
  return {
    ...{ node, authority, directory, caFile, internal, admin, write },
    brokers: cluster.brokers,
    config: (fields = {}) =>
      kafkaSchema.parse({
        brokers: cluster.brokers,
        tls: { ca: caFile },
        sasl: { mechanism: 'scram-sha-512', username: USER, password: PASSWORD },
        connection_timeout: '5s',
        ...fields
      }),
    useCertificate,
    changePassword: (password, mechanism = 'SCRAM-SHA-512') =>
      changePassword(internal[0], mechanism, password),
    async remove() {
      await admin.disconnect()
      await cluster.remove()
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

function sslProperties(keystore: string, truststore: string, clientCertificates: boolean) {
  return {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': keystore,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': truststore,
    'listener.name.client.ssl.client.auth': clientCertificates ? 'required' : 'none'
  }
}

function loginProperties(): Record<string, string> {
  const mechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER']
  const security = 'org.apache.kafka.common.security'
  const login = (mechanism: string) =>
    `listener.name.client.${mechanism.toLowerCase()}.sasl.jaas.config`
  return {
    'listener.name.client.sasl.enabled.mechanisms': mechanisms.join(),
    [login('PLAIN')]:
      `${security}.plain.PlainLoginModule required user_${USER}="${PASSWORD}" user_plain="plain-secret";`,
    [login('SCRAM-SHA-256')]: `${security}.scram.ScramLoginModule required;`,
    [login('SCRAM-SHA-512')]: `${security}.scram.ScramLoginModule required;`,
    [login('OAUTHBEARER')]:
      `${security}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`
  }
}

function internalAddressOf(node: KafkaNode): string {
  const properties = readFileSync(join(node.directory, 'server.properties'), 'utf8')
  const [, address] = /^listeners=.*INTERNAL:\/\/([^,\n]+)/m.exec(properties) ?? []
  if (!address) throw new Error('the node has no INTERNAL listener')
  return address
}

/** By Kafka's own tool: the client has no call for it. */
async function changePassword(broker: string, mechanism: string, password: string): Promise<void> {
  const jars = await kafkaJars()
  await promisify(execFile)(
    javaCommand(),
    [
      ...['-XX:TieredStopAtLevel=1', '-Xmx128m', '-cp', join(jars, '*')],
      ...['kafka.admin.ConfigCommand', '--bootstrap-server', broker, '--alter'],
      ...['--entity-type', 'users', '--entity-name', USER],
      ...['--add-config', `${mechanism}=[password=${password}]`]
    ],
    { timeout: 60_000 }
  )
}
