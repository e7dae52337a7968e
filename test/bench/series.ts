import { Prng } from '../../core/runtime/prng.ts'
import { engineOf, run, SERIES_A_DEVICE } from './engine.ts'
import { type BenchOptions, scaled } from './options.ts'
import { medianOf, round2 } from './report.ts'

const SERIES = 1_000_000
/** Readings of each device: so many that nothing of its state is a beginning any more. */
const READINGS = 4
const INTERVAL_MS = 60_000

/** Memory of very many series, and how long their state takes to be saved and read again. */
export async function benchSeries(options: BenchOptions): Promise<unknown> {
  const devices = Math.ceil(scaled(SERIES, options) / SERIES_A_DEVICE)
  const series = devices * SERIES_A_DEVICE
  const prng = new Prng(1)
  const values = Float64Array.from({ length: 1 << 16 }, () => 20 + prng.normal())
  const empty = memory()
  const detector = engineOf('auto', series)
  const fleet = { devices, intervalMs: INTERVAL_MS, values }
  const { wallMs, cpuMs } = await run(detector, fleet, 0, READINGS * devices)
  const running = process.memoryUsage.rss()
  const full = memory()
  const rounds = Math.max(1, Math.round(options.rounds ?? (series > 100_000 ? 1 : 9)))
  const again = engineOf('auto', series)
  const snapshotMs: number[] = []
  const restoreMs: number[] = []
  let stateBytes = 0
  for (let round = 0; round < rounds; round++) {
    const startedAt = performance.now()
    const state = detector.snapshot()
    snapshotMs.push(performance.now() - startedAt)
    const restoredAt = performance.now()
    if (!again.restore(state)) throw new Error('the state is refused')
    restoreMs.push(performance.now() - restoredAt)
    stateBytes = state.length
  }
  const per = (bytes: number): number => Math.round(bytes / series)
  return {
    ...{ benchmark: 'series', scorer: 'auto', devices, series },
    counted: detector.counters().series,
    valuesPerSecond: Math.round((READINGS * series * 1000) / wallMs),
    valuesPerCpuSecond: Math.round((READINGS * series * 1000) / cpuMs),
    rssMiB: Math.round(full.rss / 2 ** 20),
    rssBeforeCollectionMiB: Math.round(running / 2 ** 20),
    rssMaxMiB: Math.round(process.resourceUsage().maxRSS / 2 ** 10),
    bytesASeries: {
      rss: per(full.rss - empty.rss),
      heap: per(full.heapUsed - empty.heapUsed),
      arrays: per(full.arrayBuffers - empty.arrayBuffers),
      snapshot: per(stateBytes)
    },
    rounds,
    snapshotMs: timesOf(snapshotMs),
    restoreMs: timesOf(restoreMs)
  }
}

function memory(): NodeJS.MemoryUsage {
  for (let i = 0; i < 3; i++) globalThis.gc?.()
  return process.memoryUsage()
}

/** The first one runs code that nobody has run before. */
function timesOf(timesMs: number[]): object {
  return { first: round2(timesMs[0]), median: round2(medianOf(timesMs)) }
}
