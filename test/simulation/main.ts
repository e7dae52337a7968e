import { parseArgs } from 'node:util'
import { simulate } from './simulate.ts'

/** `node dist/test/simulation/main.js [--seeds N] [--first N]`: exit code 1 when a seed fails. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '1000' },
      first: { type: 'string', default: '1' }
    }
  })
  const first = Number(values.first)
  const seeds = Number(values.seeds)
  const from = performance.now()
  let failed = 0
  for (let seed = first; seed < first + seeds; seed++) {
    const violations = await simulate(seed)
    if (violations.length === 0) continue
    failed++
    const { life, message } = violations[0]
    process.stdout.write(`seed ${seed}, life ${life}: ${message}\n`)
    process.stdout.write(`  again: npm run simulate -- --first ${seed} --seeds 1\n`)
  }
  const seconds = ((performance.now() - from) / 1000).toFixed(1)
  process.stdout.write(`${seeds} seeds from ${first}: ${failed} with violations, ${seconds} s\n`)
  process.exitCode = failed > 0 ? 1 : 0
}

await main()
