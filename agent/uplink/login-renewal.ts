import { isSecurityCode } from '../../core/kafka/security-errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { Driver, Session, SessionOptions } from './driver.ts'

/** After a trial that failed. The files may be ahead of the brokers by minutes. */
const TRIAL_INTERVAL_MS = 30_000

export interface LoginRenewalOptions {
  lane: string
  driver: Driver
  /** As the lane opens its own. */
  session?: SessionOptions
  logger: Logger
}

/**
 * Finds out when a session is to be exchanged because certificates or secrets were. A trial login is
 * made beside the session that runs: it goes on undisturbed until new ones are known to be good.
 */
export class LoginRenewal {
  readonly #options: LoginRenewalOptions
  #running = false
  #passed = false
  #told: string | undefined
  #nextAt = Number.NEGATIVE_INFINITY

  constructor(options: LoginRenewalOptions) {
    this.#options = options
  }

  /** Asked between two batches, and answered without waiting. True once an exchange. */
  isDue(session: Session | undefined): boolean {
    if (!session?.isOutdated) {
      // Made anew since, for another reason: with the files as they are.
      this.#passed = false
      return false
    }
    if (this.#passed) {
      this.#passed = false
      return true
    }
    if (!this.#running && performance.now() >= this.#nextAt) void this.#try()
    return false
  }

  async #try(): Promise<void> {
    const { lane, logger, driver, session } = this.#options
    this.#running = true
    try {
      const trial = await driver.open(session ?? {})
      await trial.close()
      this.#passed = true
      this.#told = undefined
      logger.info(
        { event: 'uplink.login_renewed', lane },
        'Certificates or secrets were exchanged: the lane goes on with the new ones.'
      )
    } catch (error) {
      this.#nextAt = performance.now() + TRIAL_INTERVAL_MS
      const { action, code, message } = driver.judge(error)
      // Other troubles are the lane's own, and told by it; an outage refuses nothing.
      if (action !== 'park' || !isSecurityCode(code) || this.#told === code) return
      this.#told = code
      logger.warn(
        { event: 'uplink.login_refused', lane, code },
        `Certificates or secrets were exchanged, and Kafka does not accept the new ones (${message}): the lane goes on with the old login while it lasts.`
      )
    } finally {
      this.#running = false
    }
  }
}
