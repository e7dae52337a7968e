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
  load(stream: string): Promise<Uint8Array | undefined>
  /** Replaces the stream's snapshot, all of it or nothing. */
  save(stream: string, bytes: Uint8Array): Promise<void>
}

export interface PipelineOptions {
  source: Source
  /** Opened, with empty state. */
  detector: () => Promise<Detector>
  /** Resolves when the events are durable; retries by itself. A rejection ends the pipeline. */
  deliver: (deliveries: readonly Delivery[], batch: SourceBatch) => Promise<void>
  /**
   * What was delivered before: events of records before this position are not delivered again.
   *
   * @param resume The source's committed position.
   */
  deliveredTo: (resume: Cursor) => Cursor | undefined
  /** Behind every batch, or only up to what a snapshot holds, so that it can be read again. */
  commit: 'batch' | 'snapshot'
  snapshots?: SnapshotStore
  snapshotIntervalMs: number
  /** Older snapshots are not worth reading again from: state is kept, the gap passed over. */
  rewindRecordsMax: number
  clock: Clock
  logger: Logger
}

/** A stream, its detector, and how far it is. */
interface Lane {
  detector: Detector
  /** Just behind the last record processed. */
  end: Cursor
  /** Events of records before it were delivered by an earlier life. */
  silentUntil: Cursor | undefined
  saved: Cursor | undefined
  savedAt: number
  /** The state is ahead of `end`: a batch was begun and not finished. Never saved so. */
  torn: boolean
  /** Serialises batches and snapshots: a snapshot is of one position. */
  turn: Promise<unknown>
}

/**
 * Source → detector → sink, with the state's position beside the state: after a crash it reads again
 * from the snapshot, says nothing until it has passed what was already said, and goes on. Since
 * events are a function of the readings, none is missing and none said twice.
 */
export class Pipeline implements SourceConsumer {
  readonly #options: PipelineOptions
  readonly #lanes = new Map<string, Lane>()
  #saveFailing = false

  constructor(options: PipelineOptions) {
    this.#options = options
  }

  get detectors(): Detector[] {
    return [...this.#lanes.values()].map(l => l.detector)
  }

  /** Runs until the signal aborts; then takes a last snapshot. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#options.source.run(this, signal)
    await this.save()
  }

  async assigned(stream: string, resume: Cursor): Promise<Cursor> {
    let lane = this.#lanes.get(stream)
    if (!lane || lane.torn) {
      lane = await this.#load(stream, resume)
      this.#lanes.set(stream, lane)
    }
    // Where somebody else has gone on meanwhile, theirs is already said.
    const delivered = this.#options.deliveredTo(resume)
    if (!lane.silentUntil || (delivered && comparePositions(delivered, lane.silentUntil) > 0)) {
      lane.silentUntil = delivered
    }
    const behind = resume.offset - lane.end.offset
    if (lane.end.epoch === resume.epoch && behind > this.#options.rewindRecordsMax) {
      this.#options.logger.warn(
        { event: 'detector.snapshot_old', stream, records: behind },
        'The snapshot is too far behind to read again from: going on from the committed position.'
      )
      lane.end = resume
    }
    return lane.end
  }

  async handle(batch: SourceBatch): Promise<void> {
    const lane = this.#lanes.get(batch.stream)
    if (!lane) throw new Error(`stream '${batch.stream}' was not assigned`)
    await this.#inTurn(lane, async () => {
      if (lane.torn) throw new Error(`stream '${batch.stream}' failed within a batch`)
      lane.torn = true
      const deliveries = await this.#process(lane, batch)
      if (deliveries.length > 0) await this.#options.deliver(deliveries, batch)
      lane.end = batch.end
      lane.torn = false
    })
    if (this.#options.commit === 'batch') await this.#options.source.commit(batch.stream, lane.end)
    const { clock, snapshotIntervalMs } = this.#options
    if (clock.monotonic() - lane.savedAt >= snapshotIntervalMs) await this.#save(batch.stream, lane)
  }

  async revoked(stream: string): Promise<void> {
    const lane = this.#lanes.get(stream)
    if (!lane) return
    await this.#save(stream, lane)
    this.#lanes.delete(stream)
  }

  /** Snapshots what changed since the last one: for a timer, so that an idle source is saved, too. */
  async save(): Promise<void> {
    for (const [stream, lane] of this.#lanes) await this.#save(stream, lane)
  }

  async #process(lane: Lane, batch: SourceBatch): Promise<Delivery[]> {
    const deliveries: Delivery[] = []
    for (const { index, events } of await lane.detector.process(batch.readings)) {
      const source = batch.positions[index]
      if (lane.silentUntil && comparePositions(source, lane.silentUntil) < 0) continue
      const last = deliveries.at(-1)
      // Several elements of one record are one delivery: it is stored whole or not at all.
      if (last && comparePositions(last.source, source) === 0) last.events.push(...events)
      else deliveries.push({ source, events: [...events] })
    }
    return deliveries
  }

  async #load(stream: string, resume: Cursor): Promise<Lane> {
    const { snapshots, logger, clock } = this.#options
    const detector = await this.#options.detector()
    const lane: Lane = {
      detector,
      end: resume,
      silentUntil: undefined,
      saved: undefined,
      savedAt: clock.monotonic(),
      torn: false,
      turn: Promise.resolve()
    }
    const bytes = await snapshots?.load(stream).catch(error => {
      logger.warn(
        { event: 'detector.snapshot_unreadable', stream },
        `The snapshot cannot be read: ${messageOf(error)}.`
      )
      return undefined
    })
    if (!bytes) return lane
    const snapshot = decodePositioned(bytes)
    if (snapshot && detector.restore(snapshot.state)) {
      lane.end = snapshot.position
      lane.saved = snapshot.position
    } else {
      logger.error(
        { event: 'detector.snapshot_unusable', stream },
        'The snapshot of the learned state is damaged or of another version: every series is ' +
          'learned anew, and alerts that were open are not cleared.'
      )
    }
    return lane
  }

  async #save(stream: string, lane: Lane): Promise<void> {
    const { snapshots, clock, commit, source, logger } = this.#options
    lane.savedAt = clock.monotonic()
    await this.#inTurn(lane, async () => {
      const position = lane.end
      if (lane.torn) return
      if (lane.saved && comparePositions(lane.saved, position) === 0) return
      if (snapshots) {
        try {
          await snapshots.save(stream, encodePositioned(position, lane.detector.snapshot()))
          this.#saveFailing = false
        } catch (error) {
          // Nothing is lost: the source keeps what the last good snapshot needs.
          if (!this.#saveFailing) {
            logger.warn(
              { event: 'detector.snapshot_failed', stream },
              `The learned state could not be saved: ${messageOf(error)}. It is tried again.`
            )
          }
          this.#saveFailing = true
          return
        }
      }
      lane.saved = position
      if (commit === 'snapshot') await source.commit(stream, position)
    })
  }

  #inTurn<T>(lane: Lane, work: () => Promise<T>): Promise<T> {
    const done = lane.turn.then(work)
    lane.turn = done.catch(() => {})
    return done
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
