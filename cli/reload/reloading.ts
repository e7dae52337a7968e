import { ConfigError, renderFinding } from '../../core/runtime/config.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { Supervisor } from '../../core/runtime/sd-notify.ts'
import type { LoadedFieldlineConfig } from '../config.ts'
import { type ConfigChange, changeOf, type ReloadableParts } from './config-changes.ts'

export interface ReloadingOptions {
  /** In effect since the start. */
  loaded: LoadedFieldlineConfig
  /** Reads the file anew, with the flags of the start; undefined when the process has no file. */
  load: (() => Promise<LoadedFieldlineConfig>) | undefined
  parts: ReloadableParts
  /**
   * Brings what is new about. Called only with a configuration that is valid as a whole; rejects only
   * by a fault of ours.
   */
  apply: (change: ConfigChange) => Promise<void>
  /** Whatever the file says: certificates and secrets may be others now. */
  renew?: () => void
  supervisor: Supervisor | undefined
  /** One line for `systemctl status`. */
  summary: () => string
  logger: Logger
  now?: () => number
}

/** As `/status` tells it. */
export interface ConfigStatus {
  /** Of the configuration in effect. */
  hash: string
  /** When a file was last taken over, epoch ms; null: not since the start. */
  reloadedAt: number | null
  /** Why the file as it was last read is not in effect; null when it is, but for what needs a restart. */
  lastError: { message: string; at: number } | null
  /** Configuration paths whose values in the file wait for a restart. */
  needsRestart: string[]
}

/**
 * SIGHUP: the file is read again and checked as a whole; only if it has no mistake anything changes.
 * One at a time; those that come meanwhile are one more.
 */
export class Reloading {
  readonly #options: ReloadingOptions
  #current: LoadedFieldlineConfig
  #reloadedAt: number | null = null
  #lastError: ConfigStatus['lastError'] = null
  #needsRestart: string[] = []
  #running: Promise<void> | undefined
  #again = false
  #ended = false

  constructor(options: ReloadingOptions) {
    this.#options = options
    this.#current = options.loaded
  }

  /** The configuration in effect. */
  get loaded(): LoadedFieldlineConfig {
    return this.#current
  }

  get status(): ConfigStatus {
    return {
      hash: this.#current.hash,
      reloadedAt: this.#reloadedAt,
      lastError: this.#lastError,
      needsRestart: this.#needsRestart
    }
  }

  /** Resolves once what the file says now is in effect, or told to be wrong. */
  reload(): Promise<void> {
    this.#again = true
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Nothing is taken over any more; resolves when what was under way is done. */
  async end(): Promise<void> {
    this.#ended = true
    await this.#running
  }

  async #run(): Promise<void> {
    const { supervisor, summary } = this.#options
    supervisor?.reloading()
    while (this.#again && !this.#ended) {
      this.#again = false
      await this.#once()
    }
    supervisor?.reloaded(summary())
  }

  async #once(): Promise<void> {
    const { load, renew, parts, apply, logger } = this.#options
    renew?.()
    if (!load) {
      const text = 'Asked to read the configuration again: this process has no file (-c).'
      logger.info({ event: 'config.no_file' }, text)
      return
    }
    try {
      const change = changeOf(this.#current, await load(), parts)
      const { changed, needsRestart } = change
      if (changed.length > 0) await apply(change)
      this.#current = change.next
      this.#needsRestart = needsRestart
      this.#reloadedAt = this.#now()
      this.#lastError = null
      this.#tell(change)
    } catch (error) {
      this.#refuse(error)
    }
  }

  #tell({ changed, needsRestart, next }: ConfigChange): void {
    const { logger } = this.#options
    const facts = { changed, needsRestart, hash: next.hash }
    if (needsRestart.length > 0) {
      const text = `The configuration was read again; a restart is needed for ${needsRestart.join(', ')}: nothing of that is in effect.`
      logger.warn({ event: 'config.reloaded', ...facts }, text)
    } else {
      const text = changed.length > 0 ? 'What is new is in effect.' : 'It says the same.'
      logger.info(
        { event: 'config.reloaded', ...facts },
        `The configuration was read again. ${text}`
      )
    }
  }

  #refuse(error: unknown): void {
    const { logger } = this.#options
    this.#lastError = { message: messageOf(error), at: this.#now() }
    if (error instanceof OperationalError) {
      const findings = error instanceof ConfigError ? error.findings.map(renderFinding) : []
      const text = `The new configuration is refused, the old one stays in effect: ${error.message}`
      logger.error({ event: 'config.refused', code: error.code, findings }, text)
      return
    }
    logger.error(
      { event: 'config.reload_failed', error: String((error as Error)?.stack ?? error) },
      'A valid configuration could not be put into effect by a fault of ours: restart the process.'
    )
  }

  #now(): number {
    return (this.#options.now ?? Date.now)()
  }
}
