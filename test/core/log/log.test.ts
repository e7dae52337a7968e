import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { DurableLog, type LogOptions } from '../../../core/log/log.ts'
import { silentLogger } from '../../../core/runtime/log.ts'

const opened: DurableLog[] = []
const directories: string[] = []
afterEach(async () => {
  for (const log of opened.splice(0)) await log.close()
  for (const directory of directories.splice(0)) fs.rmSync(directory, { recursive: true })
})

function temporaryDirectory(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-log-'))
  directories.push(directory)
  return directory
}

async function open(directory: string, options: Partial<LogOptions> = {}): Promise<DurableLog> {
  const log = await DurableLog.open({
    directory,
    logger: silentLogger,
    bytesMax: 64 << 20,
    overflow: 'drop_oldest',
    sync: 'group',
    ...options
  })
  opened.push(log)
  return log
}

const bytes = (text: string) => Buffer.from(text)

test('a reader sees what was appended, in order, once, and goes on after its commit', async () => {
  const directory = temporaryDirectory()
  const log = await open(directory)
  const appends = Array.from({ length: 1000 }, (_, n) => log.append([bytes(`r${n}`)]))
  expect(await Promise.all(appends)).toEqual(appends.map((_, n) => n))
  const reader = await log.reader('uplink')
  const seen: string[] = []
  while (seen.length < 600) {
    const batch = await reader.read({ bytesMax: 4096, recordsMax: 100 })
    for (const record of batch!.records) seen.push(Buffer.from(record.payload).toString())
    reader.commit(batch!.end)
  }
  expect(seen).toEqual(appends.slice(0, 600).map((_, n) => `r${n}`))
  await log.close()
  const again = await open(directory)
  expect(again.status.epoch).toBe(log.status.epoch)
  const resumed = await again.reader('uplink')
  const batch = await resumed.read({ bytesMax: 1 << 20 })
  expect(Buffer.from(batch!.records[0].payload).toString()).toBe('r600')
  expect(batch!.records.length).toBe(400)
})

test('a waiting reader wakes when a record is durable', async () => {
  const log = await open(temporaryDirectory())
  const reader = await log.reader('uplink')
  const read = reader.read({ bytesMax: 1024 })
  await log.append([bytes('late')])
  expect((await read)!.records.length).toBe(1)
})

test('a torn tail is cut, everything before is kept, and a new epoch begins', async () => {
  const directory = temporaryDirectory()
  const log = await open(directory)
  await log.append([bytes('one'), bytes('two')])
  await log.close()
  const segment = fs.readdirSync(directory).find(name => name.endsWith('.seg'))!
  fs.appendFileSync(path.join(directory, segment), Buffer.alloc(77, 0xab))
  const again = await open(directory)
  expect(again.status.epoch.split('-')[0]).toBe('2')
  await again.append([bytes('three')])
  const reader = await again.reader('uplink')
  const texts: string[] = []
  while (texts.length < 3) {
    const batch = await reader.read({ bytesMax: 1024 })
    for (const record of batch!.records) texts.push(Buffer.from(record.payload).toString())
  }
  expect(texts).toEqual(['one', 'two', 'three'])
})

test('a full log drops whole oldest segments, counts them, and readers go on behind', async () => {
  const log = await open(temporaryDirectory(), { bytesMax: 4 << 20 })
  const reader = await log.reader('uplink')
  for (let n = 0; n < 100; n++) await log.append([Buffer.alloc(100_000, n)])
  const { droppedFull } = log.status.counters
  expect(droppedFull).toBeGreaterThan(50)
  expect(log.status.bytes).toBeLessThan((4 << 20) + (256 << 10))
  const batch = await reader.read({ bytesMax: 1 })
  expect(batch!.records[0].offset).toBe(droppedFull)
})

test('a drained log gives its disk space back', async () => {
  const log = await open(temporaryDirectory(), { bytesMax: 4 << 20, checkpointIntervalMs: 5 })
  const reader = await log.reader('uplink')
  for (let n = 0; n < 20; n++) await log.append([Buffer.alloc(100_000, n)])
  for (let left = 20; left > 0; ) {
    const batch = await reader.read({ bytesMax: 1 << 20 })
    left -= batch!.records.length
    reader.commit(batch!.end)
  }
  await expect.poll(() => log.status.bytes).toBeLessThan(128 << 10)
})
