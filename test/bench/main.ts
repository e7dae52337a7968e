import { benchLog } from './log.ts'
import { benchLogStart } from './log-start.ts'
import { benchLogTrickle } from './log-trickle.ts'
import { benchPath } from './path.ts'
import { machine } from './report.ts'

/** `npm run bench [-- NAME]`: every benchmark, or one; JSON on stdout. */
const BENCHMARKS: Record<string, () => Promise<unknown>> = {
  log: benchLog,
  'log-start': benchLogStart,
  'log-trickle': benchLogTrickle,
  path: benchPath
}

const wanted = process.argv[2]
if (wanted !== undefined && !Object.hasOwn(BENCHMARKS, wanted)) {
  process.stderr.write(
    `no benchmark '${wanted}'; there are ${Object.keys(BENCHMARKS).join(', ')}\n`
  )
  process.exit(2)
}
const results: unknown[] = []
for (const [name, run] of Object.entries(BENCHMARKS)) {
  if (wanted !== undefined && wanted !== name) continue
  process.stderr.write(`running ${name} …\n`)
  results.push(await run())
}
process.stdout.write(`${JSON.stringify({ machine: machine(), results }, null, 2)}\n`)
