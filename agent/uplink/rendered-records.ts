import type { Cursor } from '../../core/log/reader.ts'
import type { Cut, Room } from './delivery.ts'
import { type OutgoingRecord, totalBytes } from './outgoing-record.ts'

/** What one log record became; nothing, for a clock mark. */
interface Rendered {
  records: OutgoingRecord[]
  bytes: number
  upTo: Cursor
  /** Epoch ms. */
  receivedAt: number | undefined
}

/** What is handed over at once. */
export interface Parcel {
  records: OutgoingRecord[]
  bytes: number
  /** Just behind its last log record. */
  upTo: Cursor
  logRecords: number
  /** Receive time of its oldest record, epoch ms. */
  oldestAt: number | undefined
  /** Where it may be taken apart: behind each log record. */
  cuts: () => Cut[]
}

/**
 * Rendered records between reading and sending: read in bulk, sent in parcels as large as the link is
 * good for at that moment. Holds what two reads gave, at most.
 */
export class RenderedRecords {
  #entries: Rendered[] = []
  #next = 0
  #bytes = 0

  get isEmpty(): boolean {
    return this.#next >= this.#entries.length
  }

  /** As `outgoingBytes` counts. */
  get bytes(): number {
    return this.#bytes
  }

  get count(): number {
    return this.#entries.length - this.#next
  }

  /** Receive time of the next record, epoch ms. */
  get oldestAt(): number | undefined {
    return this.#entries[this.#next]?.receivedAt
  }

  push(records: OutgoingRecord[], upTo: Cursor, receivedAt: number | undefined): void {
    const bytes = totalBytes(records)
    this.#bytes += bytes
    this.#entries.push({ records, bytes, upTo, receivedAt })
  }

  /** The next records that fit, at least one. Not while it is empty. */
  take(room: Room): Parcel {
    const first = this.#next
    const records: OutgoingRecord[] = []
    let bytes = 0
    let end = first
    for (; end < this.#entries.length; end++) {
      const entry = this.#entries[end]
      const fits =
        bytes + entry.bytes <= room.bytes && records.length + entry.records.length <= room.records
      if (!fits && records.length > 0) break
      for (const record of entry.records) records.push(record)
      bytes += entry.bytes
    }
    const taken = this.#entries.slice(first, end)
    this.#forget(end, bytes)
    const oldest = taken.find(({ receivedAt }) => receivedAt !== undefined)
    return {
      records,
      bytes,
      upTo: taken[taken.length - 1].upTo,
      logRecords: taken.length,
      oldestAt: oldest?.receivedAt,
      cuts: () => cutsOf(taken)
    }
  }

  #forget(end: number, bytes: number): void {
    this.#next = end
    this.#bytes -= bytes
    if (this.isEmpty) {
      this.#entries = []
      this.#next = 0
    } else if (this.#next > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#next)
      this.#next = 0
    }
  }
}

function cutsOf(taken: readonly Rendered[]): Cut[] {
  let records = 0
  return taken.map(entry => {
    records += entry.records.length
    return { records, upTo: entry.upTo }
  })
}
