import fs from 'node:fs'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { ControlBlock } from '../../../core/log/control-block.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { drain, fill, openLog, segmentFiles } from './open-log.ts'

test('a reader goes on over many segments, whatever the size of a read', async () => {
  const { log } = await openLog(temporaryDirectory())
  const all = await fill(log, 60)
  for (const bytesMax of [1, 317, 5000, 1 << 20]) {
    const reader = await log.reader(`by${bytesMax}`)
    const texts: string[] = []
    while (texts.length < 60) {
      const batch = await reader.read({ bytesMax })
      for (const { payload } of batch!.records) {
        texts.push(Buffer.from(payload).toString().split('.')[0])
      }
    }
    expect(texts).toEqual(all)
  }
})

test('a record larger than the read size comes alone and whole', async () => {
  const { log } = await openLog(temporaryDirectory())
  const large = Buffer.alloc(1_500_000, 7)
  await log.append([Buffer.from('a'), large, Buffer.from('b')])
  const reader = await log.reader('any')
  const sizes: number[][] = []
  for (let n = 0; n < 3; n++) {
    const batch = await reader.read({ bytesMax: 100 })
    sizes.push(batch!.records.map(record => record.payload.length))
  }
  expect(sizes).toEqual([[1], [1_500_000], [1]])
})

test('a batch keeps little more memory than its records, and is its own', async () => {
  const { log } = await openLog(temporaryDirectory())
  const reader = await log.reader('uplink')
  const kept: Buffer[] = []
  for (let n = 0; n < 20; n++) {
    // The last ones fill what is read at once.
    const bytes = n < 10 ? 100 : 40_000
    await log.append([Buffer.alloc(bytes, n)])
    const batch = await reader.read({ bytesMax: n < 10 ? 1 << 20 : 1 << 15 })
    for (const { payload } of batch!.records) kept.push(payload as Buffer)
    expect(kept.at(-1)!.buffer.byteLength).toBeLessThan(100_000)
  }
  expect(kept.map(payload => [payload.length, payload[0], payload.at(-1)])).toEqual(
    kept.map((_, n) => [n < 10 ? 100 : 40_000, n, n])
  )
})

test('a cursor within its epoch is believed, any other is not', async () => {
  const { log } = await openLog(temporaryDirectory())
  await fill(log, 30)
  const { epoch } = log.status
  const reader = await log.reader('uplink')
  expect(await reader.seek({ epoch, offset: 17 })).toBe(true)
  expect((await reader.read({ bytesMax: 1 }))!.records[0].offset).toBe(17)
  expect(await reader.seek({ epoch, offset: 30 })).toBe(true)
  expect(reader.position.offset).toBe(30)
  expect(await reader.seek({ epoch, offset: 31 })).toBe(false)
  expect(reader.position).toEqual({ epoch, offset: 0 })
  expect(await reader.seek({ epoch: '1-0123456789abcdef', offset: 17 })).toBe(false)
  expect(reader.position).toEqual({ epoch, offset: 0 })
})

test('a cursor just behind the end of an older epoch is believed', async () => {
  const directory = temporaryDirectory()
  const before = await openLog(directory)
  await fill(before.log, 5)
  await before.log.close()
  const { log } = await openLog(directory, { forceNewEpoch: true })
  await fill(log, 5, 5)
  const reader = await log.reader('uplink')
  expect(await reader.seek({ epoch: before.log.status.epoch, offset: 5 })).toBe(true)
  expect(await reader.seek({ epoch: before.log.status.epoch, offset: 6 })).toBe(false)
  expect(await reader.seek({ epoch: log.status.epoch, offset: 4 })).toBe(false)
  expect(await reader.seek({ epoch: log.status.epoch, offset: 5 })).toBe(true)
})

test('a cursor whose records were trimmed is not believed', async () => {
  const { log } = await openLog(temporaryDirectory())
  const reader = await log.reader('uplink')
  await fill(log, 30)
  await drain(log, reader)
  reader.commit(reader.position)
  await log.checkpoint()
  expect(log.status.firstKept).toBe(24)
  expect(await reader.seek({ epoch: log.status.epoch, offset: 3 })).toBe(false)
  expect(reader.position.offset).toBe(24)
})

test('a reader opened again in the same process goes on at its commit', async () => {
  const { log } = await openLog(temporaryDirectory())
  await fill(log, 10)
  const reader = await log.reader('uplink')
  await drain(log, reader)
  reader.commit({ epoch: log.status.epoch, offset: 6 })
  expect(await drain(log, await log.reader('uplink'))).toEqual(['r6', 'r7', 'r8', 'r9'])
  expect(await reader.read({ bytesMax: 1 })).toBeUndefined()
})

test('readers that are opened at once get slots of their own', async () => {
  const { log } = await openLog(temporaryDirectory())
  await fill(log, 10)
  const [a, b] = await Promise.all([log.reader('a'), log.reader('b')])
  a.commit({ epoch: log.status.epoch, offset: 7 })
  expect([log.backlog('a'), log.backlog('b')]).toEqual([3, 10])
  b.commit({ epoch: log.status.epoch, offset: 9 })
  expect([log.backlog('a'), log.backlog('b')]).toEqual([3, 1])
})

test('a soft cursor that lags holds nothing back and is moved on, counted', async () => {
  const { log } = await openLog(temporaryDirectory())
  const hard = await log.reader('hard')
  const soft = await log.reader('soft', 10)
  await fill(log, 40)
  await drain(log, hard)
  hard.commit(hard.position)
  await log.checkpoint()
  expect(log.status.firstKept).toBe(24)
  expect((await drain(log, soft))[0]).toBe('r24')
  expect(log.status.counters).toMatchObject({ lagged: 24, damaged: 0, droppedFull: 0 })
})

test('the cursor of a reader that is closed holds its records until it is released; the name may come back', async () => {
  const { log, events } = await openLog(temporaryDirectory())
  const gone = await log.reader('gone')
  const reader = await log.reader('uplink')
  await fill(log, 30)
  await drain(log, reader)
  reader.commit(reader.position)
  gone.close()
  await log.checkpoint()
  expect(log.status.firstKept).toBe(0)
  log.releaseCursor('gone')
  log.releaseCursor('never-there')
  expect(events.filter(({ event }) => event === 'log.cursor_released')).toHaveLength(1)
  await log.checkpoint()
  expect(log.status.firstKept).toBeGreaterThan(0)
  const back = await log.reader('gone')
  expect(back.position.offset).toBe(log.status.firstKept)
  expect(log.backlog('uplink')).toBe(0)
})

test('a cursor whose reader has not come yet holds its records until it is released', async () => {
  const directory = temporaryDirectory()
  const before = await openLog(directory)
  await before.log.reader('gone')
  await before.log.close()
  const { log, events } = await openLog(directory)
  const reader = await log.reader('uplink')
  await fill(log, 30)
  await drain(log, reader)
  reader.commit(reader.position)
  await log.checkpoint()
  expect(log.status.firstKept).toBe(0)
  log.releaseWaitingCursors()
  await log.checkpoint()
  expect(log.status.firstKept).toBe(24)
  expect(events.map(each => each.event)).toEqual(['log.cursor_released'])
})

test('a waiting read ends when the reader, the log or the signal does', async () => {
  const { log } = await openLog(temporaryDirectory())
  const stop = new AbortController()
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map(name => log.reader(name)))
  const reads = [a.read({ bytesMax: 1, signal: stop.signal }), b.read({ bytesMax: 1 })]
  const last = c.read({ bytesMax: 1 })
  stop.abort()
  b.close()
  expect(await Promise.all(reads)).toEqual([undefined, undefined])
  await log.close()
  expect(await last).toBeUndefined()
})

test('a durable end that another thread sets wakes a waiter of this one', async () => {
  const control = new ControlBlock()
  const woken = control.waitPast(0)
  // Node cannot load our sources in a worker: the words are stored as the class does it.
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads')
     const words = new BigInt64Array(workerData)
     Atomics.store(words, 0, 42n)
     Atomics.add(words, 3, 1n)
     Atomics.notify(words, 3)`,
    { eval: true, workerData: control.buffer }
  )
  onTestFinished(async () => void (await worker.terminate()))
  await woken
  expect(control.durableEnd).toBe(42)
})

test('a small note outlives the records it was saved with', async () => {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory)
  log.setNote('source', 'here')
  await log.close()
  const again = await openLog(directory)
  expect(again.log.note('source')).toBe('here')
})

test('a gap at the end of a log holds nothing back once the records before it are committed', async () => {
  const directory = temporaryDirectory()
  const before = await openLog(directory)
  await fill(before.log, 5)
  await before.log.close()
  const [segment] = segmentFiles(directory)
  fs.truncateSync(segment, fs.statSync(segment).size - 10)
  const { log } = await openLog(directory)
  const early = await log.reader('early')
  const late = await log.reader('late')
  const batch = await early.read({ bytesMax: 1 << 20 })
  early.commit(batch!.end)
  expect(await drain(log, early)).toEqual([])
  expect((await drain(log, late)).length).toBe(4)
  expect([log.backlog('early'), log.backlog('late')]).toEqual([0, 5])
  late.commit({ epoch: log.status.epoch, offset: 4 })
  expect(log.backlog('late')).toBe(0)
})
