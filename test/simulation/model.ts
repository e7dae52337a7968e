import type { Cursor, LogRecord } from '../../core/log/reader.ts'

/** An invariant that did not hold. */
export interface Violation {
  seed: number
  /** Lives of the process so far. */
  life: number
  message: string
}

type Fate = 'pending' | 'acked' | 'refused' | 'unknown'

interface Sent {
  payload: Buffer
  fate: Fate
  /** `epoch/offset` once it is known under one. */
  name: string | undefined
}

interface Acked {
  id: number
  epoch: string
  /** Acknowledged before it was synced (`sync` other than `group`): power may take it. */
  risky: boolean
}

export interface ReaderModel {
  hard: boolean
  /** Everything below was committed, in this life or an earlier one. */
  committed: number
  /** Of the last checkpoint that resolved: it goes on there or later. */
  checkpointed: number
  /** A checkpoint that resolved has its cursor: what it needs is held back from now on. */
  saved: boolean
  next: number
  /** An older copy was put back: where it goes on is what that copy had saved. */
  ofCopy?: boolean
}

/**
 * What the log promises, kept in the simplest way there is: who was sent, who was acknowledged under
 * which name, what was dropped, and how far each reader is.
 */
export class Model {
  readonly readers: Record<string, ReaderModel> = {
    hard: { hard: true, committed: 0, checkpointed: 0, saved: false, next: 0 },
    soft: { hard: false, committed: 0, checkpointed: 0, saved: false, next: 0 }
  }
  readonly #report: (message: string) => void
  /** Whoever reads a record may rely on it: it is synced. */
  readonly #readIsSynced: boolean
  readonly #sent: Sent[] = []
  readonly #named = new Map<string, number>()
  readonly #acked = new Map<number, Acked>()
  /** Offsets that the overflow policy gave up. */
  readonly #dropped = new Set<number>()
  readonly #epochs = new Set<string>()
  /** Every offset that was ever given away is below. */
  givenEnd = 0
  note = { set: 0, saved: 0 }

  constructor(report: (message: string) => void, readIsSynced: boolean) {
    this.#report = report
    this.#readIsSynced = readIsSynced
  }

  get ackedCount(): number {
    return this.#acked.size
  }

  send(payload: Buffer): number {
    const id = this.#sent.length
    payload.writeUInt32BE(id, 0)
    this.#sent.push({ payload: Buffer.from(payload), fate: 'pending', name: undefined })
    return id
  }

  ack(ids: number[], first: number, epoch: string, risky: boolean): void {
    for (const [i, id] of ids.entries()) {
      const offset = first + i
      const before = this.#acked.get(offset)
      if (before && !before.risky && before.id !== id) {
        this.#report(`offset ${offset} was given away twice: ${before.epoch} and ${epoch}`)
      }
      this.#sent[id].fate = 'acked'
      this.givenEnd = Math.max(this.givenEnd, offset + 1)
      this.#epochs.add(epoch)
      this.#acked.set(offset, { id, epoch, risky })
      this.#name(`${epoch}/${offset}`, id)
    }
  }

  refuse(ids: number[], known: boolean): void {
    for (const id of ids) this.#sent[id].fate = known ? 'refused' : 'unknown'
  }

  drop(first: number, end: number): void {
    for (let offset = first; offset < end; offset++) this.#dropped.add(offset)
  }

  /** The process died or failed: appends under way have no known outcome. */
  forgetPending(): void {
    for (const sent of this.#sent) if (sent.fate === 'pending') sent.fate = 'unknown'
  }

  /** A synced byte changed: any record may be gone. */
  everythingIsRisky(): void {
    for (const acked of this.#acked.values()) acked.risky = true
  }

  /** An older copy of the disk was put back: what came after it is gone, but not its names. */
  putBack(): void {
    this.#acked.clear()
    for (const reader of Object.values(this.readers)) {
      const ofCopy = true
      Object.assign(reader, { committed: 0, checkpointed: 0, saved: false, next: 0, ofCopy })
    }
    this.note.saved = 0
  }

  began({ epoch, offset }: Cursor, atLeast: number): void {
    if (this.#epochs.has(epoch)) this.#report(`epoch ${epoch} began twice`)
    this.#epochs.add(epoch)
    if (offset < atLeast) this.#report(`an epoch began at ${offset}, not at ${atLeast} or behind`)
  }

  /** An orderly stop synced everything. */
  nothingIsRisky(): void {
    for (const acked of this.#acked.values()) acked.risky = false
  }

  /** @param kept Nothing can be lost: since the last life only the process died. */
  opened(end: number, kept: boolean): void {
    for (const [offset, acked] of this.#acked) {
      if (acked.risky && !kept) this.#acked.delete(offset)
      else if (offset >= end) this.#report(`the log ends at ${end}, but ${offset} was acknowledged`)
    }
    for (const reader of Object.values(this.readers)) {
      reader.committed = Math.min(reader.committed, end)
    }
  }

  /** @param offset Where the log lets the reader begin. */
  beginReading(name: string, offset: number, mayRepeatMore: boolean): void {
    const reader = this.readers[name]
    if (reader.ofCopy) reader.committed = offset
    reader.ofCopy = false
    this.#missed(name, reader.committed, offset)
    if (offset < reader.checkpointed && !mayRepeatMore) {
      this.#report(`${name} begins at ${offset} again, though ${reader.checkpointed} was saved`)
    }
    reader.next = offset
  }

  /** @param log Its offsets when the record was given. */
  read(
    name: string,
    record: LogRecord,
    { firstKept, end }: { firstKept: number; end: number }
  ): void {
    const reader = this.readers[name]
    const { offset, epoch } = record
    const payload = Buffer.from(record.payload)
    const id = payload.length < 4 ? -1 : payload.readUInt32BE(0)
    const sent = this.#sent[id]
    if (offset >= end) this.#report(`${name} was given ${offset}, but the log ends at ${end}`)
    if (offset < reader.next) {
      this.#report(`${name} was given ${offset} when ${reader.next} was next`)
    }
    this.#missed(name, reader.next, offset, firstKept)
    reader.next = offset + 1
    if (!sent?.payload.equals(payload)) {
      this.#report(`${name} was given bytes at ${epoch}/${offset} that nobody appended`)
      return
    }
    this.givenEnd = Math.max(this.givenEnd, offset + 1)
    const acked = this.#acked.get(offset)
    if (acked && acked.id !== id && !acked.risky) {
      this.#report(`${name} was given ${id} at ${offset}, where ${acked.id} was acknowledged`)
    }
    this.#name(`${epoch}/${offset}`, id)
    if (this.#readIsSynced && !acked) this.#acked.set(offset, { id, epoch, risky: false })
  }

  /** Reading is over: nothing acknowledged may lie ahead. */
  drained(name: string, firstKept: number): void {
    this.#missed(name, this.readers[name].next, Number.POSITIVE_INFINITY, firstKept)
  }

  #missed(name: string, first: number, end: number, firstKept = end): void {
    const { hard } = this.readers[name]
    for (const [offset, { risky }] of this.#acked) {
      if (offset < first || offset >= end || risky || this.#dropped.has(offset)) continue
      // A soft reader is moved on when the records go for which it held too far back.
      if (!hard && offset < firstKept) continue
      this.#report(`${name} was never given ${offset}, which was acknowledged and not dropped`)
      return
    }
  }

  #name(name: string, id: number): void {
    const sent = this.#sent[id]
    const before = this.#named.get(name)
    if (before !== undefined && before !== id) {
      this.#report(`${name} names two records: ${before} and ${id}`)
    }
    if (sent.name !== undefined && sent.name !== name) {
      this.#report(`record ${id} stands under two names: ${sent.name} and ${name}`)
    }
    this.#named.set(name, id)
    sent.name = name
  }
}
