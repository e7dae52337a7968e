import { stat } from 'node:fs/promises'
import { messageOf } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { DeviceModel, DeviceScorer } from './device-scorer.ts'
import type { OnnxScorer } from './onnx-scorer.ts'

const LOOK_INTERVAL_MS = 2000

export interface WatchedModelOptions {
  name: string
  covers: (site: string, device: string) => boolean
  /** Where the model's files are looked for. */
  files: () => Promise<readonly string[]>
  /** Opens what the files hold; rejects when it cannot be used. */
  load: () => Promise<OnnxScorer>
  logger: Logger
  /** Calls again and again until the function it returns is called. Must not keep a process alive. */
  every?: (intervalMs: number, callback: () => void) => () => void
}

/**
 * A model whose files may be replaced while it runs.
 *
 * State found at a look → action:
 *   files as they were at the last attempt   nothing
 *   files changed since the last look        wait: somebody is still writing
 *   files changed, and the same twice        open them aside; usable: they take over with the next
 *                                            batch; else one error, and what was there stays
 *
 * Files are looked at, not listened to: notifications are missed on network and container mounts.
 */
export class WatchedModel implements DeviceModel {
  readonly name: string
  readonly covers: (site: string, device: string) => boolean
  readonly #options: WatchedModelOptions
  #scorer: OnnxScorer | undefined
  /** What the files looked like when they were last loaded, in vain or not. */
  #tried = ''
  #seen = ''
  #looking: Promise<void> | undefined
  #cancel: () => void = () => {}
  #closed = false

  /** Never rejects: what is unusable is said in the log, and waited for. */
  static async open(options: WatchedModelOptions): Promise<WatchedModel> {
    const model = new WatchedModel(options)
    model.#tried = model.#seen = await model.#appearance()
    await model.#load()
    const { every = everyUnref } = options
    model.#cancel = every(LOOK_INTERVAL_MS, () => void model.look())
    return model
  }

  private constructor(options: WatchedModelOptions) {
    this.#options = options
    this.name = options.name
    this.covers = options.covers
  }

  get current(): DeviceScorer | undefined {
    return this.#scorer?.current
  }

  /** Looks at the files once. Never rejects. */
  look(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    await this.#looking
    await this.#scorer?.close()
  }

  async #look(): Promise<void> {
    const appearance = await this.#appearance()
    const settled = appearance === this.#seen
    this.#seen = appearance
    if (!settled || appearance === this.#tried) return
    this.#tried = appearance
    await this.#load()
  }

  async #load(): Promise<void> {
    const { load, logger } = this.#options
    const before = this.#scorer
    try {
      const scorer = await load()
      this.#scorer = scorer
      // Batches that have begun with it keep it.
      await before?.close()
      logger.info(
        { event: 'detector.model_loaded', model: this.name, version: scorer.version },
        before ? 'Loaded a model that has changed.' : 'Loaded a model.'
      )
    } catch (error) {
      logger.error(
        { event: 'detector.model_unusable', model: this.name },
        before?.current
          ? `${messageOf(error)} The one loaded before stays in use.`
          : `${messageOf(error)} Until its files change the z-score answers for its devices.`
      )
    }
  }

  async #appearance(): Promise<string> {
    const looks = (await this.#options.files()).map(async path => {
      const found = await stat(path).catch(() => undefined)
      return found ? `${found.mtimeMs}/${found.size}/${found.ino}` : 'absent'
    })
    return (await Promise.all(looks)).join(' ')
  }
}

function everyUnref(intervalMs: number, callback: () => void): () => void {
  const timer = setInterval(callback, intervalMs)
  timer.unref()
  return () => clearInterval(timer)
}
