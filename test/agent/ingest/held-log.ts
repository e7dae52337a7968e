import { ClockSync } from '../../../agent/clock-sync.ts'
import { Intake } from '../../../agent/ingest/intake.ts'
import { decodeStoredRecord, type StoredMessage } from '../../../core/contract/stored-message.ts'
import type { DurableLog } from '../../../core/log/log.ts'
import { OperationalError } from '../../../core/runtime/errors.ts'

/** A log whose disk answers when it is told to. */
export class HeldLog {
  readonly appended: StoredMessage[] = []
  /** While true, an append waits for `sync` or `refuse`. */
  held = false
  #waiting: { resolve: (offset: number) => void; reject: (error: Error) => void }[] = []

  append(payloads: readonly Uint8Array[]): Promise<number> {
    const offset = this.appended.length
    for (const payload of payloads) {
      const stored = decodeStoredRecord(payload)
      if (stored.kind === 'message') this.appended.push(stored.message)
    }
    if (!this.held) return Promise.resolve(offset)
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** The oldest `count` appends are durable. */
  sync(count = this.#waiting.length): void {
    for (const { resolve } of this.#waiting.splice(0, count)) resolve(0)
  }

  /** The oldest `count` appends are refused. */
  refuse(count = this.#waiting.length): void {
    const error = new OperationalError('LOG_FULL', 'the log is full')
    for (const { reject } of this.#waiting.splice(0, count)) reject(error)
  }

  topics(): string[] {
    return this.appended.map(({ topic }) => topic)
  }

  payloads(): string[] {
    return this.appended.map(({ payload }) => Buffer.from(payload).toString())
  }
}

export const NOW = 1_795_336_000_000

export function intakeOf(log: HeldLog, inflightBytesMax = 1 << 20): Intake {
  const clock = { now: () => NOW, monotonic: () => 5_000.9 }
  const clockSync = new ClockSync({ clock, bootId: 7n, floorAt: 0, onMark: () => {} })
  return new Intake(log as unknown as DurableLog, clockSync, inflightBytesMax, clock)
}
