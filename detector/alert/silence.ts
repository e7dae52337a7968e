import { type DeviceClock, newClock } from '../quality/device-clock.ts'
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

/** When a device was last heard, and how long it usually pauses. */
export interface HeardDevice {
  site: string
  device: string
  agentId: string
  /** Active time of the agent's stream at the last reading. */
  activeMs: number
  receivedAt: number
  /** Event time. */
  at: number
  /** Longest pause of late: rises at once, falls slowly. Active ms. */
  intervalMs: number
  gaps: number
  silent: boolean
  /** The device's own time: passes only while it is heard. */
  aliveMs: number
  /** Of its own time: when its series are to be looked at again. */
  scanFromMs: number
  clock: DeviceClock
}

export interface SilenceChange {
  state: 'silent' | 'heard' | 'forgotten'
  device: HeardDevice
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
  readonly #clocks = new Map<string, StreamClock & { scanFromMs: number }>()
  /** Oldest heard first. */
  readonly #devices = new Map<string, HeardDevice>()

  constructor(rule: SilenceRule, options: { devicesMax: number; ttlMs: number }) {
    this.#rule = rule
    this.#devicesMax = Math.max(1, options.devicesMax)
    this.#ttlMs = options.ttlMs
  }

  /** @returns Whether the reading is behind its agent's watermark, and whose state it changed. */
  hear(reading: Heard): { late: boolean; device: HeardDevice; changes: SilenceChange[] } {
    const clock = this.#clock(reading)
    const late = reading.at < clock.watermark - LATENESS_MS
    const changes: SilenceChange[] = []
    const device = this.#hearDevice(reading, clock, changes)
    if (clock.activeMs >= clock.scanFromMs) {
      clock.scanFromMs = clock.activeMs + this.#rule.minMs / 10
      this.#scan(reading, clock, changes)
    }
    return { late, device, changes }
  }

  snapshot(): SilenceState {
    return { clocks: [...this.#clocks], devices: [...this.#devices.values()] }
  }

  restore(state: SilenceState): void {
    this.#clocks.clear()
    this.#devices.clear()
    for (const [agentId, clock] of state.clocks) this.#clocks.set(agentId, { ...clock })
    for (const device of state.devices) {
      this.#devices.set(deviceKeyOf(device), structuredClone(device))
    }
  }

  #clock(reading: Heard): StreamClock & { scanFromMs: number } {
    let clock = this.#clocks.get(reading.agentId)
    if (clock) {
      advanceClock(clock, reading.receivedAt, reading.at, this.#rule.minMs / 2)
    } else {
      clock = { ...startClock(reading.receivedAt, reading.at), scanFromMs: 0 }
    }
    this.#clocks.delete(reading.agentId)
    this.#clocks.set(reading.agentId, clock)
    if (this.#clocks.size > AGENTS_MAX) deleteFirst(this.#clocks)
    return clock
  }

  #hearDevice(reading: Heard, clock: StreamClock, changes: SilenceChange[]): HeardDevice {
    const key = deviceKeyOf(reading)
    const { agentId, site, device, at, receivedAt } = reading
    const known = this.#devices.get(key)
    const heard: HeardDevice = known ?? {
      ...{ site, device, agentId, at, receivedAt },
      ...{ activeMs: clock.activeMs, intervalMs: 0, gaps: 0, silent: false },
      ...{ aliveMs: 0, scanFromMs: 0, clock: newClock() }
    }
    if (known) {
      const sameAgent = known.agentId === agentId
      const gapMs = sameAgent ? clock.activeMs - known.activeMs : 0
      // A pause of the device is none of its series.
      known.aliveMs += known.gaps < GAPS_BELIEVED ? gapMs : Math.min(gapMs, 2 * known.intervalMs)
      if (known.silent) {
        changes.push(this.#change('heard', known, at, receivedAt))
      } else if (sameAgent && gapMs > known.intervalMs / 10) {
        // Shorter ones are bursts: several messages of one instant, or a device's own backlog.
        known.intervalMs =
          gapMs > known.intervalMs ? gapMs : known.intervalMs + 0.02 * (gapMs - known.intervalMs)
        known.gaps++
      }
      Object.assign(known, { agentId, at, receivedAt, activeMs: clock.activeMs, silent: false })
    }
    this.#devices.delete(key)
    this.#devices.set(key, heard)
    if (this.#devices.size > this.#devicesMax) this.#forgetOldest(receivedAt, changes)
    return heard
  }

  #scan(reading: Heard, clock: StreamClock, changes: SilenceChange[]): void {
    for (const device of this.#devices.values()) {
      if (reading.receivedAt - device.receivedAt > this.#ttlMs) {
        this.#forget(device, reading.receivedAt, changes)
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
    for (const device of this.#devices.values()) {
      this.#forget(device, now, changes)
      return
    }
  }

  #forget(device: HeardDevice, now: number, changes: SilenceChange[]): void {
    this.#devices.delete(deviceKeyOf(device))
    if (!device.silent) return
    const at = device.at + Math.max(0, now - device.receivedAt)
    changes.push(this.#change('forgotten', device, at, now))
  }

  #change(
    state: SilenceChange['state'],
    device: HeardDevice,
    at: number,
    now: number
  ): SilenceChange {
    const quietMs = Math.max(0, now - device.receivedAt)
    return { state, device: { ...device }, at, quietMs, limitMs: this.#limit(device) }
  }
}

export interface SilenceState {
  clocks: [string, StreamClock & { scanFromMs: number }][]
  devices: HeardDevice[]
}

export function deviceKeyOf(of: { site: string; device: string }): string {
  return `${of.site}\0${of.device}`
}

function deleteFirst<K>(map: Map<K, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key)
    return
  }
}
