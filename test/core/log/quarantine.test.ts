import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import { Quarantine } from '../../../core/log/quarantine.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { fill, openLog, segmentFiles } from './open-log.ts'

const DAY_MS = 86_400_000

test('what was set aside goes after a month, counted from the day it was set aside', async () => {
  const directory = temporaryDirectory()
  const clock = { now: () => now, monotonic: () => now }
  let now = 1_700_000_000_000
  const quarantine = new Quarantine(nodeDisk, directory, 1 << 20, clock)
  const old = path.join(directory, 'any.seg')
  fs.writeFileSync(old, Buffer.alloc(1000))
  fs.utimesSync(old, 1, 1)
  await quarantine.move(old, 'bad-header')
  now += 20 * DAY_MS
  await quarantine.keep(Buffer.alloc(300), 'any.seg', 'torn-tail')
  expect([quarantine.files, quarantine.bytes]).toEqual([2, 1300])
  await quarantine.removeOlder(now - 30 * DAY_MS)
  expect(quarantine.files).toBe(2)
  now += 11 * DAY_MS
  await quarantine.removeOlder(now - 30 * DAY_MS)
  expect([quarantine.files, quarantine.bytes]).toEqual([1, 300])
  expect(fs.readdirSync(path.join(directory, 'quarantine'))).toHaveLength(1)
})

test('the limit of the log covers its quarantine, reserve and checkpoint, and status tells', async () => {
  const directory = temporaryDirectory()
  const bytesMax = 64 << 10
  const first = await openLog(directory, { bytesMax })
  await fill(first.log, 36)
  await first.log.close()
  fs.appendFileSync(segmentFiles(directory).at(-1)!, Buffer.alloc(7000, 1))
  const { log } = await openLog(directory, { bytesMax })
  expect(log.status.quarantine).toEqual({ files: 1, bytes: 7000 })
  await fill(log, 200, 36)
  const all = fs.readdirSync(directory, { recursive: true, withFileTypes: true })
  const files = all.filter(each => each.isFile())
  const bytes = files.reduce(
    (sum, { parentPath, name }) => sum + fs.statSync(path.join(parentPath, name)).size,
    0
  )
  expect(bytes).toBeLessThanOrEqual(log.status.bytes)
  expect(log.status.bytes).toBeLessThanOrEqual(bytesMax)
  expect(log.status.counters.droppedFull).toBeGreaterThan(0)
})

test('status counts every byte and sync that the disk is given, and projects a day of it', async () => {
  let now = 1_700_000_000_000
  const clock = { now: () => now, monotonic: () => now }
  const { log } = await openLog(temporaryDirectory(), { clock })
  const before = log.status.counters
  await log.append([Buffer.alloc(1000, 1)])
  const after = log.status.counters
  expect(after.payloadBytes - before.payloadBytes).toBe(1000)
  expect(after.writtenBytes - before.writtenBytes).toBe(1016)
  expect(after.pageBytes - before.pageBytes).toBe(4096)
  expect(after.syncs - before.syncs).toBe(1)
  expect(log.status.writtenBytesPerDay).toBeUndefined()
  now += DAY_MS / 2
  expect(log.status.writtenBytesPerDay).toBe(after.pageBytes * 2)
  log.setNote('a', 'b')
  await log.checkpoint()
  expect(log.status.counters.syncs - after.syncs).toBe(2)
  expect(log.status.counters.writtenBytes).toBeGreaterThan(after.writtenBytes)
})
