import type { Cursor } from '../../core/log/reader.ts'
import { Chunks } from './chunks.ts'
import type { Delivery } from './delivery.ts'
import { DeliveryFaults, type DeliveryOptions } from './delivery-faults.ts'
import { judge } from './kafka-errors.ts'
import { KafkaSession } from './kafka-session.ts'
import type { OutgoingRecord } from './outgoing-record.ts'
import type { ProgressFile } from './progress-file.ts'

/**
 * Idempotent producer, acks from all replicas, one batch in flight, progress kept locally: a killed
 * process repeats at most the batch that was under way, a power cut at most what was sent after the
 * log's last checkpoint.
 *
 * As long as the producer lives the same batch goes out under the same sequence, so an outage or a
 * broker's restart in the middle of a send repeats nothing.
 */
export class AtLeastOnceDelivery implements Delivery {
  readonly #options: DeliveryOptions
  readonly #faults: DeliveryFaults
  readonly #progress: ProgressFile
  #session: KafkaSession | undefined

  constructor(options: DeliveryOptions & { progress: ProgressFile }) {
    this.#options = options
    this.#progress = options.progress
    this.#faults = new DeliveryFaults(options)
  }

  /** Connects, so that trouble is seen before the first record. */
  async start(signal: AbortSignal): Promise<Cursor | undefined> {
    while (!this.#session && !signal.aborted) {
      try {
        this.#session = await KafkaSession.open(this.#options.session)
        this.#faults.over()
      } catch (error) {
        await this.#faults.handle(judge(error), () => false, signal)
      }
    }
    return this.#progress.load()
  }

  async deliver(records: OutgoingRecord[], upTo: Cursor, signal: AbortSignal): Promise<boolean> {
    const { deadLetterTopic, onDeadLetter } = this.#options
    const chunks = new Chunks(records, deadLetterTopic, onDeadLetter)
    while (chunks.first) {
      if (signal.aborted) return false
      try {
        this.#session ??= await KafkaSession.open(this.#options.session)
        await this.#session.send(chunks.first)
        chunks.shift()
        this.#faults.over()
      } catch (error) {
        const verdict = judge(error)
        // A producer refuses other messages while the fate of these is open. The same ones go out
        // under the same sequence: what other topics took already is not repeated.
        const again = verdict.action === 'retry' || verdict.code === 'TOPIC_AUTHORIZATION_FAILED'
        if (!again) await this.#dropSession()
        await this.#faults.handle(verdict, () => chunks.refine(0, verdict), signal)
      }
    }
    this.#progress.save(upTo)
    return true
  }

  async close(): Promise<void> {
    await this.#dropSession()
    await this.#progress.close()
  }

  async #dropSession(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    await session?.close()
  }
}
