import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { type ConfigFlags, loadFieldlineConfig } from '../../cli/config.ts'
import { configReference, configSchema, EXAMPLE_CONFIG } from '../../cli/config-reference.ts'
import type { SchemaNode } from '../../core/runtime/config-schema.ts'
import { OperationalError } from '../../core/runtime/errors.ts'

const directory = mkdtempSync(join(tmpdir(), 'fieldline-config-'))
afterAll(() => rmSync(directory, { recursive: true }))

function fileOf(text: string): string {
  const file = join(directory, 'fieldline.yaml')
  writeFileSync(file, text)
  return file
}

async function refusal(text: string | undefined, overrides?: ConfigFlags) {
  const file = text === undefined ? undefined : fileOf(text)
  const error = await loadFieldlineConfig({ file, overrides, env: {} }).then(
    () => undefined,
    (error: unknown) => error
  )
  if (!(error instanceof OperationalError)) throw new Error('accepted', { cause: error })
  return {
    code: error.code,
    exit: error.exitCode,
    message: error.message.replaceAll(`${file}:`, '')
  }
}

test('without a file every section has its defaults, in ms and bytes', async () => {
  const { config } = await loadFieldlineConfig({ env: {} })
  expect(config).toMatchObject({
    agent: { data: 'fieldline-data', threads: 'auto', stopTimeoutMs: 10_000 },
    mqtt: { listen: { host: '127.0.0.1', port: 1883 }, packetBytesMax: 1_048_576 },
    upstreams: [],
    log: { bytesMax: 2 ** 30, ageMaxMs: null, syncWindowMs: 0, syncIntervalMs: 1000 },
    clock: { pastMaxMs: 604_800_000, futureMaxMs: 60_000 },
    kafka: { brokers: ['localhost:9092'], replicationFactor: null, requestTimeoutMs: 30_000 },
    uplink: { delivery: 'at_least_once', batchBytesMax: 1_000_000, checkpointIntervalMs: 500 },
    detector: {
      onDelay: { readings: 1, of: 1 },
      silent: { minMs: 10_000 },
      seriesTtlMs: 2_592_000_000
    },
    http: { listen: { host: '127.0.0.1', port: 8080 } },
    logging: { level: 'info' }
  })
  expect(config.routes).toMatchObject([
    {
      name: 'default',
      match: ['telemetry/{site}/{device}', 'telemetry/{site}/{device}/{metric}'],
      topic: 'telemetry',
      codec: 'json',
      value: 'payload'
    }
  ])
  expect(config.agent.id).toBeUndefined()
})

test('the configuration can be handed to a worker thread', async () => {
  const { config } = await loadFieldlineConfig({ env: {} })
  expect(structuredClone(config)).toEqual(config)
})

test('flags stand in for fields', async () => {
  const { config } = await loadFieldlineConfig({
    env: {},
    overrides: {
      kafka: 'a:1, [::1]:2',
      listen: '0.0.0.0:0',
      data: '/d',
      id: 'gw',
      http: 'off',
      delivery: 'exactly_once',
      detector: 'off',
      group: 'g'
    }
  })
  expect(config).toMatchObject({
    kafka: { brokers: ['a:1', '[::1]:2'] },
    mqtt: { listen: { host: '0.0.0.0', port: 0 } },
    agent: { data: '/d', id: 'gw' },
    http: { listen: null },
    uplink: { delivery: 'exactly_once' },
    detector: { enabled: false, group: 'g' }
  })
})

test.each<[ConfigFlags, string]>([
  [{ kafka: 'nowhere' }, "--kafka: expected HOST:PORT, like '127.0.0.1:1883' or '[::1]:1883'"],
  [{ listen: 'h:70000' }, '--listen: a port is at most 65535'],
  [{ id: 'a b' }, '--id: a name is 1 to 64 of A-Z a-z 0-9 . _ -'],
  [{ delivery: 'exactly-once' }, "did you mean 'exactly_once'?"],
  [{ detector: 'maybe' }, '--detector: expected on or off'],
  [{ http: '0.0.0.0:80' }, '--http: 0.0.0.0 can be reached from other machines: set http.token']
])('a wrong flag is an error of usage: %j', async (flags, message) => {
  const refused = await refusal(undefined, flags)
  expect(refused.message).toContain(message)
  expect([refused.code, refused.exit]).toEqual(['USAGE', 2])
})

test('a file that is missing or a directory is unreadable, exit code 78', async () => {
  const missing = loadFieldlineConfig({ file: join(directory, 'nope.yaml') })
  await expect(missing).rejects.toMatchObject({ code: 'CONFIG_UNREADABLE', exitCode: 78 })
  await expect(missing).rejects.toThrow('nope.yaml: the configuration cannot be read: there is no')
  await expect(loadFieldlineConfig({ file: directory })).rejects.toThrow('it is a directory')
})

test.each([
  ['detector: { raise: 0.6, clear: 0.7 }', 'detector.clear: must be below detector.raise (0.6)'],
  ['detector: { on_delay: { readings: 3, of: 2 } }', '3 of 2 readings is impossible'],
  ['detector: { scorer: onnx }', 'needs at least one entry in detector.models'],
  [
    'log: { bytes_max: 4MiB }\nuplink: { batch_bytes_max: 2MiB }',
    '2:28: uplink.batch_bytes_max: must be at most a quarter of log.bytes_max, 1MiB'
  ],
  ['mqtt: { packet_bytes_max: 16MiB }', 'must be at most 15MiB'],
  ['mqtt: { packet_bytes_max: 8MiB, inflight_bytes_max: 4MiB }', 'must not be below mqtt.packet'],
  ['mqtt: { anonymous: never }', 'lets nobody connect'],
  [
    'mqtt: { users: [{ username: a, password: p }, { username: a, password: q }] }',
    "mqtt.users[1].username: 'a' is taken by entry 1"
  ],
  ['uplink: { checkpoint_interval: 2s }', 'must be at most 1s'],
  [
    'uplink: { alert_topic: telemetry }',
    "uplink.alert_topic: a route leads telemetry to 'telemetry'"
  ],
  ['uplink: { alert_topic: x, dead_letter_topic: x }', 'must differ'],
  ['kafka: { tls: { cert: x } }', 'needs both cert and key; key is missing'],
  [
    'kafka: { sasl: { mechanism: SCRAM-SHA-512, username: u, password: p } }',
    "did you mean 'scram-sha-512'?"
  ],
  ['http: { listen: 0.0.0.0:80 }', 'set http.token'],
  [
    "upstreams: [{ name: u, url: 'mqtt://u:hunter2@h', topics: [a] }]",
    'do not belong into the URL'
  ],
  ["upstreams: [{ name: u, url: 'http://h', topics: [a] }]", 'expected mqtt://HOST'],
  ["upstreams: [{ name: u, url: 'mqtt://h', topics: ['a/#/b'] }]", "'a/#/b' is no topic filter"],
  ["upstreams: [{ name: u, url: 'mqtt://h' }]", 'upstreams[0].topics: is required'],
  ["routes: [{ name: a, match: '{device}' }]", "'{device}' does not name {site}"],
  ["routes: [{ name: a, match: '{site}/x' }]", 'does not name {device}'],
  ["routes: [{ name: a, match: '{site}/{device}', site: s }]", 'names {site} already'],
  ["routes: [{ name: a, match: '{site}/{device}/x{y}' }]", 'neither a literal level'],
  ["routes: [{ name: a, match: 'alerts/{site}/{device}' }]", 'can never match'],
  ["routes: [{ name: a, match: '{site}/{device}', topic: '{site}.x' }]", 'needs a literal prefix'],
  [
    "routes: [{ name: a, match: '{site}/{device}', topic: 'x.{rest}' }]",
    '{rest} cannot be used here'
  ],
  ["routes: [{ name: a, match: '{site}/{device}', topic: 'x.{metric}' }]", 'uses {metric}, which'],
  ["routes: [{ name: a, match: '{site}/{device}', topic: 'x y' }]", 'a Kafka topic is'],
  ["routes: [{ name: a, match: '{site}/{device}', topic: fieldline.alerts }]", "Fieldline's own"],
  ["routes: [{ name: a, match: '{site}/{device}', codec: raw, value: reading }]", 'needs a codec'],
  ['routes: []', 'routes: needs at least 1 entry']
])('a contradiction is refused: %s', async (text, message) => {
  const refused = await refusal(text)
  expect(refused.message).toContain(message)
  expect(refused.message).not.toContain('hunter2')
  expect(refused.code).toBe('CONFIG_INVALID')
})

test.each([
  ['a/{site}/{device}', 'a/{site}/{device}', true],
  ['a/{site}/{device}', 'a/plant7/{device}', true],
  ['a/{site}/{device}', 'a/{site}/{device}/#', true],
  ['a/{site}/{device}', 'b/{site}/{device}', false],
  ['a/{site}/{device}', 'a/{site}/{device}/{metric}', false]
])('routes %s and %s to one topic collide: %s', async (one, other, collide) => {
  const site = other.includes('{site}') ? '' : 'site: plant7, '
  const route = (name: string, match: string): string => `{ name: ${name}, match: '${match}'`
  const text = `routes:\n  - ${route('x', one)} }\n  - ${route('y', other)}, ${site}topic: telemetry }\n`
  if (collide) {
    const { message } = await refusal(text)
    expect(message).toContain("3:23: routes[1].match: routes 'x' and 'y' lead the same messages")
  } else await loadFieldlineConfig({ file: fileOf(text), env: {} })
  const apart = text.replace('topic: telemetry', 'topic: elsewhere')
  await loadFieldlineConfig({ file: fileOf(apart), env: {} })
})

test('the documented example is valid, by the loader and by the JSON Schema', async () => {
  const secretFile = join(directory, 'kafka-password')
  writeFileSync(secretFile, 'hunter2\n')
  const text = EXAMPLE_CONFIG.replace('/run/secrets/kafka-password', secretFile)
  const env = { PUMP_3_PASSWORD: 'hunter3' }
  const { config, effective } = await loadFieldlineConfig({ file: fileOf(text), env })
  expect(config.kafka.sasl).toMatchObject({ password: { file: secretFile } })
  expect(config.routes[1]).toMatchObject({ match: ['sensors/{device}/{metric}'], site: 'plant7' })
  expect(JSON.stringify(effective)).not.toContain('hunter')

  const validator = z.fromJSONSchema(JSON.parse(JSON.stringify(configSchema())))
  expect(validator.safeParse(parse(EXAMPLE_CONFIG)).error).toBeUndefined()
  expect(validator.safeParse({ kafka: { broker: 'x' } }).success).toBe(false)
  expect(validator.safeParse({ log: { bytes_max: '4 elephants' } }).success).toBe(false)
  expect(validator.safeParse({ log: { sync_window: 0 } }).success).toBe(true)
})

test('the reference shows each spelling of a value once', () => {
  const [row] = /^\| `upstreams\[\]\.mqtt_version`.*$/m.exec(configReference())!
  expect(row).toContain('| `3.1.1` \\| `5` |')
})

test('the configuration in effect is itself a configuration with the same meaning', async () => {
  const text = 'log: { bytes_max: 8MiB }\nmqtt: { listen: off }\nkafka: { replication_factor: 3 }'
  const first = await loadFieldlineConfig({ file: fileOf(text), env: {} })
  const again = await loadFieldlineConfig({
    file: fileOf(JSON.stringify(first.effective)),
    env: {}
  })
  expect(again).toEqual(first)
})

test('the hash follows what is configured and nothing secret', async () => {
  const hashOf = async (text: string): Promise<string> =>
    (await loadFieldlineConfig({ file: fileOf(text), env: {} })).hash
  const plain = await hashOf('')
  expect(plain).toMatch(/^[0-9a-f]{16}$/)
  expect(await hashOf('log: { bytes_max: 1GiB }')).toBe(plain)
  expect(await hashOf('log: { bytes_max: 2GiB }')).not.toBe(plain)
  expect(await hashOf('http: { token: one }')).toBe(await hashOf('http: { token: two }'))
})

test('every field is described, and the reference lists each of them', () => {
  const reference = configReference()
  const undescribed: string[] = []
  const visit = (node: SchemaNode, path: string): void => {
    for (const one of [node, ...(node.anyOf ?? [])]) {
      if (one.items) visit(one.items, `${path}[]`)
      for (const [key, child] of Object.entries(one.properties ?? {})) {
        const childPath = path === '' ? key : `${path}.${key}`
        if (!child.description) undescribed.push(childPath)
        const place =
          child.type === 'object' && path === '' ? `## ${key}\n` : `| \`${childPath}\` |`
        expect(reference).toContain(place)
        visit(child, childPath)
      }
    }
  }
  visit(configSchema(), '')
  expect(undescribed).toEqual([])
  expect(reference).toContain(
    '| `detector.silent.min` | duration | `10s` | Never sooner than this |'
  )
  expect(reference).toContain('| `mqtt.users[].password` | secret | *required* | MQTT password |')
})
