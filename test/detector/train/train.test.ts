import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { silentLogger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { Detector } from '../../../detector/detector.ts'
import { OnnxSession } from '../../../detector/scorer/onnx-session.ts'
import { parseSidecar } from '../../../detector/scorer/onnx-sidecar.ts'
import { parseBudget, thresholdFor } from '../../../detector/train/alarm-budget.ts'
import { pick } from '../../../detector/train/history-rows.ts'
import { toOnnx } from '../../../detector/train/innovation-graph.ts'
import { componentsOf, scoresOf } from '../../../detector/train/innovation-model.ts'
import { rehearse } from '../../../detector/train/rehearsal.ts'
import { smoothRowsFor, train } from '../../../detector/train/train.ts'
import { alertRanges, reportOf } from '../../../detector/train/training-report.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { detectorConfig, reading } from '../kit.ts'
import { METRICS, rigHistory, rigRows, START } from './rig.ts'

const WEEKLY = { budget: parseBudget('1/week') }

test('the graph gives what the direct computation gives, through the real runtime', async () => {
  const detector = train(rigHistory(1, 3000), WEEKLY)
  const { onnx, json } = toOnnx(detector)
  const sidecar = parseSidecar(json, onnx, 'model.json')
  const session = await OnnxSession.open({ name: 'rig', model: onnx, sidecar })
  try {
    // With a fault, so that clipping and large scores are among them.
    const rows = rigRows(new Prng(2), 400, 250, 30)
    const scores = scoresOf(detector.model, rows)
    const parts = componentsOf(detector.model, rows)
    const windows = Array.from(scores, (_, t) => flat(rows.slice(t, t + 67)))
    expect(Math.max(...scores)).toBeGreaterThan(3 * detector.threshold)
    for (let first = 0; first < windows.length; first += session.batchMax) {
      const batch = windows.slice(first, first + session.batchMax)
      for (const [i, { raw, weights }] of (await session.run(batch)).entries()) {
        const expected = scores[first + i]
        expect(Math.abs(raw - expected)).toBeLessThan(2e-4 * Math.max(1, expected))
        const squares = parts.slice(4 * (first + i), 4 * (first + i + 1)).map(p => p * p)
        for (const [metric, square] of squares.entries()) {
          const given = weights()?.[metric] as number
          expect(Math.abs(given - square)).toBeLessThan(4e-4 * Math.max(1, expected ** 2))
        }
      }
    }
  } finally {
    await session.release()
  }
})

test('the same history gives the same bytes', () => {
  const make = () => toOnnx(train(rigHistory(3, 2000, 2), WEEKLY))
  const [a, b] = [make(), make()]
  expect(a.onnx.equals(b.onnx)).toBe(true)
  expect(a.json).toBe(b.json)
  expect(a.onnx.length).toBeLessThan(3000)
  expect(toOnnx(train(rigHistory(4, 2000, 2), WEEKLY)).json).not.toBe(a.json)
})

test.each([2000, 20_000])(
  'false alarms keep within the budget on fresh data, after %i rows',
  rows => {
    const hours = 24
    const budgets = ['1/hour', '1/week'].map(parseBudget)
    const alarms = [0, 0]
    for (const seed of [21, 22, 23, 24]) {
      const fresh = rigRows(new Prng(100 + seed), hours * 3600)
      for (const [i, budget] of budgets.entries()) {
        const { model, threshold } = train(rigHistory(seed, rows), { budget })
        alarms[i] += alertRanges(scoresOf(model, fresh), threshold).length
      }
    }
    expect(alarms[0] / (4 * hours)).toBeLessThanOrEqual(1)
    expect(alarms[1] / (4 * hours)).toBeLessThanOrEqual(1 / (7 * 24))
    // Not so far below that faults would be missed for it.
    if (rows === 20_000) expect(alarms[0] / (4 * hours)).toBeGreaterThan(0.2)
  },
  60_000
)

test('a budget as a share of the time is that share of the held-out rows', () => {
  const runs = [Float64Array.from({ length: 1000 }, (_, i) => i)]
  const heldOut = { runs, everyMs: 1000, windowRows: 67 }
  const line = thresholdFor(parseBudget('10%'), heldOut)
  expect(runs[0].filter(score => score >= line)).toHaveLength(100)
})

test.each(['1', 'x/week', '0/week', '100%', '0%', '1/fortnight', '-1/day'])(
  'a budget of %s is refused, and the right way shown',
  text => {
    expect(() => parseBudget(text)).toThrow(/write it as 1\/week/)
  }
)

test.each(['1/week', '2 per day', '0.5/month', '1 a week', '1%', '12.5 %'])(
  'a budget of %s is understood',
  text => {
    expect(parseBudget(text).text).toBe(text)
  }
)

test('with a long recording without anomalies the training is rehearsed on it', () => {
  const history = rigHistory(30, 400)
  const prior = rigHistory(31, 4000)
  const own = rehearse(history, 20)
  expect([own.on, own.trainings]).toEqual(['history', 2]) // a quarter is too short
  const { on, trainings, runs } = rehearse(history, 20, prior)
  expect([on, trainings]).toEqual(['prior', 33])
  expect(runs.every(run => run.length === 400)).toBe(true)
  // Too short for it: only its persistence counts.
  expect(rehearse(history, 20, rigHistory(32, 900)).on).toBe('history')
})

test('windows never span two stretches or devices', () => {
  const rows = rigRows(new Prng(40), 3000)
  const far = rows.map(row => row.map(v => v + 1e6))
  const history = { ...rigHistory(1, 0), stretches: [] as ReturnType<typeof stretch>[] }
  const stretch = (device: string, part: Float64Array[]) => ({ device, firstAt: START, rows: part })
  history.stretches = [stretch('a/1', rows), stretch('a/2', far)]
  const { model } = train(history, WEEKLY)
  // A window over both would hold a jump of a million in every metric.
  expect(model.deviation.every(d => d < 0.05)).toBe(true)
})

test('metrics that never change are left out and told', () => {
  const history = rigHistory(50, 1000)
  const still = {
    ...history,
    metrics: [...METRICS, 'mode'],
    stretches: history.stretches.map(s => ({
      ...s,
      rows: s.rows.map(row => Float64Array.of(...row, 7))
    }))
  }
  const detector = train(still, WEEKLY)
  expect(detector.constant).toEqual(['mode'])
  expect(detector.model.metrics).toEqual(METRICS)
  expect(toOnnx(detector).json).toBe(toOnnx(train(history, WEEKLY)).json)
  expect(reportOf(still, detector).alerts).toEqual(reportOf(history, train(history, WEEKLY)).alerts)
})

test('what cannot be learned from is refused with what is needed', () => {
  expect(() => train(rigHistory(60, 200), WEEKLY)).toThrow(
    /has 200 rows .*201 rows .*there are 134/
  )
  const history = rigHistory(61, 1000)
  const still = pick(history, ['flow'])
  const rows = still.stretches[0].rows.map(() => Float64Array.of(1))
  const constant = { ...still, stretches: [{ ...still.stretches[0], rows }] }
  expect(() => train(constant, WEEKLY)).toThrow(/None of its metrics ever changes/)
  expect(() => train(history, { ...WEEKLY, prior: still })).toThrow(/lacks temperature, vibration/)
})

test('more metrics than rows of memory are learned, by leaning on each metric itself', () => {
  const prng = new Prng(62)
  const metrics = Array.from({ length: 40 }, (_, i) => `m${i}`)
  const rows = Array.from({ length: 300 }, () => Float64Array.from(metrics, () => prng.normal()))
  const stretches = [{ device: 'a/1', firstAt: START, rows }]
  const detector = train({ metrics, everyMs: 1000, ageMsMax: 3000, stretches }, WEEKLY)
  expect(detector.model.whitening.every(Number.isFinite)).toBe(true)
  expect(detector.threshold).toBeGreaterThan(detector.model.ordinary)
})

test('the average is twenty seconds, in rows', () => {
  expect([100, 1000, 2000, 60_000].map(smoothRowsFor)).toEqual([200, 20, 10, 5])
})

test('the report tells what a fault in the history would have brought', () => {
  const history = rigHistory(70, 4000)
  const faulty = { ...history, stretches: [{ ...history.stretches[0] }] }
  faulty.stretches[0].rows = rigRows(new Prng(71), 6000, 5800, 6)
  const report = reportOf(faulty, train(history, WEEKLY))
  expect(report.alerts).toHaveLength(1)
  const [alert] = report.alerts
  expect(alert).toMatchObject({ device: 'plant7/pump-0', metric: 'flow' })
  expect(alert.startedAt).toBeGreaterThanOrEqual(START + 5800 * 1000)
  expect(alert.startedAt).toBeLessThan(START + 5830 * 1000)
  expect(alert.peak).toBeGreaterThan(1)
})

test('alerts close together are one, as the engine has them', () => {
  const scores = Float64Array.of(0, 2, 0.8, 0.4, 0.4, 1.5, 0.1, 0.1, 0.1, 0.1, 0.1, 3)
  expect(alertRanges(scores, 1)).toEqual([
    [1, 5],
    [11, 11]
  ])
})

test('a trained model in the engine raises on a fault, and says which metric', async () => {
  const directory = join(temporaryDirectory(), 'rig')
  const { onnx, json } = toOnnx(train(rigHistory(80, 4000, 2), WEEKLY))
  mkdirSync(directory)
  writeFileSync(join(directory, 'model.onnx'), onnx)
  writeFileSync(join(directory, 'model.json'), json)
  const config = detectorConfig({ scorer: 'onnx', models: [{ name: 'rig', path: directory }] })
  const detector = new Detector(config, { source: '/fieldline/g', logger: silentLogger })
  await detector.open()
  try {
    const rows = rigRows(new Prng(81), 900, 600, 6)
    // One metric a message, as devices do: the grid puts them together.
    const readings = rows.flatMap((row, t) =>
      METRICS.map((metric, i) =>
        reading(4 * t + i, 'pump-1', START + t * 1000 + 50 * i, { [metric]: row[i] })
      )
    )
    const events = (await detector.process(readings)).flatMap(p => p.events)
    expect(events[0].data).toMatchObject({ state: 'raised', detector: { name: 'rig' } })
    const raisedAt = Number(events[0].id.split('/').at(-1)?.split('#')[0])
    expect(raisedAt).toBeGreaterThanOrEqual(START + 600_000)
    expect(raisedAt).toBeLessThan(START + 630_000)
    expect(events[0].data.contributions[0].metric).toBe('flow')
  } finally {
    await detector.close()
  }
})

function flat(rows: readonly Float64Array[]): Float64Array {
  return Float64Array.from(rows.flatMap(row => [...row]))
}
