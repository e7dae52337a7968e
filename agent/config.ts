import { z } from 'zod'
import { isAlertTopic, TOPICS } from '../core/contract/topics.ts'
import { COMPRESSIONS, codecMissing } from '../core/kafka/codecs.ts'
import { isLoopbackHost } from '../core/runtime/address.ts'
import {
  bytes,
  count,
  duration,
  kafkaTopic,
  listenAddress,
  name,
  refuseRepeated,
  text
} from '../core/runtime/config-fields.ts'
import { secret } from '../core/runtime/secrets.ts'

const KIB = 1024
const MIB = 1024 * KIB

export const agentSectionSchema = z
  .strictObject({
    id: name()
      .optional()
      .describe(
        "The agent's name in every event id; when absent, host name and 8 hex digits drawn at first start and kept in the data directory"
      ),
    data: text()
      .default('fieldline-data')
      .describe('Directory of the logs, checkpoints and snapshots; one agent a directory'),
    threads: z
      .enum(['auto', 'off'])
      .default('auto')
      .describe(
        'Uplink in a thread of its own where there is more than one core; off saves memory'
      ),
    stop_timeout: duration({ max: 600_000 })
      .prefault('10s')
      .describe('Longest wait at a graceful stop for what is under way')
  })
  .transform(agent => ({
    id: agent.id,
    data: agent.data,
    threads: agent.threads,
    stopTimeoutMs: agent.stop_timeout
  }))

const userSchema = z.strictObject({
  username: text().describe('MQTT user name'),
  password: secret().describe('MQTT password')
})

export const mqttSchema = z
  .strictObject({
    listen: listenAddress()
      .prefault('127.0.0.1:1883')
      .describe("Address of the MQTT broker; 'off' disables it"),
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
    connections_max: count(1, 1_000_000)
      .default(1000)
      .describe('Connections at a time; further ones are refused'),
    packet_bytes_max: bytes({ min: KIB, max: 15 * MIB })
      .prefault('1MiB')
      .describe('Largest packet; a larger one ends its connection'),
    topic_bytes_max: count(1, 65_535)
      .default(1024)
      .describe('Longest topic in bytes; a longer one ends its connection'),
    topic_levels_max: count(1, 100)
      .default(32)
      .describe('Most levels of a topic; more end the connection'),
    inflight_bytes_max: bytes({ min: 64 * KIB, max: 1024 * MIB })
      .prefault('16MiB')
      .describe('Messages received and not yet synced; at the limit sockets are read no further')
  })
  .superRefine((mqtt, context) => {
    if (mqtt.inflight_bytes_max < mqtt.packet_bytes_max) {
      const message = 'must not be below mqtt.packet_bytes_max: the largest packet would never pass'
      context.addIssue({ code: 'custom', path: ['inflight_bytes_max'], message })
    }
    if (mqtt.listen && mqtt.anonymous === 'never' && mqtt.users.length === 0) {
      const message = "'never' without mqtt.users lets nobody connect"
      context.addIssue({ code: 'custom', path: ['anonymous'], message })
    }
  })
  .transform(mqtt => ({
    listen: mqtt.listen,
    anonymous: mqtt.anonymous,
    users: mqtt.users,
    connectionsMax: mqtt.connections_max,
    packetBytesMax: mqtt.packet_bytes_max,
    topicBytesMax: mqtt.topic_bytes_max,
    topicLevelsMax: mqtt.topic_levels_max,
    inflightBytesMax: mqtt.inflight_bytes_max
  }))

const upstreamSchema = z
  .strictObject({
    name: name().describe('Name in metrics and log lines'),
    url: text(checkUpstreamUrl).describe('mqtt://HOST[:PORT] or mqtts://HOST[:PORT]'),
    client_id: text()
      .default('fieldline-{agentId}-{name}')
      .describe("Client id, `{agentId}` and `{name}` filled in; the broker's session hangs on it"),
    topics: z.array(text(checkTopicFilter)).min(1).max(1000).describe('Topic filters to subscribe'),
    qos: z
      .union([z.literal(0), z.literal(1), z.literal(2)])
      .default(1)
      .describe('Highest quality of service; below 1 messages can be lost on the way'),
    username: text().optional().describe('User name'),
    password: secret().optional().describe('Password'),
    window: count(1, 65_535).default(200).describe('Messages received and not yet acknowledged'),
    retained: z
      .enum(['keep', 'mark', 'drop'])
      .default('mark')
      .describe('Retained messages sent at (re)connection: as new ones, marked, or not at all')
  })
  .transform(upstream => ({
    name: upstream.name,
    url: upstream.url,
    clientId: upstream.client_id,
    topics: upstream.topics,
    qos: upstream.qos,
    username: upstream.username,
    password: upstream.password,
    window: upstream.window,
    retained: upstream.retained
  }))

export const upstreamsSchema = z
  .array(upstreamSchema)
  .max(100)
  .superRefine((upstreams, context) => refuseRepeated(upstreams, 'name', context))

export const logSchema = z
  .strictObject({
    bytes_max: bytes({ min: 4 * MIB })
      .prefault('1GiB')
      .describe('Disk for both logs, what they set aside, and snapshots'),
    alert_bytes_max: bytes({ min: MIB })
      .prefault('16MiB')
      .describe('Of it for the alert log; a quarter at most'),
    overflow: z
      .enum(['drop_oldest', 'drop_newest', 'block'])
      .default('drop_oldest')
      .describe('What gives way when the log is full: the oldest, the newest, or the devices wait'),
    age_max: duration({ min: 1000 })
      .nullable()
      .prefault(null)
      .describe('Records older than this are dropped, delivered or not; null keeps them'),
    sync: z
      .enum(['group', 'interval', 'never'])
      .default('group')
      .describe('When records are synced to disk: before each acknowledgement, or later'),
    sync_window: duration({ max: 1000 })
      .prefault('0ms')
      .describe('With `group`: wait so long for more records before a sync'),
    sync_interval: duration({ min: 10, max: 60_000 })
      .prefault('1s')
      .describe('With `interval`: the time between two syncs, and so what a power cut costs')
  })
  .transform(log => ({
    bytesMax: log.bytes_max,
    alertBytesMax: log.alert_bytes_max,
    overflow: log.overflow,
    ageMaxMs: log.age_max,
    sync: log.sync,
    syncWindowMs: log.sync_window,
    syncIntervalMs: log.sync_interval
  }))

export const clockSchema = z
  .strictObject({
    past_max: duration({ min: 1000 })
      .prefault('7d')
      .describe("A device's time further back than this is replaced by the agent's"),
    future_max: duration({ max: 3_600_000 })
      .prefault('1m')
      .describe("A device's time further ahead than this is replaced by the agent's")
  })
  .transform(clock => ({ pastMaxMs: clock.past_max, futureMaxMs: clock.future_max }))

const drainSchema = z
  .strictObject({
    rate_max: z
      .strictObject({
        records: count(1, 10_000_000)
          .nullable()
          .default(null)
          .describe('Records a second; null: no limit'),
        bytes: bytes({ min: KIB })
          .nullable()
          .prefault(null)
          .describe('Bytes a second, keys and headers included; null: no limit')
      })
      .prefault({})
      .describe(
        'Limit for records older than `replayed_after`, a second; below what devices send, a backlog never ends'
      )
  })
  .transform(drain => drain.rate_max)

export const uplinkSchema = z
  .strictObject({
    delivery: z
      .enum(['at_least_once', 'exactly_once'])
      .default('at_least_once')
      .describe('Whether a crash may repeat the few records after the last checkpoint'),
    batch_bytes_max: bytes({ min: KIB, max: 15 * MIB })
      .prefault('1MB')
      .describe(
        'Most bytes of one request to Kafka, keys and headers included; on a slow link it is what a second carries; a larger record goes alone'
      ),
    batch_records_max: count(1, 10_000).default(4000).describe('Most records of one request'),
    linger: duration({ max: 10_000 })
      .prefault('5ms')
      .describe('Wait so long for a fuller batch once all is delivered'),
    checkpoint_interval: duration({ min: 10, max: 1000 })
      .prefault('500ms')
      .describe('Time between two looks whether a checkpoint is due'),
    replayed_after: duration()
      .prefault('10s')
      .describe('Records delivered later than this after they came carry `fl-replayed`'),
    drain: drainSchema.prefault({}).describe('How a backlog leaves'),
    compression: z
      .enum(COMPRESSIONS)
      .superRefine((compression, context) => {
        const message = codecMissing(compression)
        if (message) context.addIssue({ code: 'custom', message })
      })
      .default('none')
      .describe('Compression of requests to Kafka; `zstd` needs Node.js ≥ 22.15'),
    dead_letter_topic: kafkaTopic()
      .default(TOPICS.deadLetters)
      .describe('Kafka topic of messages that cannot be delivered'),
    alert_topic: kafkaTopic().default(TOPICS.alerts).describe('Kafka topic of alert events')
  })
  .superRefine((uplink, context) => {
    if (uplink.dead_letter_topic === uplink.alert_topic) {
      const message = 'must differ from uplink.dead_letter_topic'
      context.addIssue({ code: 'custom', path: ['alert_topic'], message })
    }
  })
  .transform(uplink => ({
    delivery: uplink.delivery,
    batchBytesMax: uplink.batch_bytes_max,
    batchRecordsMax: uplink.batch_records_max,
    lingerMs: uplink.linger,
    checkpointIntervalMs: uplink.checkpoint_interval,
    replayedAfterMs: uplink.replayed_after,
    drain: uplink.drain,
    compression: uplink.compression,
    deadLetterTopic: uplink.dead_letter_topic,
    alertTopic: uplink.alert_topic
  }))

export const httpSchema = z
  .strictObject({
    listen: listenAddress()
      .prefault('127.0.0.1:8080')
      .describe("Address of status, metrics and dashboard; 'off' disables them"),
    token: secret()
      .optional()
      .describe(
        'Token of every page but /live and /ready, as a bearer or asked for by the dashboard; needed when others can reach the address'
      )
  })
  .superRefine((http, context) => {
    if (!http.listen || isLoopbackHost(http.listen.host) || http.token !== undefined) return
    const message = `${http.listen.host} can be reached from other machines: set http.token, or listen on 127.0.0.1`
    context.addIssue({ code: 'custom', path: ['listen'], message })
  })

export type AgentSectionConfig = z.output<typeof agentSectionSchema>
export type MqttConfig = z.output<typeof mqttSchema>
export type UpstreamConfig = z.output<typeof upstreamsSchema>[number]
export type LogConfig = z.output<typeof logSchema>
export type ClockConfig = z.output<typeof clockSchema>
export type UplinkConfig = z.output<typeof uplinkSchema>
export type HttpConfig = z.output<typeof httpSchema>

/** The URL is never repeated in a message: it may hold a password. */
function checkUpstreamUrl(value: string): void {
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^mqtts?:$/.test(url.protocol) || url.hostname === '') {
    throw new SyntaxError('expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT]')
  }
  if (url.username !== '' || url.password !== '') {
    throw new SyntaxError(
      "user and password do not belong into the URL: use 'username', 'password'"
    )
  }
  if (!/^\/?$/.test(url.pathname) || url.search !== '' || url.hash !== '') {
    throw new SyntaxError('an MQTT address has no path')
  }
}

/** Source: MQTT 3.1.1 §4.7.1. */
function checkTopicFilter(value: string): void {
  const levels = value.split('/')
  const wrong = levels.find(
    (level, index) =>
      (level.includes('#') && (level !== '#' || index !== levels.length - 1)) ||
      (level.includes('+') && level !== '+')
  )
  if (wrong !== undefined) {
    throw new SyntaxError(`'${value}' is no topic filter: '+' is a whole level, '#' the last one`)
  }
  if (isAlertTopic(value)) {
    throw new SyntaxError(`'${value}' brings nothing: what is under alerts/ is not taken`)
  }
}
