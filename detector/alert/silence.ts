import { detached } from '../by-device.ts'
import { RecentlyUsed } from '../recently-used.ts'
import { type StateReader, StateWriter } from '../state-bytes.ts'
import { type HeardDevice, HeardDevices } from './heard-devices.ts'
import { advanceClock, LATENESS_MS, type StreamClock, startClock } from './stream-clock.ts'

/** Gaps of a device before its interval is believed. */
const GAPS_BELIEVED = 5
const AGENTS_MAX = 4096

export interface SilenceRule {
  enabled: boolean
  /** Silent after this many of the device's own longest usual intervals… */
  factor: number
  /** …and not before this. */
  minMs: number
}

/** Whether a device's time between two instants teaches nothing. Event time. */
export type PausesLearning = (
  device: { site: string; device: string },
  since: number,
  at: number
) => boolean

export type { HeardDevice } from './heard-devices.ts'

export interface SilenceChange {
  state: 'silent' | 'heard' | 'forgotten'
  /** `at`: event time of its last reading. */
  device: Pick<HeardDevice, 'site' | 'device' | 'agentId' | 'at'>
  /** Event time of the change. */
  at: number
  quietMs: number
  limitMs: number
}

export interface Heard {
  agentId: string
  site: string
  device: string
  at: number
  receivedAt: number
}

/**
 * Finds devices that stopped, by the readings of the others at the same agent: silence is judged
 * only in time during which that agent delivered. Neither our idleness nor the agent's outage nor a
 * device's wrong clock makes anybody silent; an agent with a single device never finds it silent.
 *
 * Bounded: past `devicesMax` the longest unheard device is forgotten (its alert is cleared first).
 */
export class SilenceWatch {
  readonly #rule: SilenceRule
  readonly #devicesMax: number
  readonly #ttlMs: number
  readonly #pauses: PausesLearning
  readonly #clocks = new RecentlyUsed<StreamClock & { scanFromMs: number }>(AGENTS_MAX)
  readonly #devices = new HeardDevices()

  constructor(
    rule: SilenceRule,
    options: { devicesMax: number; ttlMs: number },
    pauses: PausesLearning = () => false
  ) {
    this.#rule = rule
    this.#devicesMax = Math.max(1, options.devicesMax)
    this.#ttlMs = options.ttlMs
    this.#pauses = pauses
  }

  /**
   * @returns Whether the reading is behind its agent's watermark, and whose state it changed; the
   *   device is valid until the next reading.
   */
  hear(reading: Heard): { late: boolean; device: HeardDevice; changes: SilenceChange[] } {
    const clock = this.#clock(reading)
    const late = reading.at < clock.watermark - LATENESS_MS
    const changes: SilenceChange[] = []
    const row = this.#hearDevice(reading, clock, changes)
    if (clock.activeMs >= clock.scanFromMs) {
      clock.scanFromMs = clock.activeMs + this.#rule.minMs / 10
      this.#scan(reading, clock, changes)
    }
    return { late, device: this.#devices.row(row), changes }
  }

  /** Oldest heard first. */
  get devices(): Iterable<HeardDevice> {
    return this.#devices
  }

  /** The same without a copy: one view for all of them. */
  rows(): Iterable<HeardDevice> {
    return this.#devices.rows()
  }

  /** See `HeardDevices`. */
  countByAgent(counts: Map<string, number>): void {
    this.#devices.countByAgent(counts)
  }

  get stateBytesMax(): number {
    let bytes = 4 + this.#devices.stateBytesMax
    for (const [agentId] of this.#clocks) bytes += CLOCK_BYTES + StateWriter.textBytesMax(agentId)
    return bytes
  }

  save(writer: StateWriter): void {
    this.#devices.save(writer)
    writer.count(this.#clocks.size)
    for (const [agentId, clock] of this.#clocks) {
      writer.text(agentId)
      for (const field of CLOCK_FIELDS) writer.number(clock[field])
    }
  }

  /** Into an empty one. Throws a RangeError when the bytes cannot be a state. */
  load(reader: StateReader): void {
    this.#devices.load(reader)
    const count = reader.count(CLOCK_BYTES)
    for (let i = 0; i < count; i++) {
      const agentId = reader.text()
      const clock = { ...startClock(0, 0), scanFromMs: 0 }
      for (const field of CLOCK_FIELDS) clock[field] = reader.number()
      this.#clocks.add(agentId, clock)
    }
  }

  #clock(reading: Heard): StreamClock & { scanFromMs: number } {
    const { agentId, receivedAt, at } = reading
    const known = this.#clocks.use(agentId)
    if (known) {
      advanceClock(known, receivedAt, at, this.#rule.minMs / 2)
      return known
    }
    const clock = { ...startClock(receivedAt, at), scanFromMs: 0 }
    this.#clocks.add(detached(agentId), clock)
    return clock
  }

  #hearDevice(reading: Heard, clock: StreamClock, changes: SilenceChange[]): number {
    const { agentId, site, device: name, at, receivedAt } = reading
    let row = this.#devices.touch(site, name)
    if (row < 0) {
      row = this.#devices.add(site, name, agentId)
      Object.assign(this.#devices.row(row), { at, receivedAt, activeMs: clock.activeMs })
      if (this.#devices.size > this.#devicesMax) this.#forgetOldest(receivedAt, changes)
      return row
    }
    const known = this.#devices.row(row)
    const sameAgent = known.agentId === agentId
    const gapMs = sameAgent ? clock.activeMs - known.activeMs : 0
    // A pause of the device is none of its series.
    known.aliveMs += known.gaps < GAPS_BELIEVED ? gapMs : Math.min(gapMs, 2 * known.intervalMs)
    if (known.silent) {
      changes.push(this.#change('heard', known, at, receivedAt))
    } else if (sameAgent && gapMs > known.intervalMs / 10 && !this.#pauses(known, known.at, at)) {
      // Shorter ones are bursts: several messages of one instant, or a device's own backlog.
      known.intervalMs =
        gapMs > known.intervalMs ? gapMs : known.intervalMs + 0.02 * (gapMs - known.intervalMs)
      known.gaps++
    }
    if (!sameAgent) this.#devices.move(row, agentId)
    known.at = at
    known.receivedAt = receivedAt
    known.activeMs = clock.activeMs
    known.silent = false
    return row
  }

  #scan(reading: Heard, clock: StreamClock, changes: SilenceChange[]): void {
    const devices = this.#devices
    for (let row = devices.oldest, next = -1; row >= 0; row = next) {
      next = devices.next(row)
      const device = devices.row(row)
      if (reading.receivedAt - device.receivedAt > this.#ttlMs) {
        this.#forget(row, reading.receivedAt, changes)
        continue
      }
      const watched = this.#rule.enabled && device.gaps >= GAPS_BELIEVED
      if (!watched || device.silent || device.agentId !== reading.agentId) continue
      const quietMs = clock.activeMs - Math.max(device.activeMs, clock.graceFromMs)
      if (quietMs <= this.#limit(device)) continue
      device.silent = true
      const at = device.at + Math.max(0, reading.receivedAt - device.receivedAt)
      changes.push(this.#change('silent', device, at, reading.receivedAt))
    }
  }

  #limit(device: HeardDevice): number {
    return Math.max(this.#rule.factor * device.intervalMs, this.#rule.minMs)
  }

  #forgetOldest(now: number, changes: SilenceChange[]): void {
    this.#forget(this.#devices.oldest, now, changes)
  }

  #forget(row: number, now: number, changes: SilenceChange[]): void {
    const device = this.#devices.row(row)
    if (device.silent) {
      const at = device.at + Math.max(0, now - device.receivedAt)
      changes.push(this.#change('forgotten', device, at, now))
    }
    this.#devices.remove(row)
  }

  #change(
    state: SilenceChange['state'],
    device: HeardDevice,
    at: number,
    now: number
  ): SilenceChange {
    const quietMs = Math.max(0, now - device.receivedAt)
    const { site, device: name, agentId, at: heardAt } = device
    const said = { site, device: name, agentId, at: heardAt }
    return { state, device: said, at, quietMs, limitMs: this.#limit(device) }
  }
}

const CLOCK_FIELDS = [
  ...(['activeMs', 'graceFromMs', 'receivedAt', 'interArrivalMs', 'readings'] as const),
  ...(['watermark', 'scanFromMs'] as const)
] as const
const CLOCK_BYTES = 4 + CLOCK_FIELDS.length * 8

export function deviceKeyOf(of: { site: string; device: string }): string {
  return `${of.site}\0${of.device}`
}
