import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { Detector, type DetectorReading } from '../../../detector/detector.ts'
import { buildExample, pump } from '../../../detector/scorer/models/build-example.ts'
import { loadModel } from '../../../detector/scorer/onnx-models.ts'
import { OnnxScorer } from '../../../detector/scorer/onnx-scorer.ts'
import type { OnnxSidecar } from '../../../detector/scorer/onnx-sidecar.ts'
import { encodeOnnx, type OnnxModel } from '../../../detector/scorer/onnx-writer.ts'
import { detectorConfig, reading, T0 } from '../kit.ts'
import { open, recorder, rowOf, scaling, written } from './onnx-kit.ts'

const EXAMPLE = 'detector/scorer/models/example'

test('the committed example is what the script builds, byte for byte', () => {
  const { onnx, json } = buildExample()
  expect(onnx.equals(readFileSync(join(EXAMPLE, 'model.onnx')))).toBe(true)
  expect(json).toBe(readFileSync(join(EXAMPLE, 'model.json'), 'utf8'))
  expect(onnx.length).toBeLessThan(4096)
})

test('the example model, in the real runtime, finds metrics that do not fit together', async () => {
  const model = await loadModel({ name: 'pump', path: EXAMPLE }, recorder().logger)
  const prng = new Prng(99)
  const ordinary = Array.from({ length: 1000 }, () => Float64Array.from(pump(prng)))
  const scores = await model.score(ordinary)
  expect(scores.filter(s => !s || s.score >= 0.8)).toEqual([])
  // Each value alone is ordinary; together they are not: full vibration at no load.
  const [odd] = await model.score([rowOf(42, 3.8, 2.6)])
  expect(odd?.score).toBeGreaterThanOrEqual(0.8)
  expect(odd?.contributions[0].metric).toBe('vibration')
  expect(odd?.contributions.reduce((sum, c) => sum + c.share, 0)).toBeCloseTo(1, 2)
  expect(odd?.reason).toMatch(
    /^its metrics do not fit together: \d+\.\d times the model's threshold/
  )
  // Against the same arithmetic in plain JavaScript.
  const { inputs, threshold } = JSON.parse(readFileSync(join(EXAMPLE, 'model.json'), 'utf8'))
  const x = [42, 3.8, 2.6].map((v, i) => (v - inputs[i].mean) / inputs[i].std)
  const bytes = readFileSync(join(EXAMPLE, 'model.onnx'))
  const at = bytes.indexOf('encode') + 'encode'.length
  const weights = [0, 1, 2].map(i => bytes.readFloatLE(bytes.indexOf(0x4a, at) + 2 + 4 * i))
  const code = x.reduce((sum, v, i) => sum + v * weights[i], 0)
  const mse = x.reduce((sum, v, i) => sum + (v - code * weights[i]) ** 2, 0) / 3
  const square = (mse / threshold) ** 2
  expect(odd?.score).toBeCloseTo(square / (square + 0.25), 3)
  await model.close()
})

test('batches of more than 64 rows give each row its own score, in order', async () => {
  const model = await open(scaling([1]))
  const rows = Array.from({ length: 200 }, (_, i) => rowOf(i / 10))
  const together = await model.score(rows)
  const apart = await Promise.all(rows.map(async r => (await model.score([r]))[0]))
  expect(together).toEqual(apart)
  expect(together[100]?.score).toBeCloseTo(0.8, 6)
  expect(await model.score([])).toEqual([])
  await model.close()
})

test('a model exported for one row at a time is run so', async () => {
  const model = await open(scaling([1], 1))
  const scores = await model.score([rowOf(10), rowOf(5), rowOf(20)])
  expect(scores.map(s => s?.score.toFixed(2))).toEqual(['0.80', '0.50', '0.94'])
  await model.close()
})

test('direction lower, and a threshold of 0 with a spread, are scored on the same scale', async () => {
  const model = await open(scaling([1]), { direction: 'lower', threshold: 0, spread: 0.5 })
  const scores = await model.score([rowOf(0.5), rowOf(0), rowOf(-0.5)])
  expect(scores.map(s => s?.score.toFixed(2))).toEqual(['0.00', '0.80', '0.94'])
  await model.close()
})

test('a row that gives no number is left out, the others stand, and it is said once', async () => {
  const { lines, logger } = recorder()
  const model = await open(scaling([3e38]), {}, logger)
  const scores = await model.score([rowOf(10), rowOf(1e-38), rowOf(10)])
  expect(scores.map(s => s !== undefined)).toEqual([false, true, false])
  expect(lines.map(l => l.event)).toEqual(['detector.model_not_a_number'])
  await model.close()
})

test('what does not fit is refused when it is opened, with the reason', async () => {
  const refused = (model: OnnxModel, changes: Partial<OnnxSidecar>) =>
    expect(open(model, changes)).rejects
  await refused(scaling([1]), { input: 'z' }).toThrow(/has no input 'z', only x/)
  await refused(scaling([1]), { output: 'z' }).toThrow(/has no output 'z', only y/)
  await refused(scaling([1, 2]), {}).toThrow(/output 'y' has 2 numbers a row, 1 was expected/)
  await refused(scaling([1, 2]), { inputs: [{ metric: 'm', mean: 0, std: 1 }] }).toThrow(
    /model.json names 1 metrics/
  )
  await refused(scaling([1], 8), {}).toThrow(/takes exactly 8 rows/)
})

test('damaged, missing and swapped files are each one clear error', async () => {
  const { onnx, json } = buildExample()
  const load = (files: Record<string, string | Uint8Array>) =>
    expect(loadModel({ name: 'pump', path: written(files) }, recorder().logger)).rejects
  await load({}).toMatchObject({ code: 'MODEL_UNUSABLE', message: /cannot be read: ENOENT/ })
  await load({ 'model.onnx': onnx }).toThrow(/model\.json/)
  await load({ 'model.onnx': onnx, 'model.json': '{' }).toThrow(/is no JSON/)
  await load({ 'model.onnx': onnx, 'model.json': '{"sha256":1}' }).toThrow(/has mistakes: .*sha256/)
  const swapped = encodeOnnx(scaling([1, 1, 1]))
  await load({ 'model.onnx': swapped, 'model.json': json }).toThrow(/describes another model/)
  const garbage = Buffer.from('garbage')
  const sha256 = createHash('sha256').update(garbage).digest('hex')
  const described = JSON.stringify({ ...JSON.parse(json), sha256 })
  await load({ 'model.onnx': garbage, 'model.json': described }).toThrow(
    /Model pump cannot be used/
  )
})

test('a machine without the runtime is told what to do', async () => {
  const { onnx, json } = buildExample()
  const absent = Object.assign(new Error("Cannot find package 'onnxruntime-node'"), {
    code: 'ERR_MODULE_NOT_FOUND'
  })
  const opening = OnnxScorer.open({
    name: 'pump',
    model: onnx,
    sidecar: JSON.parse(json),
    covers: () => true,
    logger: recorder().logger,
    importRuntime: () => Promise.reject(absent)
  })
  await expect(opening).rejects.toMatchObject({
    code: 'MODEL_UNUSABLE',
    message: expect.stringMatching(/not installed: npm install onnxruntime-node@/)
  })
})

/** A pump's readings; one metric a message, as devices do. At `oddFrom` vibration leaves the load. */
function pumpReadings(count: number, oddFrom: number): DetectorReading[] {
  const prng = new Prng(5)
  return Array.from({ length: count }, (_, i) => {
    const [temperature, vibration, current] = pump(prng)
    const odd = i >= oddFrom && i < oddFrom + 3
    const values = odd
      ? { temperature: 42, vibration: 3.9, current: 2.6 }
      : { temperature, vibration, current }
    return reading(i, 'pump-1', T0 + i * 500, values)
  })
}

async function eventsWith(path: string, logger: ReturnType<typeof recorder>['logger']) {
  const config = detectorConfig({ scorer: 'onnx', models: [{ name: 'pump', path }] })
  const detector = new Detector(config, { source: '/fieldline/g', logger })
  await detector.open()
  const processed = await detector.process(pumpReadings(400, 300))
  const counters = detector.counters()
  await detector.close()
  return { events: processed.flatMap(p => p.events), counters }
}

test('the engine raises one alert of the device where the model says so, and no series of it', async () => {
  const { lines, logger } = recorder()
  const { events, counters } = await eventsWith(EXAMPLE, logger)
  expect(events.map(e => [e.data.state, e.data.metric])).toEqual([
    ['raised', '-'],
    ['cleared', '-']
  ])
  expect(events[0].data.detector).toMatchObject({ name: 'pump', version: '1' })
  expect(events[0].data.contributions[0].metric).toBe('vibration')
  expect(events[0].id).toBe(`plant7/pump-1/-/anomaly/${T0 + 300 * 500}#1`)
  expect(counters).toMatchObject({ modelRows: 400, modelFallbacks: 0 })
  expect(lines.map(l => l.level)).toEqual(['info'])
})

test('with a model that cannot be used the z-score answers, after one error', async () => {
  const { lines, logger } = recorder()
  const { events, counters } = await eventsWith('/nowhere/model.onnx', logger)
  expect(counters).toMatchObject({ modelRows: 0, scored: 1200 })
  expect(events.every(e => e.data.detector.name === 'zscore')).toBe(true)
  expect(lines.map(l => [l.level, l.event])).toEqual([['error', 'detector.model_unusable']])
})

test('a model that fails while it runs is let go, its alert cleared, and the z-score goes on', async () => {
  const { lines, logger } = recorder()
  let failing = false
  const runtime = await import('onnxruntime-node')
  const { onnx, json } = buildExample()
  const model = await OnnxScorer.open({
    name: 'pump',
    model: onnx,
    sidecar: JSON.parse(json),
    covers: () => true,
    logger,
    importRuntime: async () => ({
      ...runtime,
      InferenceSession: {
        ...runtime.InferenceSession,
        create: async (bytes: Uint8Array) => {
          const session = await runtime.InferenceSession.create(bytes)
          const run = session.run.bind(session)
          session.run = ((...args: Parameters<typeof run>) => {
            if (failing) throw new Error('out of memory')
            return run(...args)
          }) as typeof session.run
          return session
        }
      } as unknown as typeof runtime.InferenceSession
    })
  })
  const detector = new Detector(detectorConfig(), {
    source: '/fieldline/g',
    logger,
    models: [model]
  })
  const readings = pumpReadings(400, 300)
  const before = (await detector.process(readings.slice(0, 302))).flatMap(p => p.events)
  expect(before.map(e => e.data.state)).toEqual(['raised'])
  failing = true
  const after = (await detector.process(readings.slice(302))).flatMap(p => p.events)
  const device = after.filter(e => e.data.metric === '-')
  expect(device.map(e => [e.data.state, e.data.reason])).toEqual([
    ['cleared', 'the model no longer gives scores']
  ])
  expect(detector.counters()).toMatchObject({ modelRows: 302, modelFallbacks: 98 })
  expect(lines.filter(l => l.level === 'error').map(l => l.event)).toEqual([
    'detector.model_failed'
  ])
})

test('while a model gives no numbers the z-score raises, and the model is told of once', async () => {
  const { lines, logger } = recorder()
  // The square root of a number below 0 is none; that of the rehearsal's is one.
  const root = { ...scaling([1]), constants: [] }
  root.nodes = [{ op: 'Sqrt', inputs: ['x'], outputs: ['y'] }]
  const inputs = [{ metric: 'load', mean: 0, std: 1 }]
  const model = await open(root, { inputs }, logger)
  const config = detectorConfig({ scorer: 'onnx' })
  const detector = new Detector(config, { source: '/fieldline/g', logger, models: [model] })
  const prng = new Prng(7)
  const readings = Array.from({ length: 200 }, (_, i) =>
    reading(i, 'pump-1', T0 + i * 500, { load: -60 + prng.normal() + (i === 150 ? -30 : 0) })
  )
  const events = (await detector.process(readings)).flatMap(p => p.events)
  expect(events.map(e => [e.data.state, e.data.metric, e.data.detector.name])).toEqual([
    ['raised', 'load', 'zscore'],
    ['cleared', 'load', 'zscore']
  ])
  expect(detector.counters()).toMatchObject({ modelRows: 0, modelFallbacks: 200 })
  expect(lines.map(l => `${l.level} ${l.event}`)).toEqual(['error detector.model_not_a_number'])
  await detector.close()
})
