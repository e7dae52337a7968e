import fs from 'node:fs'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import type { DurableLog } from '../../../core/log/log.ts'
import { openClaimedReader, type ReaderGap } from '../../../core/log/reader-claim.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { fill, openLog, segmentFiles } from './open-log.ts'

const DIST = process.env.FIELDLINE_DIST ?? path.resolve(import.meta.dirname, '../../../dist')

interface Told {
  seen: number
  outOfOrder: number
}

/** A real thread of the built files; `ended` resolves when its reader does. */
function readInWorker(log: DurableLog, name: string, commits = true): { ended: Promise<Told> } {
  const program = path.join(DIST, 'test/core/log/reader-worker.js')
  expect(fs.existsSync(program), `${program} must be built`).toBe(true)
  const workerData = { claim: log.claim(name), commits }
  const worker = new Worker(program, { workerData, execArgv: [] })
  onTestFinished(async () => void (await worker.terminate()))
  const ended = new Promise<Told>((resolve, reject) => {
    worker.on('error', reject)
    worker.on('message', message => {
      if (message.gap) log.reportGap(name, message.gap)
      if (message.ended) resolve(message)
    })
  })
  return { ended }
}

test('a reader in a worker sees every record, in order, while this thread appends', async () => {
  const { log } = await openLog(temporaryDirectory(), { segmentBytes: 256 << 10 })
  const { ended } = readInWorker(log, 'uplink')
  const count = 20_000
  for (let n = 0; n < count; n += 20) {
    await log.append(
      Array.from({ length: 20 }, (_, i) => Buffer.from(`r${n + i}.`.padEnd(200, 'x')))
    )
    // What the worker has passed goes away beneath it.
    if (n % 5000 === 0) await log.checkpoint()
  }
  await expect.poll(() => log.backlog('uplink'), { timeout: 20_000 }).toBe(0)
  await log.close()
  expect(await ended).toMatchObject({ seen: count, outOfOrder: 0 })
  expect(log.status.counters).toMatchObject({ damaged: 0, droppedFull: 0 })
}, 60_000)

test('what a reader in a worker finds damaged is counted by the writer', async () => {
  const directory = temporaryDirectory()
  const { log, events } = await openLog(directory)
  await fill(log, 60)
  const [first] = segmentFiles(directory)
  const bytes = fs.readFileSync(first)
  bytes[4160 + 316 + 100] ^= 1
  fs.writeFileSync(first, bytes)
  const { ended } = readInWorker(log, 'uplink')
  await expect.poll(() => log.backlog('uplink'), { timeout: 20_000 }).toBe(0)
  await log.close()
  expect(await ended).toMatchObject({ seen: 59 })
  await expect.poll(() => log.status.counters.damaged).toBe(1)
  const told = events.find(each => each.event === 'log.damaged')
  expect(told).toMatchObject({ reader: 'uplink', first: 1, end: 2, file: first, position: 4476 })
}, 30_000)

test('a name claimed again closes the reader of the claim before, which commits no more', async () => {
  const { log } = await openLog(temporaryDirectory())
  await fill(log, 10)
  const onGap = (gap: ReaderGap) => log.reportGap('uplink', gap)
  const old = openClaimedReader(log.claim('uplink'), { onGap })
  const batch = await old.read({ bytesMax: 1 << 20 })
  expect(batch!.records.length).toBe(10)
  const waiting = old.read({ bytesMax: 1 })
  const again = openClaimedReader(structuredClone(log.claim('uplink')), { onGap })
  expect(await waiting).toBeUndefined()
  old.commit(batch!.end)
  expect(log.backlog('uplink')).toBe(10)
  expect((await again.read({ bytesMax: 1 }))!.records[0].offset).toBe(0)
  again.commit(batch!.end)
  expect(log.backlog('uplink')).toBe(0)
})
