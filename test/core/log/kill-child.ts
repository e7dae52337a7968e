import { DurableLog } from '../../../core/log/log.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'

/** Appends until it is killed; tells each acknowledged batch as `first id count` on a line. */
const [directory, seed, start] = process.argv.slice(2)
const prng = new Prng(Number(seed))
const log = await DurableLog.open({
  directory,
  logger: silentLogger,
  bytesMax: 64 << 20,
  segmentBytes: 256 << 10,
  overflow: 'drop_oldest',
  sync: 'group',
  checkpointIntervalMs: 5
})
process.stdout.write(`epoch ${log.status.epoch}\n`)
let id = Number(start)

async function appendForEver(): Promise<void> {
  for (;;) {
    const count = 1 + prng.int(20)
    const from = id
    id += count
    const payloads = Array.from({ length: count }, (_, i) =>
      Buffer.from(`${from + i}.`.padEnd(20 + prng.int(2000), 'x'))
    )
    const first = await log.append(payloads)
    process.stdout.write(`${first} ${from} ${count}\n`)
  }
}

await Promise.all([appendForEver(), appendForEver(), appendForEver()])
