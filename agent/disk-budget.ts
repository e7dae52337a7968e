import path from 'node:path'
import type { Disk } from '../core/log/disk.ts'
import type { DurableLog } from '../core/log/log.ts'
import { nodeDisk } from '../core/log/node-disk.ts'
import { systemCode } from '../core/runtime/errors.ts'
import { SINK_DIRECTORY } from './alerts/sink-state-file.ts'
import { DEVICE_FILE, DEVICE_FILE_ASIDE, DEVICE_FILE_BYTES_MAX } from './devices/device-file.ts'

/** Where an agent's detector keeps what it has learned, in the data directory. */
export const SNAPSHOT_DIRECTORY = 'detector'

/** A snapshot, and while it is replaced two, take no more than a quarter of the limit. */
const SNAPSHOT_SHARE = 1 / 8
const ALERT_SHARE = 1 / 4
/** The registry of devices, twice while it is replaced. */
const DEVICE_SHARE = 1 / 32

/**
 * One limit, `log.bytes_max`, for everything that grows in the data directory: what the alert log
 * (its quarantine included), the detector's snapshots, the alert sinks' states and the registry of
 * devices take is not the telemetry log's.
 */
export class DiskBudget {
  readonly alertBytesMax: number
  readonly snapshotBytesMax: number
  readonly deviceFileBytesMax: number
  readonly #disk: Disk
  readonly #directories: readonly string[]
  readonly #files: readonly string[]
  #fileBytes = 0
  alertLog: Pick<DurableLog, 'status'> | undefined

  constructor(
    config: { data: string; bytesMax: number; alertBytesMax: number },
    disk: Disk = nodeDisk
  ) {
    this.alertBytesMax = Math.min(config.alertBytesMax, Math.floor(config.bytesMax * ALERT_SHARE))
    this.snapshotBytesMax = Math.floor(config.bytesMax * SNAPSHOT_SHARE)
    this.deviceFileBytesMax = Math.min(
      DEVICE_FILE_BYTES_MAX,
      Math.floor(config.bytesMax * DEVICE_SHARE)
    )
    this.#disk = disk
    this.#files = [DEVICE_FILE, DEVICE_FILE_ASIDE].map(name => path.join(config.data, name))
    this.#directories = [SNAPSHOT_DIRECTORY, SINK_DIRECTORY].map(directory =>
      path.join(config.data, directory)
    )
  }

  /** As of the last look. */
  get sharedBytes(): number {
    return (this.alertLog?.status.bytes ?? 0) + this.#fileBytes
  }

  /** Never rejects: what cannot be looked at counts as it did. */
  async look(): Promise<void> {
    try {
      let sum = 0
      for (const file of this.#files) sum += await this.#bytesOf(file)
      for (const directory of this.#directories) {
        for (const name of await this.#namesIn(directory)) {
          sum += await this.#bytesOf(path.join(directory, name))
        }
      }
      this.#fileBytes = sum
    } catch {
      // Counted as before.
    }
  }

  async #namesIn(directory: string): Promise<string[]> {
    try {
      return await this.#disk.list(directory)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return []
      throw error
    }
  }

  /** It may be renamed or gone by now. */
  async #bytesOf(file: string): Promise<number> {
    try {
      return (await this.#disk.stat(file)).bytes
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return 0
      throw error
    }
  }
}
