import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { alertsSchema } from '../agent/alerts/config.ts'
import {
  agentSectionSchema,
  clockSchema,
  httpSchema,
  logSchema,
  mqttSchema,
  uplinkSchema
} from '../agent/config.ts'
import { upstreamsSchema } from '../agent/ingest/upstream/config.ts'
import { DEFAULT_ROUTE, routesSchema } from '../core/contract/route-config.ts'
import { kafkaSchema } from '../core/kafka/config.ts'
import { type ConfigOverride, readConfig } from '../core/runtime/config.ts'
import { messageOf, OperationalError, systemCode } from '../core/runtime/errors.ts'
import { LOG_LEVELS } from '../core/runtime/log.ts'
import { nearestName } from '../core/runtime/nearest.ts'
import { formatBytes } from '../core/runtime/units.ts'
import { detectorSchema } from '../detector/config.ts'

const loggingSchema = z.strictObject({
  level: z.enum(LOG_LEVELS).default('info').describe('Least weight of a line that is written')
})

/** One file for agent and detector; every section and every field may be left out. */
export const fieldlineSchema = z
  .strictObject({
    agent: agentSectionSchema.prefault({}).describe('The agent itself.'),
    mqtt: mqttSchema.prefault({}).describe('The MQTT broker that devices connect to.'),
    upstreams: upstreamsSchema
      .prefault([])
      .describe('Other MQTT brokers to take messages from, each acknowledged after the sync.'),
    log: logSchema.prefault({}).describe('The durable log on local disk.'),
    clock: clockSchema.prefault({}).describe("How far a device's clock is believed."),
    kafka: kafkaSchema.prefault({}).describe('The Kafka cluster.'),
    uplink: uplinkSchema.prefault({}).describe('Delivery from the log to Kafka.'),
    routes: routesSchema
      .prefault([{ ...DEFAULT_ROUTE, match: [...DEFAULT_ROUTE.match] }])
      .describe('Which messages go to which Kafka topic. What no route matches is a dead letter.'),
    detector: detectorSchema.prefault({}).describe('Anomalies, and the alerts about them.'),
    alerts: alertsSchema.prefault({}).describe('Where alerts of the edge go, beside Kafka.'),
    http: httpSchema.prefault({}).describe('Status, metrics and dashboard.'),
    logging: loggingSchema.prefault({}).describe("The process's own log lines, on stderr.")
  })
  .superRefine((config, context) => {
    const complain = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path, message })
    // A log that holds fewer than four batches could drop one while it is being sent.
    const quarter = Math.floor(config.log.bytesMax / 4)
    if (config.uplink.batchBytesMax > quarter) {
      const message = `must be at most a quarter of log.bytes_max, ${formatBytes(quarter)}`
      complain(['uplink', 'batch_bytes_max'], message)
    }
    if (config.mqtt.packetBytesMax > quarter) {
      const message = `must be at most a quarter of log.bytes_max, ${formatBytes(quarter)}`
      complain(['mqtt', 'packet_bytes_max'], message)
    }
    const routed = (topic: string): boolean =>
      config.routes.some(route => !route.drop && route.topic === topic)
    for (const [field, topic] of [
      ['status_topic', config.uplink.statusTopic],
      ['dead_letter_topic', config.uplink.deadLetterTopic],
      ['alert_topic', config.uplink.alertTopic]
    ] as const) {
      if (topic !== null && routed(topic))
        complain(['uplink', field], `a route leads telemetry to '${topic}'`)
    }
    const upstreams = config.upstreams.map(({ name }) => name)
    for (const [index, name] of config.alerts.upstreams.entries()) {
      if (upstreams.includes(name)) continue
      const meant = nearestName(name, upstreams)
      const hint = meant ? ` (did you mean '${meant}'?)` : ''
      complain(['alerts', 'upstreams', index], `there is no upstream '${name}'${hint}`)
    }
  })

export type FieldlineConfig = z.output<typeof fieldlineSchema>

/** Flags as they were typed; each stands in for a field of the file. */
export interface ConfigFlags {
  readonly kafka?: string
  readonly listen?: string
  readonly data?: string
  readonly id?: string
  readonly http?: string
  readonly delivery?: string
  readonly detector?: string
  readonly group?: string
  readonly scope?: string
}

export interface LoadOptions {
  /** Path of the YAML file; without one every field has its default. */
  readonly file?: string
  readonly overrides?: ConfigFlags
  /** Default: the process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

export interface LoadedFieldlineConfig {
  readonly config: FieldlineConfig
  /** Of the configuration in effect, secrets left out: it is published. 16 hex digits. */
  readonly hash: string
  /** As it would be written in the file, secrets redacted. */
  readonly effective: unknown
}

/**
 * @throws {OperationalError} CONFIG_UNREADABLE: the file cannot be read. CONFIG_INVALID: it has
 *   mistakes, all of them are in the message. USAGE: only flags are wrong.
 */
export async function loadFieldlineConfig(
  options: LoadOptions = {}
): Promise<LoadedFieldlineConfig> {
  const { file, overrides = {}, env = process.env } = options
  const { value, effective, given } = readConfig({
    schema: fieldlineSchema,
    file: file === undefined ? undefined : { name: file, text: readText(file) },
    overrides: overridesOf(overrides),
    env,
    readFile: path => readFileSync(path, 'utf8')
  })
  return loadedOf(value, effective, given)
}

/** Apart from what was loaded, and so from whatever prints that: it holds secrets. */
const givenValues = new WeakMap<LoadedFieldlineConfig, unknown>()

/** See `LoadedConfig.given`. */
export function givenOf(loaded: LoadedFieldlineConfig): unknown {
  return givenValues.get(loaded)
}

/** @param effective Secrets redacted. */
export function loadedOf(
  config: FieldlineConfig,
  effective: unknown,
  given: unknown
): LoadedFieldlineConfig {
  const text = JSON.stringify(effective)
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16)
  const loaded = { config, hash, effective }
  givenValues.set(loaded, given)
  return loaded
}

function overridesOf(flags: ConfigFlags): ConfigOverride[] {
  const switches: Readonly<Record<string, boolean>> = { on: true, off: false }
  const table = [
    ['kafka', ['kafka', 'brokers'], (text: string) => text.split(',').map(part => part.trim())],
    ['listen', ['mqtt', 'listen']],
    ['data', ['agent', 'data']],
    ['id', ['agent', 'id']],
    ['http', ['http', 'listen']],
    ['delivery', ['uplink', 'delivery']],
    ['detector', ['detector', 'enabled'], (text: string) => switches[text]],
    ['group', ['detector', 'group']],
    ['scope', ['detector', 'scope']]
  ] as const
  return table.flatMap(([flag, path, parse]) => {
    const text = flags[flag]
    if (text === undefined) return []
    const value = parse ? parse(text) : text
    if (value === undefined) throw new OperationalError('USAGE', `--${flag}: expected on or off`)
    return [{ flag: `--${flag}`, path, value }]
  })
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const reason = READ_ERRORS[systemCode(error) ?? ''] ?? messageOf(error)
    const message = `${file}: the configuration cannot be read: ${reason}`
    throw new OperationalError('CONFIG_UNREADABLE', message, { cause: error })
  }
}

const READ_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory'
}
