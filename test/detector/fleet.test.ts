import { expect, test } from 'vitest'
import type { AlertData } from '../../core/contract/alert-event.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import { FleetPlan } from '../../firmware-sim/plan.ts'
import { detectorConfig, reading, T0 } from './kit.ts'

const SEED = 1

function planOf(): FleetPlan {
  return new FleetPlan({
    ...{ devices: 100, metrics: 3, intervalMs: 500, durationMs: 300_000, seed: SEED },
    ...{ site: 'plant7', prefix: 'd', startAt: T0, timeScale: 1 },
    faults: { deviceShare: 0.6, perDevice: 1, warmUpMs: 20_000 }
  })
}

function readingsOf(plan: FleetPlan): DetectorReading[] {
  const readings: DetectorReading[] = []
  for (const taken of plan.readings()) {
    const { device, metrics } = plan.devices[taken.device]
    const values = Object.fromEntries(
      metrics.flatMap((metric, i) => {
        const value = taken.values[i]
        return value === undefined ? [] : [[metric, value]]
      })
    )
    for (let copy = 0; copy < taken.copies; copy++) {
      const times = { receivedAt: taken.at + 3 }
      readings.push(reading(readings.length, device, taken.ts, values, times))
    }
  }
  return readings
}

test(`a simulated fleet's faults are found and its health believed (seed ${SEED})`, async () => {
  const plan = planOf()
  const detector = new Detector(detectorConfig(), { source: '/fieldline/g', logger: silentLogger })
  const readings = readingsOf(plan)
  const raised: { data: AlertData; when: number }[] = []
  for (const { reading: cause, events } of await detector.process(readings)) {
    for (const { data } of events) {
      if (data.state === 'raised') raised.push({ data, when: cause.receivedAt })
    }
  }
  const explained = new Set<AlertData>()
  const share = (kind: string): number => {
    const labels = plan.labels().filter(l => l.kind === kind)
    const found = labels.filter(label => {
      const hits = raised.filter(
        ({ data, when }) =>
          data.device === label.device &&
          (data.metric === label.metric || data.metric === '-') &&
          when >= label.from &&
          when < label.to + 15_000
      )
      for (const { data } of hits) explained.add(data)
      return hits.length > 0
    })
    expect(labels.length).toBeGreaterThan(3)
    return found.length / labels.length
  }
  expect(share('spike')).toBe(1)
  expect(share('shift')).toBeGreaterThanOrEqual(0.8)
  expect(share('silence')).toBeGreaterThanOrEqual(0.8)
  // A wrong clock and doubled messages are no anomaly of what is measured.
  const unexplained = raised.filter(({ data }) => !explained.has(data))
  expect(unexplained.filter(({ data }) => data.kind === 'silent')).toEqual([])
  expect((unexplained.length / detector.counters().scored) * 1e4).toBeLessThan(1)
})
