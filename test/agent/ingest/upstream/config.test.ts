import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { upstreamsSchema } from '../../../../agent/ingest/upstream/config.ts'
import { loadFieldlineConfig } from '../../../../cli/config.ts'
import { temporaryDirectory } from '../../../kit/temp-directory.ts'

const UPSTREAM = { name: 'plant', url: 'mqtt://plant7', topics: ['t/#'] }

function faults(...upstreams: object[]): string[] {
  const { error } = upstreamsSchema.safeParse(upstreams)
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`)
}

test('an upstream speaks MQTT 3.1.1, keeps its link alive at 30 s and looks for silence at an hour', () => {
  expect(upstreamsSchema.parse([UPSTREAM])[0]).toMatchObject({
    ...{ mqttVersion: '3.1.1', keepAliveS: 30, sessionExpiryS: 604_800, silentAfterMs: 3_600_000 },
    ...{ window: 200, qos: 1, retained: 'mark', clientId: 'fieldline-{agentId}-{name}' }
  })
})

test.each([5, '5'])('mqtt_version: %j is MQTT 5, with a session of its own length', version => {
  const [parsed] = upstreamsSchema.parse([
    { ...UPSTREAM, mqtt_version: version, session_expiry: '1h', silent_after: null }
  ])
  expect(parsed).toMatchObject({ mqttVersion: '5', sessionExpiryS: 3600, silentAfterMs: null })
})

test.each([
  'mqtt://h',
  'mqtts://h:8883',
  'ws://h/mqtt',
  'wss://h:443/mqtt',
  'mqtt://[::1]:1883',
  'mqtts://a1b2-ats.iot.eu-west-1.amazonaws.com:443'
])('%s is an address of an upstream broker', url => {
  expect(faults({ ...UPSTREAM, url })).toEqual([])
})

test.each([
  [{ url: 'mqtt://h/path' }, 'url: an MQTT address has no path'],
  [{ url: 'wss://h/mqtt?token=1' }, "url: an upstream's address has neither"],
  [{ url: 'tcp://h' }, 'url: expected mqtt://HOST'],
  [{ topics: ['$share/a'] }, "topics.0: '$share/a' is no shared subscription"],
  [{ topics: ['$share/a+/t'] }, 'is no shared subscription'],
  [{ topics: ['$share/g/a/#/b'] }, 'is no topic filter'],
  [{ topics: ['$share/g/alerts/#'] }, 'brings nothing'],
  [{ topics: ['a\0b'] }, 'holds no null character'],
  [{ topics: ['a', 'b', 'a'] }, "topics.2: 'a' stands twice"],
  [{ tls: { ca: 'x' } }, 'tls: has no effect without TLS'],
  [{ url: 'mqtts://h', tls: { cert: 'x' } }, 'tls: a client certificate needs both'],
  [{ password: 'p' }, 'username: is required with a password'],
  [{ session_expiry: '1d' }, "session_expiry: needs mqtt_version '5'"],
  [{ keep_alive: '1d' }, 'keep_alive: must be at most']
])('an upstream with %j is refused', (changes, fault) => {
  expect(faults({ ...UPSTREAM, ...changes })).toEqual([expect.stringContaining(fault)])
})

test.each([
  ['mqtt://Plant7', 'mqtt://plant7:1883/'],
  ['mqtts://plant7', 'mqtts://plant7:8883'],
  ['wss://plant7/mqtt', 'wss://plant7:443/']
])('one client id at %s and %s is refused: it is one broker', (first, second) => {
  const same = { ...UPSTREAM, client_id: 'box' }
  expect(faults({ ...same, url: first }, { ...same, name: 'hall', url: second })).toEqual([
    expect.stringContaining("1.client_id: is that of 'plant' at the same broker")
  ])
})

test('a shared subscription is a filter', () => {
  expect(faults({ ...UPSTREAM, topics: ['$share/agents/plant7/+/#', '$SYS/#'] })).toEqual([])
})

test('two upstreams with one client id at one broker are refused: each would take over the other', () => {
  const other = { ...UPSTREAM, name: 'hall' }
  expect(faults(UPSTREAM, other)).toEqual([])
  const same = { client_id: 'box' }
  expect(faults({ ...UPSTREAM, ...same }, { ...other, ...same })).toEqual([
    expect.stringContaining("1.client_id: is that of 'plant' at the same broker")
  ])
  expect(faults({ ...UPSTREAM, ...same }, { ...other, ...same, url: 'mqtt://hall' })).toEqual([])
})

test('a wrong word is answered with the nearest right one, and a password is never shown', async () => {
  const file = path.join(temporaryDirectory(), 'fieldline.yaml')
  const load = (more: string) => {
    fs.writeFileSync(
      file,
      `upstreams: [{ name: u, url: 'mqtts://h', topics: [a], username: u, password: hunter2, ${more} }]`
    )
    return loadFieldlineConfig({ file, env: {} })
  }
  await expect(load('tls: { serverame: x }')).rejects.toThrow("did you mean 'servername'")
  await expect(load('keepalive: 3s')).rejects.toThrow("did you mean 'keep_alive'")
  await expect(load("mqtt_version: '3.11'")).rejects.toThrow(/mqtt_version.*3\.1\.1/)
  const { effective } = await load('mqtt_version: 5, tls: { alpn: [mqtt] }')
  expect(JSON.stringify(effective)).not.toContain('hunter2')
})
