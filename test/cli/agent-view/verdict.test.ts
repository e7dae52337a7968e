import { expect, test } from 'vitest'
import { AgentViews } from '../../../cli/agent-view/agent-view.ts'
import { remedyOf, verdictOn } from '../../../cli/agent-view/verdict.ts'
import type { LiveLook } from '../../../detector/live/live-view.ts'
import { type StatusWishes, someStatus } from './some-status.ts'

const NOW = 1_000_000_000

function verdict(
  wishes: StatusWishes,
  alerts = { total: 0, devices: 0, critical: 0 },
  inBytesPerS = 0
) {
  const look = { alerts: { ...alerts, shown: [] } } as unknown as LiveLook
  return verdictOn({
    status: someStatus(wishes),
    look,
    inBytesPerS,
    overflow: 'drop_oldest',
    now: NOW
  })
}

test('all is well when readings stream and nothing is open', () => {
  expect(verdict({ stored: 5, delivered: 5 })).toMatchObject({ level: 'ok', title: 'All is well' })
})

test('an agent without a reading says that it is ready for devices', () => {
  expect(verdict({})).toMatchObject({ level: 'info', title: 'Ready for devices' })
})

test('open alerts are counted by device, critical ones make it critical', () => {
  const one = verdict({ stored: 5 }, { total: 2, devices: 1, critical: 0 })
  expect(one).toMatchObject({ level: 'warning', title: '1 device needs a look' })
  const several = verdict({ stored: 5 }, { total: 3, devices: 2, critical: 1 })
  expect(several).toMatchObject({ level: 'critical', title: '2 devices need a look' })
  expect(several.text).toContain('3 open alerts, 1 of them critical')
})

test('an outage says that nothing is lost, how much waits, and how long the disk lasts', () => {
  const lastError = { code: 'X', message: 'connect ECONNREFUSED', sinceAt: NOW - 120_000 }
  const lane = { state: 'waiting', backlogRecords: 1234, lastError } as const
  const said = verdict({ mode: 'buffering', lane, bytes: 1 << 29 }, undefined, (1 << 29) / 7200)
  expect(said).toEqual({
    level: 'warning',
    title: 'Kafka is away; nothing is lost',
    text: '1,234 readings are safe on this disk. At the present rate the disk lasts for 2 h more.',
    todo: 'It is tried again by itself. Since 2 min: connect ECONNREFUSED.'
  })
})

test('catching up says how long it will take, or that it does not get less', () => {
  const lane = { backlogRecords: 9000, etaSeconds: 90 }
  expect(verdict({ mode: 'draining', lane }).text).toContain('About 1 min 30 s to go.')
  const stuck = verdict({ mode: 'draining', lane: { ...lane, etaSeconds: null } })
  expect(stuck.text).toContain('does not shrink')
})

test('a parked lane names the topic and what to do', () => {
  const lastError = {
    ...{ code: 'UNKNOWN_TOPIC_OR_PARTITION', message: 'no such topic', topic: 'iot.raw' },
    sinceAt: NOW - 5000
  }
  const said = verdict({ mode: 'parked', lane: { state: 'parked', backlogRecords: 7, lastError } })
  expect(said).toMatchObject({ level: 'critical', title: 'Parked: topic iot.raw' })
  expect(said.todo).toContain('fieldline topics create')
  expect(said.todo).toContain('iot.raw')
})

test.each([
  ['TOPIC_AUTHORIZATION_FAILED', /write to the topic t/],
  ['GROUP_AUTHORIZATION_FAILED', /ACLs/],
  ['SASL_AUTHENTICATION_FAILED', /kafka\.sasl/],
  ['UNSUPPORTED_COMPRESSION_TYPE', /uplink\.compression/],
  ['POLICY_VIOLATION', /by itself/]
])('the remedy of %s is %s', (code, remedy) => {
  expect(remedyOf(code, 't')).toMatch(remedy)
})

test('a full disk says what the overflow policy does', () => {
  const lane = { state: 'waiting' } as const
  const said = verdict({ mode: 'full', bytes: 1 << 30, lane })
  expect([said.level, said.text]).toEqual([
    'critical',
    expect.stringMatching(/^Kafka is away, .*oldest readings are dropped/)
  ])
})

test('a full log that takes nothing says so by itself, and why it is full', () => {
  const slow = verdict({ mode: 'full', ready: false, bytes: 1 << 30 })
  expect(slow).toMatchObject({ title: 'The disk log is full', level: 'critical' })
  expect(slow.text).toMatch(/^Kafka takes less than comes in/)
  const unknown = verdictOn({
    ...{ status: someStatus({ mode: 'full', ready: false, bytes: 1 << 30 }), look: undefined },
    ...{ inBytesPerS: 0, overflow: undefined, now: NOW }
  })
  expect(unknown.text).toContain('No reading is taken until there is room')
  const disk = verdict({ mode: 'full', ready: false, bytes: 1 << 20 })
  expect(disk).toMatchObject({ title: 'The disk is full', level: 'critical' })
})

test('what is not accepted comes before everything else', () => {
  expect(verdict({ ready: false, mode: 'parked' })).toMatchObject({
    title: 'Readings are not accepted'
  })
})

test('a log that is full because Kafka refuses says what refuses and what to do', () => {
  const lastError = {
    ...{ code: 'UNKNOWN_TOPIC_OR_PARTITION', message: 'no such topic', topic: 'iot.raw' },
    sinceAt: NOW - 5000
  }
  const lane = { state: 'parked', backlogRecords: 7, lastError } as const
  const said = verdict({ mode: 'parked', ready: false, bytes: 1 << 30, lane })
  expect(said).toMatchObject({ level: 'critical', title: 'Readings are not accepted' })
  expect(said.text).toContain('Parked: topic iot.raw. Readings wait for 5 s. no such topic.')
  expect(said.todo).toContain('fieldline topics create')
})

test('an upstream broker that is away is a warning with its reason', () => {
  const upstreams = [
    {
      name: 'hall-2',
      url: 'mqtt://x',
      clientId: 'gateway-7',
      mqttVersion: '3.1.1',
      state: 'waiting',
      sinceAt: 0,
      connects: 0,
      received: 0,
      oversized: 0,
      alerts: 0,
      acknowledged: 0,
      inflight: 0,
      granted: {},
      retained: 'mark',
      lastError: 'refused'
    }
  ] as const
  const said = verdict({ stored: 1, parts: { upstreams: [...upstreams] } })
  expect([said.level, said.text]).toEqual([
    'warning',
    'The upstream broker hall-2 is away. refused.'
  ])
})

test('losses are told by what happened, and only those that did', () => {
  const views = new AgentViews({ kafka: [], overflow: 'block', detects: false })
  const status = someStatus({
    parts: { drops: { 'log.full': 3, 'log.age': 0 }, deadLetters: { no_route: 2 } }
  })
  const view = views.view(status, undefined, NOW)
  expect(view.losses).toEqual([
    { name: 'dropped, log full', count: 3 },
    { name: 'dead letters, no route', count: 2 }
  ])
  expect(view.detector).toBe('off')
})
