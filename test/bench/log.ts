import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { DurableLog } from '../../core/log/log.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { fileSystemOf, medianOf } from './report.ts'

const RECORDS = 500_000
const GROUP = 500
const PAYLOAD = Buffer.alloc(200, 7)
const ROUNDS = 5

/** The log alone: what an append and a read of a 200-byte record cost, one sync a group. */
export async function benchLog(): Promise<unknown> {
  const rounds: Awaited<ReturnType<typeof runLog>>[] = []
  for (let round = 0; round < ROUNDS; round++) rounds.push(await runLog())
  const median = (pick: (round: (typeof rounds)[number]) => number) =>
    Math.round(medianOf(rounds.map(pick)) * 100) / 100
  return {
    benchmark: 'log',
    payloadBytes: PAYLOAD.length,
    groupRecords: GROUP,
    rounds: ROUNDS,
    fileSystem: fileSystemOf(os.tmpdir()),
    appendCpuMicrosPerRecord: median(r => r.appendCpuMicros),
    writtenPerPayloadByte: median(r => r.writtenPerPayload),
    readRecordsPerSecond: Math.round(median(r => r.readPerSecond))
  }
}

async function runLog() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-bench-log-'))
  try {
    const log = await DurableLog.open({
      directory,
      logger: silentLogger,
      bytesMax: 1 << 30,
      overflow: 'block',
      sync: 'group'
    })
    const group = Array.from({ length: GROUP }, () => PAYLOAD)
    const cpuBefore = process.cpuUsage()
    for (let done = 0; done < RECORDS; done += GROUP) await log.append(group)
    const cpu = process.cpuUsage(cpuBefore)
    const reader = await log.reader('bench')
    const from = performance.now()
    for (let read = 0; read < RECORDS; ) {
      const batch = await reader.read({ bytesMax: 1 << 20 })
      read += batch!.records.length
    }
    const seconds = (performance.now() - from) / 1000
    const { writtenBytes, payloadBytes } = log.status.counters
    await log.close()
    return {
      appendCpuMicros: (cpu.user + cpu.system) / RECORDS,
      writtenPerPayload: writtenBytes / payloadBytes,
      readPerSecond: RECORDS / seconds
    }
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}
