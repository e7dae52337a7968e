import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { messageOf, OperationalError, systemCode } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { DeviceScore, DeviceScorer } from './device-scorer.ts'
import type { OnnxSidecar } from './onnx-sidecar.ts'
import { scoreOfRatio } from './scorer.ts'

type Runtime = typeof import('onnxruntime-node')

/** Larger batches gain nothing, and each call holds the event loop. */
const ROWS_MAX = 64

/** The defaults would spin a whole core while waiting. */
const SESSION_OPTIONS: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all'
}

export interface OnnxScorerOptions {
  name: string
  model: Uint8Array
  sidecar: OnnxSidecar
  covers: (site: string, device: string) => boolean
  logger: Logger
  /** Default: `import('onnxruntime-node')`. */
  importRuntime?: () => Promise<Runtime & { default?: Runtime }>
}

/**
 * A trained model over several metrics of a device.
 *
 * Works when the metrics move together and the training data was ordinary; says nothing about
 * metrics it was not trained on. Scoring is synchronous inside the runtime: 64 rows of a small
 * autoencoder take about 0.05 ms.
 *
 * A run that fails ends the model's use, with one error in the log: the engine goes on with the
 * series' own scorers. A single row that gives no number is left out, and counted by the engine.
 */
export class OnnxScorer implements DeviceScorer {
  readonly name: string
  readonly version: string
  readonly params: Readonly<Record<string, unknown>>
  readonly metrics: readonly string[]
  readonly covers: (site: string, device: string) => boolean
  readonly #sidecar: OnnxSidecar
  readonly #runtime: Runtime
  readonly #logger: Logger
  /** 1 for a model exported with a fixed batch of one. */
  readonly #rowsMax: number
  #session: InferenceSession | undefined
  #notANumberSaid = false

  /** @throws {OperationalError} MODEL_UNUSABLE */
  static async open(options: OnnxScorerOptions): Promise<OnnxScorer> {
    const runtime = await loadRuntime(options.importRuntime)
    let session: InferenceSession
    try {
      session = await runtime.InferenceSession.create(options.model, SESSION_OPTIONS)
    } catch (error) {
      throw unusable(options.name, messageOf(error))
    }
    try {
      const rowsMax = checkShapes(options, session)
      const scorer = new OnnxScorer(options, runtime, session, rowsMax)
      await scorer.#rehearse()
      return scorer
    } catch (error) {
      await session.release()
      throw error
    }
  }

  private constructor(
    { name, sidecar, covers, logger }: OnnxScorerOptions,
    runtime: Runtime,
    session: InferenceSession,
    rowsMax: number
  ) {
    this.name = name
    this.version = sidecar.version
    this.params = { threshold: sidecar.threshold, sha256: sidecar.sha256 }
    this.metrics = sidecar.inputs.map(i => i.metric)
    this.covers = covers
    this.#sidecar = sidecar
    this.#runtime = runtime
    this.#logger = logger
    this.#session = session
    this.#rowsMax = rowsMax
  }

  async score(rows: readonly Float64Array[]): Promise<(DeviceScore | undefined)[]> {
    const scores: (DeviceScore | undefined)[] = []
    for (let first = 0; first < rows.length; first += this.#rowsMax) {
      scores.push(...(await this.#scoreBatch(rows.slice(first, first + this.#rowsMax))))
    }
    return scores
  }

  async close(): Promise<void> {
    await this.#session?.release()
    this.#session = undefined
  }

  async #scoreBatch(rows: readonly Float64Array[]): Promise<(DeviceScore | undefined)[]> {
    if (!this.#session) return rows.map(() => undefined)
    try {
      const { scaled, output, width } = await this.#run(this.#session, rows)
      return rows.map((_, row) => {
        const x = scaled.subarray(row * this.metrics.length, (row + 1) * this.metrics.length)
        return this.#scoreRow(x, output.subarray(row * width, (row + 1) * width))
      })
    } catch (error) {
      this.#logger.error(
        { event: 'detector.model_failed', model: this.name },
        `Model ${this.name} failed and is no longer used, the z-score answers instead: ` +
          `${messageOf(error)}. Restart after mending the model.`
      )
      await this.close()
      return rows.map(() => undefined)
    }
  }

  async #run(session: InferenceSession, rows: readonly Float64Array[]) {
    const { inputs, input, output: outputName } = this.#sidecar
    const scaled = new Float32Array(rows.length * inputs.length)
    for (const [r, row] of rows.entries()) {
      for (const [i, { mean, std }] of inputs.entries()) {
        scaled[r * inputs.length + i] = (row[i] - mean) / std
      }
    }
    const x = new this.#runtime.Tensor('float32', scaled, [rows.length, inputs.length])
    const results = await session.run({ [input]: x }, [outputName])
    const output = floats(results[outputName])
    const width = output.length / rows.length
    const expected = this.#sidecar.reduction === 'none' ? 1 : inputs.length
    if (width !== expected) {
      throw new Error(
        `output '${outputName}' has ${width} numbers a row, ${expected} were expected`
      )
    }
    return { scaled, output, width }
  }

  /** Runs once before it counts: shapes and types are then known to fit, and the first call is slow. */
  async #rehearse(): Promise<void> {
    const row = Float64Array.from(this.#sidecar.inputs, i => i.mean)
    try {
      await this.#run(this.#session as InferenceSession, [row])
    } catch (error) {
      throw unusable(this.name, messageOf(error))
    }
  }

  #scoreRow(x: Float32Array, output: Float32Array): DeviceScore | undefined {
    const { reduction, direction, threshold } = this.#sidecar
    const errors = reduction === 'none' ? [] : Array.from(output, (o, i) => (o - x[i]) ** 2)
    const raw = reduce(reduction, output, errors)
    if (!Number.isFinite(raw)) {
      if (!this.#notANumberSaid) {
        this.#notANumberSaid = true
        this.#logger.error(
          { event: 'detector.model_not_a_number', model: this.name },
          `Model ${this.name} gave no number for a row; the z-score answers for such rows. ` +
            'Its scaling or its training data may be wrong. Said once.'
        )
      }
      return undefined
    }
    const spread = this.#sidecar.spread ?? (Math.abs(threshold) || 1)
    const beyond = (direction === 'higher' ? raw - threshold : threshold - raw) / spread
    const ratio = Math.max(0, 1 + beyond)
    const contributions = this.#contributions(errors)
    return { score: scoreOfRatio(ratio), contributions, reason: reasonOf(ratio, contributions) }
  }

  #contributions(errors: readonly number[]): DeviceScore['contributions'] {
    const total = errors.reduce((a, b) => a + b, 0)
    if (!(total > 0)) return []
    return errors
      .map((e, i) => ({ metric: this.metrics[i], share: Math.round((e / total) * 1e3) / 1e3 }))
      .sort((a, b) => b.share - a.share)
  }
}

/**
 * The runtime is an optional dependency, loaded when the first model is.
 *
 * @throws {OperationalError} MODEL_UNUSABLE
 */
async function loadRuntime(
  importRuntime: OnnxScorerOptions['importRuntime'] = () => import('onnxruntime-node')
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

function checkShapes({ name, sidecar }: OnnxScorerOptions, session: InferenceSession): number {
  if (!session.inputNames.includes(sidecar.input)) {
    throw unusable(name, `it has no input '${sidecar.input}', only ${session.inputNames}`)
  }
  if (!session.outputNames.includes(sidecar.output)) {
    throw unusable(name, `it has no output '${sidecar.output}', only ${session.outputNames}`)
  }
  const metadata = session.inputMetadata[session.inputNames.indexOf(sidecar.input)]
  if (!metadata.isTensor || metadata.type !== 'float32') {
    throw unusable(name, `its input '${sidecar.input}' is no float tensor`)
  }
  const [rows, columns] = metadata.shape
  const fits = typeof columns !== 'number' || columns === sidecar.inputs.length
  if (metadata.shape.length !== 2 || !fits) {
    const shape = `[${metadata.shape.join(', ')}]`
    throw unusable(name, `its input is ${shape}, model.json names ${sidecar.inputs.length} metrics`)
  }
  if (typeof rows === 'number' && rows > 1) throw unusable(name, `it takes exactly ${rows} rows`)
  return rows === 1 ? 1 : ROWS_MAX
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new Error('the output is no float tensor')
  return tensor.data
}

function reduce(
  reduction: OnnxSidecar['reduction'],
  output: Float32Array,
  errors: readonly number[]
): number {
  if (reduction === 'none') return output[0]
  if (reduction === 'max') return Math.sqrt(Math.max(...errors))
  return errors.reduce((a, b) => a + b, 0) / errors.length
}

function reasonOf(ratio: number, contributions: DeviceScore['contributions']): string {
  const size = `${ratio.toFixed(1)} times the model's threshold`
  const first = contributions[0]
  if (!first) return size
  return `its metrics do not fit together: ${size}, ${Math.round(first.share * 100)} % of it from ${first.metric}`
}

function unusable(name: string, why: string): OperationalError {
  return new OperationalError('MODEL_UNUSABLE', `Model ${name} cannot be used: ${why}.`)
}
