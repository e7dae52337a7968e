import { TOPICS } from '../../core/contract/topics.ts'
import type { Cursor } from '../../core/log/reader.ts'
import { withDeadline } from '../../core/runtime/deadline.ts'
import type { Transaction } from '../../core/runtime/kafka.ts'
import { Chunks } from './chunks.ts'
import type { Delivery } from './delivery.ts'
import { DeliveryFaults, type DeliveryOptions } from './delivery-faults.ts'
import { judge } from './kafka-errors.ts'
import { KafkaSession } from './kafka-session.ts'
import type { OutgoingRecord } from './outgoing-record.ts'

const ANSWER_MS_MAX = 30_000

interface OpenSession {
  session: KafkaSession
  /** From the fencing; used for the first batch. */
  transaction: Transaction | undefined
  clusterId: string
  /** Committed when the session began. */
  committed: Cursor | undefined
}

/**
 * Records and cursor in one transaction: consumers with `read_committed` see each record once,
 * whatever crashed. The cursor is the offset of a group named like the transactional id, on a topic
 * that holds nothing else.
 *
 * After any unanswered call the producer is dropped: connect, `transaction()` — which fences and
 * aborts, connecting alone does not —, fetch the cursor, and go on from what Kafka says.
 */
export class ExactlyOnceDelivery implements Delivery {
  readonly #options: DeliveryOptions
  readonly #id: string
  readonly #faults: DeliveryFaults
  #open: OpenSession | undefined

  constructor(options: DeliveryOptions & { transactionalId: string }) {
    this.#id = options.transactionalId
    this.#options = {
      ...options,
      session: { ...options.session, transactionalId: options.transactionalId }
    }
    this.#faults = new DeliveryFaults(options)
  }

  async start(signal: AbortSignal): Promise<Cursor | undefined> {
    while (!signal.aborted) {
      try {
        const { committed } = await this.#session()
        this.#faults.over()
        return committed
      } catch (error) {
        await this.close()
        await this.#faults.handle(judge(error), () => false, signal)
      }
    }
    return undefined
  }

  async deliver(records: OutgoingRecord[], upTo: Cursor, signal: AbortSignal): Promise<boolean> {
    const { deadLetterTopic, onDeadLetter } = this.#options
    const chunks = new Chunks(records, deadLetterTopic, onDeadLetter)
    // Nothing to store: the next batch's cursor covers it.
    if (chunks.all.length === 0) return true
    while (!signal.aborted) {
      let at = 0
      try {
        const unclear = this.#open === undefined
        const open = await this.#session()
        if (unclear && isSame(open.committed, upTo)) {
          this.#faults.over()
          return true
        }
        const transaction = open.transaction ?? (await open.session.transaction())
        open.transaction = undefined
        for (; at < chunks.all.length; at++) await open.session.sendIn(transaction, chunks.all[at])
        await this.#commit(open, transaction, upTo)
        this.#faults.over()
        return true
      } catch (error) {
        const verdict = judge(error)
        await this.close()
        const refine = () => at < chunks.all.length && chunks.refine(at, verdict)
        await this.#faults.handle(verdict, refine, signal)
      }
    }
    return false
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await open?.session.close()
  }

  async #commit(open: OpenSession, transaction: Transaction, upTo: Cursor): Promise<void> {
    const metadata = JSON.stringify({ epoch: upTo.epoch, cluster: open.clusterId })
    const partition = { partition: 0, offset: String(upTo.offset), metadata }
    const cursor = {
      consumerGroupId: this.#id,
      topics: [{ topic: TOPICS.cursors, partitions: [partition] }]
    }
    await withDeadline('sending the cursor', ANSWER_MS_MAX, transaction.sendOffsets(cursor))
    await withDeadline('committing', ANSWER_MS_MAX, transaction.commit())
  }

  async #session(): Promise<OpenSession> {
    if (this.#open) return this.#open
    const session = await KafkaSession.open(this.#options.session)
    try {
      const transaction = await session.transaction()
      this.#open = { session, transaction, ...(await this.#fetchCursor()) }
      return this.#open
    } catch (error) {
      await session.close()
      throw error
    }
  }

  /** Only after fencing: before it another incarnation could still move the cursor. */
  async #fetchCursor(): Promise<{ clusterId: string; committed: Cursor | undefined }> {
    const admin = this.#options.session.kafka.admin()
    try {
      await withDeadline('connecting', ANSWER_MS_MAX, admin.connect())
      const { clusterId } = await withDeadline(
        'describing the cluster',
        ANSWER_MS_MAX,
        admin.describeCluster()
      )
      const [found] = await withDeadline(
        'fetching the cursor',
        ANSWER_MS_MAX,
        admin.fetchOffsets({ groupId: this.#id, topics: [TOPICS.cursors] })
      )
      const partition = found?.partitions.find(p => p.partition === 0)
      return { clusterId, committed: parseCursor(partition, clusterId) }
    } finally {
      await withDeadline('closing', 2_000, admin.disconnect()).catch(() => {})
    }
  }
}

/** @returns undefined when none is committed, or it belongs to another cluster's history. */
function parseCursor(
  partition: { offset: string; metadata: string | null } | undefined,
  clusterId: string
): Cursor | undefined {
  const offset = Number(partition?.offset ?? -1)
  if (!Number.isSafeInteger(offset) || offset < 0) return undefined
  try {
    const { epoch, cluster } = JSON.parse(partition?.metadata ?? '') as Record<string, unknown>
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
