import { expect, test } from 'vitest'
import { median, type RaisedAlert, raisedAlerts, scoreFaults } from '../../cli/demo/fault-score.ts'
import { type AlertData, type AlertEvent, alertEvent } from '../../core/contract/alert-event.ts'
import type { Label } from '../../firmware-sim/truth.ts'

const OPTIONS = { lookedFor: ['spike', 'shift', 'silence'], graceMs: 5_000, endAt: 90_000 } as const

function label(kind: Label['kind'], magnitude: number, rest: Partial<Label> = {}): Label {
  const metric = kind === 'silence' || kind === 'clock_skew' ? '-' : 'temperature'
  return {
    ...{ site: 'p', device: 'a', metric, kind, magnitude, from: 10_000, to: 12_000 },
    ...rest
  }
}

function alert(at: number, rest: Partial<RaisedAlert> = {}): RaisedAlert {
  return {
    ...{ alertId: `x${at}`, site: 'p', device: 'a', metric: 'temperature', kind: 'anomaly', at },
    ...rest
  }
}

test('faults are counted by kind and magnitude, with the median delay of those detected', () => {
  const labels = [
    label('spike', 6.5, { device: 'a' }),
    label('spike', -8.9, { device: 'b' }),
    label('spike', 7, { device: 'c' }),
    label('spike', -9, { device: 'd' }),
    label('shift', 3.2, { device: 'e' })
  ]
  const alerts = [
    alert(10_000, { device: 'a' }),
    alert(11_000, { device: 'b' }),
    alert(11_400, { device: 'b' }),
    alert(10_400, { device: 'd' })
  ]
  expect(scoreFaults(labels, alerts, OPTIONS)).toEqual({
    rows: [
      {
        ...{ kind: 'spike', magnitude: '6–9 σ', injected: 3, detected: 2 },
        ...{ medianDelayMs: 500, lookedFor: true }
      },
      {
        ...{ kind: 'spike', magnitude: '9–12 σ', injected: 1, detected: 1 },
        ...{ medianDelayMs: 400, lookedFor: true }
      },
      {
        ...{ kind: 'shift', magnitude: '3–4.5 σ', injected: 1, detected: 0 },
        ...{ medianDelayMs: undefined, lookedFor: true }
      }
    ],
    ...{ alerts: 4, falseAlerts: 0, falseExamples: [], cutShort: 0 }
  })
})

test.each([
  ['long before', alert(9_900), 0, 1],
  ['at the rounding of the first reading', alert(9_950), 1, 0],
  ['in the grace after the end', alert(17_000), 1, 0],
  ['after the grace', alert(17_001), 0, 1],
  ['on another metric', alert(11_000, { metric: 'pressure' }), 0, 1],
  ['on another device', alert(11_000, { device: 'b' }), 0, 1],
  ['at another site', alert(11_000, { site: 'q' }), 0, 1]
])('an alert %s counts accordingly', (_, raised, detected, falseAlerts) => {
  const score = scoreFaults([label('shift', -5)], [raised], OPTIONS)
  expect(score.rows[0].detected).toBe(detected)
  expect(score.falseAlerts).toBe(falseAlerts)
  expect(score.falseExamples).toEqual(falseAlerts ? [raised] : [])
})

test('a silence is detected by an alert about silence only, others are explained by it', () => {
  const silence = label('silence', 25)
  const strange = scoreFaults([silence], [alert(11_000)], OPTIONS)
  expect(strange).toMatchObject({ falseAlerts: 0, rows: [{ detected: 0 }] })
  const told = scoreFaults([silence], [alert(11_000, { kind: 'silent', metric: '-' })], OPTIONS)
  expect(told).toMatchObject({ falseAlerts: 0, rows: [{ detected: 1, medianDelayMs: 1_000 }] })
})

test('kinds that nobody looks for are shown as such, and alerts they cause are not false', () => {
  const skew = label('clock_skew', 600_000)
  const score = scoreFaults([skew], [alert(10_500 + 600_000)], OPTIONS)
  expect(score).toMatchObject({
    rows: [{ kind: 'clock_skew', injected: 1, detected: 1, medianDelayMs: 500, lookedFor: false }],
    falseAlerts: 0
  })
})

test('a fault that the end of the fleet cut short is judged only when it was found', () => {
  const atEnd = { from: 88_000, to: 90_000 }
  const missed = scoreFaults([label('silence', 25, atEnd)], [], OPTIONS)
  expect(missed).toMatchObject({ rows: [], cutShort: 1 })
  const found = scoreFaults([label('shift', 4.5, atEnd)], [alert(88_100)], OPTIONS)
  expect(found).toMatchObject({
    rows: [{ magnitude: '4.5–6 σ', injected: 1, detected: 1, medianDelayMs: 100 }],
    cutShort: 0
  })
})

test('an alert is taken once, at its raising, however often it is told', () => {
  const event = (state: AlertData['state'], at: string, transition: number): AlertEvent =>
    alertEvent('/fieldline/g', transition, {
      ...{ alertId: 'p/a/temperature/anomaly/1', state, at, kind: 'anomaly', site: 'p' },
      ...{ device: 'a', metric: 'temperature' }
    } as AlertData)
  const raised = event('raised', '2026-11-22T08:00:00.500Z', 1)
  const events = [raised, event('updated', '2026-11-22T08:00:10.000Z', 2), raised]
  expect(raisedAlerts(events)).toEqual([
    {
      ...{ alertId: 'p/a/temperature/anomaly/1', site: 'p', device: 'a', metric: 'temperature' },
      ...{ kind: 'anomaly', at: Date.parse('2026-11-22T08:00:00.500Z') }
    }
  ])
})

test('an alert of the device speaks of a series from when it first names it', () => {
  const event = (transition: number, at: number, metrics: string[]): AlertEvent =>
    alertEvent('/fieldline/g', transition, {
      ...{ alertId: 'p/a/-/anomaly/1', state: transition === 1 ? 'raised' : 'updated' },
      ...{ at: new Date(at).toISOString(), startedAt: new Date(5_000).toISOString() },
      ...{ kind: 'anomaly', site: 'p', device: 'a', metric: '-' },
      contributions: metrics.map(metric => ({ metric, share: 1 / metrics.length }))
    } as AlertData)
  const first = event(1, 5_000, ['pressure'])
  const joined = event(2, 11_000, ['pressure', 'temperature'])
  const detected = (events: AlertEvent[]) =>
    scoreFaults([label('shift', -5)], raisedAlerts(events), OPTIONS).rows[0]
  expect(detected([first])).toMatchObject({ detected: 0 })
  expect(detected([first, joined])).toMatchObject({ detected: 1, medianDelayMs: 1_000 })
  expect(raisedAlerts([joined, first])).toMatchObject([{ at: 5_000, series: [{}, {}] }])
})

test('the median is the middle value or the mean of the two in the middle', () => {
  expect(median([])).toBeUndefined()
  expect(median([7])).toBe(7)
  expect(median([9, 1, 5])).toBe(5)
  expect(median([10, 1, 4, 2])).toBe(3)
})
