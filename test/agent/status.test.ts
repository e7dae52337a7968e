import { expect, test } from 'vitest'
import { type AgentParts, statusOf } from '../../agent/status.ts'
import type { LaneState } from '../../agent/uplink/delivery.ts'

const NOW = 1_795_336_000_000
const MAX = 1000

interface LaneFacts {
  state?: LaneState
  backlog?: number
  oldestAt?: number
  rate?: number
  sendingMs?: number
  expectedMs?: number
  /** Records that came in the second since the start. */
  arrived?: number
  bytes?: number
  takesRecords?: boolean
}

const waiting: LaneState = { kind: 'waiting', code: 'X', message: 'away', sinceAt: NOW - 5 }
const parked: LaneState = { ...waiting, kind: 'parked', topic: 'iot.p' }

function status(telemetry: LaneFacts, alerts: LaneFacts = {}) {
  const counters = (facts: LaneFacts) => ({
    records: facts.arrived ?? 0,
    droppedFull: 3,
    droppedAge: 0,
    damaged: 1
  })
  const log = (facts: LaneFacts) => ({
    status: {
      bytes: facts.bytes ?? 10,
      bytesMax: MAX,
      epoch: '1-00',
      end: 5,
      ...{ state: 'open', takesRecords: facts.takesRecords ?? true },
      counters: counters(facts)
    },
    backlog: () => facts.backlog ?? 0,
    backlogBytes: () => 40 * (facts.backlog ?? 0)
  })
  const lane = (name: string, facts: LaneFacts) => ({
    name,
    state: facts.state ?? { kind: 'streaming' },
    counters: {},
    rate: facts.rate ?? 0,
    oldestAt: facts.oldestAt,
    sendingMs: facts.sendingMs ?? 0,
    expectedMs: facts.expectedMs ?? 0,
    deadLetters: { no_route: 2 },
    ...(name === 'telemetry' ? { filtered: { noise: { dropped: 4, sampledOut: 0 } } } : {})
  })
  const agent = {
    lanes: [lane('telemetry', telemetry), lane('alerts', alerts)],
    telemetryLog: log(telemetry),
    alertLog: log(alerts),
    identity: { agentId: 'gateway-7' },
    intake: { counters: { droppedQos0: 7 } },
    broker: undefined,
    upstreams: [],
    alertSinks: { status: [] },
    statusTopic: null,
    ready: true
  }
  return statusOf(agent as unknown as AgentParts, {
    version: '0',
    startedAt: NOW - 1000,
    now: NOW,
    clockSynced: true,
    replayedAfterMs: 30_000
  })
}

test.each([
  ['streaming', {}, {}],
  ['streaming', { backlog: 50, oldestAt: NOW - 100 }, { state: { kind: 'connecting' } as const }],
  ['buffering', { state: waiting, backlog: 9 }, {}],
  ['buffering', { state: { kind: 'connecting' } as const, backlog: 9 }, {}],
  ['buffering', {}, { state: waiting, backlog: 1 }],
  ['buffering', { backlog: 9, sendingMs: 1001 }, {}],
  ['streaming', { backlog: 9, sendingMs: 1900, expectedMs: 1000 }, {}],
  ['full', { state: waiting, backlog: 9, bytes: 951 }, {}],
  ['full', { backlog: 9, bytes: 900, takesRecords: false }, {}],
  ['draining', { backlog: 9, oldestAt: NOW - 30_001 }, {}],
  ['parked', { state: parked, bytes: 990 }, {}],
  ['parked', { state: waiting }, { state: parked }]
] as const)('the mode is %s: telemetry %j, alerts %j', (mode, telemetry, alerts) => {
  expect(status(telemetry, alerts).mode).toBe(mode)
})

test('dead letters are summed over the lanes', () => {
  expect(status({}).deadLetters).toEqual({ no_route: 4 })
})

test('what routes drop or sample out is told by route, and is no loss', () => {
  const { filtered, drops } = status({})
  expect(filtered).toEqual({ noise: { dropped: 4, sampledOut: 0 } })
  expect(Object.keys(drops)).not.toContain('noise')
})

test('a lane in trouble says what, since when, and which topic; it has no estimate', () => {
  const { lanes } = status({ state: parked, backlog: 10, rate: 5, oldestAt: NOW - 700 })
  expect(lanes.telemetry).toMatchObject({
    state: 'parked',
    backlogRecords: 10,
    backlogAgeMs: 700,
    lastError: { code: 'X', message: 'away', topic: 'iot.p', sinceAt: NOW - 5 }
  })
  expect(lanes.telemetry.etaSeconds).toBeNull()
})

test('a backlog ends as fast as it leaves, less what comes meanwhile; one that does not shrink has no estimate', () => {
  expect(status({ backlog: 10, rate: 5 }).lanes.telemetry.etaSeconds).toBe(2)
  expect(status({ backlog: 10, rate: 5, arrived: 3 }).lanes.telemetry.etaSeconds).toBe(5)
  expect(status({ backlog: 10, rate: 5, arrived: 5 }).lanes.telemetry.etaSeconds).toBeNull()
  expect(status({ backlog: 0, rate: 5 }).lanes.telemetry.etaSeconds).toBe(0)
})

test('drops are told by stage and reason', () => {
  expect(status({}).drops).toEqual({
    'ingest.qos0': 7,
    'log.full': 3,
    'log.age': 0,
    'log.damaged': 1
  })
})
