import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { NEW_EPOCH_NAME } from '../../../core/log/epoch.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { drain, FailingDisk, fill, openLog, segmentFiles } from './open-log.ts'

test('an epoch begun at run time lies behind the offsets given away elsewhere', async () => {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory)
  await fill(log, 10)
  const before = log.status.epoch
  const reader = await log.reader('uplink')
  const begun = await log.beginEpoch(25)
  expect(begun).toEqual({ epoch: log.status.epoch, offset: 25 })
  expect(begun.epoch.split('-')[0]).toBe('2')
  expect(await log.append([Buffer.from('r10.')])).toBe(25)
  const old = await reader.read({ bytesMax: 1 << 20 })
  expect(old!.records.map(record => record.epoch)).toEqual(Array(10).fill(before))
  const young = await reader.read({ bytesMax: 1 << 20 })
  expect(young!.records).toMatchObject([begun])
  expect(log.status.counters.damaged).toBe(15)
  reader.commit(young!.end)
  await log.close()
  const again = await openLog(directory)
  expect(again.log.status).toMatchObject({ epoch: begun.epoch, end: 26, openedEnd: 26 })
})

test('an epoch begun at an offset long passed begins at the end of the log', async () => {
  const { log } = await openLog(temporaryDirectory())
  await fill(log, 10)
  expect((await log.beginEpoch(3)).offset).toBe(10)
  const twice = await Promise.all([log.beginEpoch(0), log.beginEpoch(0)])
  expect(twice.map(({ offset }) => offset)).toEqual([10, 10])
  expect(new Set(twice.map(({ epoch }) => epoch)).size).toBe(2)
  await fill(log, 5, 10)
  expect(await drain(log, await log.reader('any'))).toHaveLength(15)
  expect(log.status.counters.damaged).toBe(0)
})

test('appends under way while an epoch begins are stored before it or in it', async () => {
  const { log } = await openLog(temporaryDirectory())
  const appends = Array.from({ length: 5 }, (_, n) => log.append([Buffer.from(`r${n}.`)]))
  const begun = await log.beginEpoch(100)
  const offsets = await Promise.all(appends)
  for (const offset of offsets) expect(offset < 5 || offset >= begun.offset).toBe(true)
  expect(await drain(log, await log.reader('any'))).toEqual(offsets.map((_, n) => `r${n}`))
})

test('a cursor at the begin of an epoch is believed before anything is in it', async () => {
  const { log } = await openLog(temporaryDirectory())
  const reader = await log.reader('uplink')
  const begun = await log.beginEpoch(7)
  expect(await reader.seek(begun)).toBe(true)
  await log.append([Buffer.from('r.')])
  expect((await reader.read({ bytesMax: 1 }))!.records).toMatchObject([begun])
})

test('a disk that refuses the new epoch leaves a log that is failed, not one that goes on', async () => {
  const disk = new FailingDisk()
  const { log } = await openLog(temporaryDirectory(), { disk })
  await fill(log, 3)
  disk.fail('open', 'EIO', 1)
  await expect(log.beginEpoch(50)).rejects.toMatchObject({ code: 'DISK_FAILED' })
  expect(log.status.state).toBe('failed')
  await expect(log.append([Buffer.from('r.')])).rejects.toMatchObject({ code: 'DISK_FAILED' })
})

test('a closed log begins no epoch', async () => {
  const { log } = await openLog(temporaryDirectory())
  await log.close()
  await expect(log.beginEpoch(5)).rejects.toMatchObject({ code: 'LOG_CLOSED' })
  expect(() => log.beginEpoch(-1)).toThrow(RangeError)
})

test('a crash while an empty segment is made anew begins a new epoch, not the one before', async () => {
  const directory = temporaryDirectory()
  const first = await openLog(directory)
  await fill(first.log, 3)
  await first.log.close()
  const second = await openLog(directory, { forceNewEpoch: true })
  await second.log.close()
  // As if it died between the unlink and the new segment.
  fs.unlinkSync(segmentFiles(directory)[1])
  fs.writeFileSync(path.join(directory, NEW_EPOCH_NAME), '')
  const { log } = await openLog(directory)
  expect(log.status.epoch.split('-')[0]).toBe('3')
  expect(log.status.end).toBe(3)
  expect(fs.existsSync(path.join(directory, NEW_EPOCH_NAME))).toBe(false)
})
