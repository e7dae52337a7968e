import { expect, test } from 'vitest'
import { AlertFeed } from '../../cli/demo/alert-feed.ts'
import { modeWord, type Picture, plainLine, renderFrame } from '../../cli/demo/frame.ts'
import type { DemoResult } from '../../cli/demo/result.ts'
import { CHAPTERS } from '../../cli/demo/script.ts'
import { renderResult } from '../../cli/demo/tables.ts'
import { paintFor } from '../../cli/terminal/paint.ts'
import { RateMeter } from '../../cli/terminal/rate-meter.ts'
import {
  clip,
  clock,
  latency,
  NO_PAINT,
  PAINT,
  sparkline,
  widthOf
} from '../../cli/terminal/text.ts'
import { type AlertData, type AlertEvent, alertEvent } from '../../core/contract/alert-event.ts'

function alert(alertId: string): AlertEvent {
  return alertEvent('/fieldline/g', 1, {
    ...{ alertId, site: 'p', device: 'sim-001', metric: 'temperature', kind: 'anomaly' },
    ...{ state: 'raised', reason: '7.0 σ above the usual' }
  } as AlertData)
}

function picture(rest: Partial<Picture> = {}): Picture {
  const lane = {
    ...{ state: 'waiting', backlogRecords: 3_412, backlogAgeMs: 13_200 },
    counters: { produced: 7_001 }
  }
  const status = { mode: 'buffering', lanes: { telemetry: lane } } as unknown as Picture['status']
  return {
    ...{ status, answering: true, acknowledged: 9_000, acknowledgedPerSecond: 250.4 },
    ...{ deliveredPerSecond: 0, connected: 100, heldByDevices: 0, ackMs: { p50: 1.84, p99: 6.1 } },
    ...{ backlog: 3_412, backlogAgeMs: 13_200, backlogHistory: [0, 500, 4_000] },
    ...{ openAlerts: 2, raisedAlerts: 5, chapter: 2, headline: 'Kafka is stopped.' },
    ...{ kafka: 'stopped', agent: 'running', restarted: false, chapters: CHAPTERS },
    ...{ elapsedMs: 62_000, totalMs: 90_000 },
    lastAlerts: Array.from({ length: 8 }, (_, i) => ({
      ...{ atMs: 50_000 + i * 1000, event: alert(`a${i}`), cleared: false }
    })),
    ...rest
  }
}

test('the picture tells what happens, in words and numbers', () => {
  const text = renderFrame(picture(), { columns: 100, rows: 30 }, NO_PAINT).join('\n')
  expect(text).toContain('● buffering   1:02 of ~1:30')
  expect(text).toContain('✓ learn  ✓ detect  ▸ Kafka stopped')
  expect(text).toContain('Kafka is stopped.')
  expect(text).toContain('100 connected')
  expect(text).toContain('PUBACK 1.8 ms (99 %: 6.1 ms)')
  expect(text).toContain('3,412 waiting, oldest 13 s')
  expect(text).toContain('2 open, 5 raised')
  expect(text).toContain('0:57  sim-001 temperature')
  expect(text).not.toContain('0:52')
})

test.each([
  [100, 30],
  [80, 24],
  [40, 12],
  [20, 5]
])('the picture fits a screen of %d columns and %d rows', (columns, rows) => {
  for (const paint of [PAINT, NO_PAINT]) {
    const lines = renderFrame(picture(), { columns, rows }, paint)
    expect(Math.max(...lines.map(widthOf))).toBeLessThan(Math.max(columns, 21))
    expect(lines.length).toBeLessThanOrEqual(Math.max(10, rows - 1))
  }
})

test('one line for pipes holds mode, rates, backlog, lanes and alerts', () => {
  expect(plainLine(picture())).toBe(
    '[1:02] buffering | in 250/s | out 0/s | waiting on disk 3,412 (oldest 13 s) | ' +
      'devices 100 connected, PUBACK 1.8 ms median 6.1 ms 99 % | lanes telemetry waiting | ' +
      'alerts 2 open, 5 raised'
  )
})

test('the mode says who is away', () => {
  expect(modeWord(picture({ agent: 'dead' }))).toBe('agent killed')
  expect(modeWord(picture({ answering: false }))).toBe('agent silent')
  expect(modeWord(picture({ answering: false, agent: 'starting' }))).toBe('agent starting')
  expect(modeWord(picture())).toBe('buffering')
})

test('NO_COLOR takes the colours away unless it is empty', () => {
  const terminal = { isTTY: true }
  expect(paintFor({ NO_COLOR: '1' }, terminal)).toBe(NO_PAINT)
  expect(paintFor({ NO_COLOR: '' }, terminal)).toBe(PAINT)
  expect(paintFor({}, terminal)).toBe(PAINT)
  expect(paintFor({ TERM: 'dumb' }, terminal)).toBe(NO_PAINT)
})

test('FORCE_COLOR brings colours into a pipe, and NO_COLOR has the last word', () => {
  expect(paintFor({}, {})).toBe(NO_PAINT)
  expect(paintFor({ FORCE_COLOR: '1' }, {})).toBe(PAINT)
  expect(paintFor({ FORCE_COLOR: '0' }, { isTTY: true })).toBe(NO_PAINT)
  expect(paintFor({ FORCE_COLOR: '1', NO_COLOR: '1' }, { isTTY: true })).toBe(NO_PAINT)
})

test('clipping counts columns without colours and closes the colours it cuts', () => {
  expect(clip('abcdef', 6)).toBe('abcdef')
  expect(clip('abcdef', 4)).toBe('abc…')
  expect(clip(`a${PAINT.red('bcdef')}`, 4)).toBe('a\x1b[31mbc\x1b[39m…')
  expect(widthOf(PAINT.bold('σ…'))).toBe(2)
})

test('numbers are written for people', () => {
  expect(clock(61_900)).toBe('1:01')
  expect(latency(0.84)).toBe('0.8 ms')
  expect(latency(13.4)).toBe('13 ms')
  expect(latency(1_240)).toBe('1.2 s')
  expect(sparkline([0, 100, 400, 800], 3)).toBe('▁▄█')
  expect(sparkline([0, 3, 12], 10)).toBe('···')
})

test('an alert is news once, also when a restarted agent reports it again', () => {
  const feed = new AlertFeed()
  const news = (...ids: string[]): string[] =>
    feed.take(ids.map(alert)).map(({ state, event }) => `${event.data.alertId} ${state}`)
  expect(news('a', 'b')).toEqual(['a raised', 'b raised'])
  expect(news('b')).toEqual(['a cleared'])
  expect(news()).toEqual(['b cleared'])
  expect(news('b', 'c')).toEqual(['c raised'])
  expect(feed.open).toBe(2)
  expect(feed.raised.map(({ data }) => data.alertId)).toEqual(['a', 'b', 'c'])
})

test('a rate is that of the last moments and begins anew when the counter does', () => {
  const meter = new RateMeter(2_000)
  expect(meter.perSecond).toBe(0)
  for (let s = 0; s <= 10; s++) meter.add(s * 1000, s < 5 ? 0 : (s - 5) * 100)
  expect(meter.perSecond).toBe(100)
  meter.add(11_000, 3)
  expect(meter.perSecond).toBe(0)
  meter.add(12_000, 53)
  expect(meter.perSecond).toBe(50)
})

function result(rest: Partial<DemoResult> = {}): DemoResult {
  return {
    ...{ ok: true, kafka: 'real', delivery: 'exactly_once', seed: 1, devices: 100 },
    ...{ elapsedMs: 91_000, pubackMs: { p50: 2, p99: 9 }, agentAwayMs: 2_300, alertsToldTwice: 0 },
    verdict: {
      ...{ acknowledged: 17_803, found: 17_803, lost: 0, reordered: 0, duplicates: 4 },
      ...{ resent: 120, resentMarked: 20, records: 17_927, unreadable: 0, lostExamples: [] }
    },
    faults: {
      rows: [
        {
          ...{ kind: 'shift', magnitude: '3–4.5 σ', injected: 5, detected: 3 },
          ...{ medianDelayMs: 1_240, lookedFor: true }
        },
        {
          ...{ kind: 'stuck', magnitude: '20–40 readings', injected: 8, detected: 0 },
          ...{ medianDelayMs: undefined, lookedFor: false }
        }
      ],
      ...{ alerts: 30, falseAlerts: 2, falseExamples: [], cutShort: 1 }
    },
    ...rest
  } as DemoResult
}

test('the tables show every count, and what was not looked for', () => {
  const text = renderResult(result(), NO_PAINT)
  expect(text).toMatch(/acknowledged to devices +17,803\n/)
  expect(text).toMatch(/found in Kafka +17,803\n/)
  expect(text).toMatch(/lost +0 +✓\n/)
  expect(text).toMatch(/reordered +0 +✓\n/)
  expect(text).toMatch(/duplicates \(one fl-id twice\) +4\n/)
  expect(text).toMatch(/resent by devices +120 +20 with DUP, 100 doubled on purpose/)
  expect(text).toMatch(/shift +3–4.5 σ +5 +3 +1.2 s\n/)
  expect(text).toMatch(/stuck +20–40 readings +8 +not looked for\n/)
  expect(text).toMatch(/false alerts +2 +of 30 alerts\n/)
  expect(text).toContain('1 more had only just begun')
  for (const line of text.split('\n')) expect(widthOf(line)).toBeLessThanOrEqual(80)
  expect(text).toContain('Nothing was lost or reordered.')
})

test('a loss is said aloud, with examples', () => {
  const { verdict } = result()
  const lossy = { ...verdict!, lost: 2, found: 17_801, lostExamples: ['p/a#7', 'p/a#8'] }
  const text = renderResult(result({ ok: false, verdict: lossy }), NO_PAINT)
  expect(text).toMatch(/lost +2 +✗ {2}p\/a#7 p\/a#8\n/)
  expect(text).toContain('READINGS WERE LOST OR REORDERED.')
  expect(text).not.toContain('Nothing was lost')
})

test('without a Kafka the tables say what could not be shown', () => {
  const buffer = { acknowledged: 6_000, inLog: 6_002, lost: 0 }
  const text = renderResult(result({ kafka: 'away', verdict: undefined, buffer }), NO_PAINT)
  expect(text).toMatch(/in the agent's log +6,002/)
  expect(text).toContain('Not shown, for want of a Kafka')
  expect(text).not.toContain('found in Kafka')
})
