import { messageOf } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { DeviceModel, DeviceScore, DeviceScorer, RowShape } from './device-scorer.ts'
import { sharesOf } from './onnx-reduction.ts'
import { type Answer, OnnxSession, type OnnxSessionOptions } from './onnx-session.ts'
import type { OnnxSidecar } from './onnx-sidecar.ts'
import { scoreOfRatio } from './scorer.ts'

export interface OnnxScorerOptions extends OnnxSessionOptions {
  covers: (site: string, device: string) => boolean
  logger: Logger
}

/**
 * A trained model over several metrics of a device.
 *
 * Works when the metrics move together and the training data was ordinary; says nothing about
 * metrics it was not trained on. Scoring is synchronous inside the runtime: 64 windows of a small
 * autoencoder take about 0.05 ms, of a small LSTM half a millisecond.
 *
 * A run that fails ends the model's use, with one error in the log: the engine goes on with the
 * series' own scorers. A single window that gives no number is left out, and counted by the engine.
 */
export class OnnxScorer implements DeviceScorer, DeviceModel {
  readonly name: string
  readonly version: string
  readonly params: Readonly<Record<string, unknown>>
  readonly shape: RowShape
  readonly covers: (site: string, device: string) => boolean
  readonly batchMax: number
  readonly #sidecar: OnnxSidecar
  readonly #logger: Logger
  #session: OnnxSession | undefined
  /** Closed, but somebody's batch is not over. */
  #leaving: OnnxSession | undefined
  #users = 0
  #failed = false
  #notANumberSaid = false

  /** @throws {OperationalError} MODEL_UNUSABLE */
  static async open(options: OnnxScorerOptions): Promise<OnnxScorer> {
    return new OnnxScorer(options, await OnnxSession.open(options))
  }

  private constructor({ name, sidecar, covers, logger }: OnnxScorerOptions, session: OnnxSession) {
    this.name = name
    this.version = sidecar.version
    this.params = { threshold: sidecar.threshold, sha256: sidecar.sha256 }
    this.shape = shapeOf(sidecar)
    this.covers = covers
    this.batchMax = session.batchMax
    this.#sidecar = sidecar
    this.#logger = logger
    this.#session = session
  }

  /** Itself, until a run has failed or it is closed. */
  get current(): OnnxScorer | undefined {
    return this.#session && this
  }

  async score(windows: readonly Float64Array[]): Promise<(DeviceScore | undefined)[]> {
    if (windows.length <= this.batchMax) return this.#scoreBatch(windows)
    const scores: (DeviceScore | undefined)[] = []
    for (let first = 0; first < windows.length; first += this.batchMax) {
      scores.push(...(await this.#scoreBatch(windows.slice(first, first + this.batchMax))))
    }
    return scores
  }

  retain(): void {
    this.#users++
  }

  release(): void {
    this.#users--
    this.#letGo()
  }

  /** Batches that have begun are answered to their end. */
  async close(): Promise<void> {
    this.#leaving ??= this.#session
    this.#session = undefined
    this.#letGo()
  }

  #letGo(): void {
    if (this.#users > 0 || !this.#leaving) return
    this.#leaving.release().catch(() => {})
    this.#leaving = undefined
  }

  async #scoreBatch(windows: readonly Float64Array[]): Promise<(DeviceScore | undefined)[]> {
    const session = this.#failed ? undefined : (this.#session ?? this.#leaving)
    if (!session || windows.length === 0) return windows.map(() => undefined)
    try {
      const answers = await session.run(windows)
      return answers.map(a => this.#judge(a))
    } catch (error) {
      if (!this.#failed) {
        this.#logger.error(
          { event: 'detector.model_failed', model: this.name },
          `Model ${this.name} failed and is no longer used, the z-score answers instead: ` +
            `${messageOf(error)}. Mend the model's files: they are then loaded anew.`
        )
      }
      this.#failed = true
      await this.close()
      return windows.map(() => undefined)
    }
  }

  #judge({ raw, weights }: Answer): DeviceScore | undefined {
    if (!Number.isFinite(raw)) {
      this.#sayNotANumber()
      return undefined
    }
    const { direction, threshold } = this.#sidecar
    const spread = this.#sidecar.spread ?? (Math.abs(threshold) || 1)
    const beyond = (direction === 'higher' ? raw - threshold : threshold - raw) / spread
    return new OnnxScore(Math.max(0, 1 + beyond), this.shape.metrics, weights)
  }

  #sayNotANumber(): void {
    if (this.#notANumberSaid) return
    this.#notANumberSaid = true
    this.#logger.error(
      { event: 'detector.model_not_a_number', model: this.name },
      `Model ${this.name} gave no number for a row; the z-score answers for such rows. ` +
        'Its scaling or its training data may be wrong. Said once.'
    )
  }
}

/** What is only worth working out for an alert waits until it is asked for. */
class OnnxScore implements DeviceScore {
  readonly score: number
  readonly #ratio: number
  readonly #metrics: readonly string[]
  readonly #weights: () => ArrayLike<number> | undefined

  constructor(
    ratio: number,
    metrics: readonly string[],
    weights: () => ArrayLike<number> | undefined
  ) {
    this.score = scoreOfRatio(ratio)
    this.#ratio = ratio
    this.#metrics = metrics
    this.#weights = weights
  }

  get contributions(): { metric: string; share: number }[] {
    return sharesOf(this.#metrics, this.#weights() ?? [])
  }

  get reason(): string {
    const size = `${this.#ratio.toFixed(1)} times the model's threshold`
    const [first] = this.contributions
    if (!first) return size
    const share = Math.round(first.share * 100)
    return `its metrics do not fit together: ${size}, ${share} % of it from ${first.metric}`
  }
}

function shapeOf({ inputs, window, fill }: OnnxSidecar): RowShape {
  return {
    metrics: inputs.map(i => i.metric),
    rows: window?.rows ?? 1,
    ...(window?.every_ms === undefined ? {} : { everyMs: window.every_ms }),
    fill: fill?.method ?? 'last',
    ...(fill?.max_ms === undefined ? {} : { ageMsMax: fill.max_ms })
  }
}
