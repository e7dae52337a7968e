import { crc32 } from 'node:zlib'
import type { AlertEvent } from '../core/contract/alert-event.ts'
import type { Cursor } from '../core/log/reader.ts'
import type { Clock } from '../core/runtime/clock.ts'
import { messageOf } from '../core/runtime/errors.ts'
import type { Logger } from '../core/runtime/log.ts'
import type { Detector } from './detector.ts'
import { comparePositions } from './source/position.ts'
import type { Source, SourceBatch, SourceConsumer } from './source/source.ts'

/** All events that one record caused. */
export interface Delivery {
  /** Of the record. */
  source: Cursor
  events: AlertEvent[]
}

export interface SnapshotStore {
  load(): Promise<Uint8Array | undefined>
  /** Replaces the snapshot, all of it or nothing. */
  save(bytes: Uint8Array): Promise<void>
}

export interface PipelineOptions {
  source: Source
  /** Opened, with empty state. */
  detector: Detector
  /** Resolves when the events are durable; retries by itself. A rejection ends the pipeline. */
  deliver: (deliveries: readonly Delivery[]) => Promise<void>
  /** What an earlier life delivered: events of records before this position are not delivered again. */
  silentUntil: Cursor | undefined
  snapshots: SnapshotStore
  snapshotIntervalMs: number
  clock: Clock
  logger: Logger
}

/**
 * Source → detector → sink, with the state's position beside the state: after a crash it reads again
 * from the snapshot, says nothing until it has passed what was already said, and goes on. Since
 * events are a function of the readings, none is missing and none said twice.
 */
export class Pipeline implements SourceConsumer {
  readonly #options: PipelineOptions
  /** Just behind the last record processed; undefined until there is one, or a snapshot. */
  #end: Cursor | undefined
  #saved: Cursor | undefined
  #savedAt: number
  /** The state is ahead of `end`: a batch was begun and not finished. Never saved so. */
  #torn = false
  /** Serialises batches and the taking of snapshots: one is of one position. */
  #turn: Promise<unknown> = Promise.resolve()
  /** Snapshots on their way to the store, which batches do not wait for. */
  #storing: Promise<void> = Promise.resolve()
  #isStoring = false
  #saveFailing = false

  constructor(options: PipelineOptions) {
    this.#options = options
    this.#savedAt = options.clock.monotonic()
  }

  async begin(resume: Cursor): Promise<Cursor> {
    this.#saved = await this.#load()
    const end = this.#saved ?? resume
    this.#end = end
    if (this.#isLoud(end)) await this.#setOrphansDue()
    return end
  }

  async handle(batch: SourceBatch): Promise<void> {
    // A fault of the one before ends the pipeline.
    if (!this.#isStoring) await this.#storing
    const firstLoud = batch.positions.findIndex(at => this.#isLoud(at))
    if (firstLoud >= 0 && this.#end && !this.#isLoud(this.#end)) {
      await this.#passSilence(batch, firstLoud)
      await this.#handle(partOf(batch, firstLoud, batch.readings.length, batch.end))
    } else {
      await this.#handle(batch)
    }
    const { clock, snapshotIntervalMs } = this.#options
    if (this.#isStoring || clock.monotonic() - this.#savedAt < snapshotIntervalMs) return
    // An alert of the next batch does not wait for the disk.
    await this.#take()
  }

  /** Snapshots what changed since the last one, and only then lets the source go on from there. */
  async save(): Promise<void> {
    await this.#take()
    await this.#storing
  }

  /** What was said already, up to the first record of a batch that is heard. */
  async #passSilence(batch: SourceBatch, firstLoud: number): Promise<void> {
    await this.#handle(partOf(batch, 0, firstLoud, batch.positions[firstLoud]))
    await this.#setOrphansDue()
  }

  /** Known to a snapshot before they are told, they are not told again after a crash. */
  async #setOrphansDue(): Promise<void> {
    if (!this.#options.detector.setOrphansDue()) return
    this.#saved = undefined
    await this.save()
  }

  #isLoud(at: Cursor): boolean {
    const { silentUntil } = this.#options
    return !silentUntil || comparePositions(at, silentUntil) >= 0
  }

  #handle(batch: SourceBatch): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#torn) throw new Error('an earlier batch has failed')
      this.#torn = true
      const deliveries = await this.#process(batch)
      if (deliveries.length > 0) await this.#options.deliver(deliveries)
      this.#end = batch.end
      this.#torn = false
    })
  }

  async #process(batch: SourceBatch): Promise<Delivery[]> {
    const deliveries: Delivery[] = []
    const { detector } = this.#options
    const firstLoud = batch.positions.findIndex(at => this.#isLoud(at))
    const loudFrom = firstLoud < 0 ? batch.readings.length : firstLoud
    for (const { index, events } of await detector.process(batch.readings, loudFrom)) {
      if (index < loudFrom) continue
      const source = batch.positions[index]
      const last = deliveries.at(-1)
      // Several elements of one record are one delivery: it is stored whole or not at all.
      if (last && comparePositions(last.source, source) === 0) last.events.push(...events)
      else deliveries.push({ source, events: [...events] })
    }
    return deliveries
  }

  /** @returns Where the state that was loaded ends. */
  async #load(): Promise<Cursor | undefined> {
    const { snapshots, detector, logger } = this.#options
    const bytes = await snapshots.load().catch(error => {
      logger.warn(
        { event: 'detector.snapshot_unreadable' },
        `The snapshot cannot be read: ${messageOf(error)}.`
      )
      return undefined
    })
    if (!bytes) return undefined
    const snapshot = decodePositioned(bytes)
    if (snapshot && detector.restore(snapshot.state)) return snapshot.position
    logger.error(
      { event: 'detector.snapshot_unusable' },
      'The snapshot of the learned state is damaged, or of another version or scorer: every ' +
        'series is learned anew. Alerts that were open are cleared if it names them.'
    )
    return undefined
  }

  /** Takes a snapshot, and sends it on its way behind those before it. */
  async #take(): Promise<void> {
    this.#savedAt = this.#options.clock.monotonic()
    await this.#inTurn(async () => {
      const position = this.#end
      if (this.#torn || !position) return
      if (this.#saved && comparePositions(this.#saved, position) === 0) return
      const bytes = encodePositioned(position, this.#options.detector.snapshot())
      this.#isStoring = true
      const stored = this.#storing.then(() => this.#store(position, bytes))
      this.#storing = stored
      const ended = () => {
        if (this.#storing === stored) this.#isStoring = false
      }
      stored.then(ended, ended)
    })
  }

  /** A store that fails is told, and tried again with the next one. */
  async #store(position: Cursor, bytes: Uint8Array): Promise<void> {
    const { snapshots, source, logger } = this.#options
    try {
      await snapshots.save(bytes)
      this.#saveFailing = false
    } catch (error) {
      // Nothing is lost: the source keeps what the last good snapshot needs.
      if (!this.#saveFailing) {
        logger.warn(
          { event: 'detector.snapshot_failed' },
          `The learned state could not be saved: ${messageOf(error)}. It is tried again.`
        )
      }
      this.#saveFailing = true
      return
    }
    this.#saved = position
    source.commit(position)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }
}

/** Readings `first` to `end` of a batch, and where they end. */
function partOf(batch: SourceBatch, first: number, end: number, upTo: Cursor): SourceBatch {
  const { readings, positions } = batch
  return {
    ...batch,
    ...{ readings: readings.slice(first, end), positions: positions.slice(first, end), end: upTo }
  }
}

/** Layout: CRC-32 of the rest (4, LE), bytes of position (4, LE), position as JSON, state. */
function encodePositioned(position: Cursor, state: Uint8Array): Buffer {
  const json = Buffer.from(JSON.stringify({ epoch: position.epoch, offset: position.offset }))
  const bytes = Buffer.concat([Buffer.alloc(8), json, state])
  bytes.writeUInt32LE(json.length, 4)
  bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0)
  return bytes
}

function decodePositioned(input: Uint8Array): { position: Cursor; state: Uint8Array } | undefined {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength)
  if (bytes.length < 8 || crc32(bytes.subarray(4)) !== bytes.readUInt32LE(0)) return undefined
  const end = 8 + bytes.readUInt32LE(4)
  const position = JSON.parse(bytes.toString('utf8', 8, end)) as Cursor
  return { position, state: bytes.subarray(end) }
}
