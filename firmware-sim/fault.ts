import type { Prng } from '../core/runtime/prng.ts'

/**
 * What can go wrong with a device, and the unit in which its magnitude is stated.
 * σ is the standard deviation of the healthy metric around its daily shape.
 */
export const FAULTS = {
  /** A few readings off by ±6…12 σ. */
  spike: { scope: 'metric', unit: 'σ, signed' },
  /** The level moves by ±3…6 σ and comes back. */
  shift: { scope: 'metric', unit: 'σ, signed' },
  /** Grows by 0.05 σ a minute of simulated time until it is past 3 σ, then is mended. */
  drift: { scope: 'metric', unit: 'σ per simulated minute, signed' },
  /** The sensor repeats its last value. */
  stuck: { scope: 'metric', unit: 'readings that repeat' },
  /** The device is off: takes no reading and sends none. With a metric: only that one is missing. */
  silence: { scope: 'device', unit: 'readings missing' },
  /** The device's clock, hence `ts`, is wrong; what it measures is right. */
  clock_skew: { scope: 'device', unit: 'ms, positive = ahead' },
  /** Every message is published twice, with the same sequence and without DUP. */
  duplicates: { scope: 'device', unit: 'copies of each message' }
} as const

export type FaultKind = keyof typeof FAULTS
export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[]

export const DRIFT_SIGMA_PER_MINUTE = 0.05

/** A fault of one device. Readings are counted from 0; the range is half-open. */
export interface Fault {
  kind: FaultKind
  /** Index of the metric; absent when the whole device is concerned. */
  metric?: number
  magnitude: number
  first: number
  end: number
}

export interface FaultPlanOptions {
  /** Kinds to inject, dealt in turn. Default: all. */
  kinds?: readonly FaultKind[]
  /** Share of the devices that get faults, 0..1. Default 0.3. */
  deviceShare?: number
  /** Faults a faulty device gets, spread over the run. Default 1. */
  perDevice?: number
  /** Event time at the start without any fault, ms. Default 20_000. */
  warmUpMs?: number
}

export interface FaultPlanInput {
  devices: number
  metrics: number
  readingsPerDevice: number
  intervalMs: number
  timeScale: number
}

/** Healthy readings kept after every fault, so that its end can be seen. */
const REST_READINGS = 8

/**
 * Draws the faults of a fleet.
 *
 * A device's run after the warm-up is cut into `perDevice` slots; each holds at most one fault and
 * ends healthy, so faults of one device never overlap. A kind that is too long for its slot (a
 * drift in a short run) gives its turn to the next kind; when none fits the slot stays healthy.
 *
 * @returns For each device its faults, ascending.
 */
export function planFaults(
  input: FaultPlanInput,
  options: FaultPlanOptions,
  prng: Prng
): Fault[][] {
  const { deviceShare = 0.3, perDevice = 1, warmUpMs = 20_000 } = options
  const kinds = options.kinds ?? FAULT_KINDS
  const plan: Fault[][] = Array.from({ length: input.devices }, () => [])
  const warmUpReadings = Math.ceil(warmUpMs / input.intervalMs)
  const slotReadings = Math.floor((input.readingsPerDevice - warmUpReadings) / perDevice)
  if (kinds.length === 0 || slotReadings <= REST_READINGS) return plan

  let turn = prng.int(kinds.length)
  for (const device of chooseDevices(input.devices, deviceShare, prng)) {
    for (let slot = 0; slot < perDevice; slot++) {
      const slotFirst = warmUpReadings + slot * slotReadings
      const drawn = drawThatFits(kinds, turn, slotReadings - REST_READINGS, input, prng)
      if (drawn === undefined) continue
      turn = drawn.nextTurn
      const spare = slotReadings - REST_READINGS - drawn.readings
      const first = slotFirst + prng.int(spare + 1)
      const fault: Fault = {
        kind: drawn.kind,
        magnitude: drawn.magnitude,
        first,
        end: first + drawn.readings
      }
      if (FAULTS[drawn.kind].scope === 'metric') fault.metric = prng.int(input.metrics)
      plan[device].push(fault)
    }
  }
  return plan
}

/**
 * What a fault on a metric adds to its reading number `reading`, in σ.
 * `stuck` and the faults of the whole device add nothing: they are acted out where readings are made.
 */
export function faultOffset(
  fault: Fault,
  reading: number,
  intervalMs: number,
  timeScale: number
): number {
  if (fault.kind === 'spike' || fault.kind === 'shift') return fault.magnitude
  if (fault.kind !== 'drift') return 0
  const simulatedMinutes = ((reading - fault.first) * intervalMs * timeScale) / 60_000
  return fault.magnitude * simulatedMinutes
}

function chooseDevices(devices: number, share: number, prng: Prng): number[] {
  const all = Array.from({ length: devices }, (_, i) => i)
  const count = Math.min(devices, Math.ceil(devices * share))
  for (let i = 0; i < count; i++) {
    const j = i + prng.int(devices - i)
    ;[all[i], all[j]] = [all[j], all[i]]
  }
  return all.slice(0, count)
}

interface DrawnFault {
  kind: FaultKind
  magnitude: number
  readings: number
  nextTurn: number
}

function drawThatFits(
  kinds: readonly FaultKind[],
  turn: number,
  readingsMax: number,
  input: FaultPlanInput,
  prng: Prng
): DrawnFault | undefined {
  for (let i = 0; i < kinds.length; i++) {
    const kind = kinds[(turn + i) % kinds.length]
    const { magnitude, readings } = drawFault(kind, input, prng)
    if (readings <= readingsMax) {
      return { kind, magnitude, readings, nextTurn: (turn + i + 1) % kinds.length }
    }
  }
  return undefined
}

function drawFault(
  kind: FaultKind,
  input: FaultPlanInput,
  prng: Prng
): { magnitude: number; readings: number } {
  const sign = prng.chance(0.5) ? 1 : -1
  const several = 20 + prng.int(21)
  switch (kind) {
    case 'spike':
      return { magnitude: sign * (6 + 6 * prng.float()), readings: 1 + prng.int(3) }
    case 'shift':
      return { magnitude: sign * (3 + 3 * prng.float()), readings: several }
    case 'drift': {
      // 80 to 140 simulated minutes: 4 to 7 σ at the end.
      const simulatedMs = (80 + 60 * prng.float()) * 60_000
      const readings = Math.ceil(simulatedMs / (input.intervalMs * input.timeScale))
      return { magnitude: sign * DRIFT_SIGMA_PER_MINUTE, readings: Math.max(2, readings) }
    }
    case 'stuck':
    case 'silence':
      return { magnitude: several, readings: several }
    case 'clock_skew':
      return { magnitude: sign * (5 + prng.int(56)) * 60_000, readings: several }
    case 'duplicates':
      return { magnitude: 2, readings: several }
  }
}
