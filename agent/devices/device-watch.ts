import type { DecodedPayload } from '../../core/contract/reading.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import { ControlBlock } from '../../core/log/control-block.ts'
import type { Disk } from '../../core/log/disk.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import type { Cursor, LogBatch, LogReader, LogRecord } from '../../core/log/reader.ts'
import { openClaimedReader, type ReaderClaim } from '../../core/log/reader-claim.ts'
import { type Clock, systemClock } from '../../core/runtime/clock.ts'
import { pause } from '../../core/runtime/deadline.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { type RoutedSighting, Router, type RouterOptions } from '../routing/router.ts'
import { DeviceFile } from './device-file.ts'
import {
  DeviceRegistry,
  type DevicesLook,
  type DevicesRequest,
  type Sighting
} from './device-registry.ts'

/** Of the telemetry log. */
export const DEVICE_READER = 'devices'

/**
 * Records that a reader of its own may hold back: it is no further behind than a second. With a
 * detector it reads only at the start, and holds none.
 */
export const DEVICE_LAG_RECORDS = 10_000

/** Everything a watch needs to know, as plain data: it may run in another thread. */
export interface DevicePlan {
  /** Of the telemetry log, as `DEVICE_READER`. */
  claim: ReaderClaim
  /** The log's end, now. */
  end: Cursor
  router: RouterOptions
  /** The agent's. */
  dataDirectory: string
  devicesMax: number
  fileBytesMax: number
}

export interface DeviceWatchOptions {
  plan: DevicePlan
  logger: Logger
  disk?: Disk
  clock?: Clock
  saveIntervalMs?: number
  /** How often the log is told how far it is. */
  commitIntervalMs?: number
  /** Between two looks at the log, once all is read. */
  followIntervalMs?: number
}

const SAVE_INTERVAL_MS = 600_000
/** With each message the log would save a checkpoint twice a second, also where nothing is delivered. */
const COMMIT_INTERVAL_MS = 10_000
/** A fraction of a second of reading; what is farther back was delivered, and is not counted. */
const CATCH_UP_RECORDS_MAX = 100_000
/** Short, or what a second brings would hold up PUBACKs all at once. */
const FOLLOW_INTERVAL_MS = 100
/** While it is behind, of the time that a batch took: devices come first, and what is too much is not counted. */
const REST_FACTOR = 6
const READ = { bytesMax: 256 << 10, recordsMax: 512 } as const

/**
 * Keeps the registry of devices up to date, by the telemetry log: what its file does not have yet is
 * read at the start, then either a detector tells what it decodes (`note`), or the watch reads on by
 * itself (`follow`), decoding the last message a topic and look.
 *
 * Whatever the moment of a crash, a message counts once: the file holds the position it belongs to.
 * What the log has given up meanwhile is not counted.
 */
export class DeviceWatch {
  readonly #options: DeviceWatchOptions
  readonly #registry: DeviceRegistry
  readonly #file: DeviceFile
  readonly #reader: LogReader
  readonly #router: Router
  readonly #clock: Clock
  readonly #control: ControlBlock
  readonly #stopping = new AbortController()
  #epoch: string
  #offset: number
  #savedOffset = -1
  #timers: NodeJS.Timeout[] = []
  #following: Promise<void> | undefined
  #saving: Promise<void> = Promise.resolve()
  #saveFails = false

  /** What is in the file is known. Never rejects. Then `catchUp` or `follow`. */
  static async open(options: DeviceWatchOptions): Promise<DeviceWatch> {
    const watch = new DeviceWatch(options)
    await watch.#begin()
    return watch
  }

  private constructor(options: DeviceWatchOptions) {
    const { plan, disk = nodeDisk, clock = systemClock } = options
    this.#options = options
    this.#clock = clock
    this.#registry = new DeviceRegistry(plan.devicesMax)
    this.#file = new DeviceFile(disk, plan.dataDirectory, plan.fileBytesMax)
    // What it could not be given is counted by those who need it.
    this.#reader = openClaimedReader(plan.claim, { disk, onGap: () => {} })
    this.#router = new Router(plan.router)
    this.#control = new ControlBlock(plan.claim.control)
    this.#epoch = plan.end.epoch
    this.#offset = plan.end.offset
  }

  get counts(): { known: number; forgotten: number } {
    return this.#registry.counts
  }

  look(request: DevicesRequest): DevicesLook {
    return this.#registry.look(request, this.#clock.now())
  }

  useRoutes(routes: readonly RouteConfig[]): void {
    this.#router.useRoutes(routes)
  }

  /** What a detector's router tells. Records that are counted already are passed over. */
  readonly note = (
    sighting: Sighting,
    { epoch, offset }: LogRecord,
    payloads: readonly DecodedPayload[]
  ): void => {
    if (offset < this.#offset) return
    this.#registry.see(sighting, payloads)
    this.#epoch = epoch
    this.#offset = offset + 1
  }

  /** Reads up to where a detector goes on. Never rejects. */
  async catchUp(): Promise<void> {
    const { epoch, offset } = this.#options.plan.end
    try {
      const first = offset - CATCH_UP_RECORDS_MAX
      if (this.#offset < first) await this.#reader.seek({ epoch, offset: first })
      await this.#readUpTo(offset)
      this.#reader.commit(this.#reader.position)
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Reads on by itself, from now until it is stopped. */
  follow(): void {
    this.#following = this.#follow().catch(error => this.#failed(error))
  }

  /** What is in the log is read, and all of it saved. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    this.#stopping.abort()
    await this.#following
    this.#commit()
    await this.#save()
    this.#reader.close()
  }

  async #begin(): Promise<void> {
    try {
      const found = await this.#file.load()
      if (found.kind === 'valid') await this.#restore(found.state)
      else if (found.kind === 'damaged') this.#tellDamaged(found.reason)
      if (found.kind === 'valid') this.#savedOffset = found.state.position.offset
      else {
        await this.#reader.seek(this.#options.plan.end)
        // From here on nothing is missed, however it ends.
        await this.#save()
      }
      this.#reader.commit(this.#reader.position)
    } catch (error) {
      this.#failed(error)
    }
    const { saveIntervalMs = SAVE_INTERVAL_MS, commitIntervalMs = COMMIT_INTERVAL_MS } =
      this.#options
    this.#timers = [
      setInterval(() => void this.#save(), saveIntervalMs).unref(),
      setInterval(() => this.#commit(), commitIntervalMs).unref()
    ]
  }

  /** Not where a start goes on: it lets the log trim, and whoever looks at it sees no reader stand still. */
  #commit(): void {
    this.#reader.commit({ epoch: this.#epoch, offset: this.#offset })
  }

  async #restore(state: Parameters<DeviceRegistry['restore']>[0] & { position: Cursor }) {
    this.#registry.restore(state)
    const { position } = state
    const believed = await this.#reader.seek(position)
    // The log gave up what was behind it: it goes on at what is left. Any other log is a new one, and
    // what is in it may have been counted when it was the old one.
    const trimmed = !believed && this.#reader.position.offset > position.offset
    if (!believed && !trimmed) await this.#reader.seek(this.#options.plan.end)
    ;({ epoch: this.#epoch, offset: this.#offset } = this.#reader.position)
  }

  async #follow(): Promise<void> {
    const { followIntervalMs = FOLLOW_INTERVAL_MS } = this.#options
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const batch = await this.#reader.read({ ...READ, signal })
      if (!batch) break
      const fromMs = performance.now()
      this.#take(batch)
      // A burst is one look: the last message of each topic is decoded.
      const isBehind = batch.end.offset < this.#control.durableEnd
      const restMs = isBehind ? REST_FACTOR * (performance.now() - fromMs) : followIntervalMs
      await pause(restMs, signal)
    }
    await this.#readUpTo(this.#control.durableEnd)
  }

  async #readUpTo(end: number): Promise<void> {
    // Aborted from the beginning: it does not wait for what is not there.
    const signal = AbortSignal.abort()
    while (this.#reader.position.offset < end) {
      const batch = await this.#reader.read({ ...READ, signal })
      if (!batch) return
      this.#take(batch)
    }
  }

  #take({ records, end }: LogBatch): void {
    const last = new Map<string, RoutedSighting>()
    for (const record of records) {
      const sighting = this.#sightingOf(record)
      if (!sighting) continue
      this.#registry.see(sighting)
      last.set(sighting.topic, sighting)
    }
    for (const sighting of last.values()) {
      const { site, device, receivedAt } = sighting
      this.#registry.keep(site, device, sighting.decode(), receivedAt)
    }
    this.#epoch = end.epoch
    this.#offset = end.offset
  }

  #sightingOf(record: LogRecord): RoutedSighting | undefined {
    try {
      return this.#router.sighting(record)
    } catch {
      // A defect of ours, which the uplink tells of.
      return undefined
    }
  }

  /** Never rejects: what is not saved is read again, or not known after a crash. */
  #save(): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      const offset = this.#offset
      if (offset === this.#savedOffset) return
      const { logger } = this.#options
      try {
        const position = { epoch: this.#epoch, offset }
        await this.#file.save({
          ...{ savedAt: this.#clock.now(), position },
          ...this.#registry.snapshot()
        })
        this.#savedOffset = offset
        this.#saveFails = false
      } catch (error) {
        if (!this.#saveFails) {
          logger.warn(
            { event: 'devices.unsaved', error: messageOf(error) },
            'What is known of devices cannot be saved: after a restart the latest of it would be missing.'
          )
        }
        this.#saveFails = true
      }
    })
    return this.#saving
  }

  #tellDamaged(reason: string): void {
    this.#options.logger.warn(
      { event: 'devices.damaged', reason },
      'What was known of devices cannot be read: the list of devices begins anew. Readings are not affected.'
    )
  }

  #failed(error: unknown): void {
    this.#options.logger.error(
      { event: 'devices.failed', error: String((error as Error)?.stack ?? error) },
      'The list of devices stands still by a fault of ours; readings are not affected.'
    )
  }
}
