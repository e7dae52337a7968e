import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { DurableLog } from '../../core/log/log.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { fileSystemOf, medianOf } from './report.ts'
import { createQueue, installSqlite, type OpenDatabase } from './sqlite.ts'

const RECORDS = 500_000
const GROUP = 500
const PAYLOAD = Buffer.alloc(200, 7)
const ROUNDS = 5
const SQLITE_RECORDS = 100_000

interface Round {
  appendCpuMicros: number
  /** Bytes that the kernel was given, whole pages, over payload bytes. */
  pagesPerPayload: number
  readPerSecond: number
}

/**
 * What an append and a read of a 200-byte record cost, one sync a group; beside better-sqlite3 in
 * the same run on the same disk, in turn.
 */
export async function benchLog(): Promise<unknown> {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-bench-log-'))
  try {
    const sqlite = await installSqlite(base)
    const log: (Round & { writtenPerPayload: number; readWhileAppending: number })[] = []
    const other: Round[] = []
    for (let round = 0; round < ROUNDS; round++) {
      log.push(await runLog(path.join(base, `log${round}`)))
      if (sqlite) other.push(runSqlite(sqlite, path.join(base, `${round}.db`)))
    }
    const product = {
      ...medians(log),
      writtenPerPayloadByte: median(log, r => r.writtenPerPayload),
      readWhileAppendingPerSecond: Math.round(median(log, r => r.readWhileAppending))
    }
    const baseline = sqlite && medians(other)
    return {
      benchmark: 'log',
      payloadBytes: PAYLOAD.length,
      groupRecords: GROUP,
      rounds: ROUNDS,
      fileSystem: fileSystemOf(base),
      log: product,
      betterSqlite3: baseline ?? 'skipped',
      ...(baseline && {
        ratio: {
          appendCpu: round2(product.appendCpuMicrosPerRecord / baseline.appendCpuMicrosPerRecord),
          pages: round2(product.pageBytesPerPayloadByte / baseline.pageBytesPerPayloadByte),
          read: round2(product.readRecordsPerSecond / baseline.readRecordsPerSecond)
        }
      })
    }
  } finally {
    fs.rmSync(base, { recursive: true, force: true })
  }
}

async function runLog(directory: string) {
  const log = await DurableLog.open({
    directory,
    logger: silentLogger,
    bytesMax: 1 << 30,
    overflow: 'block',
    sync: 'group'
  })
  const group = Array.from({ length: GROUP }, () => PAYLOAD)
  const before = log.status.counters
  const appended = await measure(async () => {
    for (let done = 0; done < RECORDS; done += GROUP) await log.append(group)
  })
  const after = log.status.counters
  const readPerSecond = await readAll(log, 'quiet')
  // Once more from the start, on this same thread, while it goes on appending.
  let stopped = false
  const appending = (async () => {
    while (!stopped) await log.append(group)
  })()
  const readWhileAppending = await readAll(log, 'busy')
  stopped = true
  await appending
  await log.close()
  fs.rmSync(directory, { recursive: true })
  const payloadBytes = after.payloadBytes - before.payloadBytes
  return {
    appendCpuMicros: appended.cpuMicros / RECORDS,
    pagesPerPayload: appended.pageBytes / payloadBytes,
    writtenPerPayload: (after.writtenBytes - before.writtenBytes) / payloadBytes,
    readPerSecond,
    readWhileAppending
  }
}

/** @returns Records a second over the first RECORDS. */
async function readAll(log: DurableLog, name: string): Promise<number> {
  const reader = await log.reader(name)
  const from = performance.now()
  let read = 0
  while (read < RECORDS) {
    const batch = await reader.read({ bytesMax: 1 << 20 })
    read += batch!.records.length
  }
  return read / ((performance.now() - from) / 1000)
}

function runSqlite(open: OpenDatabase, file: string): Round {
  const database = createQueue(open, file)
  const insert = database.prepare('INSERT INTO records (payload) VALUES (?)')
  const insertGroup = database.transaction((count: number) => {
    for (let n = 0; n < count; n++) insert.run(PAYLOAD)
  })
  const start = usage()
  for (let done = 0; done < SQLITE_RECORDS; done += GROUP) insertGroup(GROUP)
  const used = since(start)
  const from = performance.now()
  let read = 0
  for (const _ of database.prepare('SELECT id, payload FROM records ORDER BY id').iterate()) read++
  const seconds = (performance.now() - from) / 1000
  database.close()
  fs.rmSync(file)
  return {
    appendCpuMicros: used.cpuMicros / SQLITE_RECORDS,
    pagesPerPayload: used.pageBytes / (SQLITE_RECORDS * PAYLOAD.length),
    readPerSecond: read / seconds
  }
}

function medians(rounds: Round[]) {
  return {
    appendCpuMicrosPerRecord: median(rounds, r => r.appendCpuMicros),
    pageBytesPerPayloadByte: median(rounds, r => r.pagesPerPayload),
    readRecordsPerSecond: Math.round(median(rounds, r => r.readPerSecond))
  }
}

async function measure(work: () => Promise<void>) {
  const start = usage()
  await work()
  return since(start)
}

function usage() {
  return { cpu: process.cpuUsage(), pageBytes: pageBytesWritten() }
}

function since(start: ReturnType<typeof usage>) {
  const { user, system } = process.cpuUsage(start.cpu)
  return { cpuMicros: user + system, pageBytes: pageBytesWritten() - start.pageBytes }
}

/** Bytes this process caused to be sent to the disk; 0 where the system does not tell. */
function pageBytesWritten(): number {
  try {
    const text = fs.readFileSync('/proc/self/io', 'utf8')
    return Number(/^write_bytes: (\d+)/m.exec(text)?.[1] ?? 0)
  } catch {
    return 0
  }
}

function median<T>(rounds: T[], pick: (round: T) => number): number {
  return round2(medianOf(rounds.map(pick)))
}

function round2(value: number): number {
  return Math.round(value * 100) / 100
}
