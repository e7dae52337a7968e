import fs from 'node:fs'
import path from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, test } from 'vitest'
import { encodeAgentWord } from '../../../core/contract/agent-status.ts'
import { AgentTable } from '../../../core/contract/agent-table.ts'
import { packageRoot } from '../../../core/runtime/package-root.ts'
import { AgentWatch } from '../../../detector/alert/agent-watch.ts'
import { Muting } from '../../../detector/alert/muting.ts'
import type { AgentWordsView } from '../../../detector/source/agent-words.ts'
import { wordFor } from '../../kit/agent-word.ts'

const START = Date.UTC(2026, 10, 23, 10)
const SECOND = 1000
const MINUTE = 60 * SECOND

type Rules = ConstructorParameters<typeof Muting>[0]

/** A fleet that speaks as it is told, at a clock that stands until it is moved; a word a 30 s. */
function kit(rules: Rules = []) {
  // The monotonic clock and the wall clock have nothing to do with each other.
  const clock = { ms: 0, now: () => START + clock.ms, monotonic: () => 5_000_000 + clock.ms }
  const table = new AgentTable()
  const devices: Record<string, number> = {}
  const hearing: { since?: number; until?: number } = { since: clock.monotonic() }
  const words: AgentWordsView = {
    get: agentId => table.get(agentId),
    [Symbol.iterator]: () => table[Symbol.iterator](),
    get heard() {
      const { since, until = clock.monotonic() } = hearing
      return since === undefined ? undefined : { since, until }
    }
  }
  const newWatch = () =>
    new AgentWatch({
      ...{ source: '/fieldline/fleet-detector', words, clock, muting: new Muting(rules) },
      countDevices: counts => {
        for (const agentId of counts.keys()) counts.set(agentId, devices[agentId] ?? 0)
      }
    })
  const say = (agentId: string, state: 'running' | 'stopped' = 'running', agoMs = 0) => {
    const value = encodeAgentWord(wordFor(agentId, { state }))
    const timestamp = String(clock.now() - agoMs)
    table.take({ key: Buffer.from(agentId), value, timestamp }, clock.monotonic())
  }
  const forget = (agentId: string) =>
    table.take({ key: Buffer.from(agentId), value: null }, clock.monotonic())
  return { clock, hearing, devices, watch: newWatch(), newWatch, say, forget }
}

const told = (news: ReturnType<AgentWatch['judge']>) =>
  news.map(({ event: { data } }) => `${data.device} ${data.state} ${data.severity}: ${data.reason}`)

test('an agent that speaks is not told of', () => {
  const { clock, watch, say } = kit()
  for (; clock.ms < 10 * MINUTE; clock.ms += SECOND) {
    if (clock.ms % (30 * SECOND) === 0) say('gateway-7')
    expect(watch.judge()).toEqual([])
  }
})

test('an agent that misses three words is one alert, however many devices are behind it', () => {
  const { clock, watch, say, devices } = kit()
  say('gateway-7')
  devices['gateway-7'] = 212
  clock.ms = 90 * SECOND
  expect(watch.judge()).toEqual([])
  clock.ms += 1
  const [{ event, kept }, ...more] = watch.judge()
  expect(more).toEqual([])
  expect(event).toMatchObject({
    id: `fieldline/gateway-7/-/silent/${START}#1`,
    source: '/fieldline/fleet-detector',
    type: 'io.fieldline.alert.raised',
    subject: 'fieldline/gateway-7',
    data: {
      ...{
        site: 'fieldline',
        device: 'gateway-7',
        metric: '-',
        kind: 'silent',
        severity: 'warning'
      },
      ...{ startedAt: '2026-11-23T10:00:00.000Z', at: '2026-11-23T10:01:30.001Z' },
      reason:
        'agent gateway-7 has not reported for 90 s; 212 devices behind it cannot be judged meanwhile'
    }
  })
  expect(event.data.score).toBeGreaterThanOrEqual(event.data.threshold)
  expect(JSON.parse(kept.value ?? '')).toEqual(event)
  expect(watch.openAlerts).toEqual([event])
  clock.ms += 10 * MINUTE
  expect(watch.judge()).toEqual([])
})

test('the alert ends when the agent speaks again, and the next one has a name of its own', () => {
  const { clock, watch, say } = kit()
  say('gateway-7')
  clock.ms = 2 * MINUTE
  const [raised] = watch.judge()
  clock.ms = 12 * MINUTE
  say('gateway-7')
  const [cleared] = watch.judge()
  expect(told([cleared])).toEqual([
    'gateway-7 cleared warning: agent gateway-7 reports again after 12 min'
  ])
  expect(cleared.event.id).toBe(`${raised.event.data.alertId}#2`)
  expect(cleared.event.data).toMatchObject({ durationMs: 12 * MINUTE, score: 0 })
  expect(cleared.kept).toEqual({ agentId: 'gateway-7', value: null })
  expect(watch.openAlerts).toEqual([])
  clock.ms = 20 * MINUTE
  const [again] = watch.judge()
  expect(again.event.data.alertId).not.toBe(raised.event.data.alertId)
})

test('what is told is an alert by the published schema', () => {
  const file = path.join(packageRoot(), 'core/contract/alert-v1.json')
  const ajv = new Ajv2020({ formats: { 'date-time': true } })
  const isAlert = ajv.compile(JSON.parse(fs.readFileSync(file, 'utf8')))
  const { clock, watch, say } = kit()
  say('gateway-7')
  clock.ms = 2 * MINUTE
  const raised = watch.judge()
  say('gateway-7')
  for (const { event } of [...raised, ...watch.judge()]) {
    isAlert(JSON.parse(JSON.stringify(event)))
    expect(isAlert.errors).toBeNull()
  }
})

test('an agent that was stopped in order is told when it does not come back, as an info', () => {
  const { clock, watch, say } = kit()
  say('gateway-7', 'stopped')
  clock.ms = 60 * SECOND
  expect(watch.judge()).toEqual([])
  clock.ms = 5 * MINUTE
  expect(told(watch.judge())).toEqual([
    'gateway-7 raised info: agent gateway-7 was stopped 5 min ago and has not come back'
  ])
  say('gateway-7')
  expect(told(watch.judge())).toEqual([
    'gateway-7 cleared info: agent gateway-7 reports again after 5 min'
  ])
})

test('an upgrade that takes a minute is not told', () => {
  const { clock, watch, say } = kit()
  say('gateway-7', 'stopped')
  clock.ms = 60 * SECOND
  say('gateway-7')
  clock.ms = 140 * SECOND
  expect(watch.judge()).toEqual([])
})

test('an agent that is taken out of the fleet is an end', () => {
  const { clock, watch, say, forget } = kit()
  say('gateway-7')
  clock.ms = 2 * MINUTE
  watch.judge()
  forget('gateway-7')
  expect(told(watch.judge())).toEqual([
    'gateway-7 cleared warning: agent gateway-7 was taken out of the fleet'
  ])
})

test('while nobody is heard nobody is away, and after that each has three words of time', () => {
  const { clock, hearing, watch, say } = kit()
  say('gateway-7')
  hearing.since = undefined
  clock.ms = 60 * MINUTE
  expect(watch.judge()).toEqual([])
  hearing.since = clock.monotonic()
  expect(watch.judge()).toEqual([])
  clock.ms += 90 * SECOND
  expect(watch.judge()).toEqual([])
  clock.ms += 1
  // Named for the last word, not for when we noticed.
  expect(watch.judge()[0].event.data.startedAt).toBe('2026-11-23T10:00:00.000Z')
})

test('while Kafka stands still nobody is away: time passes as far as the topic was read', () => {
  const { clock, hearing, watch, say } = kit()
  say('gateway-7')
  clock.ms = 30 * SECOND
  hearing.until = clock.monotonic()
  clock.ms = 60 * MINUTE
  expect(watch.judge()).toEqual([])
})

test('who watches next does not tell it again, and tells its end', () => {
  const { clock, hearing, watch, newWatch, say } = kit()
  say('gateway-7')
  clock.ms = 2 * MINUTE
  const [raised] = watch.judge()
  const next = newWatch()
  next.restore(new Map([['gateway-7', Buffer.from(raised.kept.value ?? '')]]))
  // It reads the whole topic: the old word is heard anew.
  hearing.since = clock.monotonic()
  say('gateway-7', 'running', 2 * MINUTE)
  expect(next.judge()).toEqual([])
  expect(next.openAlerts).toEqual([raised.event])
  clock.ms += 5 * MINUTE
  expect(next.judge()).toEqual([])
  say('gateway-7')
  expect(told(next.judge())).toEqual([
    'gateway-7 cleared warning: agent gateway-7 reports again after 7 min'
  ])
})

test('a state that cannot be read is as if there were none', () => {
  const { clock, watch, say } = kit()
  say('gateway-7')
  watch.restore(
    new Map([
      ['gateway-7', Buffer.from('{"data":{}}')],
      ['gateway-8', Buffer.from('?')]
    ])
  )
  expect(watch.openAlerts).toEqual([])
  clock.ms = 2 * MINUTE
  expect(watch.judge()).toHaveLength(1)
})

test('a silence of the configuration keeps an agent from being told, for as long as it holds', () => {
  const rule: Rules[number] = {
    name: 'yard',
    state: 'shelved',
    learning: 'continued',
    sites: ['fieldline'],
    devices: ['gateway-*'],
    toAt: START + 10 * MINUTE
  }
  const { clock, watch, say } = kit([rule])
  say('gateway-7')
  say('crane-2')
  clock.ms = 5 * MINUTE
  expect(told(watch.judge())).toEqual([
    'crane-2 raised warning: agent crane-2 has not reported for 5 min'
  ])
  clock.ms = 11 * MINUTE
  expect(watch.judge()).toHaveLength(1)
})

test('a box whose word is from the future by its own clock is told of all the same', () => {
  const { clock, watch, say } = kit()
  say('gateway-7', 'running', -60 * MINUTE)
  clock.ms = 2 * MINUTE
  const [{ event }] = watch.judge()
  expect(event.data).toMatchObject({ startedAt: '2026-11-23T11:00:00.000Z', at: event.time })
  expect(Date.parse(event.data.at)).toBeGreaterThanOrEqual(Date.parse(event.data.startedAt))
})
