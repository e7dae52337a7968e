import fs from 'node:fs'
import { expect, test } from 'vitest'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import { FRAMES_POSITION, segmentName } from '../../../core/log/segment.ts'
import { OfflineReader, type Passed, rangeOfLast, settledEnd } from '../../../core/log/tail.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { fill, openLog, segmentFiles } from './open-log.ts'

const RECORDS = 60
const FRAME_BYTES = 316
const PER_SEGMENT = 12

function readerOf(directory: string, from?: number): { reader: OfflineReader; passed: Passed[] } {
  const passed: Passed[] = []
  const onPassed = (each: Passed) => void passed.push(each)
  const reader = new OfflineReader({
    ...{ disk: nodeDisk, directory, onPassed },
    ...(from === undefined ? {} : { from })
  })
  return { reader, passed }
}

async function offsets(reader: OfflineReader, end?: number, live = false): Promise<number[]> {
  const found: number[] = []
  for await (const batch of reader.read(end, live)) found.push(...batch.map(each => each.offset))
  return found
}

const range = (first: number, end: number) =>
  Array.from({ length: end - first }, (_, n) => first + n)

async function filled(): Promise<string> {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory)
  await fill(log, RECORDS)
  await log.close()
  return directory
}

test('a range is read over segments, from and to any offset', async () => {
  const directory = await filled()
  expect(await offsets(readerOf(directory).reader)).toEqual(range(0, RECORDS))
  expect(await offsets(readerOf(directory, 10).reader, 26)).toEqual(range(10, 26))
  expect(await offsets(readerOf(directory, 12).reader, 24)).toEqual(range(12, 24))
  expect(await offsets(readerOf(directory, 59).reader)).toEqual([59])
  expect(await offsets(readerOf(directory, 60).reader)).toEqual([])
  expect(await offsets(readerOf(directory, 7000).reader)).toEqual([])
})

test('reading goes on where it stopped, over a new segment, each record once', async () => {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory)
  const { reader, passed } = readerOf(directory)
  const seen: number[] = []
  for (let n = 0; n < 40; n++) {
    await fill(log, 3, n * 3)
    seen.push(...(await offsets(reader, n % 2 ? undefined : log.status.end - 1, true)))
  }
  seen.push(...(await offsets(reader)))
  expect(seen).toEqual(range(0, 120))
  expect(passed).toEqual([])
})

test('what is damaged is told once, with its place and its records, and passed over', async () => {
  const directory = await filled()
  const segments = segmentFiles(directory)
  flip(segments[0], FRAMES_POSITION + 2 * FRAME_BYTES + 40)
  flip(segments[1], 13, 4096 + 13)
  fs.unlinkSync(segments[3])
  fs.appendFileSync(segments[4], Buffer.alloc(50, 1))
  const { reader, passed } = readerOf(directory)
  expect(await offsets(reader)).toEqual([0, 1, ...range(3, 12), ...range(24, 36), ...range(48, 60)])
  expect(passed).toEqual([
    {
      reason: 'damaged',
      file: segmentName(0),
      position: FRAMES_POSITION + 2 * FRAME_BYTES,
      bytes: FRAME_BYTES,
      lost: { first: 2, end: 3 }
    },
    {
      reason: 'header',
      file: segmentName(PER_SEGMENT),
      position: 0,
      bytes: FRAMES_POSITION + PER_SEGMENT * FRAME_BYTES,
      lost: { first: 12, end: 24 }
    },
    { reason: 'missing', file: segmentName(48), position: 0, lost: { first: 36, end: 48 } },
    {
      reason: 'damaged',
      file: segmentName(48),
      position: FRAMES_POSITION + PER_SEGMENT * FRAME_BYTES,
      bytes: 50
    }
  ])
})

test('a write under way is no damage, and is read once it is whole', async () => {
  const directory = await filled()
  const last = segmentFiles(directory).at(-1)!
  const whole = fs.readFileSync(last)
  fs.truncateSync(last, whole.length - 100)
  const { reader, passed } = readerOf(directory)
  expect(await offsets(reader, undefined, true)).toEqual(range(0, 59))
  fs.writeFileSync(last, whole)
  expect(await offsets(reader, undefined, true)).toEqual([59])
  expect(passed).toEqual([])
})

test('the last records are found over segments and damage, and by what matches', async () => {
  const directory = await filled()
  const last = (count: number, match?: (payload: Buffer) => boolean) =>
    rangeOfLast(nodeDisk, directory, { count, ...(match ? { match } : {}) }).then(
      ({ first, end }) => [first, end]
    )
  expect(await last(10)).toEqual([50, RECORDS])
  expect(await last(20)).toEqual([40, RECORDS])
  expect(await last(1000)).toEqual([0, RECORDS])
  expect(await last(0)).toEqual([60, RECORDS])
  expect(await last(3, payload => /^r\d*7\./.test(payload.toString('latin1', 0, 8)))).toEqual([
    37,
    RECORDS
  ])
  expect(await last(3, () => false)).toEqual([60, RECORDS])
  expect(await rangeOfLast(nodeDisk, directory, { count: 5, end: 30 })).toEqual({
    first: 25,
    end: 30
  })
  fs.unlinkSync(segmentFiles(directory)[4])
  expect(await last(10)).toEqual([38, 48])
})

test('settled is what a checkpoint or a later segment stands behind', async () => {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory)
  await fill(log, 5)
  expect(await settledEnd(nodeDisk, directory)).toBe(0)
  await fill(log, 10, 5)
  expect(await settledEnd(nodeDisk, directory)).toBe(12)
  const reader = await log.reader('uplink')
  reader.commit({ epoch: log.status.epoch, offset: 1 })
  await log.checkpoint()
  expect(await settledEnd(nodeDisk, directory)).toBe(15)
})

function flip(file: string, ...positions: number[]): void {
  const bytes = fs.readFileSync(file)
  for (const position of positions) bytes[position] ^= 0x10
  fs.writeFileSync(file, bytes)
}
