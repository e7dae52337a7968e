import { HEADERS } from '../../core/contract/headers.ts'
import type { Cursor, LogBatch, LogReader, LogRecord } from '../../core/log/reader.ts'
import type { Clock } from '../../core/runtime/clock.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { Delivery, LaneState } from './delivery.ts'
import type { LaneCounters, LaneView } from './lane-view.ts'
import type { OutgoingRecord } from './outgoing-record.ts'

export interface LaneOptions {
  name: string
  reader: LogReader
  delivery: Delivery
  /**
   * The lane had come further than the log now reaches: its files are an older copy, and offsets
   * would be given a second time. Told at most once.
   */
  onBeyondEnd: (cursor: Cursor) => void
  /** Turns one stored record into what Kafka gets; pure but for counters. */
  render: (record: LogRecord, now: number) => OutgoingRecord[]
  /** Kept by the renderer and the delivery, shown by the lane. */
  deadLetters?: Partial<Record<string, number>>
  batchBytesMax: number
  batchRecordsMax: number
  /** After a short batch waits so long for company. */
  lingerMs: number
  clock: Clock
  logger: Logger
}

const RATE_SECONDS = 5

interface RenderedBatch {
  batch: LogBatch
  records: OutgoingRecord[]
  /** Receive time of its oldest record, epoch ms. */
  oldestAt: number | undefined
}

/**
 * One log and its way into Kafka: reads a batch, renders it, delivers it, then moves its cursor. The
 * next batch is read and rendered while this one is under way; one is in flight.
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
  #running: Promise<void> | undefined
  #state: LaneState = { kind: 'connecting' }
  #oldestAt: number | undefined
  #sendingSince: number | undefined
  /** Delivered records a second, exponentially averaged over about 5 s. */
  #rate = 0
  #ratedAt: number

  constructor(options: LaneOptions) {
    this.#options = options
    this.#ratedAt = options.clock.monotonic()
  }

  get name(): string {
    return this.#options.name
  }

  get deadLetters(): Partial<Record<string, number>> {
    return this.#options.deadLetters ?? {}
  }

  get state(): LaneState {
    return this.#state
  }

  /** Receive time of the oldest record under way, epoch ms; undefined when all is delivered. */
  get oldestAt(): number | undefined {
    return this.#oldestAt
  }

  /** How long Kafka has had the batch that is under way, ms; 0 when none is. */
  get sendingMs(): number {
    const since = this.#sendingSince
    return since === undefined ? 0 : this.#options.clock.monotonic() - since
  }

  /** Records delivered a second, lately. */
  get rate(): number {
    return this.#rate
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
   * records anyway. The batch that is under way when time is up may be delivered again at the next
   * start.
   */
  async stop(drainMs: number): Promise<void> {
    const limitMs = isHeldUp(this.#state) ? 0 : drainMs
    const timer = setTimeout(() => this.#hardStop.abort(), limitMs)
    this.#stopping.abort()
    const { delivery, reader } = this.#options
    const ended = this.#running?.catch(() => {})
    // A send to a network that swallows everything may take a minute: not waited for.
    await Promise.race([ended, aborted(this.#hardStop.signal)])
    clearTimeout(timer)
    this.#hardStop.abort()
    await delivery.close()
    reader.close()
    // It may have connected once more before it noticed.
    void ended?.then(() => delivery.close())
  }

  async #run(): Promise<void> {
    const { reader, delivery } = this.#options
    const local = reader.position
    // Read ahead, so that the age of what waits is known though Kafka is away.
    const ahead = new AbortController()
    let next = this.#readBatch(false, ahead.signal)
    void next.then(batch => {
      this.#oldestAt = batch?.oldestAt
    }, ignore)
    const committed = await delivery.start(this.#hardStop.signal)
    if (committed && committed.offset > local.offset) {
      ahead.abort()
      await next
      // It is later than the checkpoint: it counts if it speaks of this log.
      if (!(await reader.seek(committed))) {
        await reader.seek(local)
        if (committed.epoch === local.epoch) this.#options.onBeyondEnd(committed)
      }
      reader.commit(reader.position)
      next = this.#readBatch(false)
    }
    for (;;) {
      const rendered = await next
      if (!rendered) return
      const isShort = rendered.batch.records.length < this.#options.batchRecordsMax / 4
      next = this.#readBatch(isShort)
      // A failure while the other is awaited must not count as unhandled.
      next.catch(ignore)
      this.#oldestAt = rendered.oldestAt
      if (!(await this.#deliver(rendered))) return
      this.#oldestAt = undefined
      reader.commit(rendered.batch.end)
      this.counters.delivered += rendered.batch.records.length
      this.#countRate(rendered.batch.records.length)
    }
  }

  #countRate(records: number): void {
    const now = this.#options.clock.monotonic()
    const seconds = Math.max(1e-3, (now - this.#ratedAt) / 1000)
    this.#ratedAt = now
    this.#rate += (1 - Math.exp(-seconds / RATE_SECONDS)) * (records / seconds - this.#rate)
  }

  async #deliver({ batch, records }: RenderedBatch): Promise<boolean> {
    const { delivery, clock } = this.#options
    const from = clock.monotonic()
    this.#sendingSince = from
    const done = await delivery.deliver(records, batch.end, this.#hardStop.signal)
    this.#sendingSince = undefined
    if (!done) return false
    this.counters.batches++
    this.counters.produceMs = Math.round(clock.monotonic() - from)
    this.counters.produced += records.length
    for (const record of records) this.counters.producedBytes += record.value.length
    return true
  }

  async #readBatch(linger: boolean, signal?: AbortSignal): Promise<RenderedBatch | undefined> {
    const { reader, batchBytesMax, batchRecordsMax, lingerMs, render, clock } = this.#options
    if (linger && lingerMs > 0) await new Promise(resolve => setTimeout(resolve, lingerMs))
    if (this.#hardStop.signal.aborted) return undefined
    const batch = await reader.read({
      bytesMax: batchBytesMax,
      recordsMax: batchRecordsMax,
      // While stopping, what is there is still read; an empty log ends the lane.
      signal: signal ? AbortSignal.any([signal, this.#stopping.signal]) : this.#stopping.signal
    })
    if (!batch) return undefined
    const now = clock.now()
    const records: OutgoingRecord[] = []
    for (const record of batch.records) for (const out of render(record, now)) records.push(out)
    return { batch, records, oldestAt: receivedAtOf(records[0]) }
  }
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
