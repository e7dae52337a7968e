import type { Prng } from '../core/runtime/prng.ts'

export const DAY_MS = 86_400_000

/**
 * One metric of one device, healthy: what it would read if nothing ever broke.
 *
 * value(t) = level + daily shape(t) + slow drift(t) + noise, rounded to the sensor's resolution.
 */
export interface SignalModel {
  metric: string
  level: number
  /** Standard deviation around the daily shape, in the metric's unit; every fault is measured in it. */
  sigma: number
  /** First and second harmonic of the day, in σ; `phase*` in radians. */
  daily: { amplitude1: number; phase1: number; amplitude2: number; phase2: number }
  /** Slow drift that is no fault: a swing of `amplitude` σ over `periodMs`, zero at the start. */
  drift: { amplitude: number; periodMs: number; phase: number }
  /** Correlation of the noise from one reading to the next, 0 <= ar < 1. */
  ar: number
  /** Resolution: values are whole multiples of it. */
  quantum: number
  /** Decimals that hold a multiple of the quantum. */
  decimals: number
}

/** Metrics in the order in which devices get them: level, σ and resolution of a typical sensor. */
const SENSORS = [
  { metric: 'temperature', level: 62, sigma: 0.8, quantum: 0.1, decimals: 1 },
  { metric: 'vibration', level: 2.4, sigma: 0.15, quantum: 0.01, decimals: 2 },
  { metric: 'pressure', level: 6.2, sigma: 0.06, quantum: 0.01, decimals: 2 },
  { metric: 'current', level: 14, sigma: 0.5, quantum: 0.05, decimals: 2 },
  { metric: 'humidity', level: 48, sigma: 1.6, quantum: 0.5, decimals: 1 },
  { metric: 'flow', level: 120, sigma: 2.5, quantum: 0.2, decimals: 1 },
  { metric: 'voltage', level: 231, sigma: 1.2, quantum: 0.1, decimals: 1 },
  { metric: 'speed', level: 1480, sigma: 6, quantum: 1, decimals: 0 }
] as const

/** `temperature`, `vibration`, …; past the end of the list `temperature_2` and so on. */
export function metricNames(count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const round = Math.floor(i / SENSORS.length)
    const { metric } = SENSORS[i % SENSORS.length]
    return round === 0 ? metric : `${metric}_${round + 1}`
  })
}

/** Draws the model of a device's `index`-th metric; no two devices are quite alike. */
export function drawSignalModel(index: number, metric: string, prng: Prng): SignalModel {
  const sensor = SENSORS[index % SENSORS.length]
  return {
    metric,
    level: sensor.level * (0.85 + 0.3 * prng.float()),
    sigma: sensor.sigma * (0.8 + 0.4 * prng.float()),
    daily: {
      amplitude1: 1 + 3 * prng.float(),
      phase1: 2 * Math.PI * prng.float(),
      amplitude2: prng.float(),
      phase2: 2 * Math.PI * prng.float()
    },
    drift: {
      amplitude: 0.5 * prng.float(),
      periodMs: (7 + 23 * prng.float()) * DAY_MS,
      phase: 2 * Math.PI * prng.float()
    },
    ar: 0.3 + 0.4 * prng.float(),
    quantum: sensor.quantum,
    decimals: sensor.decimals
  }
}

/** The noiseless value at a simulated instant (ms since the simulated midnight at the start). */
export function expectedAt(model: SignalModel, simulatedMs: number): number {
  const { daily, drift } = model
  const day = (2 * Math.PI * simulatedMs) / DAY_MS
  const shape =
    daily.amplitude1 * Math.sin(day + daily.phase1) +
    daily.amplitude2 * Math.sin(2 * day + daily.phase2)
  const slow =
    drift.amplitude *
    (Math.sin((2 * Math.PI * simulatedMs) / drift.periodMs + drift.phase) - Math.sin(drift.phase))
  return model.level + model.sigma * (shape + slow)
}

/** Rounds to the sensor's resolution. */
export function quantise(model: SignalModel, value: number): number {
  return Number((Math.round(value / model.quantum) * model.quantum).toFixed(model.decimals))
}

/**
 * A model in motion: one call a reading.
 *
 * The noise is AR(1) over readings, stationary from the first one: its sd is σ whatever `ar` is.
 * Faults do not touch its chance, so a faulty run differs from the healthy one only by the fault.
 */
export class Signal {
  readonly model: SignalModel
  readonly #prng: Prng
  readonly #innovationSigma: number
  #noise: number

  constructor(model: SignalModel, prng: Prng) {
    this.model = model
    this.#prng = prng
    this.#innovationSigma = model.sigma * Math.sqrt(1 - model.ar * model.ar)
    this.#noise = model.sigma * prng.normal()
  }

  /** The next reading before rounding. */
  next(simulatedMs: number): number {
    const value = expectedAt(this.model, simulatedMs) + this.#noise
    this.#noise = this.model.ar * this.#noise + this.#innovationSigma * this.#prng.normal()
    return value
  }
}
