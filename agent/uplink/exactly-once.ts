import { TOPICS } from '../../core/contract/topics.ts'
import type { Cursor } from '../../core/log/reader.ts'
import { Chunks } from './chunks.ts'
import type { Cut, Delivery, DeliveryOptions, Room } from './delivery.ts'
import { DeliveryFaults } from './delivery-faults.ts'
import {
  type CommittedGroup,
  type Session,
  TRANSACTION_MS_LIMIT,
  type Transaction
} from './driver.ts'
import { LinkEstimate } from './link.ts'
import { LoginRenewal } from './login-renewal.ts'
import { type OutgoingRecord, outgoingBytes, totalBytes } from './outgoing-record.ts'
import { TopicLimits } from './topic-limits.ts'
import { isOneTopics } from './verdict.ts'

/** While a backlog is long so many sends share a transaction: its round trips cost as much as one. */
const SENDS_MAX = 3
/** Before and after the records: partitions, offsets, commit. */
const ROUND_TRIPS = 5
/** What a vanished agent costs its read_committed consumers, beside the broker's own sweep of 10 s. */
const TRANSACTION_MS_MIN = 10_000

interface OpenSession {
  session: Session
  /** From the fencing; used for the first batch. */
  transaction: Transaction | undefined
  transactionMsMax: number
  clusterId: string
  /** Committed when the session began. */
  committed: Cursor | undefined
}

/** Records of a batch that share a transaction, [first, end), and the cursor behind them. */
interface Stage {
  first: number
  end: number
  upTo: Cursor
}

type Outcome = 'stored' | 'stopped' | 'too_long'

/**
 * Records and cursor in one transaction: consumers with `read_committed` see each record once,
 * whatever crashed. The cursor is the offset of a group named like the transactional id, on a topic
 * that holds nothing else.
 *
 * After any unanswered call the producer is dropped: connect, `begin()` — which fences and
 * aborts, connecting alone does not —, fetch the cursor, and go on from what Kafka says.
 */
export class ExactlyOnceDelivery implements Delivery {
  readonly #options: DeliveryOptions
  readonly #id: string
  readonly #faults: DeliveryFaults
  readonly #link: LinkEstimate
  readonly #topicLimits = new TopicLimits()
  readonly #renewal: LoginRenewal
  /** What the broker allows, as far as is known. */
  #transactionMsLimit = TRANSACTION_MS_LIMIT
  #open: OpenSession | undefined

  constructor(options: DeliveryOptions & { transactionalId: string }) {
    this.#id = options.transactionalId
    this.#options = options
    this.#faults = new DeliveryFaults(options)
    this.#renewal = new LoginRenewal({ ...options, session: { transactionalId: this.#id } })
    this.#link = new LinkEstimate(options.batchBytesMax)
  }

  get room(): Room {
    // One, until it is known how long it takes.
    return this.#roomFor(
      this.#link.batchBytes,
      this.#link.bytesPerSecond === undefined ? 1 : SENDS_MAX
    )
  }

  get roomAhead(): Room {
    return this.#roomFor(this.#link.batchBytesAhead, SENDS_MAX)
  }

  expectedMs(bytes: number): number {
    return this.#link.expectedMs(bytes) + ROUND_TRIPS * this.#link.roundTripMs
  }

  async start(signal: AbortSignal): Promise<Cursor | undefined> {
    while (!signal.aborted) {
      try {
        const { committed } = await this.#session(TRANSACTION_MS_MIN)
        this.#faults.over()
        return committed
      } catch (error) {
        await this.close()
        await this.#faults.handle(this.#options.driver.judge(error), () => false, signal)
      }
    }
    return undefined
  }

  async deliver(
    records: OutgoingRecord[],
    upTo: Cursor,
    signal: AbortSignal,
    cuts: () => readonly Cut[] = () => []
  ): Promise<boolean> {
    if (this.#renewal.isDue(this.#open?.session)) await this.close()
    // Nothing to store: the next batch's cursor covers it.
    const stages: Stage[] = records.length > 0 ? [{ first: 0, end: records.length, upTo }] : []
    while (stages.length > 0) {
      const [{ first, end, upTo }] = stages
      const outcome = await this.#deliverStage(records.slice(first, end), upTo, signal, () => {
        // The link is slower than the batch was made for.
        const parts = divide(stages[0], records, cuts(), this.room.bytes)
        stages.splice(0, 1, ...parts)
        return parts.length > 1
      })
      if (outcome === 'stopped') return false
      if (outcome === 'stored') stages.shift()
    }
    return true
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await open?.session.close()
  }

  /**
   * One transaction, tried until it is stored.
   *
   * @param shorten Asked after a failure: whether less is to be tried, in another stage.
   */
  async #deliverStage(
    records: OutgoingRecord[],
    upTo: Cursor,
    signal: AbortSignal,
    shorten: () => boolean
  ): Promise<Outcome> {
    const { driver, deadLetterTopic, onDeadLetter } = this.#options
    const chunks = new Chunks(records, deadLetterTopic, onDeadLetter)
    while (!signal.aborted) {
      let at = 0
      const unclear = this.#open === undefined
      try {
        const open = await this.#session(this.#timeoutMs(records))
        if (unclear && isSame(open.committed, upTo)) {
          this.#faults.over()
          return 'stored'
        }
        if (unclear && !chunks.isRefined && shorten()) return 'too_long'
        this.#cut(chunks)
        const transaction = open.transaction ?? (await open.session.begin())
        open.transaction = undefined
        const last = chunks.all.length - 1
        for (; at < last; at++) await transaction.send(chunks.all[at])
        const lastSent = transaction.send(chunks.all[last])
        // Its first send has brought the transaction about; only then may the cursor go beside one.
        if (last === 0) await lastSent
        await Promise.all([lastSent, this.#sendCursor(open, transaction, upTo)])
        at = chunks.all.length
        await transaction.commit()
        for (const chunk of chunks.all) this.#topicLimits.stored(chunk)
        this.#faults.over()
        return 'stored'
      } catch (error) {
        const verdict = driver.judge(error)
        await this.close()
        // It was closed: no trouble of Kafka's.
        if (signal.aborted) return 'stopped'
        if (verdict.code === 'INVALID_TRANSACTION_TIMEOUT' && this.#shortenTransactions()) continue
        const chunk = chunks.all[at]
        if (verdict.action === 'split' && chunk) this.#topicLimits.refused(chunk)
        if (isOneTopics(verdict) && chunks.splitByTopic(at)) continue
        const refine = () => chunk !== undefined && chunks.refine(at, verdict)
        await this.#faults.handle(verdict, refine, signal)
      }
    }
    return 'stopped'
  }

  #cut(chunks: Chunks): void {
    chunks.cut({
      bytesMax: this.#link.batchBytes,
      recordsMax: this.#options.batchRecordsMax,
      topicBytesMax: this.#topicLimits.bytesMax
    })
  }

  async #sendCursor(open: OpenSession, transaction: Transaction, upTo: Cursor): Promise<void> {
    const metadata = JSON.stringify({ epoch: upTo.epoch, cluster: open.clusterId })
    const offset = { offset: String(upTo.offset), metadata }
    await transaction.sendOffset(this.#id, TOPICS.cursors, offset)
  }

  /** The session there is, or a new one when there is none whose transactions last long enough. */
  async #session(timeoutMs: number): Promise<OpenSession> {
    const open = this.#open
    if (open) {
      const { transactionMsMax } = open
      const isFar = transactionMsMax > TRANSACTION_MS_MIN && timeoutMs <= transactionMsMax / 4
      if (timeoutMs <= transactionMsMax && !isFar) return open
      await this.close()
    }
    return this.#begin(timeoutMs)
  }

  async #begin(transactionMsMax: number): Promise<OpenSession> {
    const options = { transactionalId: this.#id, transactionMsMax }
    const session = await this.#options.driver.open(options, this.#link)
    try {
      const transaction = await session.begin()
      // Only after fencing: before it another incarnation could still move the cursor.
      const group = await session.committed(this.#id, TOPICS.cursors)
      const { clusterId } = group
      const committed = parseCursor(group)
      this.#open = { session, transaction, transactionMsMax, clusterId, committed }
      return this.#open
    } catch (error) {
      await session.close()
      throw error
    }
  }

  #roomFor(bytes: number, sends: number): Room {
    return { bytes: bytes * sends, records: this.#options.batchRecordsMax * sends }
  }

  /**
   * Transaction timeout for these records, ms: room for the link to become slower. In steps, so that
   * it does not change with every breath of the link.
   */
  #timeoutMs(records: readonly OutgoingRecord[]): number {
    const bytes = totalBytes(records)
    const largest = records.reduce((most, record) => Math.max(most, outgoingBytes(record)), 0)
    const oneSend = Math.max(largest, Math.min(bytes, this.#link.batchBytes))
    const wantedMs = Math.max(2 * this.expectedMs(bytes), 4 * this.#link.expectedMs(oneSend))
    const steps = Math.max(0, Math.ceil(Math.log2(wantedMs / TRANSACTION_MS_MIN)))
    return Math.min(this.#transactionMsLimit, TRANSACTION_MS_MIN * 2 ** steps)
  }

  /** The broker allows less than Kafka's default. @returns false when it cannot be less. */
  #shortenTransactions(): boolean {
    if (this.#transactionMsLimit <= TRANSACTION_MS_MIN) return false
    this.#transactionMsLimit = Math.max(TRANSACTION_MS_MIN, this.#transactionMsLimit / 2)
    return true
  }
}

/** Two stages, the first of at most `bytesMax` if a cut allows that; the same when it fits well. */
function divide(
  stage: Stage,
  records: readonly OutgoingRecord[],
  cuts: readonly Cut[],
  bytesMax: number
): Stage[] {
  const { first, end } = stage
  const inside = cuts.filter(cut => cut.records > first && cut.records < end)
  if (inside.length === 0 || totalBytes(records.slice(first, end)) < 2 * bytesMax) return [stage]
  const fitting = inside.filter(cut => totalBytes(records.slice(first, cut.records)) <= bytesMax)
  const { records: middle, upTo } = fitting.at(-1) ?? inside[0]
  return [
    { first, end: middle, upTo },
    { ...stage, first: middle }
  ]
}

/** @returns undefined when none is committed, or it belongs to another cluster's history. */
function parseCursor({ clusterId, committed }: CommittedGroup): Cursor | undefined {
  const offset = Number(committed?.offset ?? -1)
  if (!Number.isSafeInteger(offset) || offset < 0) return undefined
  try {
    const { epoch, cluster } = JSON.parse(committed?.metadata ?? '') as Record<string, unknown>
    return typeof epoch === 'string' && cluster === clusterId ? { epoch, offset } : undefined
  } catch {
    return undefined
  }
}

/**
 * Whether the unanswered commit took place. Only exactly this cursor says so: with every other
 * producer fenced Kafka holds it or the one before, and a log restored from a backup may find one
 * that is far ahead of what it holds.
 */
function isSame(committed: Cursor | undefined, upTo: Cursor): boolean {
  return committed?.epoch === upTo.epoch && committed.offset === upTo.offset
}
