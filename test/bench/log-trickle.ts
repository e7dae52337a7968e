import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { DurableLog } from '../../core/log/log.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { fileSystemOf } from './report.ts'

const PAYLOAD = Buffer.alloc(200, 7)
const PER_SECOND = 10
const SECONDS = 20

/** Where small boxes live: 10 messages a second, one by one, with a reader that commits each. */
export async function benchLogTrickle(): Promise<unknown> {
  const [window0, window50] = await Promise.all([trickle(0), trickle(50)])
  return {
    benchmark: 'log-trickle',
    payloadBytes: PAYLOAD.length,
    perSecond: PER_SECOND,
    seconds: SECONDS,
    fileSystem: fileSystemOf(os.tmpdir()),
    syncWindow0Ms: window0,
    syncWindow50Ms: window50
  }
}

async function trickle(syncWindowMs: number) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-bench-trickle-'))
  try {
    const log = await DurableLog.open({
      directory,
      logger: silentLogger,
      bytesMax: 64 << 20,
      overflow: 'block',
      sync: 'group',
      syncWindowMs
    })
    const reader = await log.reader('uplink')
    const reading = (async () => {
      for (;;) {
        const batch = await reader.read({ bytesMax: 1 << 16 })
        if (!batch) return
        reader.commit(batch.end)
      }
    })()
    const before = log.status.counters
    const from = performance.now()
    const appends: Promise<number>[] = []
    // By the clock of the whole run, with the jitter of arrivals: 0 to 200 ms apart.
    for (let n = 0; n < PER_SECOND * SECONDS; n++) {
      const at = from + (n + ((n * 7919) % 100) / 100) * (1000 / PER_SECOND)
      await new Promise(resolve => setTimeout(resolve, at - performance.now()))
      appends.push(log.append([PAYLOAD]))
    }
    await Promise.all(appends)
    const seconds = (performance.now() - from) / 1000
    const after = log.status.counters
    const records = after.records - before.records
    await log.close()
    await reading
    return {
      writtenBytesPerRecord: Math.round((after.writtenBytes - before.writtenBytes) / records),
      pageBytesPerRecord: Math.round((after.pageBytes - before.pageBytes) / records),
      syncsPerSecond: Math.round(((after.syncs - before.syncs) / seconds) * 10) / 10,
      pageBytesPerDay: Math.round(((after.pageBytes - before.pageBytes) / seconds) * 86_400)
    }
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}
