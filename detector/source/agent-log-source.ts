import type { Cursor, LogReader, LogRecord } from '../../core/log/reader.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { DetectorReading } from '../detector.ts'
import { comparePositions } from './position.ts'
import type { Source, SourceConsumer } from './source.ts'

const BATCH_BYTES_MAX = 256 * 1024
const BATCH_RECORDS_MAX = 512

export interface AgentLogSourceOptions {
  reader: LogReader
  /** Readings of a stored record; none for what cannot be read or is of no interest. Pure. */
  decode: (record: LogRecord) => Omit<DetectorReading, 'index'>[]
  /** End of what is durable in the log, to know how far behind the reader is. */
  durableEnd?: () => Cursor
  /** Farther behind, it is moved on: detection must not hold the log, nor report last week. */
  lagRecordsMax: number
  logger: Logger
}

export interface AgentLogCounters {
  records: number
  /** Records that the decoder threw on: a defect, never a stop. */
  undecodable: number
  /** Records passed over because of the lag. */
  skipped: number
}

/** How far it has come. */
export interface AgentLogProgress {
  /** Of the next record to be handed over. */
  offset: number
  /** Receive time of the last reading handed over, epoch ms; undefined before the first. */
  receivedAt: number | undefined
}

/** The agent's own telemetry log. */
export class AgentLogSource implements Source {
  readonly counters: AgentLogCounters = { records: 0, undecodable: 0, skipped: 0 }
  readonly #options: AgentLogSourceOptions
  #receivedAt: number | undefined
  #offset: number | undefined

  constructor(options: AgentLogSourceOptions) {
    this.#options = options
  }

  get progress(): AgentLogProgress {
    return {
      offset: this.#offset ?? this.#options.reader.position.offset,
      receivedAt: this.#receivedAt
    }
  }

  async run(consumer: SourceConsumer, signal: AbortSignal): Promise<void> {
    const { reader } = this.#options
    const start = await consumer.begin(reader.position)
    if (comparePositions(start, reader.position) !== 0) await reader.seek(start)
    while (!signal.aborted) {
      await this.#limitLag()
      const batch = await reader.read({
        bytesMax: BATCH_BYTES_MAX,
        recordsMax: BATCH_RECORDS_MAX,
        signal
      })
      if (!batch) return
      const readings: DetectorReading[] = []
      const positions: Cursor[] = []
      for (const record of batch.records) {
        const position = { epoch: record.epoch, offset: record.offset }
        for (const reading of this.#decode(record)) {
          readings.push(reading)
          positions.push(position)
        }
      }
      this.counters.records += batch.records.length
      await consumer.handle({ readings, positions, end: batch.end })
      this.#offset = batch.end.offset
      this.#receivedAt = readings.at(-1)?.receivedAt ?? this.#receivedAt
    }
  }

  commit(position: Cursor): void {
    this.#options.reader.commit(position)
  }

  #decode(record: LogRecord): DetectorReading[] {
    try {
      return this.#options.decode(record).map((reading, index) => ({ index, ...reading }))
    } catch (error) {
      if (this.counters.undecodable++ === 0) {
        this.#options.logger.error(
          { event: 'detector.undecodable', offset: record.offset, error: String(error) },
          'A record could not be decoded for detection; it is passed over. Said once.'
        )
      }
      return []
    }
  }

  async #limitLag(): Promise<void> {
    const { reader, durableEnd, lagRecordsMax, logger } = this.#options
    const end = durableEnd?.()
    if (!end || end.epoch !== reader.position.epoch) return
    if (end.offset - reader.position.offset <= lagRecordsMax) return
    // To half of what is allowed, so that it does not happen again at once.
    const target = { epoch: end.epoch, offset: end.offset - Math.floor(lagRecordsMax / 2) }
    const records = target.offset - reader.position.offset
    this.counters.skipped += records
    logger.error(
      { event: 'detector.lag_skipped', records, first: reader.position.offset },
      `Detection was more than ${lagRecordsMax} records behind and passes over ${records} of them: ` +
        'they are delivered, but not scored. A faster machine or a larger detector.lag_max helps.'
    )
    await reader.seek(target)
  }
}
