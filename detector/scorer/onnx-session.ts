import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { messageOf } from '../../core/runtime/errors.ts'
import { outputKind, Reduction } from './onnx-reduction.ts'
import {
  type ImportRuntime,
  type InputPlan,
  loadRuntime,
  type Numbers,
  numbersOf,
  planInput,
  type Runtime,
  SESSION_OPTIONS,
  unusable
} from './onnx-runtime.ts'
import type { OnnxSidecar } from './onnx-sidecar.ts'

export interface OnnxSessionOptions {
  name: string
  model: Uint8Array
  sidecar: OnnxSidecar
  importRuntime?: ImportRuntime
  /** Told how long the runtime took for a call, seconds; of rehearsals nothing. */
  onRun?: (seconds: number) => void
}

/** What the model says of one window. */
export interface Answer {
  /** On the threshold's scale; may be no number. */
  raw: number
  /** How much of it is each metric's, in any unit; nothing where the model does not say. */
  weights: () => ArrayLike<number> | undefined
}

/** A model in the runtime, its inputs and outputs as model.json describes them. */
export class OnnxSession {
  readonly #sidecar: OnnxSidecar
  readonly #runtime: Runtime
  readonly #session: InferenceSession
  readonly #plan: InputPlan
  #reduction!: Reduction
  #onRun: ((seconds: number) => void) | undefined

  /** @throws {OperationalError} MODEL_UNUSABLE */
  static async open({ name, model, sidecar, importRuntime, onRun }: OnnxSessionOptions) {
    const runtime = await loadRuntime(importRuntime)
    let session: InferenceSession
    try {
      session = await runtime.InferenceSession.create(model, SESSION_OPTIONS)
    } catch (error) {
      throw unusable(name, messageOf(error))
    }
    try {
      const opened = new OnnxSession(sidecar, runtime, session, planInput(name, sidecar, session))
      await opened.#rehearse(name)
      opened.#onRun = onRun
      return opened
    } catch (error) {
      await session.release()
      throw error
    }
  }

  private constructor(
    sidecar: OnnxSidecar,
    runtime: Runtime,
    session: InferenceSession,
    plan: InputPlan
  ) {
    this.#sidecar = sidecar
    this.#runtime = runtime
    this.#session = session
    this.#plan = plan
  }

  /** Windows a call. */
  get batchMax(): number {
    return this.#plan.batchMax
  }

  /**
   * @param windows At most `batchMax`; see DeviceScorer.
   * @throws {Error} the runtime's own, or when the output is not as described.
   */
  async run(windows: readonly Float64Array[]): Promise<Answer[]> {
    const { input, output: name, contributions } = this.#sidecar
    const count = windows.length
    const scaled = this.#scale(windows)
    const x = new this.#runtime.Tensor('float32', scaled, [count, ...this.#plan.dimensions])
    const wanted = contributions ? [name, contributions] : [name]
    const from = performance.now()
    const results = await this.#session.run({ [input]: x }, wanted)
    this.#onRun?.((performance.now() - from) / 1000)
    const shares = contributions ? numbersOf(contributions, results[contributions]) : undefined
    const output = numbersOf(name, results[name])
    this.#reduction ??= this.#reductionFor(count, results[name].dims, output, shares)
    const reduction = this.#reduction
    return windows.map((_, index) => {
      const row = part(scaled, index, count)
      const y = part(output, index, count)
      return {
        raw: reduction.value(row, y),
        weights: () => (shares ? part(shares, index, count) : reduction.weights(row, y))
      }
    })
  }

  async release(): Promise<void> {
    await this.#session.release()
  }

  /** @throws {Error} when the outputs do not suit model.json. */
  #reductionFor(
    count: number,
    dims: Tensor['dims'],
    output: Numbers,
    shares: Numbers | undefined
  ): Reduction {
    const { contributions, output: name, inputs } = this.#sidecar
    if (shares && shares.length !== count * inputs.length) {
      const width = shares.length / count
      throw new Error(`output '${contributions}' has ${width} numbers a row, not one a metric`)
    }
    const perRow = dims[0] === count ? dims.slice(1) : [output.length / count]
    try {
      return new Reduction(this.#sidecar, outputKind(this.#sidecar, this.#plan.dimensions, perRow))
    } catch (error) {
      throw new Error(`output '${name}' ${messageOf(error)}`)
    }
  }

  /** Windows in the model's units and layout; the training's mean where there is no value. */
  #scale(windows: readonly Float64Array[]): Float32Array {
    const { inputs, window } = this.#sidecar
    const [metrics, rows] = [inputs.length, window?.rows ?? 1]
    const metricsFirst = window?.layout === 'metrics_first'
    const scaled = new Float32Array(windows.length * metrics * rows)
    for (let m = 0; m < metrics; m++) {
      const { mean, std } = inputs[m]
      for (let w = 0; w < windows.length; w++) {
        const values = windows[w]
        const first = w * metrics * rows
        for (let r = 0; r < rows; r++) {
          const value = values[r * metrics + m]
          const at = metricsFirst ? m * rows + r : r * metrics + m
          scaled[first + at] = Number.isNaN(value) ? 0 : (value - mean) / std
        }
      }
    }
    return scaled
  }

  /**
   * Runs before it counts: shapes and types are then known to fit, and the first call is slow.
   *
   * A model whose inside is made for one row, or mixes the rows of a batch, is run row by row.
   */
  async #rehearse(name: string): Promise<void> {
    const { inputs, window } = this.#sidecar
    const length = inputs.length * (window?.rows ?? 1)
    const windows = [0, 1, -1].map(deviations => {
      const row = inputs.map(i => i.mean + deviations * i.std)
      return Float64Array.from({ length }, (_, i) => row[i % row.length])
    })
    const alone: Answer[] = []
    try {
      for (const w of windows) alone.push(...(await this.run([w])))
    } catch (error) {
      throw unusable(name, messageOf(error))
    }
    if (!alone.some(a => Number.isFinite(a.raw))) {
      throw unusable(name, 'it gives no number, even for the mean of its training')
    }
    if (this.#plan.batchMax === 1) return
    const together = await this.run(windows).catch(() => [])
    if (!alone.every((a, i) => alike(a.raw, together[i]?.raw))) this.#plan.batchMax = 1
  }
}

/** One of `count` equal parts. */
function part<T extends Numbers>(numbers: T, index: number, count: number): T {
  const width = numbers.length / count
  return numbers.subarray(index * width, (index + 1) * width) as T
}

function alike(a: number, b = Number.NaN): boolean {
  if (!Number.isFinite(a)) return !Number.isFinite(b)
  return Math.abs(a - b) <= 1e-3 * Math.max(1, Math.abs(a))
}
