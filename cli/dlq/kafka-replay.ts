import { judge } from '../../agent/uplink/kafka-errors.ts'
import { type OutgoingRecord, outgoingBytes } from '../../agent/uplink/outgoing-record.ts'
import type { Kafka, Producer, TopicMessages, Transaction } from '../../core/kafka/client.ts'
import { pause, withDeadline } from '../../core/runtime/deadline.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import {
  kafkaFault,
  type Places,
  readLetters,
  recordsIn,
  spanOf,
  withAdmin
} from './kafka-letters.ts'
import type { DeadLetter } from './letter.ts'
import { ReplayReport } from './replay-report.ts'
import type { Resending, Resent } from './resending.ts'
import { isSelected, type Selection } from './selection.ts'
import { SentOffsets } from './sent-offsets.ts'

export interface ReplayOptions {
  kafka: Kafka
  /** The dead-letter topic. */
  topic: string
  /** Name of the consumer group that remembers what was sent, and of the transactions. */
  group: string
  selection: Selection
  resending: Resending
  /** Dead letters sent at most. */
  limit: number
  /** Only tells. */
  dryRun: boolean
  /** What still fails is done with too: this group does not try it again. */
  skip: boolean
  /** Epoch ms. */
  now: () => number
  /** Ends after the transaction that is under way. */
  signal: AbortSignal
  /** Told of each dead letter that was read: how many, and how many there may be. */
  onRead?: (read: number, total: number) => void
}

/** In memory at a time; the topic is read in as many goes as that takes. */
const WINDOW_BYTES_MAX = 16 << 20
const WINDOW_LETTERS_MAX = 5_000
/** Of one transaction. */
const CHUNK_BYTES_MAX = 512 << 10
const CHUNK_LETTERS_MAX = 500
const ANSWER_MS_MAX = 30_000
/** So long at most readers with read_committed wait for a run that died. */
const TRANSACTION_MS_MAX = 30_000
const MARK_ATTEMPTS_MAX = 5
const ACKS_ALL = -1

/** A letter that is done with once its records, perhaps none, are in Kafka. */
interface Step {
  letter: DeadLetter
  /** Where the places done with begin: what lies before the letter and is none counts too. */
  from: number
  records: OutgoingRecord[]
  result: Resent
}

/**
 * Sends dead letters again. Records and the note that they were sent are one transaction, so a run
 * that dies, or whose answer is lost, neither loses nor doubles; a second run at the same time takes
 * over, and the first one ends with an error.
 *
 * @throws {OperationalError} KAFKA_UNREACHABLE or KAFKA_REFUSED; what was sent until then is remembered.
 */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const run = new Replay(options)
  try {
    await run.run()
    return run.report
  } catch (error) {
    const { code } = judge(error)
    if (code !== 'INVALID_PRODUCER_EPOCH' && code !== 'PRODUCER_FENCED') throw kafkaFault(error)
    const message = `Another replay with group '${options.group}' has taken over; this one ends.`
    throw new OperationalError('KAFKA_REFUSED', message, { cause: error })
  } finally {
    await run.close()
  }
}

class Replay {
  readonly report: ReplayReport
  readonly #options: ReplayOptions
  readonly #sent = new Map<number, SentOffsets>()
  #topics: ReadonlySet<string> = new Set()
  #producer: Producer | undefined
  #transaction: Transaction | undefined
  #chunk: Step[] = []
  #chunkBytes = 0
  #read = 0
  #total = 0

  constructor(options: ReplayOptions) {
    this.#options = options
    this.report = new ReplayReport(options.dryRun)
  }

  async run(): Promise<void> {
    const { kafka, topic, dryRun, limit } = this.#options
    if (limit < 1) this.report.stopped = 'limit'
    const { first, end } = await spanOf(kafka, topic)
    // Fence first: before it another run could still move the offsets that are fetched next.
    if (!dryRun) await this.#open()
    await this.#fetchSent(first)
    this.#topics = new Set(await withAdmin(kafka, admin => admin.listTopics()))
    let from: Places | undefined = new Map([...this.#sent].map(([p, sent]) => [p, sent.first]))
    this.#total = recordsIn(from ?? first, end)
    while (from && !this.#isOver()) {
      const letters: DeadLetter[] = []
      const next: Places | undefined = await this.#readWindow(from, end, letters)
      await this.#takeWindow(letters, from)
      from = next
    }
    this.report.complete = from === undefined && !this.#isOver()
  }

  async close(): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    this.#transaction = undefined
    if (producer) await withDeadline('closing', 2_000, producer.disconnect()).catch(() => {})
  }

  #isOver(): boolean {
    return this.report.stopped !== undefined || this.#options.signal.aborted
  }

  #readWindow(from: Places, end: Places, into: DeadLetter[]): Promise<Places | undefined> {
    let bytes = 0
    return readLetters(this.#options.kafka, this.#options.topic, from, end, letter => {
      into.push(letter)
      this.#options.onRead?.(++this.#read, this.#total)
      bytes += letter.value.length
      return bytes < WINDOW_BYTES_MAX && into.length < WINDOW_LETTERS_MAX
    })
  }

  async #takeWindow(letters: readonly DeadLetter[], from: Places): Promise<void> {
    const reached = new Map(from)
    for (const letter of letters) {
      if (this.#isOver()) return
      const { partition, brokerOffset } = letter
      const before = reached.get(partition) ?? 0
      reached.set(partition, brokerOffset + 1)
      await this.#take(letter, before)
    }
    if (!this.#isOver() || this.report.stopped === 'limit') await this.#flush()
  }

  async #take(letter: DeadLetter, from: number): Promise<void> {
    const { selection, resending, now, limit, skip } = this.#options
    if (this.#sentOf(letter.partition).has(letter.brokerOffset)) {
      this.report.already++
      return
    }
    if (!isSelected(selection, letter)) {
      this.report.passedOver++
      return
    }
    const result = this.#withTopics(resending.of(letter, now()))
    if (result.kind === 'left' && !skip) {
      this.report.count(letter, result)
      return
    }
    const records = result.kind === 'send' ? result.records : []
    this.#chunk.push({ letter, from, records, result })
    for (const record of records) this.#chunkBytes += outgoingBytes(record)
    const waiting = this.#chunk.filter(step => step.result.kind === 'send').length
    const isLast = this.report.sent + waiting >= limit
    const isFull = this.#chunk.length >= CHUNK_LETTERS_MAX || this.#chunkBytes >= CHUNK_BYTES_MAX
    if (isFull || isLast) await this.#flush()
    if (isLast && this.report.sent >= limit) this.report.stopped ??= 'limit'
  }

  /** A topic that is not there would be refused, and the letters beside it with it. */
  #withTopics(result: Resent): Resent {
    if (result.kind !== 'send') return result
    const missing = result.records.find(({ topic }) => !this.#topics.has(topic))
    if (!missing) return result
    const detail = `topic '${missing.topic}' does not exist, or may not be seen: create it`
    return { kind: 'left', cause: 'topic_missing', detail }
  }

  async #flush(): Promise<void> {
    const chunk = this.#chunk
    this.#chunk = []
    this.#chunkBytes = 0
    if (chunk.length > 0) await this.#store(chunk)
  }

  async #store(steps: readonly Step[]): Promise<void> {
    if (this.#isOver() && this.report.stopped !== 'limit') return
    const sent = this.#sentWith(steps)
    const offsets = [...sent].map(([partition, each]) => ({ partition, ...each.format() }))
    if (offsets.some(({ offset }) => offset === undefined)) {
      this.report.stopped = 'gaps'
      return
    }
    try {
      if (!this.#options.dryRun) await this.#commit(steps, offsets as CommittedOffset[])
    } catch (error) {
      const refused = new Set(['split', 'dead_letter']).has(judge(error).action)
      await this.close()
      if (!refused) throw error
      await this.#storeApart(steps, error)
      return
    }
    for (const [partition, each] of sent) this.#sent.set(partition, each)
    for (const { letter, result } of steps) this.report.count(letter, result)
  }

  /** Finds the letter that Kafka does not take, and leaves it. */
  async #storeApart(steps: readonly Step[], error: unknown): Promise<void> {
    if (steps.length === 1) {
      const [{ letter }] = steps
      const detail = `${judge(error).code}: ${messageOf(error)}`
      this.report.count(letter, { kind: 'left', cause: 'refused', detail })
      return
    }
    const middle = steps.length >> 1
    await this.#store(steps.slice(0, middle))
    await this.#store(steps.slice(middle))
  }

  async #commit(steps: readonly Step[], offsets: CommittedOffset[]): Promise<void> {
    const topicMessages = byTopic(steps.flatMap(({ records }) => records))
    // Without records the client does not wait until the transaction before has settled.
    const attempts = topicMessages.length === 0 ? MARK_ATTEMPTS_MAX : 1
    for (let attempt = 1; ; attempt++) {
      try {
        const transaction = this.#transaction ?? (await this.#open())
        this.#transaction = undefined
        if (topicMessages.length > 0) {
          const batch = { acks: ACKS_ALL, topicMessages }
          await withDeadline('sending', TRANSACTION_MS_MAX, transaction.sendBatch(batch))
        }
        const { group, topic } = this.#options
        const marks = { consumerGroupId: group, topics: [{ topic, partitions: offsets }] }
        await withDeadline('noting', ANSWER_MS_MAX, transaction.sendOffsets(marks))
        await withDeadline('committing', ANSWER_MS_MAX, transaction.commit())
        return
      } catch (error) {
        if (attempt >= attempts || judge(error).code !== 'CONCURRENT_TRANSACTIONS') throw error
        await this.close()
        await pause(50 * attempt)
      }
    }
  }

  /** With a producer that lives a transaction of its own; else a new one, which fences every other. */
  async #open(): Promise<Transaction> {
    const { kafka, group } = this.#options
    if (!this.#producer) {
      this.#producer = kafka.producer({
        idempotent: true,
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        transactionalId: group,
        transactionTimeout: TRANSACTION_MS_MAX
      })
      await withDeadline('connecting', ANSWER_MS_MAX, this.#producer.connect())
    }
    this.#transaction = await withDeadline('fencing', ANSWER_MS_MAX, this.#producer.transaction())
    return this.#transaction
  }

  async #fetchSent(first: Places): Promise<void> {
    const { kafka, group, topic } = this.#options
    const found = await withAdmin(kafka, admin =>
      admin.fetchOffsets({ groupId: group, topics: [topic] })
    )
    for (const [partition, low] of first) {
      const committed = found[0]?.partitions.find(each => each.partition === partition)
      if (committed && Number(committed.offset) > 0 && !isOurs(committed.metadata)) {
        throw new OperationalError(
          'USAGE',
          `Group '${group}' belongs to another reader of '${topic}': give --group a name of its own.`
        )
      }
      const sent = SentOffsets.parse(committed)
      // Retention took them: nothing is left there to be sent.
      sent.add(0, low)
      this.report.already += sent.first - low
      this.#sent.set(partition, sent)
    }
  }

  #sentWith(steps: readonly Step[]): Map<number, SentOffsets> {
    const changed = new Map<number, SentOffsets>()
    for (const { letter, from } of steps) {
      const { partition, brokerOffset } = letter
      let sent = changed.get(partition)
      if (!sent) {
        sent = this.#sentOf(partition).copy()
        changed.set(partition, sent)
      }
      sent.add(from, brokerOffset + 1)
    }
    return changed
  }

  #sentOf(partition: number): SentOffsets {
    let sent = this.#sent.get(partition)
    if (!sent) {
      sent = SentOffsets.parse(undefined)
      this.#sent.set(partition, sent)
    }
    return sent
  }
}

interface CommittedOffset {
  partition: number
  offset: string
  metadata: string
}

function isOurs(metadata: string | null | undefined): boolean {
  return metadata?.startsWith('1:') === true
}

function byTopic(records: readonly OutgoingRecord[]): TopicMessages[] {
  const topics = new Map<string, TopicMessages>()
  for (const { topic, key, value, headers, timestampMs } of records) {
    const entry = topics.get(topic) ?? { topic, messages: [] }
    topics.set(topic, entry)
    entry.messages.push({ key, value, headers, timestamp: String(Math.floor(timestampMs)) })
  }
  return [...topics.values()]
}
