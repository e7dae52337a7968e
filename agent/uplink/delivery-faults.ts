import { Prng } from '../../core/runtime/prng.ts'
import { Backoff } from './backoff.ts'
import type { DeliveryOptions } from './delivery.ts'
import type { Verdict } from './verdict.ts'

/** What both delivery modes do about trouble: tell it once, wait, and tell its end. */
export class DeliveryFaults {
  readonly #options: DeliveryOptions
  readonly #backoff: Backoff
  /** The trouble that is under way. */
  #told: string | undefined
  #sinceAt = 0

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#backoff = new Backoff(new Prng(options.seed))
  }

  /** Kafka took a batch. */
  over(): void {
    if (this.#told !== undefined) {
      const outageMs = Date.now() - this.#sinceAt
      this.#options.logger.info(
        { event: 'uplink.recovered', lane: this.#options.lane, outageMs },
        'Kafka takes records again.'
      )
      this.#told = undefined
    }
    this.#backoff.reset()
    this.#options.onState({ kind: 'streaming' })
  }

  /** @param refine Makes the refused chunk smaller; false when that is impossible. */
  async handle(verdict: Verdict, refine: () => boolean, signal: AbortSignal): Promise<void> {
    const refinable = verdict.action === 'split' || verdict.action === 'dead_letter'
    if (refinable && refine()) return
    const kind = verdict.action === 'retry' || verdict.action === 'renew' ? 'waiting' : 'parked'
    // What cannot be made smaller is a dead letter that its own topic refuses.
    this.#tell(kind, refinable ? { ...verdict, topic: this.#options.deadLetterTopic } : verdict)
    await this.#backoff.wait(signal)
  }

  /** Trouble of a call that goes on. */
  waiting(verdict: Verdict): void {
    this.#tell('waiting', verdict)
  }

  #tell(kind: 'waiting' | 'parked', verdict: Verdict): void {
    const { lane, logger, onState } = this.#options
    if (this.#told === undefined) this.#sinceAt = Date.now()
    const { code, message, topic } = verdict
    onState({ kind, code, message, sinceAt: this.#sinceAt, ...(topic ? { topic } : {}) })
    const trouble = `${kind}/${code}/${topic ?? ''}`
    if (trouble === this.#told) return
    // One line a trouble, not one an attempt; an outage shows many faces, so a wait is told once.
    if (kind === 'waiting' && this.#told !== undefined) return
    this.#told = trouble
    if (kind === 'waiting') {
      logger.warn(
        { event: 'uplink.waiting', lane, code },
        `Kafka does not take records (${message}): they wait on disk until it does.`
      )
      return
    }
    logger.error(
      { event: 'uplink.parked', lane, code, ...(topic ? { topic } : {}) },
      `Kafka refuses records (${message}): the lane waits, nothing is lost. ${adviceFor(code)}`
    )
  }
}

function adviceFor(code: string): string {
  if (code === 'UNKNOWN_TOPIC_OR_PARTITION') {
    return "Create the topic ('fieldline topics create'), or correct the route."
  }
  if (code === 'OPERATION_NOT_ATTEMPTED') {
    return "One of the batch's topics may not be written: give the agent's user the right to each."
  }
  if (code === 'MESSAGE_TOO_LARGE' || code === 'RECORD_LIST_TOO_LARGE') {
    return 'Let the dead-letter topic take larger records (max.message.bytes, segment.bytes).'
  }
  if (code === 'INVALID_TIMESTAMP') {
    return "Look at the agent's clock: the dead-letter topic takes no letter of this time (message.timestamp.before.max.ms, .after.max.ms)."
  }
  if (/AUTHORIZATION/.test(code)) return "Give the agent's user the right to it."
  if (/SASL/.test(code)) return 'Correct kafka.sasl.'
  return 'It goes on by itself once this is mended.'
}
