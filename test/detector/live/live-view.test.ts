import { expect, test } from 'vitest'
import type { AlertData, AlertEvent } from '../../../core/contract/alert-event.ts'
import type { HeardDevice } from '../../../detector/alert/silence.ts'
import { type DetectorCounters, noCounters } from '../../../detector/counters.ts'
import { firstOf, type LiveRequest, LiveView } from '../../../detector/live/live-view.ts'
import { SeriesHistory } from '../../../detector/live/series-history.ts'
import type { SeriesName } from '../../../detector/series-table.ts'

interface Fleet {
  devices?: Partial<HeardDevice>[]
  series?: SeriesName[]
  open?: Partial<AlertData>[]
}

function alertOf(data: Partial<AlertData>): AlertEvent {
  const some = { site: 's', device: 'd', metric: 'm', severity: 'warning', startedAt: '2026' }
  return { data: { ...some, contributions: [], state: 'raised', ...data } } as unknown as AlertEvent
}

function viewOf({ devices = [], series = [], open = [] }: Fleet) {
  const history = new SeriesHistory({ now: () => 0 })
  const heard = devices.map(device => ({
    ...{ site: 's', device: 'd', receivedAt: 5, intervalMs: 7, silent: false },
    ...device
  }))
  const view = new LiveView(
    {
      openAlerts: () => open.map(alertOf),
      counters: () => noCounters() as unknown as DetectorCounters,
      // One object again and again, as a table of columns may do it.
      heardDevices: function* () {
        const row = {}
        for (const device of heard) yield Object.assign(row, device) as HeardDevice
      },
      seriesOf: ({ site, device }) =>
        series
          .filter(name => name.site === site && name.device === device)
          .sort((a, b) => (a.metric < b.metric ? -1 : 1))
    },
    history
  )
  const explain = () => ({ expected: 0, lower: -1, upper: 1, reason: '' })
  const see = (name: SeriesName, at: number, value: number) =>
    history.watch({ series: name, at, value, score: 0, learning: false, explain })
  const look = (request: LiveRequest = {}) => view.look([request])[0]
  return { view, look, see }
}

test('five thousand devices are counted, and those shown that need a look, then by name', () => {
  const devices = Array.from({ length: 5000 }, (_, i) => ({
    device: `d${String(i).padStart(4, '0')}`,
    silent: i === 4000
  }))
  const { look } = viewOf({
    devices,
    open: [
      { device: 'd3000', severity: 'critical' },
      { device: 'd2000', severity: 'info' },
      { device: 'd2000', severity: 'warning' }
    ]
  })
  const { devices: seen, alerts } = look()
  expect([seen.total, seen.silent, seen.matching]).toEqual([5000, 1, 5000])
  expect(seen.shown.length).toBeLessThan(100)
  expect(seen.shown.slice(0, 4)).toMatchObject([
    { device: 'd4000', silent: true, heardAt: 5, usualMs: 7 },
    { device: 'd3000', severity: 'critical', alerts: 1 },
    { device: 'd2000', severity: 'warning', alerts: 2 },
    { device: 'd0000', alerts: 0 }
  ])
  expect([alerts.total, alerts.devices, alerts.critical]).toEqual([3, 2, 1])
})

test('devices are found by any part of their name, in whatever case', () => {
  const { look } = viewOf({ devices: [{ device: 'Pump-1' }, { device: 'fan-1' }] })
  const found = look({ find: 'S/PUMP' }).devices
  expect([found.total, found.matching, found.shown[0].device]).toEqual([2, 1, 'Pump-1'])
})

test('alerts are the most severe and newest; their lists are bounded, the counts are not', () => {
  const open = Array.from({ length: 500 }, (_, i) => ({
    alertId: String(i),
    startedAt: String(1000 + i),
    severity: i === 7 ? ('critical' as const) : ('info' as const)
  }))
  const { alerts } = viewOf({ open }).look()
  expect(alerts.total).toBe(500)
  expect(alerts.shown.length).toBeLessThan(100)
  expect(alerts.shown.slice(0, 2).map(({ alertId }) => alertId)).toEqual(['7', '499'])
})

test('alerts that are over are kept for a while, the newest first', () => {
  const { view, look } = viewOf({})
  for (let i = 0; i < 100; i++) view.note([alertOf({ alertId: String(i), state: 'cleared' })])
  view.note([alertOf({ alertId: 'open' })])
  const { cleared } = look()
  expect([cleared.length, cleared[0].alertId]).toEqual([30, '99'])
})

test('a series is shown with the metrics of its device; a stranger is empty, not an error', () => {
  const series = ['b', 'a', '-'].map(metric => ({ site: 's', device: 'd', metric }))
  const { look, see } = viewOf({ series })
  see(series[0], 1000, 42)
  const shown = look({ series: { site: 's', device: 'd', metric: 'b' } }).series
  expect(shown).toMatchObject({ metrics: ['a', 'b'], points: [{ at: 1000, value: 42 }] })
  const stranger = { site: 's', device: 'nobody', metric: 'x' }
  expect(look({ series: stranger }).series).toEqual({
    name: stranger,
    metrics: [],
    points: []
  })
})

test('without a wish the worst alert is drawn, of one of several metrics the first', () => {
  const series = ['a', 'b'].map(metric => ({ site: 's', device: 'd', metric }))
  const { look } = viewOf({
    series,
    open: [
      { metric: 'a', severity: 'info' },
      { metric: '-', severity: 'critical', contributions: [{ metric: 'b', share: 1 }] }
    ]
  })
  expect(look().series?.name.metric).toBe('b')
  expect(viewOf({}).look().series).toBeUndefined()
})

test('last values of the devices shown come once somebody looks', () => {
  const series = ['b', 'a'].map(metric => ({ site: 's', device: 'd', metric }))
  const { look, see } = viewOf({ devices: [{}], series })
  expect(look().devices.shown[0]).toMatchObject({ metrics: 2, values: [] })
  for (const name of series) see(name, 1000, 1)
  expect(look().devices.shown[0].values.map(({ metric }) => metric)).toEqual(['a', 'b'])
})

test('the quietest devices come first by their last reading, of those that match', () => {
  const devices = [30, 10, 20].map(at => ({ device: `d${at}`, receivedAt: at }))
  const { quietest } = viewOf({ devices }).look().devices
  expect(quietest.map(({ device, heardAt }) => [device, heardAt])).toEqual([
    ['d10', 10],
    ['d20', 20],
    ['d30', 30]
  ])
  expect(viewOf({ devices }).look({ find: 'd30' }).devices.quietest).toHaveLength(1)
})

test('the first few are those of a whole sort', () => {
  const all = Array.from({ length: 1000 }, (_, i) => (i * 7919) % 1009)
  const order = (a: number, b: number) => a - b
  expect(firstOf(all, 20, order)).toEqual(all.toSorted(order).slice(0, 20))
  expect(firstOf([2, 1], 20, order)).toEqual([1, 2])
})

test('those who look for the same share one answer, a search has its own', () => {
  const devices = Array.from({ length: 100 }, (_, i) => ({ device: `d${i}` }))
  const { view } = viewOf({ devices, open: [{ device: 'd7' }] })
  const [one, same, searching] = view.look([{}, { find: '' }, { find: 'D7' }])
  expect(same.devices).toBe(one.devices)
  expect(same.alerts).toBe(one.alerts)
  expect([one.devices.matching, searching.devices.matching]).toEqual([100, 11])
  expect(searching.devices.shown[0]).toMatchObject({ device: 'd7', alerts: 1 })
})

test('devices of one name at two sites are two', () => {
  const devices = ['s2', 's1'].map(site => ({ site, device: 'd' }))
  const { look } = viewOf({ devices, open: [{ site: 's2', device: 'd' }] })
  expect(look().devices.shown).toMatchObject([
    { site: 's2', alerts: 1 },
    { site: 's1', alerts: 0 }
  ])
})
