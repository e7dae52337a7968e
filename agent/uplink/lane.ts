import { HEADERS } from '../../core/contract/headers.ts'
import type { Cursor, LogReader, LogRecord } from '../../core/log/reader.ts'
import { BucketCounts, type BucketTotals } from '../../core/runtime/bucket-counts.ts'
import type { Clock } from '../../core/runtime/clock.ts'
import { pause } from '../../core/runtime/deadline.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { AverageRate } from './average-rate.ts'
import type { Delivery, LaneState, Room } from './delivery.ts'
import type { DrainLimit } from './drain-limit.ts'
import { type LaneCounters, type LaneView, PRODUCE_BUCKETS } from './lane-view.ts'
import type { OutgoingRecord } from './outgoing-record.ts'
import { type Parcel, RenderedRecords } from './rendered-records.ts'

export interface LaneOptions {
  name: string
  reader: LogReader
  delivery: Delivery
  /**
   * The lane had come further than the log now reaches: its files are an older copy, and offsets
   * would be given a second time. Told at most once.
   */
  onBeyondEnd: (cursor: Cursor) => void
  /**
   * Where the log ended when its uplink was started: what the lane had come to before is not behind
   * it, though the log may have reached that offset anew. Default: what the reader believes.
   */
  logEnd?: number
  /** Turns one stored record into what Kafka gets; pure but for counters. */
  render: (record: LogRecord, now: number) => OutgoingRecord[]
  /** Kept by the renderer and the delivery, shown by the lane. */
  deadLetters?: Partial<Record<string, number>>
  /** Kept by the renderer: what its routes dropped or sampled out. */
  filtered?: LaneView['filtered']
  /** After a short batch waits so long for company. */
  lingerMs: number
  /** Of records that are older than this, ms: what has waited, not what comes. */
  drain?: { limit: DrainLimit; olderThanMs: number }
  clock: Clock
  logger: Logger
}

/** Without an answer for so much longer than the link should need, a lane that is to stop does. */
const STUCK_MS = 2_000
const STUCK_CHECK_MS = 100

/**
 * One log and its way into Kafka: reads records, renders them, delivers a batch as large as the link is
 * good for, then moves its cursor. The next ones are read and rendered while a batch is under way; one
 * is in flight.
 */
export class Lane implements LaneView {
  readonly counters: LaneCounters = {
    delivered: 0,
    produced: 0,
    producedBytes: 0,
    batches: 0,
    produceMs: 0
  }
  readonly #options: LaneOptions
  readonly #stopping = new AbortController()
  readonly #hardStop = new AbortController()
  readonly #rate: AverageRate
  readonly #produceTimes = new BucketCounts(PRODUCE_BUCKETS)
  #running: Promise<void> | undefined
  #state: LaneState = { kind: 'connecting' }
  #oldestAt: number | undefined
  #queue = new RenderedRecords()
  #reading: Promise<void> | undefined
  #readFault: unknown
  #connectingSince: number | undefined
  #sendingSince: number | undefined
  #expectedMs = 0

  constructor(options: LaneOptions) {
    this.#options = options
    this.#rate = new AverageRate(options.clock)
  }

  get name(): string {
    return this.#options.name
  }

  get deadLetters(): Partial<Record<string, number>> {
    return this.#options.deadLetters ?? {}
  }

  get filtered(): LaneView['filtered'] {
    return this.#options.filtered
  }

  get state(): LaneState {
    return this.#state
  }

  /** Receive time of the oldest record under way, epoch ms; undefined when all is delivered. */
  get oldestAt(): number | undefined {
    return this.#oldestAt ?? this.#queue.oldestAt
  }

  /** How long Kafka has had the batch that is under way, ms; 0 when none is. */
  get sendingMs(): number {
    const since = this.#sendingSince
    return since === undefined ? 0 : this.#options.clock.monotonic() - since
  }

  /** How long the link is thought to need for the batch under way, ms. */
  get expectedMs(): number {
    return this.#expectedMs
  }

  /** Records delivered a second, lately. */
  get rate(): number {
    return this.#rate.perSecond
  }

  get produceTimes(): BucketTotals {
    return this.#produceTimes.totals
  }

  set state(state: LaneState) {
    this.#state = state
    // Kafka could not be reached, or went away while the lane was drained: nothing to wait for.
    if (this.#stopping.signal.aborted && isHeldUp(state)) this.#hardStop.abort()
  }

  /** Resolves when the lane has ended; rejects if it did by a fault of ours. */
  start(): Promise<void> {
    this.#running = this.#run().catch(error => {
      this.#options.logger.error(
        { event: 'uplink.failed', lane: this.name, error: String(error?.stack ?? error) },
        'A lane failed by a fault of ours: its records stay on disk.'
      )
      const message = 'the lane failed by a fault of ours; restart the agent'
      this.state = { kind: 'parked', code: 'LANE_FAILED', message, sinceAt: Date.now() }
      throw error
    })
    // Who does not ask may not crash of it.
    this.#running.catch(ignore)
    return this.#running
  }

  /**
   * Delivers what is in the log for at most `drainMs`, then stops; at once when Kafka does not take
   * records anyway, or has not answered for long. The batch that is under way when time is up may be
   * delivered again at the next start.
   */
  async stop(drainMs: number): Promise<void> {
    const limitMs = isHeldUp(this.#state) ? 0 : drainMs
    const timer = setTimeout(() => this.#hardStop.abort(), limitMs)
    const watch = setInterval(() => this.#giveUpIfStuck(), STUCK_CHECK_MS)
    this.#giveUpIfStuck()
    this.#stopping.abort()
    const { delivery, reader } = this.#options
    const ended = this.#running?.catch(() => {})
    // A send to a network that swallows everything may take a minute: not waited for.
    await Promise.race([ended, aborted(this.#hardStop.signal)])
    clearTimeout(timer)
    clearInterval(watch)
    this.#hardStop.abort()
    await delivery.close()
    reader.close()
    // It may have connected once more before it noticed.
    void ended?.then(() => delivery.close())
  }

  #giveUpIfStuck(): void {
    const since = this.#sendingSince ?? this.#connectingSince
    if (since === undefined) return
    const waitedMs = this.#options.clock.monotonic() - since
    if (waitedMs > STUCK_MS + 2 * this.#expectedMs) this.#hardStop.abort()
  }

  async #run(): Promise<void> {
    const { reader, delivery } = this.#options
    await this.#start()
    for (;;) {
      if (this.#queue.isEmpty) {
        this.#readAhead(false)
        await this.#reading
        if (this.#readFault) throw this.#readFault
        if (this.#queue.isEmpty) return
      }
      const limit = this.#drainLimit()
      if (limit) await pause(limit.waitMs, this.#hardStop.signal)
      if (this.#hardStop.signal.aborted) return
      const room = limit ? smaller(delivery.room, limit.slice) : delivery.room
      const parcel = this.#queue.take(room)
      limit?.spend(parcel.records.length, parcel.bytes)
      this.#oldestAt = parcel.oldestAt
      this.#readAhead(isShort(parcel, room))
      if (!(await this.#deliver(parcel))) return
      this.#oldestAt = undefined
      reader.commit(parcel.upTo)
      this.counters.delivered += parcel.logRecords
      this.#rate.count(parcel.logRecords)
    }
  }

  /** Waits for Kafka, and learns where to go on. */
  async #start(): Promise<void> {
    const { reader, delivery, clock } = this.#options
    const local = reader.position
    // Read ahead, so that the age of what waits is known though Kafka is away.
    const ahead = new AbortController()
    this.#readAhead(false, ahead.signal)
    this.#connectingSince = clock.monotonic()
    const committed = await delivery.start(this.#hardStop.signal)
    this.#connectingSince = undefined
    if (!committed || committed.offset <= local.offset) return
    ahead.abort()
    await this.#reading
    this.#queue = new RenderedRecords()
    // It is later than the checkpoint: it counts if it speaks of this log.
    const isBeyond = committed.offset > (this.#options.logEnd ?? Number.POSITIVE_INFINITY)
    if (isBeyond || !(await reader.seek(committed))) {
      await reader.seek(local)
      if (committed.epoch === local.epoch) this.#options.onBeyondEnd(committed)
    }
    reader.commit(reader.position)
  }

  /** When what comes next has waited, and is to leave slowly. */
  #drainLimit(): DrainLimit | undefined {
    const { drain, clock } = this.#options
    const { oldestAt } = this.#queue
    if (!drain || drain.limit.isUnlimited || oldestAt === undefined) return undefined
    return clock.now() - oldestAt > drain.olderThanMs ? drain.limit : undefined
  }

  async #deliver({ records, bytes, upTo, cuts }: Parcel): Promise<boolean> {
    const { delivery, clock } = this.#options
    const from = clock.monotonic()
    this.#expectedMs = delivery.expectedMs(bytes)
    this.#sendingSince = from
    const done = await delivery.deliver(records, upTo, this.#hardStop.signal, cuts)
    this.#sendingSince = undefined
    if (!done) return false
    this.counters.batches++
    const tookMs = clock.monotonic() - from
    this.counters.produceMs = Math.round(tookMs)
    this.#produceTimes.observe(tookMs / 1000)
    this.counters.produced += records.length
    for (const record of records) this.counters.producedBytes += record.value.length
    return true
  }

  /** Unless enough is there for the next batch; one read at a time. */
  #readAhead(linger: boolean, signal?: AbortSignal): void {
    const { bytes, records } = this.#options.delivery.roomAhead
    if (this.#reading || this.#queue.bytes >= bytes || this.#queue.count >= records) return
    this.#reading = this.#read(linger, signal)
      // What was read before is delivered first.
      .catch(error => {
        this.#readFault = error
      })
      .finally(() => {
        this.#reading = undefined
      })
  }

  async #read(linger: boolean, signal?: AbortSignal): Promise<void> {
    const { reader, delivery, lingerMs, render, clock } = this.#options
    if (linger) await pause(lingerMs, this.#hardStop.signal)
    if (this.#hardStop.signal.aborted) return
    const { bytes: bytesMax, records: recordsMax } = delivery.roomAhead
    const batch = await reader.read({
      ...{ bytesMax, recordsMax },
      // While stopping, what is there is still read; an empty log ends the lane.
      signal: signal ? AbortSignal.any([signal, this.#stopping.signal]) : this.#stopping.signal
    })
    if (!batch) return
    const now = clock.now()
    const rendered = batch.records.map(record => render(record, now))
    for (const [index, { epoch, offset }] of batch.records.entries()) {
      const isLast = index === rendered.length - 1
      const upTo = isLast ? batch.end : { epoch, offset: offset + 1 }
      this.#queue.push(rendered[index], upTo, receivedAtOf(rendered[index][0]))
    }
  }
}

function smaller(a: Room, b: Room): Room {
  return { bytes: Math.min(a.bytes, b.bytes), records: Math.min(a.records, b.records) }
}

/** More may come at once: a fuller batch costs less. */
function isShort({ records, bytes }: Parcel, room: Room): boolean {
  return records.length < room.records / 4 && bytes < room.bytes / 4
}

function isHeldUp({ kind }: LaneState): boolean {
  return kind === 'waiting' || kind === 'parked'
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function receivedAtOf(record: OutgoingRecord | undefined): number | undefined {
  const received = record?.headers[HEADERS.received]
  return received === undefined ? record?.timestampMs : Number(received)
}

function ignore(): void {}
