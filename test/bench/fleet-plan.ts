import { Prng } from '../../core/runtime/prng.ts'
import type { Fault, FaultKind } from '../../firmware-sim/fault.ts'
import { FleetPlan } from '../../firmware-sim/plan.ts'
import type { SignalModel } from '../../firmware-sim/signal.ts'

export const DAY_MS = 86_400_000
const MINUTE_MS = 60_000
const DAY_READINGS = DAY_MS / MINUTE_MS
export const LEARNING_DAYS = 14
export const FAULTY_DAYS = 7
/** A midnight. */
export const STARTS_AT = Date.UTC(2026, 5, 1)

/** What the signals of a device's three metrics are like, in their order. */
export const CLASSES = ['correlated', 'quantised', 'daily'] as const

/** A kind of fault as a row of the table. */
export interface FaultCase {
  name: string
  kind: FaultKind
  /** σ; of `stuck` and `silence`, the readings. */
  magnitude: number
  readings: number
  /** The whole device fails. */
  device?: boolean
  /** Recall that is asked for. */
  recallMin?: number
}

const WANTED = 0.95

export const CASES: readonly FaultCase[] = [
  ...[6, 8, 10, 12].map(m => spikeOf(m, 1, m >= 8)),
  ...[4, 6, 8].map(m => spikeOf(m, 3, m >= 6)),
  ...[2, 3, 4, 6].map(m => shiftOf(m, m >= 3)),
  ...[20, 30, 60, 240].map(readings => ({
    name: `stuck, ${readings} readings`,
    kind: 'stuck' as const,
    ...{ magnitude: readings, readings, recallMin: WANTED }
  })),
  ...[20, 60, 240].flatMap(readings =>
    [true, false].map(device => ({
      name: `silence of ${device ? 'a device' : 'one metric'}, ${readings} readings`,
      kind: 'silence' as const,
      ...{ magnitude: readings, readings, device, recallMin: WANTED }
    }))
  )
]

/** Faults begin at least so long after the one before: an alert is over, its habit mostly faded. */
const SLOT_READINGS = 2 * DAY_READINGS
const LONGEST_READINGS = 240

/**
 * A thousand devices, say, of three metrics, one of each class: a reading a minute for three weeks,
 * the last of them with three faults on every device.
 */
export function fleetPlan(devices: number, seed: number): { plan: FleetPlan; cases: FaultCase[] } {
  const prng = new Prng(seed)
  const faults: Fault[][] = []
  const cases: FaultCase[] = []
  let turn = prng.int(CASES.length)
  for (let device = 0; device < devices; device++) {
    const own: Fault[] = []
    for (let slot = 0; slot < 3; slot++) {
      const one = CASES[turn++ % CASES.length]
      const first =
        LEARNING_DAYS * DAY_READINGS +
        slot * SLOT_READINGS +
        prng.int(SLOT_READINGS - LONGEST_READINGS - DAY_READINGS / 4)
      const sign = prng.chance(0.5) ? 1 : -1
      const signed = one.kind === 'spike' || one.kind === 'shift'
      own.push({
        kind: one.kind,
        magnitude: signed ? sign * one.magnitude : one.magnitude,
        ...{ first, end: first + one.readings },
        ...(one.device ? {} : { metric: prng.int(CLASSES.length) })
      })
      cases.push(one)
    }
    faults.push(own)
  }
  const plan = new FleetPlan({
    ...{ devices, metrics: CLASSES.length, intervalMs: MINUTE_MS },
    durationMs: (LEARNING_DAYS + FAULTY_DAYS) * DAY_MS,
    ...{ seed, site: 'plant7', prefix: 'd', startAt: STARTS_AT, timeScale: 1, faults },
    drawModel: (index, metric, random) => modelOf(CLASSES[index], metric, random)
  })
  return { plan, cases }
}

function spikeOf(sigmas: number, readings: number, wanted: boolean): FaultCase {
  const name = `spike of ${sigmas} σ, ${readings === 1 ? 'one reading' : `${readings} readings`}`
  return { name, kind: 'spike', magnitude: sigmas, readings, ...(wanted && { recallMin: WANTED }) }
}

/** Four hours. */
function shiftOf(sigmas: number, wanted: boolean): FaultCase {
  const shape = { kind: 'shift', magnitude: sigmas, readings: 240 } as const
  return { name: `shift of ${sigmas} σ`, ...shape, ...(wanted && { recallMin: WANTED }) }
}

/** σ is 1 around a level of 50; the swing from trough to crest is twice the amplitude. */
function modelOf(kind: (typeof CLASSES)[number], metric: string, prng: Prng): SignalModel {
  const within = (min: number, max: number) => min + (max - min) * prng.float()
  const daily = kind === 'daily'
  return {
    metric,
    level: within(20, 80),
    sigma: 1,
    daily: {
      amplitude1: daily ? within(2.5, 5) : within(0, 1),
      phase1: within(0, 2 * Math.PI),
      amplitude2: daily ? within(0, 1) : within(0, 0.3),
      phase2: within(0, 2 * Math.PI)
    },
    drift: { amplitude: within(0, 0.5), periodMs: within(7, 30) * DAY_MS, phase: within(0, 6.28) },
    ar: kind === 'correlated' ? within(0.9, 0.98) : within(0, 0.7),
    quantum: kind === 'quantised' ? 0.5 : 1e-3,
    decimals: kind === 'quantised' ? 1 : 3
  }
}
