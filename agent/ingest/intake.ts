import {
  encodeClockMark,
  encodeStoredMessage,
  type StoredMessage
} from '../../core/contract/stored-message.ts'
import type { DurableLog } from '../../core/log/log.ts'
import { BucketCounts } from '../../core/runtime/bucket-counts.ts'
import type { Clock } from '../../core/runtime/clock.ts'
import type { ClockSync } from '../clock-sync.ts'
import { ByteBudget } from './wire/byte-budget.ts'

/** Seconds; a PUBACK waits for one sync, an SD card's may take half a second. */
export const PUBACK_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/** A PUBLISH as either door hands it in: the stored message without the stamp of its receipt. */
export type IncomingMessage = Omit<
  StoredMessage,
  'receivedAt' | 'monotonicMs' | 'bootId' | 'clockUnsynced'
>

/** Whoever is told how many of its bytes wait for their sync: a connection. */
export interface BytesHolder {
  heldBytes: number
}

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
 * is stored. Bounded by one budget over all doors: they put no more under way while it is full.
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
  /** Over all connections: what waits for its sync, and what the doors hold of unfinished packets. */
  readonly budget: ByteBudget
  readonly #monotonic: () => number
  /** How long a QoS 1 or 2 message waited for its sync, s. */
  readonly waits = new BucketCounts(PUBACK_BUCKETS)
  #inflightBytes = 0

  constructor(log: DurableLog, clockSync: ClockSync, inflightBytesMax: number, clock: Clock) {
    this.#log = log
    this.#clock = clockSync
    this.#monotonic = () => clock.monotonic()
    this.budget = new ByteBudget(inflightBytesMax)
  }

  /** What waits for its sync. */
  get inflightBytes(): number {
    return this.#inflightBytes
  }

  /** Over the budget: the door should stop reading until `room` resolves. */
  get full(): boolean {
    return this.budget.full
  }

  /** Resolves when half the budget is free again, in its turn. */
  room(): Promise<void> {
    const need = Math.ceil(this.budget.bytesMax / 2)
    return new Promise(resolve => this.budget.wait({ need, go: resolve }))
  }

  /**
   * Stores a QoS 1 or 2 message; resolves once it may be acknowledged. Settles in the order of the
   * calls.
   *
   * @param holder Whose bytes they are meanwhile.
   * @throws {OperationalError} LOG_FULL, DISK_FAILED or LOG_CLOSED: it must not be acknowledged.
   */
  async store(message: IncomingMessage, holder?: BytesHolder): Promise<void> {
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
    this.budget.take(record.length)
    if (holder) holder.heldBytes += record.length
    const from = this.#monotonic()
    try {
      await this.#log.append([record])
      this.counters.stored[message.qos]++
      this.counters.storedBytes += record.length
      // Nobody waits for a QoS 0 message.
      if (message.qos > 0) this.waits.observe((this.#monotonic() - from) / 1000)
    } catch (error) {
      this.counters.refused++
      throw error
    } finally {
      this.#inflightBytes -= record.length
      if (holder) holder.heldBytes -= record.length
      this.budget.give(record.length)
    }
  }

  /** Takes a QoS 0 message if there is room; nobody waits for it. */
  offer(message: IncomingMessage, holder?: BytesHolder): void {
    if (this.full) {
      this.counters.droppedQos0++
      return
    }
    this.store(message, holder).catch(() => {
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
}
