import { isSecurityCode } from '../../core/kafka/security-errors.ts'
import type { Cursor } from '../../core/log/reader.ts'
import { Chunks } from './chunks.ts'
import type { Delivery, DeliveryOptions, Room } from './delivery.ts'
import { DeliveryFaults } from './delivery-faults.ts'
import type { Session } from './driver.ts'
import { LinkEstimate } from './link.ts'
import { LoginRenewal } from './login-renewal.ts'
import type { OutgoingRecord } from './outgoing-record.ts'
import type { ProgressFile } from './progress-file.ts'
import { TopicLimits } from './topic-limits.ts'
import { isOneTopics, type Verdict } from './verdict.ts'

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
  readonly #link: LinkEstimate
  readonly #topicLimits = new TopicLimits()
  readonly #renewal: LoginRenewal
  #session: Session | undefined

  constructor(options: DeliveryOptions & { progress: ProgressFile }) {
    this.#options = options
    this.#progress = options.progress
    this.#faults = new DeliveryFaults(options)
    this.#renewal = new LoginRenewal(options)
    this.#link = new LinkEstimate(options.batchBytesMax)
  }

  get room(): Room {
    return { bytes: this.#link.batchBytes, records: this.#options.batchRecordsMax }
  }

  get roomAhead(): Room {
    return { bytes: this.#link.batchBytesAhead, records: this.#options.batchRecordsMax }
  }

  expectedMs(bytes: number): number {
    return this.#link.expectedMs(bytes)
  }

  /** Connects, so that trouble is seen before the first record. */
  async start(signal: AbortSignal): Promise<Cursor | undefined> {
    while (!this.#session && !signal.aborted) {
      try {
        await this.#open()
        this.#faults.over()
      } catch (error) {
        await this.#faults.handle(this.#options.driver.judge(error), () => false, signal)
      }
    }
    return this.#progress.load()
  }

  async deliver(records: OutgoingRecord[], upTo: Cursor, signal: AbortSignal): Promise<boolean> {
    if (this.#renewal.isDue(this.#session)) await this.#dropSession()
    const { driver, deadLetterTopic, onDeadLetter } = this.#options
    const chunks = new Chunks(records, deadLetterTopic, onDeadLetter)
    const cut = () => {
      const { bytes: bytesMax, records: recordsMax } = this.room
      chunks.cut({ bytesMax, recordsMax, topicBytesMax: this.#topicLimits.bytesMax })
    }
    cut()
    while (chunks.first) {
      if (signal.aborted) return false
      try {
        const session = this.#session ?? (await this.#open())
        await session.send(chunks.first, error => this.#faults.waiting(driver.judge(error)))
        this.#topicLimits.stored(chunks.first)
        chunks.shift()
        this.#faults.over()
      } catch (error) {
        // It was closed: no trouble of Kafka's.
        if (signal.aborted) return false
        const verdict = driver.judge(error)
        // A producer refuses other messages while the fate of these is open. The same ones go out
        // under the same sequence: what other topics took already is not repeated.
        if (!isForTheSame(verdict)) await this.#dropSession()
        if (verdict.action === 'split') this.#topicLimits.refused(chunks.first)
        if (isOneTopics(verdict) && chunks.splitByTopic(0)) continue
        await this.#faults.handle(verdict, () => chunks.refine(0, verdict), signal)
        if (verdict.action === 'split') cut()
      }
    }
    this.#progress.save(upTo)
    return true
  }

  async close(): Promise<void> {
    await this.#dropSession()
    await this.#progress.close()
  }

  async #open(): Promise<Session> {
    this.#session = await this.#options.driver.open({}, this.#link)
    return this.#session
  }

  async #dropSession(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    await session?.close()
  }
}

/** Whether the producer goes on, with the messages it has. */
function isForTheSame(verdict: Verdict): boolean {
  return (
    verdict.action === 'retry' ||
    // One of its topics is refused: the others may have taken their share.
    isOneTopics(verdict) ||
    // Each connection reads certificates and secrets anew: the producer need not be another.
    isSecurityCode(verdict.code)
  )
}
