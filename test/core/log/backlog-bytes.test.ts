import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { fill, openLog } from './open-log.ts'

/** Of a record: 300 bytes and its frame's header. */
const FRAME_BYTES = 316

test('a backlog takes the disk of the records behind the cursor, over all segments', async () => {
  const { log } = await openLog(temporaryDirectory())
  const reader = await log.reader('uplink')
  expect(log.backlogBytes('uplink')).toBe(0)
  await fill(log, 100)
  expect(log.status.segments).toBeGreaterThan(3)
  expect(log.backlogBytes('uplink')).toBe(100 * FRAME_BYTES)
  const { epoch } = reader.position
  for (const passed of [1, 10, 50, 99]) {
    reader.commit({ epoch, offset: passed })
    expect(log.backlogBytes('uplink')).toBe((100 - passed) * FRAME_BYTES)
  }
  reader.commit({ epoch, offset: 100 })
  expect(log.backlogBytes('uplink')).toBe(0)
})

test('where records differ in size those of a segment count alike', async () => {
  const { log } = await openLog(temporaryDirectory())
  const reader = await log.reader('uplink')
  await log.append([Buffer.alloc(84), Buffer.alloc(884)])
  expect(log.backlogBytes('uplink')).toBe(1000)
  reader.commit({ epoch: reader.position.epoch, offset: 1 })
  expect(log.backlogBytes('uplink')).toBe(500)
})

test('nobody who does not read has a backlog', async () => {
  const { log } = await openLog(temporaryDirectory())
  await fill(log, 3)
  expect(log.backlogBytes('nobody')).toBe(0)
})
