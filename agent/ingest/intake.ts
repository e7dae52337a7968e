import {
  encodeClockMark,
  encodeStoredMessage,
  type StoredMessage
} from '../../core/contract/stored-message.ts'
import type { DurableLog } from '../../core/log/log.ts'
import type { Clock } from '../../core/runtime/clock.ts'
import type { ClockSync } from '../clock-sync.ts'

/** A PUBLISH as either door hands it in: the stored message without the stamp of its receipt. */
export type IncomingMessage = Omit<
  StoredMessage,
  'receivedAt' | 'monotonicMs' | 'bootId' | 'clockUnsynced'
>

export interface IntakeCounters {
  /** Stored, by QoS. */
  stored: [number, number, number]
  storedBytes: number
  /** QoS 0 readings not taken: over the byte budget, or the log is full or failed. */
  droppedQos0: number
  /** QoS 1 and 2 readings refused: the device was not told that they are safe, and keeps them. */
  refused: number
}

/**
 * The way into the telemetry log: stamps a message with both clocks, encodes it, and says when it
 * is stored. Bounded: at most `inflightBytesMax` wait for their sync, over all connections.
 */
export class Intake {
  readonly counters: IntakeCounters = {
    stored: [0, 0, 0],
    storedBytes: 0,
    droppedQos0: 0,
    refused: 0
  }
  readonly #log: DurableLog
  readonly #clock: ClockSync
  readonly #inflightBytesMax: number
  readonly #monotonic: () => number
  /** Told how long a message waited for its sync, s. */
  onStored: (seconds: number) => void = () => {}
  #inflightBytes = 0
  #waiting: (() => void)[] = []

  constructor(log: DurableLog, clockSync: ClockSync, inflightBytesMax: number, clock: Clock) {
    this.#log = log
    this.#clock = clockSync
    this.#monotonic = () => clock.monotonic()
    this.#inflightBytesMax = inflightBytesMax
  }

  get inflightBytes(): number {
    return this.#inflightBytes
  }

  /** Over the budget: the door should stop reading until `room` resolves. */
  get full(): boolean {
    return this.#inflightBytes >= this.#inflightBytesMax
  }

  /** Resolves when half the budget is free again. */
  room(): Promise<void> {
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  /**
   * Stores a QoS 1 or 2 message; resolves once it may be acknowledged. Settles in the order of the
   * calls.
   *
   * @throws {OperationalError} LOG_FULL, DISK_FAILED or LOG_CLOSED: it must not be acknowledged.
   */
  async store(message: IncomingMessage): Promise<void> {
    const stamp = this.#clock.stamp()
    // Field by field: this runs for every message, and spreading objects was 6 % of the agent.
    const record = encodeStoredMessage({
      topic: message.topic,
      payload: message.payload,
      qos: message.qos,
      retain: message.retain,
      dup: message.dup,
      packetId: message.packetId,
      clientId: message.clientId,
      upstream: message.upstream,
      receivedAt: stamp.receivedAt,
      monotonicMs: stamp.monotonicMs,
      bootId: this.#clock.bootId,
      clockUnsynced: stamp.clockUnsynced,
      ...(message.properties && { properties: message.properties })
    })
    this.#inflightBytes += record.length
    const from = this.#monotonic()
    try {
      await this.#log.append([record])
      this.counters.stored[message.qos]++
      this.counters.storedBytes += record.length
      this.onStored((this.#monotonic() - from) / 1000)
    } catch (error) {
      this.counters.refused++
      throw error
    } finally {
      this.#release(record.length)
    }
  }

  /** Takes a QoS 0 message if there is room; nobody waits for it. */
  offer(message: IncomingMessage): void {
    if (this.full) {
      this.counters.droppedQos0++
      return
    }
    this.store(message).catch(() => {
      // Counted as refused by store; here it is a loss, since no device will send it again.
      this.counters.refused--
      this.counters.droppedQos0++
    })
  }

  /** Tells readers what time it was, once that is known. */
  markClock(mark: Parameters<typeof encodeClockMark>[0]): void {
    this.#log.append([encodeClockMark(mark)]).catch(() => {
      // A log that takes nothing reports that itself.
    })
  }

  #release(bytes: number): void {
    this.#inflightBytes -= bytes
    if (this.#waiting.length === 0 || this.#inflightBytes > this.#inflightBytesMax / 2) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }
}
