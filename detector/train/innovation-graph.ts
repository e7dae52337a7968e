import { createHash } from 'node:crypto'
import type { OnnxSidecar } from '../scorer/onnx-sidecar.ts'
import { encodeOnnx } from '../scorer/onnx-writer.ts'
import { type InnovationModel, LAGS, windowRows } from './innovation-model.ts'
import type { TrainedDetector } from './train.ts'

/** Read by every runtime since 2021; the axes of ReduceL2 are attributes up to 17. */
const OPSET = 13

/**
 * The detector as files for the agent: standard operators, nothing kept between calls.
 *
 *     x [batch, metrics, rows]   scaled as model.json says
 *     Conv, Clip                 what the forecasts missed, in standard deviations
 *     MatMul                     averaged by the decay weights → [batch, metrics]
 *     MatMul, Mul, ReduceL2      → contributions [batch, metrics], score [batch]
 */
export function toOnnx(detector: TrainedDetector): { onnx: Buffer; json: string } {
  const { model, threshold, everyMs, ageMsMax } = detector
  const onnx = encodeOnnx(graphOf(model))
  const sha256 = createHash('sha256').update(onnx).digest('hex')
  const sidecar: OnnxSidecar = {
    version: sha256.slice(0, 12),
    sha256,
    input: 'x',
    inputs: model.metrics.map((metric, i) => ({ metric, mean: model.mean[i], std: model.std[i] })),
    window: { rows: windowRows(model), layout: 'metrics_first', every_ms: everyMs },
    fill: { method: 'last', max_ms: ageMsMax },
    output: 'score',
    contributions: 'contributions',
    reduction: 'none',
    direction: 'higher',
    threshold
  }
  return { onnx, json: `${JSON.stringify(sidecar, null, 2)}\n` }
}

function graphOf(model: InnovationModel) {
  const { metrics, clip, decay, whitening } = model
  const m = metrics.length
  const rows = windowRows(model)
  return {
    name: 'innovations',
    producer: 'fieldline',
    opset: OPSET,
    inputs: [{ name: 'x', shape: ['batch', m, rows] }],
    outputs: [
      { name: 'score', shape: ['batch'] },
      { name: 'contributions', shape: ['batch', m] }
    ],
    constants: [
      { name: 'forecast', shape: [m, m, LAGS + 1], values: kernelOf(model) },
      { name: 'lower', shape: [], values: [-clip] },
      { name: 'upper', shape: [], values: [clip] },
      // In the window the newest row is the last.
      { name: 'decay', shape: [decay.length], values: [...decay].reverse() },
      { name: 'whitening', shape: [m, m], values: [...whitening] }
    ],
    nodes: [
      { op: 'Conv', inputs: ['x', 'forecast'], outputs: ['missed'] },
      { op: 'Clip', inputs: ['missed', 'lower', 'upper'], outputs: ['clipped'] },
      { op: 'MatMul', inputs: ['clipped', 'decay'], outputs: ['average'] },
      { op: 'MatMul', inputs: ['average', 'whitening'], outputs: ['parts'] },
      { op: 'Mul', inputs: ['parts', 'parts'], outputs: ['contributions'] },
      {
        op: 'ReduceL2',
        inputs: ['parts'],
        outputs: ['score'],
        attributes: { axes: { ints: [1] }, keepdims: { int: 0 } }
      }
    ]
  }
}

/** [to, from, row]: 1 at the metric's own newest row, minus the forecast at those before it. */
function kernelOf({ metrics, coefficients, deviation }: InnovationModel): number[] {
  const m = metrics.length
  const kernel = new Array<number>(m * m * (LAGS + 1)).fill(0)
  for (let to = 0; to < m; to++) {
    for (let from = 0; from < m; from++) {
      const at = (to * m + from) * (LAGS + 1)
      for (let lag = 0; lag < LAGS; lag++) {
        // Lag 1 is the row before the newest.
        kernel[at + LAGS - 1 - lag] = -coefficients[(lag * m + from) * m + to] / deviation[to]
      }
      if (from === to) kernel[at + LAGS] = 1 / deviation[to]
    }
  }
  return kernel
}
