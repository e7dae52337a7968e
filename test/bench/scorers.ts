import { Prng } from '../../core/runtime/prng.ts'
import { Auto } from '../../detector/scorer/auto.ts'
import type { Scorer } from '../../detector/scorer/scorer.ts'
import { ZScore } from '../../detector/scorer/zscore.ts'
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

/** Readings a second that a scorer scores and learns, one core, a thousand series in turn. */
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
  return { benchmark: 'scorers', series: SERIES, readings: READINGS, rounds: ROUNDS, results }
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
