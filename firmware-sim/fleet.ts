import { lookup } from 'node:dns/promises'
import { type Clock, systemClock } from '../core/runtime/clock.ts'
import { OperationalError, systemCode } from '../core/runtime/errors.ts'
import { Prng } from '../core/runtime/prng.ts'
import { Device } from './device.ts'
import { checkFleetOptions, type FleetOptions } from './fleet-options.ts'
import { LatencyHistogram } from './latency.ts'
import { FleetPlan, payloadOf, type Reading, type ReadingSource } from './plan.ts'
import { RecordingSource } from './recording.ts'
import { type Label, labelsUntil } from './truth.ts'

export interface FleetCounters {
  devices: number
  connected: number
  /** Readings taken, dropped ones included; a duplicated one counts once. */
  taken: number
  sent: number
  acknowledged: number
  resent: number
  reconnects: number
  dropped: number
  /** Stored on the devices, not yet sent. */
  waiting: number
  /** Sent, not yet acknowledged. */
  inFlight: number
  latencyMs: { p50: number; p95: number; p99: number; max: number }
  /** One device's reason for being without a connection; undefined when all are well. */
  lastError: string | undefined
}

export type { FleetOptions }

type FleetState = 'new' | 'starting' | 'running' | 'draining' | 'stopped'

const TICK_MS_MIN = 5
const TICK_MS_MAX = 250
const READINGS_A_TICK_MAX = 5_000
const CONNECTS_A_SECOND = 500
const HOUSEKEEPING_MS = 1_000

/**
 * A fleet of devices on one scheduler: readings of a seeded source, published at their time.
 *
 * Values, faults and intervals depend on the seed alone. `ts` is the wall clock of the start plus
 * the time since on the monotonic clock, so it never jumps and is never ahead.
 */
export class Fleet {
  /** Settles when the last device is disconnected, by the end of the run or by stop(). */
  readonly done: Promise<void>

  readonly #options: FleetOptions
  readonly #clock: Clock
  readonly #latency = new LatencyHistogram()
  #devices: Device[] = []
  #source: ReadingSource | undefined
  #readings: Generator<Reading, void, undefined> | undefined
  #next: Reading | undefined
  #state: FleetState = 'new'
  #startAt = 0
  #startedMonotonic = 0
  #taken = 0
  #takenUntil = 0
  #tickTimer: NodeJS.Timeout | undefined
  #housekeepingTimer: NodeJS.Timeout | undefined
  #drainTimer: NodeJS.Timeout | undefined
  #settle: () => void = () => {}

  /** @throws {OperationalError} USAGE: an option is out of its range. */
  constructor(options: FleetOptions) {
    checkFleetOptions(options)
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.done = new Promise(resolve => {
      this.#settle = resolve
    })
  }

  /**
   * Resolves when the devices have begun to connect; a broker that is not there yet is waited for.
   *
   * @throws {OperationalError} HOST_UNKNOWN: the host name does not resolve.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new Error('a fleet starts once')
    this.#state = 'starting'
    await resolveHost(this.#options.host)
    if (this.#state !== 'starting') return
    this.#startAt = this.#clock.now()
    this.#startedMonotonic = this.#clock.monotonic()
    this.#takenUntil = this.#startAt
    this.#source = this.#createSource()
    this.#devices = this.#createDevices(this.#source)
    this.#readings = this.#source.readings()
    this.#next = this.#readings.next().value ?? undefined
    this.#state = 'running'
    this.#devices.forEach((d, i) => {
      d.startAfter((i * 1000) / CONNECTS_A_SECOND)
    })
    this.#housekeepingTimer = setInterval(() => this.#housekeep(), HOUSEKEEPING_MS)
    this.#tick()
  }

  /** Takes no more readings, waits for acknowledgements up to `drainMsMax`, disconnects. */
  async stop(): Promise<void> {
    if (this.#state === 'new' || this.#state === 'starting') {
      this.#state = 'stopped'
      this.#settle()
    }
    if (this.#state === 'running') this.#drain()
    await this.done
  }

  counters(): FleetCounters {
    const sum = {
      connected: 0,
      sent: 0,
      acknowledged: 0,
      resent: 0,
      reconnects: 0,
      dropped: 0,
      waiting: 0,
      inFlight: 0
    }
    let lastError: string | undefined
    for (const device of this.#devices) {
      if (device.connected) sum.connected++
      sum.sent += device.counters.sent
      sum.acknowledged += device.counters.acknowledged
      sum.resent += device.counters.resent
      sum.reconnects += device.counters.reconnects
      sum.dropped += device.counters.dropped
      sum.waiting += device.waiting
      sum.inFlight += device.inFlight
      lastError ??= device.lastError
    }
    const quantile = (share: number): number =>
      Math.round(this.#latency.quantile(share) * 100) / 100
    return {
      devices: this.#options.devices,
      taken: this.#taken,
      ...sum,
      latencyMs: {
        p50: quantile(0.5),
        p95: quantile(0.95),
        p99: quantile(0.99),
        max: Math.round(this.#latency.maxMs * 100) / 100
      },
      lastError
    }
  }

  /** For each device name the highest sequence such that it and all below it are acknowledged. */
  ledger(): Record<string, number> {
    const names = this.#source?.devices ?? []
    return Object.fromEntries(names.map((d, i) => [d.device, this.#devices[i].acknowledgedThrough]))
  }

  /** The faults acted out so far; one under way ends now. */
  truth(): Label[] {
    return labelsUntil(this.#source?.labels() ?? [], this.#takenUntil)
  }

  #createSource(): ReadingSource {
    const o = this.#options
    const who = {
      devices: o.devices,
      site: o.site ?? 'plant1',
      prefix: o.prefix ?? 'sim-',
      startAt: this.#startAt
    }
    if (o.recording !== undefined) {
      return new RecordingSource(o.recording, { ...who, speed: o.speed ?? 1 })
    }
    return new FleetPlan({
      ...who,
      metrics: o.metrics ?? 3,
      intervalMs: (o.devices * 1000) / o.rate,
      durationMs: o.durationMs,
      seed: o.seed,
      timeScale: o.timeScale ?? 1,
      faults: o.faults ?? {}
    })
  }

  #createDevices(source: ReadingSource): Device[] {
    const o = this.#options
    // Jitter of reconnects has its own chance: the network must not change the readings.
    const prng = new Prng(o.seed ^ 0x5eed)
    const bufferMax =
      o.bufferMax ?? Math.min(10_000, Math.max(500, Math.floor(500_000 / o.devices)))
    return source.devices.map(
      ({ site, device }) =>
        new Device({
          host: o.host,
          port: o.port,
          clientId: `${site}-${device}`,
          topic: `telemetry/${site}/${device}`,
          qos: o.qos ?? 1,
          username: o.username,
          password: o.password,
          windowMax: o.windowMax ?? 20,
          bufferMax,
          ackTimeoutMs: o.ackTimeoutMs ?? 30_000,
          backOffMsMin: o.backOffMsMin ?? 200,
          backOffMsMax: o.backOffMsMax ?? 5_000,
          prng: prng.fork(),
          clock: this.#clock,
          latency: this.#latency,
          onIdle: () => this.#endWhenIdle()
        })
    )
  }

  #elapsedMs(): number {
    return this.#clock.monotonic() - this.#startedMonotonic
  }

  /** Takes the readings that are due, then sleeps until the next one. */
  #tick(): void {
    if (this.#state !== 'running') return
    const elapsedMs = Math.min(this.#elapsedMs(), this.#options.durationMs)
    for (let n = 0; n < READINGS_A_TICK_MAX; n++) {
      if (this.#next === undefined || this.#next.at - this.#startAt > elapsedMs) break
      this.#take(this.#next)
      this.#next = this.#readings?.next().value ?? undefined
    }
    const dueMs = this.#next === undefined ? Infinity : this.#next.at - this.#startAt
    const behind = dueMs <= elapsedMs
    if (!behind) this.#takenUntil = this.#startAt + elapsedMs
    const playedOut = this.#options.recording !== undefined && this.#next === undefined
    if (playedOut || (!behind && elapsedMs >= this.#options.durationMs)) {
      this.#drain()
      return
    }
    const sleepMs = Math.min(dueMs, this.#options.durationMs) - this.#elapsedMs()
    const clampedMs = Math.min(TICK_MS_MAX, Math.max(TICK_MS_MIN, sleepMs))
    this.#tickTimer = setTimeout(() => this.#tick(), clampedMs)
  }

  #take(reading: Reading): void {
    const device = this.#devices[reading.device]
    const metrics = (this.#source as ReadingSource).devices[reading.device].metrics
    this.#taken++
    const stored = device.offer(sequence => payloadOf(metrics, reading, sequence))
    for (let copy = 1; stored && copy < reading.copies; copy++) device.repeat()
    this.#takenUntil = reading.at
  }

  #housekeep(): void {
    for (const device of this.#devices) device.checkAckTimeout()
    this.#options.onCounters?.(this.counters())
  }

  #drain(): void {
    this.#state = 'draining'
    clearTimeout(this.#tickTimer)
    this.#drainTimer = setTimeout(() => this.#end(), this.#options.drainMsMax ?? 10_000)
    this.#endWhenIdle()
  }

  #endWhenIdle(): void {
    if (this.#state === 'draining' && this.#devices.every(d => d.idle)) this.#end()
  }

  #end(): void {
    if (this.#state !== 'draining') return
    this.#state = 'stopped'
    clearTimeout(this.#drainTimer)
    clearInterval(this.#housekeepingTimer)
    void Promise.all(this.#devices.map(d => d.stop())).then(() => {
      this.#options.onCounters?.(this.counters())
      this.#settle()
    })
  }
}

async function resolveHost(host: string): Promise<void> {
  try {
    await lookup(host)
  } catch (error) {
    throw new OperationalError(
      'HOST_UNKNOWN',
      `The MQTT host ${host} does not resolve (${systemCode(error) ?? String(error)}). Check the name, or give an IP address.`,
      { cause: error }
    )
  }
}
