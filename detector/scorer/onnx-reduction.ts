import type { Numbers } from './onnx-runtime.ts'
import type { OnnxSidecar } from './onnx-sidecar.ts'

/**
 * What a model's output is about.
 *
 *   score     one number
 *   sequence  numbers, the last of which counts
 *   row       the newest row, rebuilt or forecast
 *   window    all rows, rebuilt, in the input's own layout
 */
export type OutputKind = 'score' | 'sequence' | 'row' | 'window'

/** @throws {Error} when the output does not suit the reduction. */
export function outputKind(
  { reduction, inputs, window }: OnnxSidecar,
  inputDimensions: readonly number[],
  outputDimensions: readonly number[]
): OutputKind {
  const width = outputDimensions.reduce((a, b) => a * b, 1)
  const rows = window?.rows ?? 1
  if (reduction === 'none') {
    if (width === 1) return 'score'
    throw new Error(`has ${width} numbers a row, 1 was expected`)
  }
  const same = inputDimensions.length === outputDimensions.length
  if (reduction === 'last') {
    return same && inputDimensions.every((d, i) => d === outputDimensions[i])
      ? 'window'
      : 'sequence'
  }
  if (width === inputs.length * rows) return 'window'
  if (width === inputs.length) return 'row'
  const expected = rows === 1 ? `${inputs.length} were` : `${inputs.length} × ${rows} were`
  throw new Error(`has ${width} numbers a row, ${expected} expected`)
}

/** Makes one number a window of a model's output, and says how much of it is each metric's. */
export class Reduction {
  readonly #reduction: OnnxSidecar['reduction']
  readonly #kind: OutputKind
  readonly #metrics: number
  readonly #rows: number
  readonly #rowsFirst: boolean

  constructor({ reduction, inputs, window }: OnnxSidecar, kind: OutputKind) {
    this.#reduction = reduction
    this.#kind = kind
    this.#metrics = inputs.length
    this.#rows = window?.rows ?? 1
    this.#rowsFirst = window?.layout !== 'metrics_first'
  }

  /**
   * @param x The window as the model saw it, scaled.
   * @param output What it gave for it.
   */
  value(x: Float32Array, output: Numbers): number {
    if (this.#kind === 'score') return output[0]
    if (this.#kind === 'sequence') return output[output.length - 1]
    let sum = 0
    let largest = 0
    let count = 0
    this.#differences(x, output, (_, difference) => {
      sum += this.#reduction === 'mae' ? Math.abs(difference) : difference * difference
      // NaN stays NaN.
      largest = Math.max(largest, Math.abs(difference))
      count++
    })
    return this.#reduction === 'max' ? largest : sum / count
  }

  /** @returns A weight ≥ 0 a metric; undefined where differences are not what counts. */
  weights(x: Float32Array, output: Numbers): Float64Array | undefined {
    if (this.#kind === 'score' || this.#kind === 'sequence') return undefined
    const weights = new Float64Array(this.#metrics)
    this.#differences(x, output, (metric, difference) => {
      const square = difference * difference
      if (this.#reduction === 'mae') weights[metric] += Math.abs(difference)
      else if (this.#reduction === 'max') weights[metric] = Math.max(weights[metric], square)
      else weights[metric] += square
    })
    return weights
  }

  #differences(
    x: Float32Array,
    output: Numbers,
    visit: (metric: number, difference: number) => void
  ): void {
    const newestOnly = this.#kind === 'row' || this.#reduction === 'last'
    for (let row = newestOnly ? this.#rows - 1 : 0; row < this.#rows; row++) {
      for (let metric = 0; metric < this.#metrics; metric++) {
        const at = this.#rowsFirst ? row * this.#metrics + metric : metric * this.#rows + row
        const given = this.#kind === 'row' ? output[metric] : output[at]
        visit(metric, given - x[at])
      }
    }
  }
}

/** Weights as shares of 1, largest first; none when they say nothing. */
export function sharesOf(
  metrics: readonly string[],
  weights: ArrayLike<number>
): { metric: string; share: number }[] {
  const usable = metrics.map((_, i) => Math.max(0, weights[i]))
  const total = usable.reduce((a, b) => a + b, 0)
  if (!(total > 0 && Number.isFinite(total))) return []
  return metrics
    .map((metric, i) => ({ metric, share: Math.round((usable[i] / total) * 1e3) / 1e3 }))
    .sort((a, b) => b.share - a.share)
}
