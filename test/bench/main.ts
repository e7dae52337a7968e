import { benchAlertLatency } from './alert-latency.ts'
import { benchCompression } from './compression.ts'
import { benchDrain } from './drain.ts'
import { benchFarLink } from './far-link.ts'
import { benchFleet } from './fleet.ts'
import { benchIdle } from './idle.ts'
import { benchIngest } from './ingest.ts'
import { benchLatency } from './latency.ts'
import { benchLog } from './log.ts'
import { benchLogStart } from './log-start.ts'
import { benchLogTrickle } from './log-trickle.ts'
import { benchNab } from './nab.ts'
import { benchOnnx } from './onnx.ts'
import { type BenchOptions, parseOptions } from './options.ts'
import { benchOverload } from './overload.ts'
import { benchPath } from './path.ts'
import { benchPuback } from './puback.ts'
import { machine } from './report.ts'
import { benchScorers } from './scorers.ts'
import { benchSeries } from './series.ts'
import { benchSoak } from './soak.ts'
import { benchStartUp } from './start-up.ts'

/**
 * `npm run bench [-- NAME] [--rounds N] [--scale X] [--minutes N] [--profile DIR]`: every benchmark
 * but the long ones (soak, overload), or one; JSON on stdout.
 */
const BENCHMARKS: Record<string, (options: BenchOptions) => Promise<unknown>> = {
  log: benchLog,
  'log-start': benchLogStart,
  'log-trickle': benchLogTrickle,
  nab: benchNab,
  path: benchPath,
  ingest: benchIngest,
  overload: benchOverload,
  puback: benchPuback,
  latency: benchLatency,
  'alert-latency': benchAlertLatency,
  'far-link': benchFarLink,
  drain: benchDrain,
  fleet: benchFleet,
  idle: benchIdle,
  soak: benchSoak,
  'start-up': benchStartUp,
  scorers: benchScorers,
  series: benchSeries,
  onnx: benchOnnx,
  compression: benchCompression
}
const ONLY_BY_NAME = new Set(['soak', 'overload'])

const options = parseOptions(process.argv.slice(2))
const { name: wanted } = options
if (wanted !== undefined && !Object.hasOwn(BENCHMARKS, wanted)) {
  process.stderr.write(
    `no benchmark '${wanted}'; there are ${Object.keys(BENCHMARKS).join(', ')}\n`
  )
  process.exit(2)
}
// What was started ends with this process.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(130))
}
const results: unknown[] = []
for (const [name, run] of Object.entries(BENCHMARKS)) {
  if (wanted === undefined ? ONLY_BY_NAME.has(name) : wanted !== name) continue
  process.stderr.write(`running ${name} …\n`)
  results.push(await run(options))
}
process.stdout.write(`${JSON.stringify({ machine: machine(), results }, null, 2)}\n`)
