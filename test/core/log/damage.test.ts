import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { writeFrame } from '../../../core/log/frame.ts'
import { FRAMES_POSITION, segmentName } from '../../../core/log/segment.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { drain, fill, makeNewer, openLog, segmentFiles } from './open-log.ts'

const RECORDS = 60
const FRAME_BYTES = 316
const PER_SEGMENT = Math.floor((8192 - FRAMES_POSITION) / FRAME_BYTES)
const LAST_FIRST = Math.floor((RECORDS - 1) / PER_SEGMENT) * PER_SEGMENT
const ALL = Array.from({ length: RECORDS }, (_, n) => `r${n}`)

const without = (first: number, end: number) => ALL.filter((_, n) => n < first || n >= end)
const framePosition = (n: number) => FRAMES_POSITION + n * FRAME_BYTES

interface Way {
  how: string
  damage: (directory: string, segments: string[]) => void
  /** What is still read. */
  kept: string[]
  /** What the operator is told at the start or by the reader. */
  told: string[]
  newEpoch: boolean
}

const WAYS: Way[] = [
  {
    how: 'a bit flip in a frame that no checkpoint knows of',
    damage: (directory, segments) => {
      fs.unlinkSync(path.join(directory, 'checkpoint'))
      flip(segments.at(-1)!, framePosition(2) + 50)
    },
    kept: without(LAST_FIRST + 2, LAST_FIRST + 3),
    told: ['log.frame_damaged', 'log.damaged'],
    newEpoch: true
  },
  {
    how: 'a torn tail',
    damage: (_, segments) => fs.appendFileSync(segments.at(-1)!, Buffer.alloc(77, 0xab)),
    kept: ALL,
    told: ['log.tail_cut'],
    newEpoch: true
  },
  {
    how: 'a zero-filled tail',
    damage: (_, segments) => fs.appendFileSync(segments.at(-1)!, Buffer.alloc(100_000)),
    kept: ALL,
    told: ['log.tail_cut'],
    newEpoch: true
  },
  {
    how: 'a bit flip in the first copy of a header',
    damage: (_, segments) => flip(segments.at(-1)!, 13),
    kept: ALL,
    told: [],
    newEpoch: false
  },
  {
    how: 'a bit flip in the second copy of a header',
    damage: (_, segments) => flip(segments.at(-1)!, 4096 + 13),
    kept: ALL,
    told: [],
    newEpoch: false
  },
  {
    how: "bit flips in both copies of the last segment's header",
    damage: (_, segments) => flip(segments.at(-1)!, 13, 4096 + 13),
    kept: without(LAST_FIRST, RECORDS),
    told: ['log.segment_damaged', 'log.end_lost', 'log.damaged'],
    newEpoch: true
  },
  {
    how: "bit flips in both copies of a sealed segment's header",
    damage: (_, segments) => flip(segments[1], 13, 4096 + 13),
    kept: without(PER_SEGMENT, 2 * PER_SEGMENT),
    told: ['log.damaged'],
    newEpoch: false
  },
  {
    how: 'a bit flip in a frame of the last segment',
    damage: (_, segments) => flip(segments.at(-1)!, framePosition(2) + 50),
    kept: without(LAST_FIRST + 2, LAST_FIRST + 3),
    told: ['log.damaged'],
    newEpoch: false
  },
  {
    how: "a bit flip in a frame's length",
    damage: (_, segments) => flip(segments.at(-1)!, framePosition(2) + 5),
    kept: without(LAST_FIRST + 2, LAST_FIRST + 3),
    told: ['log.damaged'],
    newEpoch: false
  },
  {
    how: 'a bit flip in a frame of a sealed segment',
    damage: (_, segments) => flip(segments[1], framePosition(2) + 50),
    kept: without(PER_SEGMENT + 2, PER_SEGMENT + 3),
    told: ['log.damaged'],
    newEpoch: false
  },
  {
    how: 'a truncated last segment',
    damage: (_, segments) => fs.truncateSync(segments.at(-1)!, framePosition(1) + 100),
    kept: without(LAST_FIRST + 1, RECORDS),
    told: ['log.tail_cut', 'log.end_lost', 'log.damaged'],
    newEpoch: true
  },
  {
    how: 'a last segment truncated between two frames',
    damage: (_, segments) => fs.truncateSync(segments.at(-1)!, framePosition(1)),
    kept: without(LAST_FIRST + 1, RECORDS),
    told: ['log.end_lost', 'log.damaged'],
    newEpoch: true
  },
  {
    how: 'a truncated sealed segment',
    damage: (_, segments) => fs.truncateSync(segments[1], framePosition(3) + 7),
    kept: without(PER_SEGMENT + 3, 2 * PER_SEGMENT),
    told: ['log.damaged'],
    newEpoch: false
  },
  {
    how: 'a last segment cut to less than its header',
    damage: (_, segments) => fs.truncateSync(segments.at(-1)!, 100),
    kept: without(LAST_FIRST, RECORDS),
    told: ['log.end_lost', 'log.damaged'],
    newEpoch: true
  },
  {
    how: 'a deleted sealed segment',
    damage: (_, segments) => fs.unlinkSync(segments[2]),
    kept: without(2 * PER_SEGMENT, 3 * PER_SEGMENT),
    told: ['log.damaged'],
    newEpoch: false
  },
  {
    how: 'a deleted last segment',
    damage: (_, segments) => fs.unlinkSync(segments.at(-1)!),
    kept: without(LAST_FIRST, RECORDS),
    told: ['log.end_lost', 'log.damaged'],
    newEpoch: true
  },
  {
    how: 'a segment copied under another offset',
    damage: (directory, segments) =>
      fs.copyFileSync(segments[0], path.join(directory, segmentName(5))),
    kept: ALL,
    told: [],
    newEpoch: false
  },
  {
    how: 'a segment copied behind the end',
    damage: (directory, segments) =>
      fs.copyFileSync(segments[0], path.join(directory, segmentName(7000))),
    kept: ALL,
    told: ['log.segment_damaged'],
    newEpoch: true
  },
  {
    how: 'foreign files and directories',
    damage: directory => {
      fs.writeFileSync(path.join(directory, 'README'), 'hello')
      fs.writeFileSync(path.join(directory, '123.seg'), 'hello')
      fs.writeFileSync(path.join(directory, 'notes.tmp'), 'hello')
      fs.mkdirSync(path.join(directory, 'lost+found'))
    },
    kept: ALL,
    told: [],
    newEpoch: false
  },
  {
    how: 'a directory named like a segment, and a file named like the quarantine',
    damage: directory => {
      fs.mkdirSync(path.join(directory, segmentName(9)))
      fs.writeFileSync(path.join(directory, 'quarantine'), '')
    },
    kept: ALL,
    told: [],
    newEpoch: true
  },
  {
    how: 'a flipped bit in the checkpoint',
    damage: directory => flip(path.join(directory, 'checkpoint'), 30),
    kept: ALL,
    told: ['log.checkpoint_damaged'],
    newEpoch: true
  },
  {
    how: 'an empty checkpoint',
    damage: directory => fs.truncateSync(path.join(directory, 'checkpoint'), 0),
    kept: ALL,
    told: ['log.checkpoint_damaged'],
    newEpoch: true
  },
  {
    how: 'no checkpoint',
    damage: directory => fs.unlinkSync(path.join(directory, 'checkpoint')),
    kept: ALL,
    told: [],
    newEpoch: false
  },
  {
    how: 'a half-made segment',
    damage: directory =>
      fs.writeFileSync(path.join(directory, segmentName(RECORDS)), Buffer.alloc(100)),
    kept: ALL,
    told: [],
    newEpoch: true
  },
  {
    how: 'the mark of a recovery that died',
    damage: directory => fs.writeFileSync(path.join(directory, 'new-epoch'), ''),
    kept: ALL,
    told: [],
    newEpoch: true
  },
  {
    how: 'a half-made checkpoint',
    damage: directory => fs.writeFileSync(path.join(directory, 'checkpoint.tmp'), 'half'),
    kept: ALL,
    told: [],
    newEpoch: false
  },
  {
    how: 'a last segment of a newer format version',
    damage: (_, segments) => makeNewer(segments.at(-1)!),
    kept: without(LAST_FIRST, RECORDS),
    told: ['log.segment_newer', 'log.newer_passed'],
    newEpoch: true
  },
  {
    how: 'a segment of a newer format version between older ones',
    damage: (_, segments) => makeNewer(segments[1]),
    kept: without(PER_SEGMENT, 2 * PER_SEGMENT),
    told: ['log.segment_newer', 'log.newer_passed'],
    newEpoch: false
  },
  {
    how: 'two segments of newer format versions beside one without a valid header',
    damage: (_, segments) => {
      makeNewer(segments[1])
      flip(segments[2], 13, 4096 + 13)
      makeNewer(segments[3], 7)
    },
    kept: without(PER_SEGMENT, 4 * PER_SEGMENT),
    told: ['log.segment_newer', 'log.newer_passed', 'log.damaged'],
    newEpoch: false
  },
  {
    how: 'a segment of a newer format version, and a file where it would be set aside',
    damage: (directory, segments) => {
      makeNewer(segments[1])
      fs.writeFileSync(path.join(directory, 'format-2'), '')
    },
    kept: without(PER_SEGMENT, 2 * PER_SEGMENT),
    told: ['log.segment_newer', 'log.newer_passed'],
    newEpoch: false
  }
]

test.each(WAYS)('with $how the log opens and keeps every valid record', async way => {
  const directory = temporaryDirectory()
  const before = await openLog(directory)
  await fill(before.log, RECORDS)
  await before.log.close()
  way.damage(directory, segmentFiles(directory))

  const { log, events } = await openLog(directory)
  expect(log.status.epoch === before.log.status.epoch).toBe(!way.newEpoch)
  const more = await fill(log, 3, 1000)
  expect(log.status.end).toBeGreaterThanOrEqual(way.kept.length + 3)
  expect(await drain(log, await log.reader('any'))).toEqual([...way.kept, ...more])
  await log.close()
  expect(new Set(events.map(each => each.event))).toEqual(new Set(way.told))

  const again = await openLog(directory)
  expect(again.log.status.epoch).toBe(log.status.epoch)
  expect(again.events).toEqual([])
})

test('a frame forged inside a payload is never given to a reader', async () => {
  const directory = temporaryDirectory()
  const before = await openLog(directory)
  const payload = Buffer.alloc(2000, 0x61)
  for (let at = 0; at + 32 < payload.length; at += 32) {
    writeFrame(payload, at, 0, 1 + at / 32, Buffer.from('forged..........'))
  }
  await before.log.append([payload])
  await before.log.append([Buffer.from('after.')])
  await before.log.close()
  flip(segmentFiles(directory)[0], FRAMES_POSITION + 1)
  const { log } = await openLog(directory)
  expect(await drain(log, await log.reader('any'))).toEqual(['after'])
})

test('after a restored older copy no offset is given away twice', async () => {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory)
  await fill(log, 10)
  await log.checkpoint()
  const backup = temporaryDirectory()
  await fill(log, 10, 10)
  const reader = await log.reader('uplink')
  await drain(log, reader)
  reader.commit(reader.position)
  await log.close()
  for (const file of segmentFiles(directory))
    fs.copyFileSync(file, path.join(backup, path.basename(file)))
  for (const file of segmentFiles(directory).slice(1)) fs.unlinkSync(file)
  fs.truncateSync(segmentFiles(directory)[0], framePosition(10))
  const again = await openLog(directory)
  expect(again.log.status.end).toBe(20)
  expect(again.log.status.epoch).not.toBe(log.status.epoch)
})

test('the quarantine keeps to its limit', async () => {
  const directory = temporaryDirectory()
  for (let n = 0; n < 12; n++) {
    const { log } = await openLog(directory)
    await fill(log, 1, n)
    await log.close()
    fs.appendFileSync(segmentFiles(directory).at(-1)!, Buffer.alloc(100_000, 0xee))
  }
  const { log } = await openLog(directory)
  expect((await drain(log, await log.reader('any'))).length).toBe(12)
  const files = fs.readdirSync(path.join(directory, 'quarantine'))
  const sizes = files.map(name => fs.statSync(path.join(directory, 'quarantine', name)).size)
  expect(files.length).toBeGreaterThan(1)
  expect(sizes.reduce((a, b) => a + b)).toBeLessThanOrEqual((4 << 20) / 8)
})

function flip(file: string, ...positions: number[]): void {
  const bytes = fs.readFileSync(file)
  for (const position of positions) bytes[position] ^= 0x10
  fs.writeFileSync(file, bytes)
}
