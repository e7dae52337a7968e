import { createHash } from 'node:crypto'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { Detector, type DetectorReading } from '../../../detector/detector.ts'
import { watchModel } from '../../../detector/scorer/onnx-models.ts'
import type { ImportRuntime } from '../../../detector/scorer/onnx-runtime.ts'
import { encodeOnnx, type OnnxModel } from '../../../detector/scorer/onnx-writer.ts'
import { detectorConfig, reading, T0 } from '../kit.ts'
import { recorder, rowOf, scaling, written } from './onnx-kit.ts'

/** A model of one metric whose answer is the value; 0.8 at the threshold. */
function filesOf(version: string, threshold: number, model: OnnxModel = scaling([1])) {
  const onnx = encodeOnnx(model)
  const sha256 = createHash('sha256').update(onnx).digest('hex')
  const inputs = [{ metric: 'load' }]
  const described = { version, sha256, input: 'x', inputs, output: 'y' }
  return {
    'model.onnx': onnx,
    'model.json': JSON.stringify({ ...described, reduction: 'none', threshold })
  }
}

function replace(directory: string, files: Record<string, string | Uint8Array>): void {
  for (const [name, content] of Object.entries(files)) {
    // As copying tools do: a new file each time, so that size and time need not differ.
    writeFileSync(join(directory, `${name}.new`), content)
    renameSync(join(directory, `${name}.new`), join(directory, name))
  }
}

async function watched(directory: string, importRuntime?: ImportRuntime) {
  const { lines, logger } = recorder()
  let timers = 0
  const model = await watchModel({ name: 'watched', path: directory }, logger, {
    every: () => {
      timers++
      return () => void timers--
    },
    ...(importRuntime ? { importRuntime } : {})
  })
  /** Two looks: the files have changed, and have come to rest. */
  const settle = async () => {
    await model.look()
    await model.look()
  }
  return {
    model,
    settle,
    events: () => lines.map(l => `${l.level} ${l.event}`),
    lines,
    timersLeft: () => timers
  }
}

test('changed files are loaded once they have come to rest, and a batch in hand keeps what it began with', async () => {
  const directory = written(filesOf('1', 10))
  const { model, settle, events, timersLeft } = await watched(directory)
  const first = model.current
  first?.retain()
  replace(directory, filesOf('2', 20))
  await model.look()
  expect(model.current?.version).toBe('1')
  await settle()
  expect(model.current?.version).toBe('2')
  expect((await first?.score([rowOf(10)]))?.[0]?.score).toBeCloseTo(0.8, 6)
  expect((await model.current?.score([rowOf(20)]))?.[0]?.score).toBeCloseTo(0.8, 6)
  first?.release()
  await settle()
  expect(events()).toEqual(['info detector.model_loaded', 'info detector.model_loaded'])
  await model.close()
  expect(timersLeft()).toBe(0)
  expect(await first?.score([rowOf(10)])).toEqual([undefined])
})

test('a broken, missing or mismatched new file keeps the old model, with one error each', async () => {
  const directory = written(filesOf('1', 10))
  const { model, settle, lines } = await watched(directory)
  const broken = filesOf('2', 20)
  replace(directory, { ...broken, 'model.onnx': encodeOnnx(scaling([2])) })
  for (let i = 0; i < 5; i++) await settle()
  replace(directory, { ...broken, 'model.json': '{' })
  for (let i = 0; i < 5; i++) await settle()
  replace(directory, filesOf('2', 20, scaling([Number.NaN])))
  for (let i = 0; i < 5; i++) await settle()
  rmSync(join(directory, 'model.json'))
  for (let i = 0; i < 5; i++) await settle()
  expect(lines.map(l => l.level)).toEqual(['info', 'error', 'error', 'error', 'error'])
  for (const [i, why] of [/another model/, /no JSON/, /gives no number/, /ENOENT/].entries()) {
    expect(lines[i + 1].msg).toMatch(why)
    expect(lines[i + 1].msg).toMatch(/The one loaded before stays in use\.$/)
  }
  expect(model.current?.version).toBe('1')
  expect((await model.current?.score([rowOf(10)]))?.[0]?.score).toBeCloseTo(0.8, 6)
  replace(directory, filesOf('3', 20))
  await settle()
  expect(model.current?.version).toBe('3')
  await model.close()
})

test('a model that is missing at the start is used when it comes', async () => {
  const directory = written({})
  const { model, settle, events, lines } = await watched(directory)
  await settle()
  expect(model.current).toBeUndefined()
  expect(events()).toEqual(['error detector.model_unusable'])
  expect(lines[0].msg).toMatch(/Until its files change the z-score answers for its devices\.$/)
  replace(directory, filesOf('1', 10))
  await settle()
  expect(model.current?.version).toBe('1')
  await model.close()
})

test('without the runtime there is one error and no model, and looking on does no harm', async () => {
  const absent = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
  const { model, settle, events } = await watched(written(filesOf('1', 10)), () =>
    Promise.reject(absent)
  )
  await settle()
  expect(model.current).toBeUndefined()
  expect(events()).toEqual(['error detector.model_unusable'])
  await model.close()
})

test('the timer of a watched model does not keep a process alive', async () => {
  const started = vi.spyOn(globalThis, 'setInterval')
  const model = await watchModel({ name: 'w', path: written({}) }, recorder().logger)
  expect(started.mock.results.map(r => r.value.hasRef())).toEqual([false])
  started.mockRestore()
  await model.close()
})

const LSTM = 'test/detector/scorer/models/lstm'

/** The LSTM's signals at second `t`; one metric a message, as devices do. */
function swings(seconds: number, devices: number, odd: (t: number, d: number) => number) {
  const readings: DetectorReading[] = []
  for (let t = 0; t < seconds; t++) {
    for (let d = 0; d < devices; d++) {
      const wave = [0, 0.25, 0.4].map(p => Math.sin(2 * Math.PI * ((t + d) / 12 + p)))
      const values = {
        flow: 20 + 4 * wave[0],
        current: 3 + 0.5 * wave[1] + odd(t, d),
        pressure: 100 + 9 * wave[2]
      }
      for (const [metric, value] of Object.entries(values)) {
        readings.push(
          reading(readings.length, `mill-${d}`, T0 + t * 1000 + 7 * d, { [metric]: value })
        )
      }
    }
  }
  return readings
}

const FAULT = swings(120, 4, (t, d) => (d === 2 && t >= 70 && t < 75 ? 1 : 0))

function lstmDetector(path = LSTM, logger = recorder().logger) {
  const config = detectorConfig({ scorer: 'onnx', models: [{ name: 'mill', path }] })
  return new Detector(config, { source: '/fieldline/g', logger })
}

async function eventsOf(detector: Detector, readings: readonly DetectorReading[], batch: number) {
  const events = []
  for (let first = 0; first < readings.length; first += batch) {
    const processed = await detector.process(readings.slice(first, first + batch))
    events.push(...processed.flatMap(p => p.events))
  }
  return events
}

function told(events: Awaited<ReturnType<typeof eventsOf>>) {
  return events.map(({ id, data }) => [id, data.metric, data.score.toFixed(2), data.reason])
}

test('an LSTM over windows of a grid finds the fault, the same however the readings are cut', async () => {
  const runs = []
  for (const batch of [1, 7, 300, 5000]) {
    const detector = lstmDetector()
    await detector.open()
    const events = await eventsOf(detector, FAULT, batch)
    runs.push({ told: told(events), counters: detector.counters() })
    if (batch === 300) {
      const raised = events.filter(e => e.data.state === 'raised')
      expect(raised.map(e => [e.data.device, e.data.metric])).toEqual([['mill-2', '-']])
      expect(raised[0].data.contributions[0].metric).toBe('current')
      // The row of second 70 is over with the first reading of second 71.
      expect(raised[0].data.startedAt).toBe(new Date(T0 + 71_000 + 14).toISOString())
    }
    await detector.close()
  }
  for (const run of runs) expect(run).toEqual(runs[0])
  // 16 rows fill a window, and the last second is not over: 120 − 15 − 1 rows a device.
  expect(runs[0].counters).toMatchObject({ modelRows: 4 * 104, modelFallbacks: 0 })
})

test('windows and open alerts go through a snapshot', async () => {
  const undisturbed = lstmDetector()
  await undisturbed.open()
  const whole = told(await eventsOf(undisturbed, FAULT, 100))
  // Within the fault, within a second, and before the windows are full.
  for (const cut of [850, 865, 100]) {
    const before = lstmDetector()
    await before.open()
    const first = told(await eventsOf(before, FAULT.slice(0, cut), 100))
    const after = lstmDetector()
    await after.open()
    expect(after.restore(before.snapshot())).toBe(true)
    expect(after.snapshot().equals(before.snapshot())).toBe(true)
    expect([...first, ...told(await eventsOf(after, FAULT.slice(cut), 100))]).toEqual(whole)
    await before.close()
    await after.close()
  }
  await undisturbed.close()
})

test('a snapshot taken while the model is away keeps its windows for when it is back', async () => {
  const before = lstmDetector()
  await before.open()
  await eventsOf(before, FAULT.slice(0, 600), 100)
  const away = lstmDetector('/nowhere')
  await away.open()
  expect(away.restore(before.snapshot())).toBe(true)
  await eventsOf(away, FAULT.slice(600, 720), 100)
  expect(away.counters()).toMatchObject({ modelRows: 0, modelFallbacks: 40 })
  const back = lstmDetector()
  await back.open()
  expect(back.restore(away.snapshot())).toBe(true)
  await eventsOf(back, FAULT.slice(720), 100)
  expect(back.counters()).toMatchObject({ modelRows: 4 * 60, modelFallbacks: 0 })
  for (const detector of [before, away, back]) await detector.close()
})

test('a model reloaded in the middle of a fault goes on with the windows and the open alert', async () => {
  const files = {
    'model.onnx': readFileSync(join(LSTM, 'model.onnx')),
    'model.json': readFileSync(join(LSTM, 'model.json'), 'utf8')
  }
  const directory = written(files)
  const { lines, logger } = recorder()
  const model = await watchModel({ name: 'mill', path: directory }, logger, {
    every: () => () => {}
  })
  const config = detectorConfig()
  const detector = new Detector(config, { source: '/fieldline/g', logger, models: [model] })
  const before = await eventsOf(detector, FAULT.slice(0, 870), 100)
  expect(before.map(e => e.data.state)).toEqual(['raised'])
  replace(directory, {
    'model.json': JSON.stringify({ ...JSON.parse(files['model.json']), version: '2' })
  })
  await model.look()
  await model.look()
  const after = await eventsOf(detector, FAULT.slice(870), 100)
  expect(after.map(e => e.data.state).at(-1)).toBe('cleared')
  expect(after.filter(e => e.data.state === 'raised' && e.data.metric === '-')).toEqual([])
  expect(
    new Set(after.filter(e => e.data.metric === '-').map(e => e.data.detector.version))
  ).toEqual(new Set(['2']))
  expect(detector.counters()).toMatchObject({ modelRows: 4 * 104, modelFallbacks: 0 })
  expect(lines.map(l => l.level)).toEqual(['info', 'info'])
  await detector.close()
})

test('windows stay within their memory: the longest unheard go, with one warning', async () => {
  const { lines, logger } = recorder()
  const config = {
    ...detectorConfig({ scorer: 'onnx', models: [{ name: 'mill', path: LSTM }] }),
    // 16 rows of 3, and what is known of the values: 464 bytes a device.
    windowBytesMax: 3 * 464
  }
  const detector = new Detector(config, { source: '/fieldline/g', logger })
  await detector.open()
  await eventsOf(detector, FAULT, 100)
  expect(lines.filter(l => l.level === 'warn').map(l => l.event)).toEqual([
    'detector.windows_crowded'
  ])
  expect(detector.counters().modelRows).toBe(0)
  const roomy = new Detector(
    { ...config, windowBytesMax: 4 * 464 },
    { source: '/fieldline/g', logger }
  )
  await roomy.open()
  await eventsOf(roomy, FAULT, 100)
  expect(roomy.counters().modelRows).toBe(4 * 104)
  for (const d of [detector, roomy]) await d.close()
})
