import { expect, test } from 'vitest'
import type { AlertEvent, AlertKind } from '../../../core/contract/alert-event.ts'
import { Alerts, type AlertsOptions } from '../../../detector/alert/alerts.ts'
import type { Condition } from '../../../detector/alert/condition.ts'
import type { Observation } from '../../../detector/alert/lifecycle.ts'
import { type MuteRule, Muting } from '../../../detector/alert/muting.ts'
import { scoreOfRatio } from '../../../detector/scorer/scorer.ts'
import { T0 } from '../kit.ts'

const RULE = {
  ...{ source: '/fieldline/g', threshold: 0.8, clear: 0.5, updateIntervalMs: 10_000 },
  severity: { warning: 0.87, critical: 0.95 }
}

/** Times in seconds after T0. */
class Play {
  readonly alerts: Alerts

  constructor(silences: MuteRule[] = [], options: Partial<AlertsOptions> = {}) {
    this.alerts = new Alerts({
      rule: RULE,
      groupBy: 'device',
      muting: new Muting(silences),
      hasSeveral: (_, device) => device === 'pump',
      ...options
    })
  }

  begin(s: number, metric: string, score = 0.9, changes: Partial<Condition> = {}): this {
    const seen = seenAt(s, metric, score)
    const hit = { at: seen.at, score, value: s }
    this.alerts.begin({ ...subjectOf(metric), ...changes }, [hit], seen)
    return this
  }

  observe(s: number, metric: string, score = 0.9, kind: AlertKind = 'anomaly'): this {
    this.alerts.observe({ ...subjectOf(metric), kind }, seenAt(s, metric, score))
    return this
  }

  end(s: number, metric: string, kind: AlertKind = 'anomaly'): this {
    this.alerts.end({ ...subjectOf(metric), kind }, seenAt(s, metric, 0.1))
    return this
  }

  /** Another device's reading at the same agent. */
  pass(s: number, agentId = 'g'): this {
    const at = T0 + s * 1000
    this.alerts.pass({ agentId, eventId: `other/${s}`, at, receivedAt: at }, false)
    return this
  }

  settle(): AlertEvent[] {
    return this.alerts.settle()
  }

  /** What a reading told: `state metric: shares`. */
  told(): string[] {
    return this.settle().map(({ data }) => {
      const shares = data.contributions.map(c => `${c.metric} ${c.share}`)
      return `${data.state} ${data.metric}: ${shares.join(', ')}`
    })
  }
}

function subjectOf(metric: string, device = 'pump') {
  return { site: 'plant7', device, metric, kind: 'anomaly' as AlertKind }
}

function seenAt(s: number, metric: string, score: number): Observation {
  return {
    ...{ at: T0 + s * 1000, score, value: s, agentId: 'g', eventId: `g/e/${s}`, late: false },
    details: () => ({
      contributions: [{ metric, share: 1 }],
      reason: `${s} s are too many`,
      detector: { name: 'auto', version: '1', params: {} }
    })
  }
}

/** Seconds after T0. */
function silence(from: number, to: number, changes: Partial<MuteRule> = {}): MuteRule {
  return {
    ...{ name: 'service', state: 'out_of_service', learning: 'paused' },
    ...{ fromAt: T0 + from * 1000, toAt: T0 + to * 1000 },
    ...changes
  }
}

test('several series of one device are one alert: the first raises it, others join, it clears with the last', () => {
  const play = new Play()
  const [raised] = play.begin(0, 'temperature').settle()
  expect(raised).toMatchObject({
    ...{ id: `plant7/pump/-/anomaly/${T0}#1`, subject: 'plant7/pump' },
    data: { metric: '-', state: 'raised', reason: 'temperature: 0 s are too many' }
  })
  expect(raised.data.contributions).toEqual([{ metric: 'temperature', share: 1 }])
  expect(raised.data.peak).toMatchObject({ value: 0, metric: 'temperature' })
  expect(play.begin(1, 'pressure').told()).toEqual(['updated -: temperature 0.5, pressure 0.5'])
  expect(play.end(2, 'temperature').told()).toEqual([])
  expect(play.observe(3, 'pressure').told()).toEqual([])
  const [cleared, ...more] = play.end(4, 'pressure').settle()
  expect(more).toEqual([])
  expect(cleared.id).toBe(`plant7/pump/-/anomaly/${T0}#3`)
  expect(cleared.data).toMatchObject({
    ...{
      state: 'cleared',
      durationMs: 4000,
      samples: 5,
      reason: expect.stringMatching(/also temp/)
    },
    contributions: [
      { metric: 'pressure', share: 0.5 },
      { metric: 'temperature', share: 0.5 }
    ]
  })
  expect(play.alerts.open).toEqual([])
})

test('series that begin with one reading are one raising and one update, however many they are', () => {
  const play = new Play()
  for (let i = 0; i < 50; i++) play.begin(0, `axes.${i}`, scoreOfRatio(1 + i / 10))
  const [raised, updated, ...more] = play.settle()
  expect(more).toEqual([])
  expect(raised.data.contributions.map(c => c.metric)).toEqual(['axes.0'])
  expect(updated.data.contributions).toHaveLength(32)
  expect(updated.data.contributions[0].metric).toBe('axes.49')
  expect(updated.data.severity).toBe('critical')
  expect(updated.data.reason).toBe(
    'axes.49: 0 s are too many; also axes.0, axes.1, axes.2 and 46 more'
  )
})

test('shares are of the surprise in units of the line, and sum to 1', () => {
  const play = new Play()
  play.begin(0, 'temperature', scoreOfRatio(1)).settle()
  expect(play.begin(1, 'pressure', scoreOfRatio(3)).told()).toEqual([
    'updated -: pressure 0.75, temperature 0.25'
  ])
})

test('the alert of a device with one series carries the name of the series', () => {
  const play = new Play([], { hasSeveral: () => false })
  const [raised] = play.begin(0, 'temperature').settle()
  expect(raised.subject).toBe('plant7/pump/temperature')
  expect(raised.data).toMatchObject({ metric: 'temperature', reason: '0 s are too many' })
  // Even when another one turns up while it is open: an id does not change.
  expect(play.begin(1, 'pressure').told()).toEqual([
    'updated temperature: temperature 0.5, pressure 0.5'
  ])
})

test('grouped by series, each has its own alert', () => {
  const play = new Play([], { groupBy: 'series' })
  const told = play.begin(0, 'temperature').begin(0, 'pressure').told()
  expect(told).toEqual(['raised temperature: temperature 1', 'raised pressure: pressure 1'])
  expect(play.end(1, 'pressure').told()).toEqual(['cleared pressure: pressure 1'])
})

test('kinds are alerts of their own', () => {
  const play = new Play()
  play.begin(0, 'temperature').begin(0, 'temperature', 0.8, { kind: 'stuck' })
  expect(play.settle().map(e => e.data.kind)).toEqual(['anomaly', 'stuck'])
})

test('a series that comes and goes within an alert is told at the pace of updates', () => {
  const play = new Play()
  play.begin(0, 'temperature').settle()
  expect(play.begin(1, 'pressure').told()).toHaveLength(1)
  expect(play.end(2, 'pressure').told()).toEqual([])
  expect(play.begin(3, 'pressure').told()).toEqual([])
  expect(play.observe(12, 'temperature').told()).toEqual([
    'updated -: temperature 0.5, pressure 0.5'
  ])
})

test('when one series takes over from the other within a reading, the alert goes on', () => {
  const play = new Play()
  play.begin(0, 'temperature').settle()
  expect(play.end(1, 'temperature').begin(1, 'pressure').told()).toEqual(['updated -: pressure 1'])
})

test('severity rises at once and never falls, and its boundaries are configured', () => {
  const severity = { warning: 0.9, critical: 0.99 }
  const play = new Play([], { rule: { ...RULE, severity } })
  const told = (): string[] => play.settle().map(({ data }) => `${data.state} ${data.severity}`)
  play.begin(0, 'temperature', 0.85)
  expect(told()).toEqual(['raised info'])
  play.observe(1, 'temperature', 0.995)
  expect(told()).toEqual(['updated critical'])
  for (let s = 2; s < 11; s++) play.observe(s, 'temperature', s % 2 ? 0.85 : 0.995)
  expect(told()).toEqual([])
  play.observe(11, 'temperature', 0.85)
  expect(told()).toEqual(['updated critical'])
})

test('a steady condition is updated only when it gets worse', () => {
  const play = new Play()
  play.begin(0, 'temperature', 0.85, { kind: 'stuck', steady: true }).settle()
  expect(play.observe(100, 'temperature', 0.85, 'stuck').told()).toEqual([])
  expect(play.observe(101, 'temperature', 0.9, 'stuck').told()).toHaveLength(1)
})

test('an alert open when a window begins is cleared with the reason, and raised again if it lasts', () => {
  const play = new Play([silence(10, 20)])
  play.begin(0, 'temperature').settle()
  const [cleared] = play.observe(10, 'temperature').settle()
  const until = new Date(T0 + 20_000).toISOString()
  expect(cleared.data).toMatchObject({
    ...{ state: 'cleared', durationMs: 10_000 },
    reason: `temperature: out of service until ${until} by the silence 'service'`
  })
  expect(play.alerts.open).toEqual([])
  expect(play.alerts.mutedCount).toBe(1)
  expect(play.alerts.suppressed.anomaly).toBe(1)
  expect(play.observe(15, 'temperature').told()).toEqual([])
  // Between clear and raise it is as good as over.
  expect(play.observe(20, 'temperature', 0.4).told()).toEqual([])
  const [raised] = play.observe(21, 'temperature').settle()
  expect(raised.id).toBe(`plant7/pump/-/anomaly/${T0 + 21_000}#1`)
  expect(raised.data).toMatchObject({ state: 'raised', samples: 1 })
  expect(play.alerts.mutedCount).toBe(0)
})

test('what begins and ends within a window is counted and not told', () => {
  const play = new Play([silence(10, 20)])
  play.begin(12, 'temperature').observe(13, 'temperature').end(14, 'temperature')
  expect(play.settle()).toEqual([])
  expect(play.alerts.suppressed.anomaly).toBe(1)
  expect(play.alerts.has(subjectOf('temperature'))).toBe(false)
})

test('a window for one metric takes it out of the device’s alert, which goes on with the others', () => {
  const play = new Play([silence(10, 20, { metrics: ['press*'] })])
  play.begin(0, 'pressure').begin(0, 'temperature').settle()
  expect(play.observe(10, 'pressure').told()).toEqual([])
  expect(play.observe(11, 'temperature').told()).toEqual(['updated -: temperature 1'])
  expect(play.end(12, 'temperature').told()).toEqual(['cleared -: temperature 0.5, pressure 0.5'])
  expect(play.observe(20, 'pressure').told()).toEqual(['raised -: pressure 1'])
})

test('a device that is still silent when its maintenance ends is told by the others’ readings', () => {
  const play = new Play([silence(10, 20)])
  const silent = { kind: 'silent', standing: true, severityMin: 'warning' } as const
  play.begin(0, '-', 0.8, silent)
  expect(play.settle()[0].data).toMatchObject({ kind: 'silent', severity: 'warning' })
  expect(play.pass(9).told()).toEqual([])
  expect(play.pass(10).settle()[0].data).toMatchObject({ state: 'cleared', eventId: 'other/10' })
  expect(play.pass(15).pass(19).told()).toEqual([])
  expect(play.pass(30, 'another-agent').told()).toEqual([])
  const [raised] = play.pass(21).settle()
  expect(raised.data).toMatchObject({ state: 'raised', kind: 'silent', at: iso(21) })
  expect(play.end(22, '-', 'silent').told()).toEqual(['cleared -: - 1'])
})

test('a reading from before the change of a window does not turn it back', () => {
  const play = new Play([silence(10, 20)])
  play.begin(0, 'temperature').observe(10, 'temperature').settle()
  expect(play.observe(9, 'temperature').told()).toEqual([])
  play.observe(20, 'temperature')
  expect(play.told()).toEqual(['raised -: temperature 1'])
  expect(play.observe(19, 'temperature').told()).toEqual([])
  expect(play.alerts.open).toHaveLength(1)
})

test('a clock that stands still gives no id twice', () => {
  const play = new Play()
  const ids = new Set<string>()
  for (let i = 0; i < 20; i++) {
    for (const { id } of play.begin(5, 'temperature').settle()) ids.add(id)
    for (const { id } of play.end(5, 'temperature').settle()) ids.add(id)
  }
  expect(ids.size).toBe(40)
})

test('conditions that nobody judges any more are ended once, in the same words whenever that is', () => {
  const play = new Play()
  play.begin(0, 'temperature').begin(1, 'pressure').settle()
  const state = JSON.parse(JSON.stringify(play.alerts.snapshot()))
  const endOf = (s: number): string => {
    const next = new Play()
    next.alerts.restore(state)
    const orphans = next.alerts.findOrphans(judge => judge.detector !== 'auto')
    expect(orphans.map(o => o.metric)).toEqual(['temperature', 'pressure'])
    next.pass(s)
    next.alerts.endOrphans(true)
    const events = next.settle()
    next.alerts.endOrphans(true)
    expect(next.settle()).toEqual([])
    return JSON.stringify(events)
  }
  expect(endOf(5)).toBe(endOf(500))
  expect(JSON.parse(endOf(5))).toMatchObject([
    {
      data: { state: 'cleared', at: iso(1), reason: expect.stringMatching(/no longer configured/) }
    }
  ])
})

test('alerts of another grouping go on under their names after a change of the configuration', () => {
  const before = new Play()
  before.begin(0, 'temperature').begin(1, 'pressure').settle()
  const after = new Play([], { groupBy: 'series' })
  after.alerts.restore(JSON.parse(JSON.stringify(before.alerts.snapshot())))
  expect(after.end(2, 'temperature').told()).toEqual([])
  expect(after.begin(3, 'flow').told()).toEqual(['raised flow: flow 1'])
  expect(after.end(4, 'pressure').told()).toEqual(['cleared -: pressure 0.5, temperature 0.5'])
  expect(after.end(4, 'flow').told()).toEqual(['cleared flow: flow 1'])
})

test('a series that is forgotten ends all its kinds', () => {
  const play = new Play()
  play.begin(0, 'temperature').begin(0, 'temperature', 0.8, { kind: 'range' }).settle()
  play.alerts.endSeries(subjectOf('temperature'), seenAt(9, '', 0), 'too many series')
  const events = play.settle()
  expect(events.map(e => `${e.data.kind} ${e.data.state}`)).toEqual([
    'anomaly cleared',
    'range cleared'
  ])
  expect(events[0].data.reason).toBe('temperature: too many series')
})

test('to end or observe what never began is nothing, to begin twice is to observe', () => {
  const play = new Play()
  expect(play.end(0, 'temperature').observe(0, 'pressure').told()).toEqual([])
  expect(play.begin(0, 'temperature').begin(1, 'temperature').told()).toHaveLength(1)
})

function iso(s: number): string {
  return new Date(T0 + s * 1000).toISOString()
}
