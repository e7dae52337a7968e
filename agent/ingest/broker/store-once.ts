import type { BytesHolder, IncomingMessage, Intake } from '../intake.ts'
import type { Refusal } from './admission.ts'
import type { OpenMessages } from './open-messages.ts'

/** The way of QoS 2 messages into the intake: what repeats one that is stored is not stored again. */
export class StoreOnce {
  readonly #intake: Intake
  readonly #open: OpenMessages
  readonly #onRefused: (refusal: Refusal, clientId: string) => void
  /** On their way to the log, by packet id and client. */
  readonly #storing = new Map<string, Promise<void>>()

  constructor(
    intake: Intake,
    open: OpenMessages,
    onRefused: (refusal: Refusal, clientId: string) => void
  ) {
    this.#intake = intake
    this.#open = open
    this.#onRefused = onRefused
  }

  /**
   * Stores a message unless it repeats one that is stored or, then waiting with it, about to be.
   *
   * @throws What the intake throws; or too many of the session wait for their PUBREL.
   */
  async store(message: IncomingMessage, holder: BytesHolder | undefined): Promise<void> {
    const { clientId, packetId, dup } = message
    const key = `${packetId}/${clientId}`
    const first = dup ? this.#storing.get(key) : undefined
    if (first) return first
    // A device that lost its session (aedes tells it so whenever it has no subscription) may give an
    // open packet id to another reading: that is new.
    if (dup && this.#open.holds(clientId, packetId, message)) return
    this.#open.close(clientId, packetId)
    if (!this.#open.reserve(clientId, packetId)) {
      this.#onRefused('qos2_inflight', clientId)
      throw new Error('too many QoS 2 messages wait for their PUBREL')
    }
    const stored = this.#intake.store(message, holder)
    this.#storing.set(key, stored)
    try {
      await stored
    } catch (error) {
      this.#open.release(clientId, packetId)
      throw error
    } finally {
      if (this.#storing.get(key) === stored) this.#storing.delete(key)
    }
  }
}
