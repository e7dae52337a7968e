import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadModel } from '../../../detector/scorer/onnx-models.ts'
import { parseSidecar } from '../../../detector/scorer/onnx-sidecar.ts'
import { encodeOnnx, type OnnxModel } from '../../../detector/scorer/onnx-writer.ts'
import { open, recorder, rowOf, scaling, written } from './onnx-kit.ts'

const MODELS = 'test/detector/scorer/models'

interface Expected {
  window: number[][]
  raw: number
  score: number
}

function expectedOf(name: string): Expected[] {
  return JSON.parse(readFileSync(join(MODELS, name, 'expected.json'), 'utf8'))
}

function windowsOf(expected: readonly Expected[]): Float64Array[] {
  return expected.map(e => Float64Array.from(e.window.flat()))
}

for (const name of ['dense-autoencoder', 'lstm', 'isolation-forest', 'scaler-pca-svm']) {
  test(`${name}: the real runtime gives what its makers computed, in a batch and alone`, async () => {
    const model = await loadModel({ name, path: join(MODELS, name) }, recorder().logger)
    const expected = expectedOf(name)
    const windows = windowsOf(expected)
    const many = Array.from({ length: 150 }, (_, i) => i % windows.length)
    const scores = await model.score(many.map(i => windows[i]))
    for (const [n, i] of many.entries()) expect(scores[n]?.score).toBeCloseTo(expected[i].score, 3)
    for (const [i, window] of windows.entries()) {
      const [alone] = await model.score([window])
      expect(alone?.score).toBeCloseTo(expected[i].score, 3)
    }
    expect(expected.filter(e => e.score >= 0.8).length).toBeGreaterThan(0)
    expect(expected.filter(e => e.score < 0.8).length).toBeGreaterThan(0)
    await model.close()
  })
}

test('the autoencoder and the LSTM name the metric that was changed', async () => {
  const first = async (name: string, index: number) => {
    const model = await loadModel({ name, path: join(MODELS, name) }, recorder().logger)
    const [score] = await model.score([windowsOf(expectedOf(name))[index]])
    await model.close()
    return score
  }
  expect((await first('dense-autoencoder', 6))?.contributions[0].metric).toBe('vibration')
  expect((await first('dense-autoencoder', 7))?.contributions[0].metric).toBe('rpm')
  const lstm = await first('lstm', 4)
  expect(lstm?.contributions[0].metric).toBe('current')
  expect(lstm?.contributions.reduce((sum, c) => sum + c.share, 0)).toBeCloseTo(1, 2)
  expect(lstm?.reason).toMatch(/of it from current$/)
  // A forest gives one number: who it was it cannot say.
  expect((await first('isolation-forest', 8))?.contributions).toEqual([])
})

test('labels, 64-bit whole numbers, are read like any other output', async () => {
  const directory = join(MODELS, 'isolation-forest')
  const sidecar = JSON.parse(readFileSync(join(directory, 'model.json'), 'utf8'))
  const path = written({
    'model.onnx': readFileSync(join(directory, 'model.onnx')),
    'model.json': JSON.stringify({ ...sidecar, output: 'label', spread: 1 })
  })
  const model = await loadModel({ name: 'labels', path }, recorder().logger)
  const expected = expectedOf('isolation-forest')
  const scores = await model.score(windowsOf(expected))
  // −1 is an outlier, 1 is none; the threshold between them is 0.
  for (const [i, { raw }] of expected.entries()) {
    if (Math.abs(raw) > 1e-3) expect(scores[i]?.score).toBeCloseTo(raw < 0 ? 16 / 17 : 0, 6)
  }
  await model.close()
})

/** Gives its input back, added to what each element is given here. */
function adding(values: number[], shape: (number | string)[], constant: number[]): OnnxModel {
  return {
    name: 'adding',
    producer: 'test',
    opset: 13,
    inputs: [{ name: 'x', shape }],
    outputs: [{ name: 'y', shape }],
    constants: [{ name: 'by', shape: constant, values }],
    nodes: [{ op: 'Add', inputs: ['x', 'by'], outputs: ['y'] }]
  }
}

const AB = ['a', 'b'].map(metric => ({ metric, mean: 10, std: 2 }))
const ROWS = { rows: 3, layout: 'rows_first' } as const
const METRICS = { rows: 3, layout: 'metrics_first' } as const
/** Differences of a and b in three rows; in units of 2. */
const BY_ROW = [0, 0, 1, 0, 3, -4]
const BY_METRIC = [0, 1, 3, 0, 0, -4]

const REDUCTIONS = [
  { reduction: 'mse', raw: (1 + 9 + 16) / 6, shares: { b: 0.615, a: 0.385 } },
  { reduction: 'mae', raw: (1 + 3 + 4) / 6, shares: { a: 0.5, b: 0.5 } },
  { reduction: 'max', raw: 4, shares: { b: 0.64, a: 0.36 } },
  { reduction: 'last', raw: (9 + 16) / 2, shares: { b: 0.64, a: 0.36 } }
] as const

for (const { reduction, raw, shares } of REDUCTIONS) {
  for (const window of [ROWS, METRICS]) {
    test(`${reduction} of a window rebuilt, ${window.layout}: one number and each metric's share`, async () => {
      const rowsFirst = window === ROWS
      const shape = rowsFirst ? ['batch', 3, 2] : ['batch', 2, 3]
      const values = rowsFirst ? BY_ROW : BY_METRIC
      const model = await open(adding(values, shape, rowsFirst ? [3, 2] : [2, 3]), {
        ...{ inputs: AB, window, reduction, threshold: 8 }
      })
      // Row by row, as the engine gives it; what is not known is the mean.
      const given = rowOf(8, 9, 10, 11, Number.NaN, 13)
      const [, score] = await model.score([given, given])
      const ratio = 1 + (raw - 8) / 8
      expect(score?.score).toBeCloseTo(ratio ** 2 / (ratio ** 2 + 0.25), 5)
      const list = Object.entries(shares).map(([metric, share]) => ({ metric, share }))
      expect(score?.contributions).toEqual(list)
      await model.close()
    })
  }
}

test('last of a sequence of scores is its newest', async () => {
  const sequence: OnnxModel = {
    ...adding([], ['batch', 3, 2], []),
    outputs: [{ name: 'y', shape: ['batch', 3] }],
    constants: [],
    nodes: [
      {
        op: 'ReduceMax',
        inputs: ['x'],
        outputs: ['y'],
        attributes: { axes: { ints: [2] }, keepdims: { int: 0 } }
      }
    ]
  }
  const inputs = AB.map(i => ({ ...i, mean: 0, std: 1 }))
  const model = await open(sequence, { inputs, window: ROWS, reduction: 'last', threshold: 5 })
  const [score] = await model.score([rowOf(1, 99, 1, 2, 4, 5)])
  expect(score?.score).toBeCloseTo(0.8, 6)
  expect(score?.contributions).toEqual([])
  await model.close()
})

test('a second output says what each metric contributed', async () => {
  const model = await open(
    {
      ...scaling([1, 1]),
      outputs: [
        { name: 'y', shape: ['rows', 1] },
        { name: 'parts', shape: ['rows', 2] }
      ],
      constants: [{ name: 'by', shape: [2], values: [1, 3] }],
      nodes: [
        { op: 'Mul', inputs: ['x', 'by'], outputs: ['parts'] },
        { op: 'ReduceMax', inputs: ['parts'], outputs: ['y'], attributes: { axes: { ints: [1] } } }
      ]
    },
    { contributions: 'parts' }
  )
  const [odd, negative] = await model.score([rowOf(1, 3), rowOf(-5, 3)])
  expect(odd?.contributions).toEqual([
    { metric: 'm1', share: 0.9 },
    { metric: 'm0', share: 0.1 }
  ])
  expect(negative?.contributions[0]).toEqual({ metric: 'm1', share: 1 })
  await model.close()
  await expect(open(scaling([1, 1]), { reduction: 'mse', contributions: 'z' })).rejects.toThrow(
    /has no output 'z'/
  )
})

test('a model that is only right row by row is run so', async () => {
  // The largest of the whole batch: rows get into each other.
  const mixing: OnnxModel = {
    ...scaling([1]),
    constants: [],
    nodes: [
      { op: 'ReduceMax', inputs: ['x'], outputs: ['top'], attributes: { axes: { ints: [0] } } },
      { op: 'Max', inputs: ['top', 'x'], outputs: ['y'] }
    ]
  }
  const model = await open(mixing)
  expect(model.batchMax).toBe(1)
  const scores = await model.score([rowOf(10), rowOf(5)])
  expect(scores.map(s => s?.score.toFixed(2))).toEqual(['0.80', '0.50'])
  await model.close()
})

test('double inputs, wrong windows and a model without numbers are refused with the reason', async () => {
  const identity: OnnxModel = {
    ...scaling([1]),
    constants: [],
    nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }]
  }
  // The element type of both values: float is 1, double 11.
  const double = Buffer.from(
    encodeOnnx(identity).toString('latin1').replaceAll('\x08\x01\x12', '\x08\x0b\x12'),
    'latin1'
  )
  const sha256 = createHash('sha256').update(double).digest('hex')
  const described = {
    version: '1',
    sha256,
    input: 'x',
    output: 'y',
    reduction: 'none',
    threshold: 1
  }
  const path = written({
    'model.onnx': double,
    'model.json': JSON.stringify({ ...described, inputs: [{ metric: 'm' }] })
  })
  await expect(loadModel({ name: 'double', path }, recorder().logger)).rejects.toThrow(
    /its input 'x' is a tensor of float64, float32 is given: export it with float inputs/
  )
  const rebuilt = adding(BY_ROW, ['batch', 3, 2], [3, 2])
  const refused = (changes: Parameters<typeof open>[1]) =>
    expect(open(rebuilt, { inputs: AB, reduction: 'mse', ...changes })).rejects
  await refused({}).toThrow(/its input is \[batch, 3, 2\], model.json names 2 metrics/)
  await refused({ window: METRICS }).toThrow(/names 2 metrics × 3 rows, metrics_first/)
  await refused({ window: { ...ROWS, rows: 4 } }).toThrow(/names 2 metrics × 4 rows/)
  await refused({ window: ROWS, reduction: 'none' }).toThrow(/has 6 numbers a row, 1 was expected/)
  await expect(open(scaling([Number.NaN]))).rejects.toThrow(/gives no number, even for the mean/)
})

test('model.json: scaling is 0 and 1 where it is left away, a metric stands once, windows are bounded', () => {
  const model = Buffer.from('m')
  const sha256 = createHash('sha256').update(model).digest('hex')
  const base = { version: '1', sha256, input: 'x', output: 'y', reduction: 'mae', threshold: 1 }
  const parse = (changes: object) =>
    parseSidecar(
      JSON.stringify({ ...base, inputs: [{ metric: 'a' }], ...changes }),
      model,
      'm.json'
    )
  expect(parse({}).inputs).toEqual([{ metric: 'a', mean: 0, std: 1 }])
  expect(() => parse({ inputs: [{ metric: 'a' }, { metric: 'a' }] })).toThrow(/named twice/)
  expect(() => parse({ window: { rows: 4097, layout: 'rows_first' } })).toThrow(/window.rows/)
  const inputs = Array.from({ length: 100 }, (_, i) => ({ metric: `m${i}` }))
  expect(() => parse({ inputs, window: { rows: 4096, layout: 'rows_first' } })).toThrow(/is above/)
  expect(() => parse({ fill: { method: 'guess' } })).toThrow(/fill.method/)
})

test('the model.json of the documentation is one', () => {
  const text = readFileSync('detector/DESIGN.md', 'utf8')
  const block = /^```json\n(\{\n {2}"version".*?)^```$/ms.exec(text)?.[1] ?? ''
  const model = Buffer.from('m')
  const sha256 = createHash('sha256').update(model).digest('hex')
  const parsed = parseSidecar(JSON.stringify({ ...JSON.parse(block), sha256 }), model, 'm.json')
  expect(parsed.window).toEqual({ rows: 16, layout: 'rows_first', every_ms: 1000 })
})

test('each call of the runtime is timed, and the rehearsal is not', async () => {
  const times: number[] = []
  const path = join(MODELS, 'dense-autoencoder')
  const onRun = (seconds: number) => times.push(seconds)
  const model = await loadModel({ name: 'timed', path }, recorder().logger, { onRun })
  expect(times).toEqual([])
  const [window] = windowsOf(expectedOf('dense-autoencoder'))
  await model.score([window])
  await model.score(Array.from({ length: model.batchMax + 1 }, () => window))
  expect(times).toHaveLength(3)
  for (const seconds of times) expect(seconds).toBeGreaterThan(0)
  await model.close()
})
