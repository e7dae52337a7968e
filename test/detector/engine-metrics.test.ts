import { expect, test } from 'vitest'
import { silentLogger } from '../../core/runtime/log.ts'
import { Metrics } from '../../core/runtime/metrics.ts'
import { bySeverity } from '../../detector/counters.ts'
import { Detector } from '../../detector/detector.ts'
import { type ModelStates, statesOf } from '../../detector/device-models.ts'
import { registerEngineMetrics } from '../../detector/engine-metrics.ts'
import type { DeviceModel } from '../../detector/scorer/device-scorer.ts'
import { detectorConfig, eventfulReadings } from './kit.ts'

test('what a detector did and holds is shown by kind and severity, and its sums agree', async () => {
  const detector = new Detector(detectorConfig(), { source: '/fieldline/a', logger: silentLogger })
  const readings = eventfulReadings(7, 900)
  const processed = await detector.process([...readings, ...readings.slice(-10)])
  const metrics = new Metrics()
  registerEngineMetrics(metrics, () => ({
    counters: detector.counters(),
    open: bySeverity(detector.openAlerts()),
    models: detector.modelStates
  }))
  const text = await metrics.text()
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))]
      .map(([, value]) => Number(value))
      .reduce((all, value) => all + value, 0)
  const raised = processed.flatMap(({ events }) => events).filter(e => e.data.state === 'raised')
  expect(raised.length).toBeGreaterThan(5)
  expect(sum('fieldline_detector_readings_total')).toBe(910)
  expect(text).toContain('fieldline_detector_unscored_total{reason="duplicate"} 10')
  expect(sum('fieldline_detector_values_scored_total')).toBe(1800)
  expect(sum('fieldline_detector_series')).toBe(12)
  expect(sum('fieldline_detector_open_alerts')).toBe(detector.openAlerts().length)
  expect(sum('fieldline_detector_alerts_raised_total')).toBe(raised.length)
  for (const { kind, severity } of raised.map(e => e.data)) {
    const same = raised.filter(e => e.data.kind === kind && e.data.severity === severity)
    expect(text).toContain(
      `fieldline_detector_alerts_raised_total{kind="${kind}",severity="${severity}"} ${same.length}\n`
    )
  }
})

test('a model is usable while something there can be asked', () => {
  const model = (current: unknown) => ({ current }) as DeviceModel
  const states: ModelStates = { usable: 1, unusable: 2 }
  expect(statesOf([model(undefined), model({}), model(undefined)])).toEqual(states)
  expect(statesOf([])).toEqual({ usable: 0, unusable: 0 })
})
