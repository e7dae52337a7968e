import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { type FieldlineConfig, fieldlineSchema } from '../../cli/config.ts'
import { isFine, type Trial, tryMessage } from '../../cli/route/trial.ts'
import { trialText } from '../../cli/route/trial-text.ts'
import { parseEventId } from '../../core/contract/event-id.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const NOW = 1_795_336_000_000
const ROUTES = [
  { name: 'noise', match: 'debug/#', drop: true },
  {
    name: 'pumps',
    match: 'plants/{site}/pumps/{device}/{metric}',
    topic: 'iot.{site}',
    headers: { env: 'prod' }
  },
  { name: 'few', match: 'plants/{site}/pumps/{device}/+', topic: 'few', sample: 0.1 }
]
const PUMPS = ROUTES.slice(0, 2)

function trialOf(
  topic: string,
  payload: string | Buffer = '1',
  routes: object[] = PUMPS,
  changes: object = {}
): Trial {
  const config: FieldlineConfig = fieldlineSchema.parse({ agent: { id: 'gateway-7' }, routes })
  const { id, ...message } = { id: undefined, ...changes }
  return tryMessage(
    {
      ...{ topic, payload: Buffer.from(payload), clientId: 'c', qos: 1, retain: false },
      ...message
    },
    { config, now: NOW, ...(id ? { id: parseEventId(id) } : {}) }
  )
}

test('a message shows route, topic, key, headers, value and its readings', () => {
  const trial = trialOf('plants/p7/pumps/3/temp', '{"v":61.8,"raw":7}')
  expect(trial.branches).toEqual([
    {
      outcome: 'delivered',
      route: 'pumps',
      topic: 'iot.p7',
      key: 'p7/3',
      timestampMs: NOW,
      headers: expect.objectContaining({ 'fl-topic': 'plants/p7/pumps/3/temp', env: 'prod' }),
      valueBytes: 18,
      value: { payload: '{"v":61.8,"raw":7}' },
      readings: [
        { series: 'p7/3/temp', value: 61.8 },
        { series: 'p7/3/temp.raw', value: 7 }
      ]
    }
  ])
  expect(isFine(trial)).toBe(true)
})

test('what is delivered untouched, and cannot be read, says that it is never scored', () => {
  const [branch] = trialOf('plants/p7/pumps/3/temp', '{').branches
  expect(branch).toMatchObject({ readings: [], undecoded: expect.stringContaining('not_json') })
})

test('a share is told; with an id it is decided', () => {
  const topic = 'plants/p7/pumps/3/temp'
  expect(trialOf(topic, '1', ROUTES).branches[1]).toMatchObject({ route: 'few', share: 0.1 })
  const decided = Array.from({ length: 100 }, (_, n) => {
    const id = `gateway-7/1-9f2c03d1a7b4e655/${n}`
    return trialOf(topic, '1', ROUTES, { id }).branches[1].outcome
  })
  expect(new Set(decided)).toEqual(new Set(['delivered', 'sampled_out']))
})

test('what is dropped, or left out by a share, is as it should be', () => {
  const trial = trialOf('debug/x/y')
  expect(trial.branches).toEqual([{ outcome: 'dropped', route: 'noise' }])
  expect(isFine(trial)).toBe(true)
})

test.each([
  ['plants/p7/pump/3/temp', "level 3 is 'pump', not 'pumps'"],
  ['plant/p7/pumps/3/temp', "level 1 is 'plant', not 'plants'"],
  ['plants/p7/pumps/3', 'the topic has 4 levels, not 5'],
  ['plants/p7/pumps//temp', 'level 4, {device}, is empty']
])('of %s, which no route matches, the nearest one is told: %s', (topic, why) => {
  const trial = trialOf(topic)
  expect(trial.branches).toMatchObject([{ outcome: 'dead_letter', route: null, stage: 'route' }])
  expect(trial.hint).toBe(`route 'pumps' takes plants/{site}/pumps/{device}/{metric}, but ${why}`)
  expect(isFine(trial)).toBe(false)
})

test('a route whose conditions alone are not met is the nearest', () => {
  const where = { qos: 2, retained: true, bytes_max: '10B' }
  const trial = trialOf('plants/p7/pumps/3/temp', '1', [{ ...ROUTES[1], where }])
  expect(trial.hint).toContain('but only with QoS 2, with RETAIN, up to 10 bytes')
  const met = trialOf('plants/p7/pumps/3/temp', '1', [{ ...ROUTES[1], where }], {
    qos: 2,
    retain: true
  })
  expect(isFine(met)).toBe(true)
})

test.each([
  ['alerts/x', 'may not publish under'],
  ['a/+/b', "holds no '+'"],
  ['x/'.repeat(40), 'mqtt.topic_levels_max']
])('%s is refused before any route sees it', (topic, why) => {
  const trial = trialOf(topic)
  expect(trial).toMatchObject({ refused: expect.stringContaining(why), branches: [] })
  expect(isFine(trial)).toBe(false)
})

test('a person’s text holds nothing that a terminal obeys', () => {
  const payload = Buffer.from('{"a":1,"\u001b[2J":2}')
  const topic = 'plants/p7/pumps/\u001b[31m/t'
  for (const [name, routes] of [['pumps', PUMPS] as const, ['none', [ROUTES[0]]] as const]) {
    const text = trialText(trialOf(topic, payload, [...routes]), payload)
    expect(text, name).not.toContain('\u001b')
    expect(text, name).toContain('\\x1b[2J')
  }
})

// --- As a command ------------------------------------------------------------------------------

const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli',
  'main.js'
)

function run(input: string | Buffer, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'route', 'test', ...args], {
    encoding: 'utf8',
    input,
    env: { PATH: process.env.PATH, NO_COLOR: '1' }
  })
  return { status, stdout, stderr }
}

test('exit code 0: all is delivered; payloads come from files and standard input, too', () => {
  const file = path.join(temporaryDirectory(), 'payload')
  fs.writeFileSync(file, '{"a":1}')
  const topic = 'telemetry/p/x'
  const { status, stdout } = run('{"b":2}', '--json', '-m', `${topic}=@${file}`, '-m', `${topic}=-`)
  expect(status).toBe(0)
  const { fine, messages } = JSON.parse(stdout)
  expect(fine).toBe(true)
  expect(messages.map(({ branches }: Trial) => branches)).toMatchObject([
    [{ readings: [{ series: 'p/x/a', value: 1 }] }],
    [{ readings: [{ series: 'p/x/b', value: 2 }] }]
  ])
})

test('exit code 1: something would be a dead letter', () => {
  const { status, stdout } = run('', '-m', 'telemetry/p/x=1', '-m', 'telemtry/p/x=1')
  expect(status).toBe(1)
  expect(stdout).toContain("delivered  by route 'default'")
  expect(stdout).toContain(
    "nearest    route 'default' takes telemetry/{site}/{device}, but level 1"
  )
})

test.each([
  [['-m', 'nothing'], 'TOPIC=PAYLOAD'],
  [['-m', 'a=1', '--qos', '3'], 'must be 0, 1 or 2'],
  [['-m', 'a=1', '--id', 'x'], 'must be AGENT/'],
  [['-m', 'a=-', '-m', 'b=-'], 'only one message'],
  [[], 'required option']
])('%j exits with 2: %s', (args, told) => {
  const { status, stderr } = run('', ...args)
  expect([status, stderr]).toEqual([2, expect.stringContaining(told)])
})
