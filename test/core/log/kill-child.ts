import { writeSync } from 'node:fs'
import { DurableLog, type SyncMode } from '../../../core/log/log.ts'
import type { Logger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { idOf, killPayload } from './kill-payload.ts'

/*
 * Appends, reads and trims until it is killed, and says what was done, a line each:
 *   begin OFFSET              where the reader begins
 *   ack EPOCH OFFSET ID COUNT  acknowledged
 *   read EPOCH OFFSET ID       given to the reader; ID is -1 where the bytes are not what was appended
 *   saved OFFSET              a checkpoint with this cursor is saved
 *   drop FIRST END            the overflow policy took them
 * Told before anything is built on it: a line that is missing was never relied on. No library is
 * loaded: how fast it starts decides how many rounds there are.
 */
const [directory, seed, start, sync] = process.argv.slice(2)
const prng = new Prng(Number(seed))
const tell = (line: string) => writeSync(1, `${line}\n`)
const ignore = () => {}
const listen = (fields: Record<string, unknown>) => {
  if (fields.event === 'log.dropped') tell(`drop ${fields.first} ${fields.end}`)
  if (fields.event === 'log.damaged') tell(`damaged ${fields.first} ${fields.end}`)
}
const logger = { error: listen, warn: ignore, info: ignore, debug: listen }
const log = await DurableLog.open({
  directory,
  logger: logger as unknown as Logger,
  bytesMax: 4 << 20,
  segmentBytes: 64 << 10,
  overflow: 'drop_oldest',
  sync: sync as SyncMode,
  syncIntervalMs: 20,
  checkpointIntervalMs: 5
})
const reader = await log.reader('uplink')
tell(`begin ${reader.position.offset}`)
let next = Number(start)
let cursor = reader.position.offset

async function appendForEver(): Promise<void> {
  for (;;) {
    const count = 1 + prng.int(20)
    const id = next
    next += count
    const payloads = Array.from({ length: count }, (_, i) => killPayload(id + i))
    const first = await log.append(payloads)
    tell(`ack ${log.status.epoch} ${first} ${id} ${count}`)
  }
}

/** Now fast, now slow: the log is nearly empty, or full. */
async function readForEver(): Promise<void> {
  for (;;) {
    const batch = await reader.read({ bytesMax: 1 << (8 + prng.int(9)) })
    for (const { epoch, offset, payload } of batch!.records) {
      tell(`read ${epoch} ${offset} ${idOf(payload)}`)
    }
    if (prng.chance(0.3)) await new Promise(resolve => setTimeout(resolve, prng.int(8)))
    reader.commit(batch!.end)
    cursor = batch!.end.offset
  }
}

async function saveForEver(): Promise<void> {
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, prng.int(10)))
    const committed = cursor
    await log.checkpoint()
    tell(`saved ${committed}`)
  }
}

await Promise.all([appendForEver(), appendForEver(), appendForEver(), readForEver(), saveForEver()])
