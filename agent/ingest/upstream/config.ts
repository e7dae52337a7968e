import { z } from 'zod'
import { isAlertTopic } from '../../../core/contract/topics.ts'
import { count, duration, name, refuseRepeated, text } from '../../../core/runtime/config-fields.ts'
import { rotatingSecret } from '../../../core/runtime/secret-fields.ts'
import { tlsFileFields } from '../../../core/runtime/tls-fields.ts'

/** By scheme: the port where the URL names none. */
const PORTS: Readonly<Record<string, number>> = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 }
const DAY_MS = 86_400_000
/** Most brokers' bound, and MQTT's own for its 16 bits of seconds. */
const KEEP_ALIVE_MS_MAX = 65_535_000
/** Of MQTT 5's 32 bits of seconds the last value means `for ever`. */
const SESSION_DEFAULT_MS = 7 * DAY_MS

const tlsSchema = z.strictObject({
  ...tlsFileFields,
  servername: text()
    .optional()
    .describe("Name that the broker's certificate must have, where it is not the URL's host"),
  alpn: z
    .array(text(checkAlpn))
    .min(1)
    .max(8)
    .optional()
    .describe('Protocols named in the TLS handshake, such as `x-amzn-mqtt-ca` on port 443')
})

const upstreamSchema = z
  .strictObject({
    name: name().describe('Name in metrics and log lines'),
    url: text(checkUpstreamUrl).describe(
      'mqtt://HOST[:PORT], mqtts:// for TLS, ws://HOST[:PORT][/PATH] or wss:// over WebSocket'
    ),
    mqtt_version: z
      .literal(['3.1.1', '5', 5])
      .default('3.1.1')
      .describe(
        '`5` brings user properties, reasons for refusals and a window the broker keeps to'
      ),
    client_id: text()
      .default('fieldline-{agentId}-{name}')
      .describe("Client id, `{agentId}` and `{name}` filled in; the broker's session hangs on it"),
    topics: z
      .array(text(checkTopicFilter))
      .min(1)
      .max(1000)
      .describe('Topic filters to subscribe; `$share/GROUP/FILTER` shares them, without order'),
    qos: z
      .union([z.literal(0), z.literal(1), z.literal(2)])
      .default(1)
      .describe('Highest quality of service; below 1 messages can be lost on the way'),
    username: text().optional().describe('User name'),
    password: rotatingSecret()
      .optional()
      .describe('Password; written `@file:PATH` it is read at each connection'),
    tls: tlsSchema
      .optional()
      .describe(
        'What a mqtts:// or wss:// connection trusts and proves itself with; files are read at each connection, the broker is always verified'
      ),
    window: count(1, 65_535).default(200).describe('Messages received and not yet acknowledged'),
    keep_alive: duration({ min: 1_000, max: KEEP_ALIVE_MS_MAX })
      .prefault('30s')
      .describe(
        'Silence after which a ping is sent; unanswered at 1.5 times, the link is given up'
      ),
    session_expiry: duration({ min: 60_000 })
      .optional()
      .describe(
        'MQTT 5: how long the broker keeps the session, and messages, without us; 7d when absent'
      ),
    silent_after: duration({ min: 1_000 })
      .nullable()
      .prefault('1h')
      .describe(
        'Connected and no message for so long: told, and connected and subscribed anew once; null: never'
      ),
    retained: z
      .enum(['keep', 'mark', 'drop'])
      .default('mark')
      .describe('Retained messages sent at (re)connection: as new ones, marked, or not at all')
  })
  .superRefine((upstream, context) => {
    const complain = (field: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [field], message })
    const { tls } = upstream
    if (tls && !/^(mqtts|wss):/i.test(upstream.url)) {
      complain('tls', 'has no effect without TLS: write the url with mqtts:// or wss://')
    }
    if (tls && (tls.cert === undefined) !== (tls.key === undefined)) {
      const missing = tls.cert === undefined ? 'cert' : 'key'
      complain('tls', `a client certificate needs both cert and key; ${missing} is missing`)
    }
    if (upstream.password !== undefined && upstream.username === undefined) {
      complain('username', 'is required with a password')
    }
    if (upstream.session_expiry !== undefined && String(upstream.mqtt_version) !== '5') {
      complain(
        'session_expiry',
        "needs mqtt_version '5': in MQTT 3.1.1 the broker's own setting says how long a session lives"
      )
    }
    const twice = upstream.topics.findIndex((topic, i) => upstream.topics.indexOf(topic) !== i)
    if (twice >= 0) {
      context.addIssue({
        ...{ code: 'custom', path: ['topics', twice] },
        message: `'${upstream.topics[twice]}' stands twice`
      })
    }
  })
  .transform(upstream => ({
    name: upstream.name,
    url: upstream.url,
    mqttVersion: String(upstream.mqtt_version) as '3.1.1' | '5',
    clientId: upstream.client_id,
    topics: upstream.topics,
    qos: upstream.qos,
    username: upstream.username,
    password: upstream.password,
    tls: upstream.tls,
    window: upstream.window,
    keepAliveS: Math.ceil(upstream.keep_alive / 1000),
    sessionExpiryS: Math.ceil((upstream.session_expiry ?? SESSION_DEFAULT_MS) / 1000),
    silentAfterMs: upstream.silent_after,
    retained: upstream.retained
  }))

export const upstreamsSchema = z
  .array(upstreamSchema)
  .max(100)
  .superRefine((upstreams, context) => {
    refuseRepeated(upstreams, 'name', context)
    const ids = upstreams.map(sessionOf)
    for (const [index, id] of ids.entries()) {
      const first = ids.indexOf(id)
      if (id === undefined || first === index) continue
      context.addIssue({
        ...{ code: 'custom', path: [index, 'client_id'] },
        message: `is that of '${upstreams[first].name}' at the same broker: each would take the other's session over, for ever`
      })
    }
  })

export type UpstreamConfig = z.output<typeof upstreamsSchema>[number]
export type UpstreamTls = NonNullable<UpstreamConfig['tls']>

/** @returns undefined for an entry that has mistakes of its own: it has not become a setting yet. */
function sessionOf(upstream: { url: string; clientId?: string; name: string }): string | undefined {
  const { url, clientId, name } = upstream
  if (clientId === undefined) return undefined
  const broker = new URL(url)
  const address = `${broker.hostname}:${portOf(broker)}`.toLowerCase()
  return `${address} ${clientId.replaceAll('{name}', name)}`
}

/** Of an upstream's URL, whether it names one or not. */
export function portOf({ protocol, port }: URL): number {
  return Number(port || PORTS[protocol.slice(0, -1)])
}

/** The URL is never repeated in a message: it may hold a password. */
function checkUpstreamUrl(value: string): void {
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !Object.hasOwn(PORTS, url.protocol.slice(0, -1)) || url.hostname === '') {
    throw new SyntaxError(
      'expected mqtt://HOST[:PORT], mqtts://…, ws://HOST[:PORT][/PATH] or wss://…'
    )
  }
  if (url.username !== '' || url.password !== '') {
    throw new SyntaxError(
      "user and password do not belong into the URL: use 'username', 'password'"
    )
  }
  if (url.protocol.startsWith('mqtt') && !/^\/?$/.test(url.pathname)) {
    throw new SyntaxError('an MQTT address has no path; over WebSocket it is ws:// or wss://')
  }
  if (url.search !== '' || url.hash !== '') {
    throw new SyntaxError("an upstream's address has neither '?' nor '#'")
  }
}

/** Source: RFC 7301 §3.1: 1 to 255 bytes each. */
function checkAlpn(value: string): void {
  if (Buffer.byteLength(value) > 255) throw new SyntaxError('a protocol name has at most 255 bytes')
}

/** Source: MQTT 3.1.1 §4.7.1, MQTT 5 §4.8.2. */
function checkTopicFilter(value: string): void {
  const filter = sharedFilter(value) ?? value
  const levels = filter.split('/')
  const wrong = levels.find(
    (level, index) =>
      (level.includes('#') && (level !== '#' || index !== levels.length - 1)) ||
      (level.includes('+') && level !== '+')
  )
  if (wrong !== undefined) {
    throw new SyntaxError(`'${value}' is no topic filter: '+' is a whole level, '#' the last one`)
  }
  if (Buffer.byteLength(value) > 65_535) throw new SyntaxError('a filter has at most 65535 bytes')
  // [MQTT-4.7.3-2]: a broker would end each connection over it.
  if (value.includes('\0')) throw new SyntaxError('a topic filter holds no null character')
  if (isAlertTopic(filter)) {
    throw new SyntaxError(`'${value}' brings nothing: what is under alerts/ is not taken`)
  }
}

function sharedFilter(value: string): string | undefined {
  if (!value.startsWith('$share')) return undefined
  const [, filter] = /^\$share\/[^/+#]+\/(.+)$/s.exec(value) ?? []
  if (filter === undefined) {
    throw new SyntaxError(`'${value}' is no shared subscription: write $share/GROUP/FILTER`)
  }
  return filter
}
