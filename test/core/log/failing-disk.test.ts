import fs from 'node:fs'
import path from 'node:path'
import { expect, test, vi } from 'vitest'
import type { Logger } from '../../../core/runtime/log.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { drain, FailingDisk, fill, openLog, segmentFiles } from './open-log.ts'

const bytes = (text: string) => [Buffer.from(`${text}.`.padEnd(300, 'x'))]

test('after a failed sync the pending group is stored in a new segment', async () => {
  const directory = temporaryDirectory()
  const disk = new FailingDisk()
  const { log, events } = await openLog(directory, { disk })
  await fill(log, 3)
  const [old] = segmentFiles(directory)
  const before = fs.statSync(old).size
  disk.fail('sync', 'EIO')
  await log.append(bytes('r3'))
  expect(events.at(-1)!.event).toBe('log.sync_failed')
  expect(segmentFiles(directory).length).toBe(2)
  expect(fs.statSync(old).size).toBe(before)
  expect(await drain(log, await log.reader('any'))).toEqual(['r0', 'r1', 'r2', 'r3'])
})

test('frames that a failed sync left behind are not read', async () => {
  const directory = temporaryDirectory()
  const disk = new FailingDisk()
  const first = await openLog(directory, { disk })
  await fill(first.log, 3)
  const [old] = segmentFiles(directory)
  const frames = fs.readFileSync(old)
  await fill(first.log, 1, 3)
  const stale = fs.readFileSync(old).subarray(frames.length)
  await first.log.close()
  // As power may leave it: the cut is gone, and the next segment begins with another record.
  fs.writeFileSync(old, frames)
  fs.unlinkSync(path.join(directory, 'checkpoint'))
  const second = await openLog(directory, { disk })
  disk.fail('sync', 'EIO')
  await second.log.append(bytes('other'))
  await second.log.close()
  fs.appendFileSync(old, stale)
  const third = await openLog(directory)
  const reader = await third.log.reader('any')
  expect(await drain(third.log, reader)).toEqual(['r0', 'r1', 'r2', 'other'])
})

test('a sync that fails twice is the end of the log, and the next start loses nothing', async () => {
  const directory = temporaryDirectory()
  const disk = new FailingDisk()
  const failures: string[] = []
  const { log } = await openLog(directory, { disk, onFailure: error => failures.push(error.code) })
  await fill(log, 3)
  disk.fail('sync', 'EIO', 3)
  const pending = [log.append(bytes('x')), log.append(bytes('y'))]
  for (const append of pending) await expect(append).rejects.toMatchObject({ code: 'DISK_FAILED' })
  expect(log.status.state).toBe('failed')
  expect(failures).toEqual(['DISK_FAILED'])
  await expect(log.append(bytes('z'))).rejects.toMatchObject({ code: 'DISK_FAILED' })
  await log.close()
  const again = await openLog(directory)
  expect((await drain(again.log, await again.log.reader('any'))).slice(0, 3)).toEqual([
    'r0',
    'r1',
    'r2'
  ])
})

test('on a full disk drop_oldest gives up the oldest segment and goes on', async () => {
  const disk = new FailingDisk()
  const { log, events } = await openLog(temporaryDirectory(), { disk })
  await fill(log, 30)
  const kept = log.status.segments
  disk.fail('write', 'ENOSPC')
  await log.append(bytes('r30'))
  expect(log.status.segments).toBe(kept - 1)
  expect(events.find(each => each.event === 'log.dropped')).toMatchObject({
    first: 0,
    end: 12,
    records: 12
  })
  expect(log.status.counters.droppedFull).toBe(12)
  const texts = await drain(log, await log.reader('any'))
  expect([texts[0], texts.at(-1)]).toEqual(['r12', 'r30'])
})

test('on a full disk drop_newest refuses, stores nothing, and takes the next when there is room', async () => {
  const disk = new FailingDisk()
  const { log } = await openLog(temporaryDirectory(), { disk, overflow: 'drop_newest' })
  await fill(log, 3)
  disk.fail('write', 'ENOSPC')
  await expect(log.append(bytes('no'))).rejects.toMatchObject({ code: 'LOG_FULL' })
  expect(log.status).toMatchObject({ state: 'open', takesRecords: false })
  expect(await log.append(bytes('r3'))).toBe(3)
  expect(log.status.takesRecords).toBe(true)
  expect(await drain(log, await log.reader('any'))).toEqual(['r0', 'r1', 'r2', 'r3'])
})

test('after a full disk it takes records again when delivered ones have gone, or nobody tried for a minute', async () => {
  const disk = new FailingDisk()
  let now = 0
  const clock = { now: () => now, monotonic: () => now }
  const { log } = await openLog(temporaryDirectory(), { disk, overflow: 'drop_newest', clock })
  const reader = await log.reader('uplink')
  await fill(log, 30)
  disk.fail('write', 'ENOSPC')
  await expect(log.append(bytes('no'))).rejects.toMatchObject({ code: 'LOG_FULL' })
  expect(log.status.takesRecords).toBe(false)
  await drain(log, reader)
  reader.commit(reader.position)
  await log.checkpoint()
  expect(log.status.takesRecords).toBe(true)
  disk.fail('write', 'ENOSPC')
  await expect(log.append(bytes('no'))).rejects.toMatchObject({ code: 'LOG_FULL' })
  now += 59_999
  expect(log.status.takesRecords).toBe(false)
  now += 1
  expect(log.status.takesRecords).toBe(true)
})

test('on a full disk block waits until there is room', async () => {
  const disk = new FailingDisk()
  const took: boolean[] = []
  const { log } = await openLog(temporaryDirectory(), {
    disk,
    overflow: 'block',
    sleep: async () => {
      took.push(log.status.takesRecords)
      disk.heal()
    }
  })
  await fill(log, 3)
  disk.fail('write', 'ENOSPC', 100)
  expect(await log.append(bytes('r3'))).toBe(3)
  expect([...took, log.status.takesRecords]).toEqual([false, true])
})

test('a full log says that it takes no records until its reader has made room; one that drops always takes them', async () => {
  for (const overflow of ['block', 'drop_newest', 'drop_oldest'] as const) {
    const { log } = await openLog(temporaryDirectory(), { overflow, bytesMax: 41_000 })
    const reader = await log.reader('uplink')
    const appends = Array.from({ length: 120 }, (_, n) => log.append(bytes(`r${n}`)))
    const settled = Promise.allSettled(appends)
    if (overflow === 'block') await vi.waitUntil(() => !log.status.takesRecords)
    else await settled
    expect([overflow, log.status.takesRecords]).toEqual([overflow, overflow === 'drop_oldest'])
    await drain(log, reader)
    reader.commit(reader.position)
    expect([overflow, log.status.takesRecords]).toEqual([overflow, true])
    await log.close()
    await settled
    expect(log.status.takesRecords).toBe(false)
  }
})

test('a burst of drops is one error in a minute, and the rest of it is counted', async () => {
  let now = 0
  const errors: Record<string, unknown>[] = []
  const ignore = () => {}
  const error = (fields: Record<string, unknown>) => errors.push(fields)
  const { log } = await openLog(temporaryDirectory(), {
    bytesMax: 41_000,
    clock: { now: () => now, monotonic: () => now },
    logger: { error, warn: ignore, info: ignore, debug: ignore } as unknown as Logger
  })
  await log.reader('uplink')
  await fill(log, 300)
  expect(errors).toHaveLength(1)
  const before = log.status.counters.droppedFull
  expect(before).toBeGreaterThan(Number(errors[0].records))
  now += 61_000
  await fill(log, 300, 300)
  expect(errors).toHaveLength(2)
  expect(errors[1]).toMatchObject({ event: 'log.dropped', reason: 'full' })
  expect(errors[1].sinceOpened).toBe(before + Number(errors[1].records))
})

test('a log that is full, and one that has room again, say so once', async () => {
  const { log, events } = await openLog(temporaryDirectory(), {
    ...{ overflow: 'drop_newest', bytesMax: 41_000 }
  })
  const reader = await log.reader('uplink')
  const told = () => events.map(({ event }) => event).filter(event => /full|room/.test(event))
  const append = () => log.append(bytes('r')).catch(error => error.code)
  while ((await append()) !== 'LOG_FULL');
  await append()
  expect(told()).toEqual(['log.full'])
  await drain(log, reader)
  reader.commit(reader.position)
  await append()
  await append()
  expect(told()).toEqual(['log.full', 'log.room'])
})

test('a segment that cannot be made on a full disk leaves nothing behind', async () => {
  const directory = temporaryDirectory()
  const disk = new FailingDisk()
  const { log } = await openLog(directory, { disk, overflow: 'drop_newest' })
  await fill(log, 12)
  const before = segmentFiles(directory)
  disk.fail('sync', 'ENOSPC')
  await expect(log.append(bytes('no'))).rejects.toMatchObject({ code: 'LOG_FULL' })
  expect(segmentFiles(directory)).toEqual(before)
  expect(await log.append(bytes('r12'))).toBe(12)
  await log.close()
  const again = await openLog(directory)
  expect((await drain(again.log, await again.log.reader('any'))).at(-1)).toBe('r12')
})

test('a full log that blocks goes on when its reader has made room', async () => {
  const { log } = await openLog(temporaryDirectory(), { overflow: 'block', bytesMax: 41_000 })
  const reader = await log.reader('uplink')
  const appends: Promise<number>[] = []
  for (let n = 0; n < 120; n++) appends.push(log.append(bytes(`r${n}`)))
  let seen = 0
  while (seen < 120) {
    const batch = await reader.read({ bytesMax: 4096 })
    for (const { offset } of batch!.records) expect(offset).toBe(seen++)
    reader.commit(batch!.end)
  }
  expect(await Promise.all(appends)).toEqual(appends.map((_, n) => n))
})

test('closing a log refuses the appends that wait for room', async () => {
  const { log } = await openLog(temporaryDirectory(), { overflow: 'block', bytesMax: 41_000 })
  await log.reader('uplink')
  const appends = Array.from({ length: 120 }, (_, n) => log.append(bytes(`r${n}`)))
  const settled = Promise.allSettled(appends)
  await appends[0]
  await log.close()
  const refused = (await settled).filter(each => each.status === 'rejected')
  expect(refused.length).toBeGreaterThan(0)
  for (const { reason } of refused) expect(reason).toMatchObject({ code: 'LOG_CLOSED' })
})

test('a full log that drops the newest refuses until a reader has made room', async () => {
  const { log } = await openLog(temporaryDirectory(), { overflow: 'drop_newest', bytesMax: 41_000 })
  const reader = await log.reader('uplink')
  let stored = 0
  await expect(
    (async () => {
      for (; ; stored++) await log.append(bytes(`r${stored}`))
    })()
  ).rejects.toMatchObject({ code: 'LOG_FULL' })
  expect((await drain(log, reader)).length).toBe(stored)
  reader.commit(reader.position)
  expect(await log.append(bytes('more'))).toBe(stored)
})

test('a checkpoint that cannot be saved costs repeats, not records', async () => {
  const directory = temporaryDirectory()
  const disk = new FailingDisk()
  const { log, events } = await openLog(directory, { disk })
  const reader = await log.reader('uplink')
  await fill(log, 5)
  await drain(log, reader)
  reader.commit(reader.position)
  // The second time it has the reserve's room.
  disk.fail('write', 'ENOSPC', 2, /checkpoint/)
  await log.checkpoint()
  expect(events.at(-1)!.event).toBe('log.checkpoint_failed')
  disk.fail('rename', 'EIO', 1, /checkpoint/)
  await expect(log.checkpoint()).rejects.toThrow('EIO')
  await log.maintain()
  await log.close()
  const again = await openLog(directory)
  expect(await drain(again.log, await again.log.reader('uplink'))).toEqual([])
})

test('a batch that can never fit is refused at once', async () => {
  const { log } = await openLog(temporaryDirectory(), { overflow: 'block', bytesMax: 24_000 })
  await expect(log.append([Buffer.alloc(20_000)])).rejects.toMatchObject({ code: 'LOG_FULL' })
})

test('segments older than the age limit are dropped and counted', async () => {
  let now = Date.now()
  const { log } = await openLog(temporaryDirectory(), {
    ageMsMax: 60_000,
    clock: { now: () => now, monotonic: () => now }
  })
  await log.reader('uplink')
  await fill(log, 30)
  await log.maintain()
  expect(log.status.counters.droppedAge).toBe(0)
  now += 61_000
  await log.maintain()
  expect(log.status.counters.droppedAge).toBe(24)
  expect(log.status.firstKept).toBe(24)
})

test('on a full disk the log starts, and saves what was delivered, from its reserve', async () => {
  const directory = temporaryDirectory()
  const before = await openLog(directory)
  await fill(before.log, 5)
  await before.log.close()
  fs.appendFileSync(segmentFiles(directory)[0], 'torn')
  const disk = new FailingDisk()
  disk.fail('write', 'ENOSPC', 1, /torn-tail/)
  disk.fail('write', 'ENOSPC', 1)
  disk.fail('write', 'ENOSPC', 1, /checkpoint/)
  const { log, events } = await openLog(directory, { disk })
  expect(events.map(each => each.event)).toEqual(['log.tail_cut'])
  expect((await drain(log, await log.reader('any'))).length).toBe(5)
  expect(fs.statSync(path.join(directory, 'reserve')).size).toBe(16 << 10)
})
