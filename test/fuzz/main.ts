import { parseArgs } from 'node:util'
import { fuzz } from './fuzz.ts'

/** More than this between a tenth of the packets and the end is a leak. */
const GROWTH_BYTES_MAX = 20 << 20

/** `node dist/test/fuzz/main.js [--packets N] [--seed N]`: exit code 1 when anything went wrong. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      packets: { type: 'string', default: '1000000' },
      seed: { type: 'string', default: '1' }
    }
  })
  const from = performance.now()
  const report = await fuzz({
    packets: Number(values.packets),
    seed: Number(values.seed),
    onProgress: ({ packets, connections, heapBytes, rssBytes }) => {
      process.stderr.write(
        `${packets} packets, ${connections} connections, ${mib(heapBytes[1])} MiB in use, ${mib(rssBytes[1])} MiB resident\n`
      )
    }
  })
  const { left, heapBytes, faults } = report
  for (const [what, count] of Object.entries(left)) {
    if (count > 0) faults.push(`${count} ${what} left over`)
  }
  if (heapBytes[1] - heapBytes[0] > GROWTH_BYTES_MAX) {
    faults.push(`memory grew from ${mib(heapBytes[0])} to ${mib(heapBytes[1])} MiB`)
  }
  const seconds = Math.round((performance.now() - from) / 1000)
  process.stdout.write(`${JSON.stringify({ ...report, seconds }, null, 2)}\n`)
  process.exitCode = faults.length > 0 ? 1 : 0
}

function mib(bytes: number): number {
  return Math.round(bytes / (1 << 20))
}

await main()
