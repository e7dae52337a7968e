import { Prng } from '../../core/runtime/prng.ts'
import { Auto } from '../../detector/scorer/auto.ts'
import type { Scorer } from '../../detector/scorer/scorer.ts'
import { ZScore } from '../../detector/scorer/zscore.ts'
import { engineOf, run, SERIES_A_DEVICE } from './engine.ts'
import { medianOf } from './report.ts'

const SERIES = 1000
const READINGS = 1_000_000
const ROUNDS = 5
const SCORERS: Readonly<Record<string, () => Scorer>> = {
  zscore: () => new ZScore({ warmUpReadings: 30 }),
  auto: () => new Auto({ warmUpReadings: 30 })
}
/** A reading a second, which is averaged, and one in five minutes, which is not. */
const INTERVALS_MS = [1000, 300_000]

/** Of the whole engine: values of each round, and before the first. */
const ENGINE_VALUES = 900_000
const ENGINE_WARM_UP = 300_000

/**
 * Readings a second that a scorer scores and learns, one core, a thousand series in turn; and values
 * a second through the whole engine, a reading of three values a second of each device.
 */
export async function benchScorers(): Promise<unknown> {
  const prng = new Prng(1)
  const values = Float64Array.from({ length: 1 << 16 }, () => 20 + prng.normal())
  const results = []
  for (const [name, make] of Object.entries(SCORERS)) {
    for (const intervalMs of INTERVALS_MS) {
      const rates = Array.from({ length: ROUNDS }, () => rate(make(), intervalMs, values))
      const stateBytes = make().stateBytes
      results.push({ name, intervalMs, stateBytes, readingsPerSecond: Math.round(medianOf(rates)) })
    }
  }
  const engine = []
  for (const name of ['zscore', 'auto'] as const) engine.push(await engineRate(name, values))
  return {
    benchmark: 'scorers',
    series: SERIES,
    readings: READINGS,
    rounds: ROUNDS,
    results,
    engine
  }
}

async function engineRate(name: 'auto' | 'zscore', values: Float64Array): Promise<unknown> {
  const devices = Math.floor(SERIES / SERIES_A_DEVICE)
  const detector = engineOf(name, SERIES)
  const fleet = { devices, intervalMs: 1000, values }
  let from = ENGINE_WARM_UP / SERIES_A_DEVICE
  await run(detector, fleet, 0, from)
  const rates: number[] = []
  const cpuRates: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const count = ENGINE_VALUES / SERIES_A_DEVICE
    const { wallMs, cpuMs } = await run(detector, fleet, from, count)
    from += count
    rates.push((ENGINE_VALUES * 1000) / wallMs)
    cpuRates.push((ENGINE_VALUES * 1000) / cpuMs)
  }
  return {
    ...{ name, intervalMs: 1000, valuesPerSecond: Math.round(medianOf(rates)) },
    valuesPerCpuSecond: Math.round(medianOf(cpuRates))
  }
}

function rate(scorer: Scorer, intervalMs: number, values: Float64Array): number {
  scorer.reserve(SERIES)
  const from = performance.now()
  let sum = 0
  for (let i = 0; i < READINGS; i++) {
    const slot = i % SERIES
    const at = 1.8e12 + ((i - slot) / SERIES) * intervalMs
    const value = values[(i * 7) & 0xffff]
    sum += scorer.score(slot, at, value)
    scorer.learn(slot, at, value)
  }
  if (!(sum >= 0)) throw new Error('the scores are no numbers')
  return (READINGS / (performance.now() - from)) * 1000
}
