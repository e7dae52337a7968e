import { z } from 'zod'
import { type Address, formatAddress, isLoopbackHost } from '../../../core/runtime/address.ts'
import {
  bytes,
  count,
  duration,
  listenAddress,
  refuseRepeated,
  text
} from '../../../core/runtime/config-fields.ts'
import { secret } from '../../../core/runtime/secret-fields.ts'
import { aclSchema } from './acl-config.ts'

const KIB = 1024
const MIB = 1024 * KIB

const userSchema = z.strictObject({
  username: text().describe('MQTT user name'),
  password: secret().describe('MQTT password')
})

const tlsSchema = z
  .strictObject({
    cert: text().describe("PEM file of the server's certificate, its chain with it"),
    key: text().describe("PEM file of the certificate's private key"),
    ca: text()
      .optional()
      .describe('PEM file of the authorities that sign client certificates; needed to ask for one'),
    crl: text().optional().describe('PEM file of certificates that these authorities revoked'),
    client_certificate: z
      .enum(['none', 'optional', 'required'])
      .default('none')
      .describe('Whether clients are asked for a certificate; one that is not valid is refused'),
    identity: z
      .enum(['none', 'certificate_cn', 'certificate_san'])
      .default('none')
      .describe(
        "Which name of a client's certificate is its user name: common name, or first of the alternative names; it needs no password then"
      )
  })
  .superRefine((tls, context) => {
    const complain = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (tls.client_certificate !== 'none' && tls.ca === undefined) {
      complain('client_certificate', `'${tls.client_certificate}' needs tls.ca to verify against`)
    }
    if (tls.client_certificate === 'none' && tls.identity !== 'none') {
      complain('identity', 'no client is asked for a certificate: set client_certificate')
    }
    if (tls.crl !== undefined && tls.ca === undefined) complain('crl', 'needs tls.ca')
  })
  .transform(tls => ({
    cert: tls.cert,
    key: tls.key,
    ca: tls.ca,
    crl: tls.crl,
    clientCertificate: tls.client_certificate,
    identity: tls.identity
  }))

const websocketSchema = z
  .strictObject({
    path: text(checkPath).default('/mqtt').describe('Path of the WebSocket; others are not found'),
    origins: z
      .array(text(checkOrigin))
      .max(100)
      .default([])
      .describe(
        "Web pages that may connect, as http://HOST[:PORT] or '*'; a client that is no browser sends no origin and needs none"
      )
  })
  .transform(({ path, origins }) => ({ path, origins }))

const listenerSchema = z
  .strictObject({
    listen: listenAddress().describe('Address, as HOST:PORT'),
    tls: tlsSchema.nullable().prefault(null).describe('Encryption; null: none'),
    websocket: z
      .union([z.boolean(), websocketSchema])
      .default(false)
      .describe('MQTT over WebSocket instead of a bare connection; `true`: at /mqtt')
  })
  .superRefine((listener, context) => {
    if (listener.listen) return
    const message = 'expected HOST:PORT'
    // Not to be continued: what looks at all listeners relies on an address.
    context.addIssue({ code: 'custom', path: ['listen'], message, continue: false })
  })
  .transform(({ listen, tls, websocket }) => ({
    listen: listen as Address,
    tls,
    websocket: websocket === true ? { path: '/mqtt', origins: [] } : websocket || null
  }))

/** Limits of one client, one address and all together; what is refused is counted by reason. */
const limits = {
  connections_max: count(1, 1_000_000)
    .default(1000)
    .describe('Connections at a time, over all listeners; further ones are refused'),
  connections_per_address_max: count(1, 1_000_000)
    .default(250)
    .describe('Of them from one address, an IPv6 /64 being one; this machine has no limit'),
  connect_rate_max: count(1, 1_000_000)
    .default(500)
    .describe('New connections a second; twice as many at once; this machine has no limit'),
  connect_rate_per_address_max: count(1, 1_000_000)
    .default(50)
    .describe('Of them from one address'),
  connect_timeout: duration({ min: 100, max: 300_000 })
    .prefault('10s')
    .describe('From the connection to the end of its CONNECT, TLS and WebSocket included'),
  keep_alive_max: duration({ min: 1000, max: 65_535_000 })
    .prefault('1h')
    .describe(
      'A client that names a longer keep-alive, or none, is closed after 1.5 times this in silence'
    ),
  packet_bytes_max: bytes({ min: KIB, max: 15 * MIB })
    .prefault('1MiB')
    .describe('Largest packet; a larger one ends its connection'),
  topic_bytes_max: count(1, 65_535)
    .default(1024)
    .describe('Longest topic in bytes; a longer one ends its connection'),
  topic_levels_max: count(1, 100)
    .default(32)
    .describe('Most levels of a topic; more end the connection'),
  message_rate_max: count(1, 1_000_000)
    .nullable()
    .default(null)
    .describe('Messages a second of one client: beyond, it is read slower; null: no limit'),
  byte_rate_max: bytes({ min: KIB })
    .nullable()
    .prefault(null)
    .describe('Bytes a second of one client: beyond, it is read slower; null: no limit'),
  inflight_bytes_max: bytes({ min: 64 * KIB, max: 1024 * MIB })
    .prefault('16MiB')
    .describe('Messages received and not yet synced; at the limit sockets are read no further'),
  inflight_qos2_max: count(1, 65_535)
    .default(1000)
    .describe('QoS 2 messages of one client that wait for its PUBREL; more end its connection'),
  subscriptions_per_client_max: count(1, 10_000)
    .default(100)
    .describe('Subscriptions of one client; further ones are refused in the SUBACK'),
  subscriptions_max: count(1, 1_000_000).default(10_000).describe('Subscriptions of all clients'),
  subscriber_bytes_max: bytes({ min: 16 * KIB, max: 1024 * MIB })
    .prefault('1MiB')
    .describe('Bytes that wait for a local subscriber; one that is further behind is disconnected'),
  sessions_max: count(0, 1_000_000)
    .default(1000)
    .describe('Sessions kept for clients that are away; the one away longest gives way'),
  session_expiry: duration({ min: 1000 })
    .prefault('1d')
    .describe('A session is kept for so long after its connection'),
  retained: z
    .enum(['keep', 'drop'])
    .default('keep')
    .describe("Devices' retained messages: kept for local subscribers, or treated as any other"),
  retained_topics_max: count(1, 1_000_000)
    .default(10_000)
    .describe('Topics whose retained message of a device is kept; further ones are not retained'),
  retained_bytes_max: bytes({ min: KIB, max: 1024 * MIB })
    .prefault('16MiB')
    .describe('Bytes of retained messages of devices')
}

export const mqttSchema = z
  .strictObject({
    listen: listenAddress()
      .prefault('127.0.0.1:1883')
      .describe("Address of the MQTT broker, without encryption; 'off' disables it"),
    listeners: z
      .array(listenerSchema)
      .max(16)
      .default([])
      .describe('Further listeners: with TLS, over WebSocket, on other addresses'),
    anonymous: z
      .enum(['loopback', 'always', 'never'])
      .default('loopback')
      .describe('Who may connect without a user name: clients on this machine, all, or none'),
    users: z
      .array(userSchema)
      .max(10_000)
      .superRefine((users, context) => refuseRepeated(users, 'username', context))
      .default([])
      .describe('Users that may connect'),
    users_file: text()
      .optional()
      .describe('File of further users, written by `fieldline passwd`; read again when it changes'),
    acl: aclSchema
      .nullable()
      .prefault(null)
      .describe(
        'Who may publish and subscribe to what; null: all may publish, clients on this machine subscribe'
      ),
    ...limits
  })
  .superRefine((mqtt, context) => {
    const complain = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path, message })
    if (mqtt.inflight_bytes_max < mqtt.packet_bytes_max) {
      const message = 'must not be below mqtt.packet_bytes_max: the largest packet would never pass'
      complain(['inflight_bytes_max'], message)
    }
    const known = mqtt.users.length > 0 || mqtt.users_file !== undefined
    const certified = mqtt.listeners.some(({ tls }) => tls && tls.identity !== 'none')
    const listening = mqtt.listen !== null || mqtt.listeners.length > 0
    if (listening && mqtt.anonymous === 'never' && !known && !certified) {
      complain(['anonymous'], "'never' without mqtt.users lets nobody connect")
    }
    const taken = new Set(mqtt.listen ? [formatAddress(mqtt.listen)] : [])
    for (const [index, { listen }] of mqtt.listeners.entries()) {
      const address = formatAddress(listen)
      if (listen.port !== 0 && taken.has(address)) {
        complain(['listeners', index, 'listen'], `${address} is another listener's already`)
      }
      taken.add(address)
    }
  })
  .transform(mqtt => ({
    listen: mqtt.listen,
    listeners: mqtt.listeners,
    anonymous: mqtt.anonymous,
    users: mqtt.users,
    usersFile: mqtt.users_file,
    acl: mqtt.acl,
    connectionsMax: mqtt.connections_max,
    connectionsPerAddressMax: mqtt.connections_per_address_max,
    connectRateMax: mqtt.connect_rate_max,
    connectRatePerAddressMax: mqtt.connect_rate_per_address_max,
    connectTimeoutMs: mqtt.connect_timeout,
    keepAliveMsMax: mqtt.keep_alive_max,
    packetBytesMax: mqtt.packet_bytes_max,
    topicBytesMax: mqtt.topic_bytes_max,
    topicLevelsMax: mqtt.topic_levels_max,
    messageRateMax: mqtt.message_rate_max,
    byteRateMax: mqtt.byte_rate_max,
    inflightBytesMax: mqtt.inflight_bytes_max,
    inflightQos2Max: mqtt.inflight_qos2_max,
    subscriptionsPerClientMax: mqtt.subscriptions_per_client_max,
    subscriptionsMax: mqtt.subscriptions_max,
    subscriberBytesMax: mqtt.subscriber_bytes_max,
    sessionsMax: mqtt.sessions_max,
    sessionExpiryMs: mqtt.session_expiry,
    retained: mqtt.retained,
    retainedTopicsMax: mqtt.retained_topics_max,
    retainedBytesMax: mqtt.retained_bytes_max
  }))

export type MqttConfig = z.output<typeof mqttSchema>
export type ListenerConfig = z.output<typeof listenerSchema>
export type ListenerTlsConfig = NonNullable<ListenerConfig['tls']>
export type ListenerWebsocketConfig = NonNullable<ListenerConfig['websocket']>

/** All listeners, that of `mqtt.listen` first. */
export function listenersOf(mqtt: Pick<MqttConfig, 'listen' | 'listeners'>): ListenerConfig[] {
  const plain = mqtt.listen ? [{ listen: mqtt.listen, tls: null, websocket: null }] : []
  return [...plain, ...mqtt.listeners]
}

/** What is allowed and unwise: a sentence each, for the log and for a check of the configuration. */
export function mqttWarnings(mqtt: MqttConfig): string[] {
  const far = listenersOf(mqtt).filter(({ listen }) => !isLoopbackHost(listen.host))
  const open = far.filter(({ tls }) => !tls).map(({ listen }) => formatAddress(listen))
  const warnings: string[] = []
  if (open.length > 0 && (mqtt.users.length > 0 || mqtt.usersFile !== undefined)) {
    warnings.push(
      `mqtt: passwords cross the network in the clear on ${open.join(', ')}; give the listener tls`
    )
  }
  if (far.length > 0 && mqtt.anonymous === 'always') {
    warnings.push(
      'mqtt.anonymous: always lets everybody who reaches the listener publish; name users, or use certificates'
    )
  }
  if (mqtt.acl?.some(rule => usesClient(rule) && rule.user === undefined)) {
    warnings.push(
      "mqtt.acl: a client chooses its id itself, so {client} keeps nobody from another's topics; prefer {user}"
    )
  }
  return warnings
}

function usesClient({ publish, subscribe }: NonNullable<MqttConfig['acl']>[number]): boolean {
  return [...publish, ...subscribe].some(pattern => pattern.includes('{client}'))
}

function checkPath(value: string): void {
  if (!/^\/[^\s?#]*$/.test(value)) throw new SyntaxError("expected a path, like '/mqtt'")
}

function checkOrigin(value: string): void {
  if (value === '*') return
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.origin !== value) {
    throw new SyntaxError("expected http://HOST[:PORT], https://HOST[:PORT] or '*'")
  }
}
