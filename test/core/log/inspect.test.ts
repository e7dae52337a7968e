import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { inspectLog } from '../../../core/log/inspect.ts'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import { FRAMES_POSITION, segmentName } from '../../../core/log/segment.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { fill, openLog, segmentFiles } from './open-log.ts'

const RECORDS = 60
const PER_SEGMENT = 12
/** `r17.xxx…` was taken at 17 s. */
const timeOf = (payload: Buffer) => 1000 * Number.parseInt(payload.toString('latin1', 1), 10)

async function closedLog(): Promise<{ directory: string; epoch: string }> {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory)
  await log.reader('uplink')
  const detector = await log.reader('detector', 1000)
  await fill(log, RECORDS)
  const { epoch } = log.status
  detector.commit({ epoch, offset: RECORDS })
  // Within the first segment, so that nothing is trimmed.
  ;(await log.reader('uplink')).commit({ epoch, offset: 7 })
  await log.close()
  return { directory, epoch }
}

test('segments, cursors and checkpoint are summed up without reading every record', async () => {
  const { directory, epoch } = await closedLog()
  const summary = await inspectLog(nodeDisk, directory, timeOf)
  expect(summary).toMatchObject({ first: 0, end: RECORDS, records: RECORDS })
  expect(summary.segments.map(({ first, end, records }) => [first, end, records])).toEqual(
    Array.from({ length: 5 }, (_, n) => [n * PER_SEGMENT, (n + 1) * PER_SEGMENT, PER_SEGMENT])
  )
  expect(summary.segments[1]).toMatchObject({ oldestAt: 12_000, newestAt: 23_000, epoch })
  expect(summary.checkpoint).toMatchObject({ state: 'clean', sync: 'group', end: { epoch } })
  expect(summary.cursors).toEqual([
    { name: 'uplink', epoch, offset: 7, lag: 53, oldestAt: 7000 },
    { name: 'detector', epoch, offset: RECORDS, lag: 0 }
  ])
  expect(summary.bytes).toBe(
    segmentFiles(directory).reduce((sum, file) => sum + fs.statSync(file).size, 0)
  )
})

test('damage anywhere is shown or passed over, never thrown', async () => {
  const { directory } = await closedLog()
  const segments = segmentFiles(directory)
  fs.writeFileSync(segments[1], Buffer.alloc(5000))
  fs.appendFileSync(segments.at(-1)!, Buffer.alloc(300_000, 0xab))
  fs.writeFileSync(path.join(directory, 'checkpoint'), 'nonsense')
  fs.writeFileSync(path.join(directory, 'hello.txt'), '')
  fs.mkdirSync(path.join(directory, segmentName(900)))
  fs.mkdirSync(path.join(directory, 'quarantine'))
  fs.writeFileSync(path.join(directory, 'quarantine', 'old'), 'bytes')
  const summary = await inspectLog(nodeDisk, directory, timeOf)
  expect(summary.segments.map(({ state }) => state)).toEqual([
    ...['valid', 'bad_header', 'valid', 'valid', 'valid', 'bad_header']
  ])
  expect(summary).toMatchObject({
    end: RECORDS,
    records: RECORDS - PER_SEGMENT,
    checkpoint: { state: 'damaged' },
    cursors: [],
    foreign: ['hello.txt'],
    quarantine: [{ name: 'quarantine/old', bytes: 5 }]
  })
})

test('of a large segment only its ends are read', async () => {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory, { bytesMax: 64 << 20, segmentBytes: 32 << 20 })
  const records = Array.from({ length: 2000 }, (_, n) => Buffer.from(`r${n}.`.padEnd(8000, 'x')))
  for (let at = 0; at < records.length; at += 400) await log.append(records.slice(at, at + 400))
  await log.close()
  let bytes = 0
  const counting = {
    ...nodeDisk,
    open: async (file: string, mode: 'read' | 'write' | 'create') => {
      const opened = await nodeDisk.open(file, mode)
      const read = opened.read.bind(opened)
      opened.read = async (into, position) => {
        const got = await read(into, position)
        bytes += got
        return got
      }
      return opened
    }
  }
  const summary = await inspectLog(counting, directory, timeOf)
  expect(summary.segments[0]).toMatchObject({ records: 2000, oldestAt: 0, newestAt: 1_999_000 })
  expect(bytes).toBeLessThan(500_000)
  expect(summary.bytes).toBeGreaterThan(16_000_000 + FRAMES_POSITION)
})
