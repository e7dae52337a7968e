import { Prng } from '../../../core/runtime/prng.ts'
import type { TrainingHistory } from '../../../detector/train/history-rows.ts'

export const METRICS = ['temperature', 'flow', 'vibration', 'current']
export const START = Date.UTC(2026, 10, 1)

/** Rows a second apart: next = mean + A (row − mean) + noise, as a forecaster would like it. */
export const TRANSITION = [
  [0.9, 0, 0, 0.05],
  [0, 0.3, 0.2, 0],
  [0, 0.25, 0.5, 0],
  [0, 0, 0.3, 0.4]
]
const MEAN = [60, 120, 3, 8]
const NOISE = [0.2, 1.5, 0.1, 0.3]
/** How the noises go together: flow and current share theirs. */
const SHARED = 0.6

/** @param faultFrom From here on the flow is lower by so many deviations of its noise. */
export function rigRows(prng: Prng, count: number, faultFrom = Infinity, size = 4): Float64Array[] {
  let state = [0, 0, 0, 0]
  return Array.from({ length: count }, (_, t) => {
    const noise = NOISE.map(() => prng.normal())
    noise[3] = SHARED * noise[1] + Math.sqrt(1 - SHARED ** 2) * noise[3]
    state = TRANSITION.map((row, i) => row.reduce((sum, a, j) => sum + a * state[j], 0) + noise[i])
    const values = state.map((s, i) => MEAN[i] + NOISE[i] * s)
    if (t >= faultFrom) values[1] -= size * NOISE[1]
    return Float64Array.from(values)
  })
}

export function rigHistory(seed: number, count: number, devices = 1): TrainingHistory {
  const prng = new Prng(seed)
  return {
    metrics: METRICS,
    everyMs: 1000,
    ageMsMax: 3000,
    stretches: Array.from({ length: devices }, (_, device) => ({
      device: `plant7/pump-${device}`,
      firstAt: START,
      rows: rigRows(prng, count)
    }))
  }
}
