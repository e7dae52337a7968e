import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { messageOf, OperationalError, systemCode } from '../../core/runtime/errors.ts'
import type { OnnxSidecar } from './onnx-sidecar.ts'

export type Runtime = typeof import('onnxruntime-node')

/** Default: `import('onnxruntime-node')`. */
export type ImportRuntime = () => Promise<Runtime & { default?: Runtime }>

/** Rows a call: more gain little, and each call holds the thread (`npm run bench -- onnx`). */
const BATCH_MAX = 64
/** Numbers a call: large windows go in smaller batches. */
const BATCH_VALUES_MAX = 262_144

/** The defaults would spin a whole core while waiting. */
export const SESSION_OPTIONS: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all'
}

/**
 * The runtime is an optional dependency, loaded when the first model is.
 *
 * @throws {OperationalError} MODEL_UNUSABLE
 */
export async function loadRuntime(
  importRuntime: ImportRuntime = () => import('onnxruntime-node')
): Promise<Runtime> {
  try {
    const module = await importRuntime()
    return module.default ?? module
  } catch (error) {
    const absent = systemCode(error) === 'ERR_MODULE_NOT_FOUND'
    throw new OperationalError(
      'MODEL_UNUSABLE',
      absent
        ? 'onnxruntime-node is not installed: npm install onnxruntime-node@1.30.0 (glibc Linux on x64 ' +
            'or arm64, macOS, Windows), or set detector.scorer to zscore.'
        : `onnxruntime-node cannot be loaded on this machine: ${messageOf(error)}. Set ` +
            'detector.scorer to zscore.',
      { cause: error }
    )
  }
}

/** How windows are handed to a model. */
export interface InputPlan {
  /** Behind the batch: [metrics], [metrics, rows], [rows, metrics] or [rows × metrics]. */
  dimensions: number[]
  batchMax: number
}

/**
 * Compares what the model takes with what model.json says.
 *
 * @throws {OperationalError} MODEL_UNUSABLE
 */
export function planInput(
  name: string,
  sidecar: OnnxSidecar,
  session: InferenceSession
): InputPlan {
  const { input, inputs, window, output, contributions } = sidecar
  const refuse = (why: string) => unusable(name, why)
  if (!session.inputNames.includes(input)) {
    throw refuse(`it has no input '${input}', only ${session.inputNames}`)
  }
  if (session.inputNames.length > 1) {
    throw refuse(
      `it wants ${session.inputNames.length} inputs (${session.inputNames}), one is given`
    )
  }
  for (const wanted of contributions ? [output, contributions] : [output]) {
    if (!session.outputNames.includes(wanted)) {
      throw refuse(`it has no output '${wanted}', only ${session.outputNames}`)
    }
  }
  const metadata = session.inputMetadata[0]
  if (!metadata.isTensor || metadata.type !== 'float32') {
    const type = metadata.isTensor ? `a tensor of ${metadata.type}` : 'no tensor'
    throw refuse(`its input '${input}' is ${type}, float32 is given: export it with float inputs`)
  }
  const { shape } = metadata
  const [metrics, rows] = [inputs.length, window?.rows ?? 1]
  const flat = shape.length === 2
  const deep = window?.layout === 'metrics_first' ? [metrics, rows] : [rows, metrics]
  const dimensions = flat ? [metrics * rows] : deep
  const fits =
    shape.length === dimensions.length + 1 &&
    (flat || window !== undefined) &&
    dimensions.every((d, i) => typeof shape[i + 1] === 'string' || shape[i + 1] === d)
  if (!fits) {
    const given = window
      ? `${metrics} metrics × ${rows} rows, ${window.layout}`
      : `${metrics} metrics`
    throw refuse(`its input is [${shape.join(', ')}], model.json names ${given}`)
  }
  const [batch] = shape
  if (typeof batch === 'number' && batch > 1) throw refuse(`it takes exactly ${batch} rows`)
  const byValues = Math.floor(BATCH_VALUES_MAX / (metrics * rows))
  return { dimensions, batchMax: batch === 1 ? 1 : Math.min(BATCH_MAX, byValues) }
}

export type Numbers = Float32Array | Float64Array

/** @throws {Error} when the output is no tensor of numbers. */
export function numbersOf(name: string, tensor: Tensor | undefined): Numbers {
  const data: unknown = tensor?.data
  if (data instanceof Float32Array || data instanceof Float64Array) return data
  // Labels of classifiers; 64-bit ones are BigInt.
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    return Float64Array.from(data, Number)
  }
  if (ArrayBuffer.isView(data) && tensor?.type !== 'float16') {
    return Float64Array.from(data as unknown as ArrayLike<number>)
  }
  throw new Error(
    `output '${name}' is no tensor of numbers${tensor ? `, but ${tensor.type}` : ''}: choose ` +
      'another one (of scikit-learn models, export without ZipMap)'
  )
}

export function unusable(name: string, why: string): OperationalError {
  return new OperationalError('MODEL_UNUSABLE', `Model ${name} cannot be used: ${why}.`)
}
