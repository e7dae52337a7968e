import { expect, onTestFinished, test, vi } from 'vitest'
import type { AgentStatus } from '../../../agent/status.ts'
import { AgentViews } from '../../../cli/agent-view/agent-view.ts'
import { DashboardFeed } from '../../../cli/dashboard/feed.ts'
import { noCounters } from '../../../detector/counters.ts'
import type { LiveLook, LiveRequest } from '../../../detector/live/live-view.ts'
import { someStatus } from '../agent-view/some-status.ts'

class FakeStream {
  readonly sent: { name: string; json: string }[][] = []
  behind = false
  #closed: () => void = () => {}

  send(events: readonly { name: string; json: string }[]): boolean {
    if (this.behind) return false
    this.sent.push([...events])
    return true
  }

  onClosed(callback: () => void): void {
    this.#closed = callback
  }

  close(): void {
    this.#closed()
  }

  /** Names of the last update. */
  get last(): string[] {
    return this.sent.at(-1)?.map(({ name }) => name) ?? []
  }

  // biome-ignore lint/suspicious/noExplicitAny: whatever the page is told
  heard(name: string): any {
    const found = this.sent.flat().findLast(event => event.name === name)
    return found && JSON.parse(found.json)
  }
}

function someLook(points: [number, number][] = []): LiveLook {
  return {
    counters: { ...noCounters(), series: 1, seriesLearning: 0 } as LiveLook['counters'],
    alerts: { total: 0, devices: 0, critical: 0, shown: [] },
    cleared: [],
    devices: { total: 1, silent: 0, matching: 1, shown: [], quietest: [] },
    series: {
      name: { site: 's', device: 'd', metric: 'm' },
      metrics: ['m'],
      points: points.map(([at, value]) => ({
        ...{ at, value, score: 0.12345 },
        ...{ lower: undefined, upper: 1 / 3 }
      }))
    }
  }
}

function feedOf(options: { look?: () => LiveLook; status?: () => AgentStatus } = {}) {
  const requests: LiveRequest[] = []
  let at = 1_000_000
  const feed = new DashboardFeed({
    status: options.status ?? (() => someStatus()),
    look: async asked => {
      requests.push(...structuredClone(asked))
      return asked.map(options.look ?? (() => someLook()))
    },
    views: new AgentViews({ kafka: ['k:9092'], overflow: 'block', detects: true }),
    intervalMs: 3_600_000,
    now: () => {
      at += 1000
      return at
    }
  })
  onTestFinished(() => feed.close())
  const open = (query = '') => {
    const stream = new FakeStream()
    const refusal = feed.open(new URLSearchParams(query), () => stream)
    return { stream, refusal }
  }
  return { feed, requests, open }
}

/** The first update is on its way when `open` returns. */
const told = (stream: FakeStream) => vi.waitFor(() => expect(stream.sent).not.toEqual([]))

test('sixteen look at once, the next is refused, and one that leaves makes room', () => {
  const { feed, open } = feedOf()
  const streams = Array.from({ length: 16 }, () => open())
  expect(streams.map(({ refusal }) => refusal)).toEqual(Array(16).fill(undefined))
  expect(open().refusal?.status).toBe(503)
  expect(feed.viewers).toBe(16)
  streams[3].stream.close()
  expect(feed.viewers).toBe(15)
  expect(open().refusal).toBeUndefined()
})

test('an update says what has changed and nothing else', async () => {
  const { feed, open } = feedOf()
  const { stream } = open()
  await told(stream)
  expect(stream.last).toEqual(['agent', 'alerts', 'devices', 'series'])
  await feed.tell()
  expect(stream.last).toEqual(['agent'])
})

test('one who is behind gets nothing, is not asked for, and later hears all that was left out', async () => {
  let n = 0
  const { feed, requests, open } = feedOf({ look: () => someLook([[1000 * ++n, n]]) })
  const { stream } = open()
  await told(stream)
  stream.behind = true
  const asked = requests.length
  await feed.tell()
  await feed.tell()
  expect([stream.sent.length, requests.length]).toEqual([1, asked])
  stream.behind = false
  await feed.tell()
  expect(requests.at(-1)?.sinceAt).toBe(1000)
  expect(stream.heard('series').points[0][0]).toBe(2000)
})

test('the series that was chosen for somebody stays, and only newer points are asked for', async () => {
  const { feed, requests, open } = feedOf({
    look: () =>
      someLook([
        [1500, 1],
        [2700, 2]
      ])
  })
  const { stream } = open()
  await told(stream)
  await feed.tell()
  expect(requests).toEqual([
    { find: '' },
    { find: '', series: { site: 's', device: 'd', metric: 'm' }, sinceAt: 2000 }
  ])
  expect(stream.heard('series').points[1]).toEqual([2700, 2, null, 0.3333333, 0.123])
})

test('a query names a series and what devices are looked for', async () => {
  const { requests, open } = feedOf()
  await told(open('site=a/b&device=%3Cb%3E&metric=m&find=Pump').stream)
  expect(requests[0]).toEqual({
    find: 'Pump',
    series: { site: 'a/b', device: '<b>', metric: 'm' }
  })
})

test.each(['site=a', 'site=a&device=b', `find=${'x'.repeat(2049)}`])(
  'a query that no page of ours sends is refused: %.20s',
  query => {
    const { feed, open } = feedOf()
    expect([open(query).refusal?.status, feed.viewers]).toEqual([400, 0])
  }
)

test('a detector that does not answer leaves the rest as it is', async () => {
  const { feed, open } = feedOf({
    look: () => {
      throw new Error('busy')
    }
  })
  const { stream } = open()
  await told(stream)
  await feed.tell()
  expect(stream.last).toEqual(['agent'])
  expect(stream.heard('agent').detector).toBe('away')
})

test('rates are over the last seconds', async () => {
  let stored = 0
  const { feed, open } = feedOf({
    status: () => {
      stored += 100
      return someStatus({ stored })
    }
  })
  const { stream } = open()
  await told(stream)
  for (let i = 0; i < 10; i++) await feed.tell()
  expect(stream.heard('agent').in).toEqual({ perS: 100, total: 1100 })
})
