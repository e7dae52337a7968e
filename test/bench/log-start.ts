import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { DurableLog, type LogOptions, segmentName } from '../../core/log/log.ts'
import { encodeSegmentHeader } from '../../core/log/segment.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { fileSystemOf, medianOf } from './report.ts'

const BACKLOG_BYTES = 10 * 2 ** 30
const SEGMENT_BYTES = 64 << 20
const PAYLOAD = Buffer.alloc(200, 7)
const SEGMENT_RECORDS = Math.floor((SEGMENT_BYTES - 8192) / (PAYLOAD.length + 16))
const ROUNDS = 51

/**
 * Opening a log of 10 GiB, and an empty one, both closed before: time, and memory the process
 * holds more. The last segment is real and full; those before have a real header and a hole behind
 * it, since opening must not read them.
 */
export async function benchLogStart(): Promise<unknown> {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-bench-start-'))
  try {
    const [empty, large] = [path.join(base, 'empty'), path.join(base, 'large')]
    await (await open(empty)).close()
    await buildBacklog(large)
    const ms = { empty: [] as number[], large: [] as number[], largeKilled: [] as number[] }
    await timeOpen(empty)
    await timeOpen(large)
    const heldBefore = memoryBytes()
    let heldMax = heldBefore
    for (let round = 0; round < ROUNDS; round++) {
      ms.empty.push(await timeOpen(empty))
      ms.large.push(await timeOpen(large))
      ms.largeKilled.push(await timeOpen(large, true))
      heldMax = Math.max(heldMax, memoryBytes())
    }
    const [emptyMs, largeMs, killedMs] = [ms.empty, ms.large, ms.largeKilled].map(medianOf)
    return {
      benchmark: 'log-start',
      backlogBytes: BACKLOG_BYTES,
      segments: fs.readdirSync(large).filter(name => name.endsWith('.seg')).length,
      rounds: ROUNDS,
      fileSystem: fileSystemOf(base),
      emptyMs: round2(emptyMs),
      largeMs: round2(largeMs),
      largeAfterKillMs: round2(killedMs),
      ratio: round2(largeMs / emptyMs),
      ratioAfterKill: round2(killedMs / emptyMs),
      memoryMoreMib: round2((heldMax - heldBefore) / 2 ** 20)
    }
  } finally {
    fs.rmSync(base, { recursive: true, force: true })
  }
}

/** @param killed As after a SIGKILL: the checkpoint does not say that it was closed in order. */
async function timeOpen(directory: string, killed = false): Promise<number> {
  const clean = path.join(directory, 'checkpoint')
  if (killed) fs.copyFileSync(path.join(directory, 'checkpoint.running'), clean)
  const from = performance.now()
  const log = await open(directory)
  const ms = performance.now() - from
  fs.copyFileSync(clean, path.join(directory, 'checkpoint.running'))
  await log.close()
  return ms
}

async function buildBacklog(directory: string): Promise<void> {
  const sealed = Math.floor(BACKLOG_BYTES / SEGMENT_BYTES) - 1
  fs.mkdirSync(directory)
  const epoch = '1-00000000000000aa'
  for (let n = 0; n <= sealed; n++) {
    const firstOffset = n * SEGMENT_RECORDS
    const name = path.join(directory, segmentName(firstOffset))
    fs.writeFileSync(
      name,
      encodeSegmentHeader({ salt: n, firstOffset, epoch, createdAt: Date.now() })
    )
    if (n < sealed) fs.truncateSync(name, SEGMENT_BYTES)
  }
  const log = await open(directory)
  const group = Array.from({ length: 4000 }, () => PAYLOAD)
  for (let done = 0; done < SEGMENT_RECORDS - group.length; done += group.length) {
    await log.append(group)
  }
  await log.reader('uplink')
  await log.close()
}

function open(directory: string): Promise<DurableLog> {
  const options: LogOptions = {
    directory,
    logger: silentLogger,
    bytesMax: 2 * BACKLOG_BYTES,
    overflow: 'drop_oldest',
    sync: 'group',
    checkpointIntervalMs: 0
  }
  return DurableLog.open(options)
}

/** Resident memory that is the process's own, without mapped files. */
function memoryBytes(): number {
  const found = /^RssAnon:\s+(\d+) kB/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))
  return found ? Number(found[1]) * 1024 : process.memoryUsage().rss
}

function round2(value: number): number {
  return Math.round(value * 100) / 100
}
