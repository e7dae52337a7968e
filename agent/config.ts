import { z } from 'zod'
import type { RouteConfig } from '../core/contract/route-config.ts'
import { TOPICS } from '../core/contract/topics.ts'
import { COMPRESSIONS, codecMissing } from '../core/kafka/codecs.ts'
import type { KafkaConfig } from '../core/kafka/config.ts'
import { isLoopbackHost } from '../core/runtime/address.ts'
import {
  bytes,
  count,
  duration,
  kafkaTopic,
  listenAddress,
  name,
  text
} from '../core/runtime/config-fields.ts'
import { secret } from '../core/runtime/secret-fields.ts'
import type { AlertsConfig } from './alerts/config.ts'
import type { MqttConfig } from './ingest/broker/config.ts'
import type { UpstreamConfig } from './ingest/upstream/config.ts'

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
        'Uplink and detector in threads of their own where there is more than one core; off saves memory'
      ),
    stop_timeout: duration({ max: 600_000 })
      .prefault('10s')
      .describe('Longest wait at a graceful stop for what is under way'),
    devices_max: count(1, 100_000)
      .default(10_000)
      .describe(
        'Devices that `fieldline devices` lists; beyond, the one unheard for longest makes room'
      )
  })
  .transform(agent => ({
    id: agent.id,
    data: agent.data,
    threads: agent.threads,
    stopTimeoutMs: agent.stop_timeout,
    devicesMax: agent.devices_max
  }))

export { type MqttConfig, mqttSchema } from './ingest/broker/config.ts'

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
    alert_topic: kafkaTopic().default(TOPICS.alerts).describe('Kafka topic of alert events'),
    status_topic: kafkaTopic()
      .nullable()
      .default(TOPICS.status)
      .describe('Compacted Kafka topic in which each agent tells how it is; null: it does not'),
    status_interval: duration({ min: 1000, max: 86_400_000 })
      .prefault('30s')
      .describe('Time between two such words; an agent that misses three is taken for away')
  })
  .superRefine((uplink, context) => {
    if (uplink.dead_letter_topic === uplink.alert_topic) {
      const message = 'must differ from uplink.dead_letter_topic'
      context.addIssue({ code: 'custom', path: ['alert_topic'], message })
    }
    if (uplink.status_topic === uplink.dead_letter_topic) {
      const message = 'must differ from uplink.dead_letter_topic'
      context.addIssue({ code: 'custom', path: ['status_topic'], message })
    }
    if (uplink.status_topic === uplink.alert_topic) {
      const message = 'must differ from uplink.alert_topic'
      context.addIssue({ code: 'custom', path: ['status_topic'], message })
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
    alertTopic: uplink.alert_topic,
    statusTopic: uplink.status_topic,
    statusIntervalMs: uplink.status_interval
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
export type LogConfig = z.output<typeof logSchema>
export type ClockConfig = z.output<typeof clockSchema>
export type UplinkConfig = z.output<typeof uplinkSchema>
export type HttpConfig = z.output<typeof httpSchema>

/** What an agent is made of: its sections of the configuration. */
export interface AgentConfig {
  agent: AgentSectionConfig
  mqtt: MqttConfig
  upstreams: UpstreamConfig[]
  log: LogConfig
  clock: ClockConfig
  kafka: KafkaConfig
  uplink: UplinkConfig
  routes: RouteConfig[]
  alerts: AlertsConfig
}
