import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Prng } from '../../../core/runtime/prng.ts'
import { Welford } from '../../stats/welford.ts'
import type { OnnxSidecar } from '../onnx-sidecar.ts'
import { encodeOnnx } from '../onnx-writer.ts'

/**
 * Builds the example model: a linear autoencoder 3 → 1 → 3 (the first principal component) of a
 * pump whose temperature, vibration and current all follow its load. It knows no single limit; it
 * notices when the three no longer fit together.
 *
 * Deterministic: the same bytes every time, which a test compares with those committed.
 */
export function buildExample(): { onnx: Buffer; json: string } {
  const prng = new Prng(20261122)
  const rows = Array.from({ length: 4000 }, () => pump(prng))
  const scaling = METRICS.map((metric, i) => {
    const stats = new Welford()
    for (const row of rows) stats.add(row[i])
    return { metric, mean: digits(stats.mean, 4), std: digits(stats.deviation, 4) }
  })
  const scaled = rows.map(row => row.map((v, i) => (v - scaling[i].mean) / scaling[i].std))
  const component = principal(scaled).map(v => digits(v, 6))
  const onnx = encodeOnnx({
    name: 'pump-example',
    producer: 'fieldline',
    opset: 13,
    inputs: [{ name: 'x', shape: ['rows', 3] }],
    outputs: [{ name: 'rebuilt', shape: ['rows', 3] }],
    constants: [
      { name: 'encode', shape: [3, 1], values: component },
      { name: 'decode', shape: [1, 3], values: component }
    ],
    nodes: [
      { op: 'MatMul', inputs: ['x', 'encode'], outputs: ['code'] },
      { op: 'MatMul', inputs: ['code', 'decode'], outputs: ['rebuilt'] }
    ]
  })
  const errors = scaled.map(row => squareError(row, component)).sort((a, b) => a - b)
  const sidecar: OnnxSidecar = {
    version: '1',
    sha256: createHash('sha256').update(onnx).digest('hex'),
    input: 'x',
    inputs: scaling,
    output: 'rebuilt',
    reduction: 'mse',
    direction: 'higher',
    // Twice the largest error of ordinary data.
    threshold: digits(2 * errors[errors.length - 1], 4)
  }
  return { onnx, json: `${JSON.stringify(sidecar, null, 2)}\n` }
}

const METRICS = ['temperature', 'vibration', 'current']

/** One ordinary reading: load 0…1 drives all three. */
export function pump(prng: Prng): number[] {
  const load = prng.float()
  return [
    40 + 30 * load + 0.8 * prng.normal(),
    1 + 3 * load + 0.1 * prng.normal(),
    2 + 10 * load + 0.3 * prng.normal()
  ]
}

/** Power iteration on the covariance: ample for one component. */
function principal(rows: readonly number[][]): number[] {
  let v = [1, 1, 1]
  for (let i = 0; i < 50; i++) {
    const next = [0, 0, 0]
    for (const row of rows) {
      const along = row[0] * v[0] + row[1] * v[1] + row[2] * v[2]
      for (let k = 0; k < 3; k++) next[k] += along * row[k]
    }
    const length = Math.hypot(...next)
    v = next.map(n => n / length)
  }
  return v
}

function squareError(row: readonly number[], component: readonly number[]): number {
  const code = row.reduce((sum, x, i) => sum + x * component[i], 0)
  return row.reduce((sum, x, i) => sum + (x - code * component[i]) ** 2, 0) / row.length
}

/** Rounding hides what differs between machines in the last bits. */
function digits(value: number, places: number): number {
  return Number(value.toFixed(places))
}

/** `node dist/detector/scorer/models/build-example.js DIRECTORY` */
if (process.argv[1]?.endsWith('build-example.js')) {
  const directory = process.argv[2] ?? 'detector/scorer/models/example'
  const { onnx, json } = buildExample()
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'model.onnx'), onnx)
  await writeFile(join(directory, 'model.json'), json)
}
