import path from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { readChecked, replaceChecked } from '../../core/log/checked-file.ts'
import type { Disk } from '../../core/log/disk.ts'
import type { Cursor } from '../../core/log/reader.ts'
import { messageOf, systemCode } from '../../core/runtime/errors.ts'
import type { StoredDevice } from './device-registry.ts'

/** In the data directory; while it is replaced the second stands beside it. */
export const DEVICE_FILE = 'devices.json'
export const DEVICE_FILE_ASIDE = 'devices.json.tmp'

/** What is larger was not written by us. */
export const DEVICE_FILE_BYTES_MAX = 16 << 20

export interface DeviceState {
  /** Epoch ms. */
  savedAt: number
  /** Everything before in the telemetry log is counted, nothing behind it. */
  position: Cursor
  forgotten: number
  /** The one heard last first. */
  devices: StoredDevice[]
}

export type DeviceStateFound =
  | { kind: 'valid'; state: DeviceState }
  | { kind: 'absent' }
  /** Or written by another version. */
  | { kind: 'damaged'; reason: string }

const VERSION = 1
/** So many are written as text before others get their turn. */
const SLICE = 250

/**
 * The registry on disk, replaced whole, checked by its sum: a crash leaves the old one or the new one.
 * Registry and position are in one file, so what the log still has behind it is counted once.
 */
export class DeviceFile {
  readonly #disk: Disk
  readonly #directory: string
  readonly #bytesMax: number

  constructor(disk: Disk, directory: string, bytesMax = DEVICE_FILE_BYTES_MAX) {
    this.#disk = disk
    this.#directory = directory
    this.#bytesMax = Math.min(bytesMax, DEVICE_FILE_BYTES_MAX)
  }

  /** Never rejects: a registry that cannot be read is none. */
  async load(): Promise<DeviceStateFound> {
    let text: string | undefined
    try {
      text = await readChecked(
        this.#disk,
        path.join(this.#directory, DEVICE_FILE),
        DEVICE_FILE_BYTES_MAX
      )
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return { kind: 'absent' }
      return { kind: 'damaged', reason: messageOf(error) }
    }
    if (text === undefined) return { kind: 'damaged', reason: 'its checksum does not fit' }
    const { version, ...state } = JSON.parse(text) as DeviceState & { version: number }
    if (version === VERSION) return { kind: 'valid', state }
    return { kind: 'damaged', reason: `it is of version ${String(version)}` }
  }

  /**
   * Within the limit: what does not fit is left out, values of those unheard for longest first, then
   * these devices.
   *
   * @returns How many devices it left out. Rejects with the disk's error.
   */
  async save({ devices, ...state }: DeviceState): Promise<number> {
    const head = JSON.stringify({ version: VERSION, ...state }).slice(0, -1)
    const parts: string[] = []
    // The sum before the text, the brackets behind it.
    let bytes = Buffer.byteLength(head) + 32
    for (const [index, device] of devices.entries()) {
      if (index % SLICE === SLICE - 1) await turn()
      const text = JSON.stringify(bytes < this.#bytesMax / 2 ? device : { ...device, values: [] })
      bytes += Buffer.byteLength(text) + 1
      if (bytes > this.#bytesMax) break
      parts.push(text)
    }
    await replaceChecked(this.#disk, this.#directory, {
      ...{ name: DEVICE_FILE, asideName: DEVICE_FILE_ASIDE },
      text: `${head},"devices":[${parts.join()}]}`
    })
    return devices.length - parts.length
  }
}
