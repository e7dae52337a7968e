import fs from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { answerOf } from '../../cli/status/answer.ts'
import { CONDITION_NAMES, holding, parseConditions } from '../../cli/status/conditions.ts'
import { DeviceFeed } from '../../cli/status/device-feed.ts'
import { quantile, scrapedNumbers, since } from '../../cli/status/metrics-page.ts'
import { StatusObserver } from '../../cli/status/observe.ts'
import { type AgentSight, type Seen, type Sight, Sights } from '../../cli/status/sight.ts'
import { StatusClient } from '../../cli/status/status-client.ts'
import { statusText } from '../../cli/status/status-text.ts'
import { targetOf } from '../../cli/status/target.ts'
import { NO_PAINT, PAINT } from '../../cli/terminal/text.ts'
import type { EventStream } from '../../core/runtime/event-stream.ts'
import { type HttpOptions, HttpServer, json, plain } from '../../core/runtime/http.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'
import { agentPage, detectorPage, NOW, someAlert, someDevices } from './status-kit.ts'

const URL = 'http://127.0.0.1:8080/'

function sightOf(page: object, rest: Partial<Seen> = {}): Sight {
  const answer = answerOf(JSON.stringify(page))
  if (!answer) throw new Error('no answer')
  return new Sights().take({ answer, scraped: undefined, devices: undefined, ...rest }, NOW, 0)
}

function textOf(page: object, rest: Partial<Seen> = {}): string {
  return statusText(sightOf(page, rest), URL, NO_PAINT)
}

async function server(pages: HttpOptions['pages'], token?: string): Promise<string> {
  const address = { host: '127.0.0.1', port: 0 }
  const http = await HttpServer.open({ address, token, logger: silentLogger, pages })
  onTestFinished(() => http.close())
  return `http://127.0.0.1:${http.port}/`
}

test('the status of an agent says mode, what it means, who, and what passes through', () => {
  const text = textOf(agentPage())
  expect(text).toContain('● streaming  All is well')
  expect(text).toContain('Readings reach Kafka as they come.')
  expect(text).toContain('gateway-7, version')
  expect(text).toContain('config    0123456789abcdef\n')
  expect(text).toContain('up 2 h 2 min, since 2026-11-22 09:58:00 UTC')
  expect(text).toMatch(/^ {2}LANE +STATE +WAITING +BYTES +OLDEST +GONE IN$/m)
  expect(text).toContain('none open')
  expect(text).not.toMatch(/Never to reach|Not let in|undefined|NaN/)
})

test('an outage says what waits, for how long, until when, and why, once', () => {
  const lastError = { code: 'KAFKA_AWAY', message: 'connect ECONNREFUSED', sinceAt: NOW - 60_000 }
  const lane = {
    state: 'waiting' as const,
    ...{ backlogRecords: 4321, backlogBytes: 3 << 20, backlogAgeMs: 61_000 },
    ...{ etaSeconds: null, lastError }
  }
  const text = textOf(agentPage({ mode: 'buffering', lane }))
  expect(text).toContain('● buffering  Kafka is away; nothing is lost')
  expect(text).toMatch(/telemetry +waiting +4,321 +3\.0 MiB +1 min 1 s +unknown/)
  expect(text).toContain('connect ECONNREFUSED (KAFKA_AWAY, for 1 min)')
  expect(text.match(/KAFKA_AWAY/g)).toHaveLength(1)
})

test('an upstream in trouble and a certificate near its end are told under the clients', () => {
  const upstream = {
    ...{ name: 'hall-2', url: 'mqtt://x', clientId: 'gateway-7', mqttVersion: '3.1.1' },
    ...{ state: 'waiting', trouble: 'taken_over', sinceAt: NOW - 60_000, lastError: 'closed' },
    ...{ connects: 3, received: 0, oversized: 0, alerts: 0, acknowledged: 0, inflight: 0 },
    ...{ granted: {}, retained: 'mark' }
  }
  const certificate = { subject: 'CN=gw', expiresAt: NOW + 2 * 86_400_000 }
  const listeners = [{ address: '0.0.0.0:8883', protocol: 'mqtts', certificate }]
  const page = agentPage()
  const text = textOf({ ...page, upstreams: [upstream], mqtt: { ...page.mqtt, listeners } })
  const lines = text.split('\n')
  const at = lines.findIndex(line => line.includes('upstream hall-2 waiting'))
  expect(lines.slice(at + 1, at + 4)).toEqual([
    '    The certificate of mqtts://0.0.0.0:8883 expires in 2 d.',
    '    Upstream hall-2: away for 1 min: closed',
    '    Upstream hall-2: another client seems to use its client id, each takes the session from the other.'
  ])
})

test('a parked lane names its topic and what to do about it', () => {
  const code = 'UNKNOWN_TOPIC_OR_PARTITION'
  const lastError = { code, message: 'no such topic', topic: 'iot.raw', sinceAt: NOW - 5_000 }
  const lane = { state: 'parked', backlogRecords: 7, lastError } as const
  const text = textOf(agentPage({ mode: 'parked', lane }))
  expect(text).toContain('● parked  Parked: topic iot.raw')
  expect(text).toContain('fieldline topics create')
  expect(text).toContain(`topic iot.raw: no such topic (${code}, for 5 s)`)
})

test('losses and refusals are told by reason, only those that happened', () => {
  const page = agentPage()
  page.drops = { 'log.full': 1200, 'log.age': 0 }
  page.deadLetters = { no_route: 3 }
  page.intake.refused = 2
  const text = textOf(page)
  expect(text).toContain(
    'Never to reach Kafka as they came: dropped, log full 1,200; dead letters, no route 3'
  )
  expect(text).toContain('not stored 2')
  expect(text).not.toContain('for age')
})

test('a configuration file that was not taken over is told, and what waits for a restart', () => {
  const lastError = { message: '2 mistakes in the configuration:\n  a\n  b', at: NOW - 60_000 }
  const config = {
    hash: 'abc',
    reloadedAt: NOW - 3_600_000,
    lastError,
    needsRestart: ['mqtt.listen']
  }
  const text = textOf(agentPage({}, { config }))
  expect(text).toContain('config    0123456789abcdef, reloaded 1 h ago')
  expect(text).toContain('read 1 min ago is not in effect: 2 mistakes in the configuration: a b\n')
  expect(text).toContain('Waits for a restart: mqtt.listen')
  expect(textOf(detectorPage({ config }))).toContain('Waits for a restart: mqtt.listen')
})

test('open alerts come with the most severe first, and what is more is counted', () => {
  const alerts = Array.from({ length: 11 }, (_, i) => someAlert({ device: `pump-${i}` }))
  const critical = someAlert({ severity: 'critical', metric: '-', device: 'press-1' })
  const text = textOf(agentPage({}, {}, [...alerts, critical]))
  expect(text).toContain('alerts    12 open, 1 critical')
  expect(text.indexOf('critical  plant7/press-1 ')).toBeLessThan(text.indexOf('warning'))
  expect(text).toContain('anomaly  1 min 30 s  5.3 σ above the usual')
  expect(text).toContain('… and 2 more')
})

test('the devices that were silent longest are named with their usual pace', () => {
  const text = textOf(agentPage(), { devices: someDevices() })
  expect(text).toContain('2 heard, 1 silent')
  expect(text).toContain('silent  plant7/pump-9  4 min 10 s ago, usually within 2.0 s')
  expect(text).not.toContain('pump-1')
  const well = someDevices()
  well.quietest.shift()
  const quiet = textOf(agentPage(), { devices: well })
  expect(quiet).toContain('heard   plant7/pump-1  1.5 s ago\n')
})

test('what a device chose to be called cannot move the cursor', () => {
  const evil = '\x1b[2J\u0007\u2028'
  const lastError = { code: 'X', message: evil, topic: evil, sinceAt: NOW }
  const lane = { state: 'parked', backlogRecords: 1, lastError } as const
  const alert = someAlert({ device: evil, reason: evil, site: evil, metric: evil })
  const devices = someDevices()
  devices.quietest[0].device = evil
  const page = agentPage({ mode: 'parked', lane }, { agentId: evil }, [alert])
  page.deadLetters = { [evil]: 1 }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are looked for
  expect(textOf(page, { devices })).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f\u2028]/)
})

test('a central detector tells its lag, the partition that is most behind first', () => {
  const text = textOf(detectorPage({ alerts: [someAlert()] }))
  expect(text).toContain('● reading  1 device needs a look')
  expect(text).toContain('1,204 records on 2 partitions')
  expect(text.indexOf('telemetry/1')).toBeLessThan(text.indexOf('telemetry/0'))
  expect(text).toMatch(/telemetry\/0 +reading +4 +5 s ago +0/)
})

test.each([
  ['waiting', 'Kafka is away or refuses'],
  ['joining', 'Joining its group'],
  ['stopped', 'It stops']
] as const)('a central detector that is %s says so', (state, title) => {
  expect(textOf(detectorPage({ state }))).toContain(`● ${state}  ${title}`)
})

test('rates are taken over the looks, and a restart begins them anew', () => {
  const sights = new Sights()
  const look = (stored: number, uptimeMs: number, at: number): AgentSight => {
    const page = agentPage({}, { uptimeMs })
    page.intake.stored = [0, stored, 0]
    page.intake.storedBytes = stored * 100
    const seen = { scraped: undefined, devices: undefined }
    const sight = sights.take({ answer: { kind: 'agent', status: page }, ...seen }, NOW + at, at)
    return sight as AgentSight
  }
  expect(look(1000, 60_000, 0).view.in.perS).toBe(0)
  const second = look(1250, 61_000, 1000)
  expect([second.view.in.perS, second.inBytesPerS]).toEqual([250, 25_000])
  expect(look(10, 500, 2000).view.in.perS).toBe(0)
  expect(look(30, 1500, 3000).view.in.perS).toBe(20)
})

test('PUBACK waits are read from the histogram: the last looks, or all since the start', () => {
  const page = (below: number[]) =>
    scrapedNumbers(
      [
        '# HELP fieldline_puback_wait_seconds x',
        ...[0.001, 0.01, '+Inf'].map(
          (le, at) => `fieldline_puback_wait_seconds_bucket{le="${le}"} ${below[at]}`
        ),
        'fieldline_puback_wait_seconds_sum 3',
        'fieldline_log_wear_bytes_per_day{lane="telemetry"} 1048576',
        'fieldline_log_wear_bytes_per_day{lane="alerts"} 1024'
      ].join('\n')
    )
  const before = page([100, 100, 100])
  const after = page([100, 200, 200])
  expect(after.wearBytesPerDay).toBe(1_049_600)
  const lately = since(after.puback ?? [], before.puback)
  expect(quantile(lately, 0.5)).toBeCloseTo(0.0055)
  expect(quantile(after.puback ?? [], 0.5)).toBeCloseTo(0.001)
  // After a restart the counts are lower than before.
  expect(quantile(since(before.puback ?? [], after.puback), 0.99)).toBeCloseTo(0.00099)
  expect(quantile(page([0, 0, 5]).puback ?? [], 0.5)).toBe(0.01)
  expect(quantile(page([0, 0, 0]).puback ?? [], 0.5)).toBeUndefined()
  expect(scrapedNumbers('nothing of ours')).toEqual({
    puback: undefined,
    wearBytesPerDay: undefined
  })

  const sights = new Sights()
  const take = (scraped: Seen['scraped']) => {
    const answer = { kind: 'agent', status: agentPage() } as const
    return (sights.take({ answer, scraped, devices: undefined }, NOW, 0) as AgentSight).puback?.p50
  }
  expect(take(before)).toBeCloseTo(0.5)
  expect(take(after)).toBeCloseTo(5.5)
})

test.each([
  ['parked', agentPage({ mode: 'parked' }), ['parked']],
  ['buffering', agentPage({ mode: 'buffering' }), ['buffering']],
  ['not ready', agentPage({}, { ready: false }), ['not-ready']],
  ['losing', agentPage({}, { deadLetters: { no_route: 1 } }), ['losses']],
  ['warned', agentPage({}, {}, [someAlert()]), ['alerts']],
  ['well', agentPage(), []],
  ['a detector that waits', detectorPage({ state: 'waiting' }), ['not-ready']],
  [
    'a detector with a critical alert',
    detectorPage({ alerts: [someAlert({ severity: 'critical' })] }),
    ['alerts', 'critical']
  ]
] as const)('of the conditions those hold that are so: %s', (_, page, held) => {
  expect(holding(CONDITION_NAMES, sightOf(page))).toEqual(held)
})

test('a condition that is none is refused with the nearest name', () => {
  expect(parseConditions('parked, full')).toEqual(['parked', 'full'])
  expect(() => parseConditions('parkd')).toThrow(/did you mean 'parked'/)
  expect(() => parseConditions('')).toThrow(/there are: buffering, draining/)
})

test('colours are there when they are wanted, and the words stand without them', () => {
  const painted = statusText(sightOf(agentPage()), URL, PAINT)
  expect(painted).toContain('\x1b[32m')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are taken away
  expect(painted.replace(/\x1b\[[0-9;]*m/g, '')).toBe(textOf(agentPage()))
})

test('the address is the one given, else of the configuration, else the default', async () => {
  const file = path.join(temporaryDirectory(), 'fieldline.yaml')
  fs.writeFileSync(file, 'http: { listen: "0.0.0.0:9999", token: secret-1 }\n')
  const tokenFile = path.join(path.dirname(file), 'token')
  fs.writeFileSync(tokenFile, 'secret-2\n')
  expect(await targetOf(undefined, {}, {})).toMatchObject({ url: URL, token: undefined })
  expect(await targetOf(undefined, { config: file }, {})).toMatchObject({
    ...{ url: 'http://127.0.0.1:9999/', token: 'secret-1' },
    from: `http.listen in ${file}`
  })
  expect(await targetOf('box:1', { config: file, tokenFile }, {})).toMatchObject({
    ...{ url: 'http://box:1/', token: 'secret-2' }
  })
  const env = { FIELDLINE_TOKEN: 'secret-3' }
  expect((await targetOf(undefined, { config: file }, env)).token).toBe('secret-3')
  expect((await targetOf('https://box/fieldline/status', {}, {})).url).toBe(
    'https://box/fieldline/'
  )
})

test('an address or a token that is none is refused, and a password is not repeated', async () => {
  await expect(targetOf('ftp://box', {}, {})).rejects.toThrow(/must be an address like/)
  const error = await targetOf('http://me:hunter2@box', {}, {}).catch(e => e)
  expect(error).toMatchObject({ code: 'USAGE' })
  expect(error.message).not.toContain('hunter2')
  await expect(targetOf(undefined, { tokenFile: '/nope' }, {})).rejects.toThrow(/cannot be read/)
  const file = path.join(temporaryDirectory(), 'off.yaml')
  fs.writeFileSync(file, 'http: { listen: off }\n')
  await expect(targetOf(undefined, { config: file }, {})).rejects.toThrow(/http.listen is off in/)
})

test('a running agent is asked, its PUBACKs are scraped, and the body is given as it came', async () => {
  const url = await server({ '/status': () => json(agentPage()), '/metrics': () => plain(200, '') })
  const target = await targetOf(url, {}, {})
  const observer = new StatusObserver(new StatusClient(target))
  onTestFinished(() => observer.close())
  const { body, sight } = await observer.look({ alone: true })
  expect(JSON.parse(body)).toEqual(JSON.parse(JSON.stringify(agentPage())))
  expect(sight.kind).toBe('agent')
})

test('devices come from the stream of the dashboard, and end when it ends', async () => {
  const address = { host: '127.0.0.1', port: 0 }
  const streams: EventStream[] = []
  const heard = { ...someDevices(), quietest: undefined }
  const http = await HttpServer.open({
    ...{ address, token: 'right', logger: silentLogger, pages: {} },
    streams: {
      '/events': (_, open) => {
        const stream = open()
        streams.push(stream)
        stream.send([{ name: 'agent', json: '{"detector":"on"}' }])
        stream.send([{ name: 'devices', json: JSON.stringify(heard) }])
        return undefined
      }
    }
  })
  onTestFinished(() => http.close())
  const target = { url: `http://127.0.0.1:${http.port}/`, token: 'right', from: '' }
  const feed = new DeviceFeed(new StatusClient(target))
  onTestFinished(() => feed.close())
  await feed.first()
  expect(feed.latest).toMatchObject({ total: 2, silent: 1, quietest: [] })
  streams[0].close()
  while (feed.latest) await new Promise(resolve => setImmediate(resolve))
})

test('a feed that is refused keeps nobody waiting', async () => {
  const url = await server({})
  const feed = new DeviceFeed(new StatusClient({ url, token: undefined, from: '' }))
  await feed.first()
  expect(feed.latest).toBeUndefined()
  await feed.close()
})

test('a token that is missing or wrong is asked for by every way there is', async () => {
  const url = await server({ '/status': () => json(detectorPage()) }, 'right')
  const asked = async (token?: string) =>
    new StatusClient({ url, token, from: '' }).status().then(
      () => 'answered',
      error => `${error.code} ${error.message}`
    )
  expect(await asked()).toMatch(/STATUS_UNREADABLE .* asks for its token: give it by -c FILE/)
  expect(await asked('wrong')).toMatch(
    /does not take this token.*--token-file FILE or FIELDLINE_TOKEN/
  )
  expect(await asked('right')).toBe('answered')
})

test('nobody there, or somebody else, is told with the address and where it came from', async () => {
  const url = await server({ '/status': () => json({ hello: 1 }) })
  const target = { url, token: undefined, from: 'the default address' }
  await expect(new StatusClient(target).status()).rejects.toThrow(/Is it the right port\?/)
  const away = { ...target, url: 'http://127.0.0.1:9/' }
  await expect(new StatusClient(away).status()).rejects.toMatchObject({
    code: 'STATUS_UNREADABLE',
    message: expect.stringMatching(
      /^Nothing to be had from http:\/\/127\.0\.0\.1:9\/ \(the default address\): .*Is the agent running/
    )
  })
})
