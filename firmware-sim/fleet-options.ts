import type { Clock } from '../core/runtime/clock.ts'
import { OperationalError } from '../core/runtime/errors.ts'
import type { Qos } from './device.ts'
import { FAULT_KINDS, type FaultPlanOptions } from './fault.ts'
import type { FleetCounters } from './fleet.ts'
import type { Recording } from './recording.ts'

export type FleetOptions = {
  host: string
  port: number
  /** 1..10_000 */
  devices: number
  /** Messages a second, all devices together; ignored when a recording is played. */
  rate: number
  /** How long readings are taken; unacknowledged ones are waited for afterwards. */
  durationMs: number
  seed: number
  /** Default `plant1`. */
  site?: string
  /** What device names begin with. Default `sim-`: `sim-001` and on. */
  prefix?: string
  /** Metrics a device, 1..32, all in one message. Default 3. */
  metrics?: number
  /** Default: every kind, on 30 % of the devices, after 20 s. */
  faults?: FaultPlanOptions | false
  /** Simulated seconds per real second, for the daily shape and drifts. Default 1. */
  timeScale?: number
  /** Default 1. */
  qos?: Qos
  username?: string
  password?: string
  clock?: Clock
  /** Plays this on every device instead of simulated signals, without faults. */
  recording?: Recording
  /** Recorded seconds per real second. Default 1. */
  speed?: number
  /** Unacknowledged readings a device. Default 20. */
  windowMax?: number
  /** Readings a device stores while it cannot send. Default 500_000 / devices, 500..10_000. */
  bufferMax?: number
  /** Default 30_000. */
  ackTimeoutMs?: number
  /** Default 200 and 5_000. */
  backOffMsMin?: number
  backOffMsMax?: number
  /** How long the end waits for unacknowledged readings. Default 10_000. */
  drainMsMax?: number
  /** Called about once a second and at the end. */
  onCounters?: (counters: FleetCounters) => void
}

/** @throws {OperationalError} USAGE, naming the option, its range and what was given. */
export function checkFleetOptions(o: FleetOptions): void {
  const whole = (name: string, value: number, min: number, max: number): void => {
    if (!Number.isInteger(value) || value < min || value > max) {
      refuse(`${name} is ${value}; it must be a whole number from ${min} to ${max}.`)
    }
  }
  const positive = (name: string, value: number, max: number): void => {
    if (!(value > 0 && value <= max)) {
      refuse(`${name} is ${value}; it must be above 0 and at most ${max}.`)
    }
  }
  if (o.host === '') refuse('host is empty; name the MQTT broker.')
  whole('port', o.port, 1, 65_535)
  whole('devices', o.devices, 1, 10_000)
  whole('seed', o.seed, 0, 0xffff_ffff)
  whole('metrics', o.metrics ?? 3, 1, 32)
  whole('qos', o.qos ?? 1, 0, 2)
  whole('window', o.windowMax ?? 20, 1, 1_000)
  whole('buffer', o.bufferMax ?? 1, 1, 1_000_000)
  positive('rate', o.rate, 100_000)
  positive('duration', o.durationMs / 1000, 365 * 86_400)
  positive('time-scale', o.timeScale ?? 1, 1e6)
  positive('speed', o.speed ?? 1, 1e9)
  const drainMs = o.drainMsMax ?? 0
  if (!(drainMs >= 0 && drainMs <= 3_600_000)) {
    refuse(`drain is ${drainMs / 1000}; it must be from 0 to 3600 seconds.`)
  }
  checkName('site', o.site ?? 'plant1')
  checkName('prefix', o.prefix ?? 'sim-')
  if (o.faults) checkFaults(o.faults)
}

function checkFaults(f: FaultPlanOptions): void {
  const share = f.deviceShare ?? 0.3
  if (!(share >= 0 && share <= 1)) refuse(`faults.deviceShare is ${share}; it must be 0 to 1.`)
  const perDevice = f.perDevice ?? 1
  if (!Number.isInteger(perDevice) || perDevice < 1 || perDevice > 10_000) {
    refuse(`faults.perDevice is ${perDevice}; it must be a whole number from 1 to 10000.`)
  }
  const warmUpMs = f.warmUpMs ?? 20_000
  if (!(warmUpMs >= 0 && Number.isFinite(warmUpMs))) {
    refuse(`faults.warmUpMs is ${warmUpMs}; it must be 0 or more.`)
  }
  const unknown = f.kinds?.find(k => !FAULT_KINDS.includes(k))
  if (unknown !== undefined) {
    refuse(`faults.kinds has "${unknown}"; known are ${FAULT_KINDS.join(', ')}.`)
  }
}

/** Names become a topic level and a client id. */
function checkName(name: string, value: string): void {
  // Reading it back from the topic must give the same name.
  if (!/^[^/+#\p{Cc}\s$][^/+#\p{Cc}\s]{0,99}$/u.test(value)) {
    refuse(`${name} is "${value}"; it must have 1 to 100 characters, none of / + # or blanks.`)
  }
}

function refuse(message: string): never {
  throw new OperationalError('USAGE', `The fleet's ${message}`)
}
