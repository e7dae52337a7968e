import fs from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import { repairLog } from '../../../core/log/repair.ts'
import { FRAMES_POSITION, segmentName } from '../../../core/log/segment.ts'
import { OfflineReader } from '../../../core/log/tail.ts'
import { type DefectKind, type NoteKind, verifyLog } from '../../../core/log/verify.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { drain, fill, makeNewer, openLog, segmentFiles } from './open-log.ts'

const RECORDS = 60
const FRAME_BYTES = 316
const PER_SEGMENT = Math.floor((8192 - FRAMES_POSITION) / FRAME_BYTES)
const LAST_FIRST = Math.floor((RECORDS - 1) / PER_SEGMENT) * PER_SEGMENT
const framePosition = (n: number) => FRAMES_POSITION + n * FRAME_BYTES
const range = (first: number, end: number) => ({ first, end })

interface Way {
  how: string
  damage: (directory: string, segments: string[]) => void
  /** Kind, file, position, offsets lost. */
  defects: [DefectKind, string, number | undefined, { first: number; end: number }?][]
  notes?: NoteKind[]
  /** Records that are gone. */
  gone?: { first: number; end: number }[]
}

const WAYS: Way[] = [
  { how: 'nothing', damage: () => {}, defects: [] },
  {
    how: 'a bit flip in a middle frame of a sealed segment',
    damage: (_, segments) => flip(segments[1], framePosition(3) + 50),
    defects: [
      ['frame', segmentName(PER_SEGMENT), framePosition(3), range(PER_SEGMENT + 3, PER_SEGMENT + 4)]
    ],
    gone: [range(PER_SEGMENT + 3, PER_SEGMENT + 4)]
  },
  {
    how: 'bit flips in the first and the last frame of a sealed segment',
    damage: (_, segments) =>
      flip(segments[1], framePosition(0) + 50, framePosition(PER_SEGMENT - 1) + 50),
    defects: [
      ['frame', segmentName(PER_SEGMENT), framePosition(0), range(PER_SEGMENT, PER_SEGMENT + 1)],
      [
        'frame',
        segmentName(PER_SEGMENT),
        framePosition(PER_SEGMENT - 1),
        range(2 * PER_SEGMENT - 1, 2 * PER_SEGMENT)
      ]
    ],
    gone: [range(PER_SEGMENT, PER_SEGMENT + 1), range(2 * PER_SEGMENT - 1, 2 * PER_SEGMENT)]
  },
  {
    how: 'a bit flip in a frame of the last segment',
    damage: (_, segments) => flip(segments.at(-1)!, framePosition(2) + 50),
    defects: [
      ['frame', segmentName(LAST_FIRST), framePosition(2), range(LAST_FIRST + 2, LAST_FIRST + 3)]
    ],
    gone: [range(LAST_FIRST + 2, LAST_FIRST + 3)]
  },
  {
    how: 'a torn tail',
    damage: (_, segments) => fs.appendFileSync(segments.at(-1)!, Buffer.alloc(77, 0xab)),
    defects: [['torn_tail', segmentName(LAST_FIRST), framePosition(RECORDS - LAST_FIRST)]]
  },
  {
    how: 'a last segment truncated within a frame',
    damage: (_, segments) => fs.truncateSync(segments.at(-1)!, framePosition(5) + 100),
    defects: [
      ['torn_tail', segmentName(LAST_FIRST), framePosition(5), range(LAST_FIRST + 5, RECORDS)]
    ],
    gone: [range(LAST_FIRST + 5, RECORDS)]
  },
  {
    how: 'a last segment truncated between two frames',
    damage: (_, segments) => fs.truncateSync(segments.at(-1)!, framePosition(5)),
    defects: [
      ['end_lost', segmentName(LAST_FIRST), framePosition(5), range(LAST_FIRST + 5, RECORDS)]
    ],
    gone: [range(LAST_FIRST + 5, RECORDS)]
  },
  {
    how: 'a zeroed first copy of a header',
    damage: (_, segments) => overwrite(segments[1], 0, Buffer.alloc(64)),
    defects: [['header_copy', segmentName(PER_SEGMENT), 0]]
  },
  {
    how: 'a bit flip in the second copy of a header',
    damage: (_, segments) => flip(segments.at(-1)!, 4096 + 20),
    defects: [['header_copy', segmentName(LAST_FIRST), 4096]]
  },
  {
    how: 'both copies of two headers bad',
    damage: (_, segments) => {
      for (const n of [1, 2]) flip(segments[n], 13, 4096 + 13)
    },
    defects: [
      ['header', segmentName(PER_SEGMENT), 0, range(PER_SEGMENT, 2 * PER_SEGMENT)],
      ['header', segmentName(2 * PER_SEGMENT), 0, range(2 * PER_SEGMENT, 3 * PER_SEGMENT)]
    ],
    gone: [range(PER_SEGMENT, 3 * PER_SEGMENT)]
  },
  {
    how: "both copies of the last segment's header bad",
    damage: (_, segments) => flip(segments.at(-1)!, 13, 4096 + 13),
    defects: [['header', segmentName(LAST_FIRST), 0, range(LAST_FIRST, RECORDS)]],
    gone: [range(LAST_FIRST, RECORDS)]
  },
  {
    how: 'a deleted middle segment',
    damage: (_, segments) => fs.unlinkSync(segments[2]),
    defects: [['gap', segmentName(3 * PER_SEGMENT), 0, range(2 * PER_SEGMENT, 3 * PER_SEGMENT)]],
    gone: [range(2 * PER_SEGMENT, 3 * PER_SEGMENT)]
  },
  {
    how: 'a deleted first segment',
    damage: (_, segments) => fs.unlinkSync(segments[0]),
    defects: [['gap', segmentName(PER_SEGMENT), 0, range(0, PER_SEGMENT)]],
    gone: [range(0, PER_SEGMENT)]
  },
  {
    how: 'all segments deleted',
    damage: (_, segments) => segments.forEach(file => void fs.unlinkSync(file)),
    defects: [['end_lost', 'checkpoint', 0, range(0, RECORDS)]],
    gone: [range(0, RECORDS)]
  },
  {
    how: 'a sealed segment truncated within a frame',
    damage: (_, segments) => fs.truncateSync(segments[1], framePosition(3) + 7),
    defects: [
      ['frame', segmentName(PER_SEGMENT), framePosition(3), range(PER_SEGMENT + 3, 2 * PER_SEGMENT)]
    ],
    gone: [range(PER_SEGMENT + 3, 2 * PER_SEGMENT)]
  },
  {
    how: 'a segment copied under another name',
    damage: (directory, segments) =>
      fs.copyFileSync(segments[0], path.join(directory, segmentName(5))),
    defects: [['misnamed', segmentName(5), 0]]
  },
  {
    how: 'a flipped bit in the checkpoint',
    damage: directory => flip(path.join(directory, 'checkpoint'), 30),
    defects: [['checkpoint', 'checkpoint', undefined]]
  },
  {
    how: 'bytes behind the last record of a sealed segment',
    damage: (_, segments) => fs.appendFileSync(segments[1], Buffer.alloc(500, 7)),
    defects: [],
    notes: ['leftover']
  },
  {
    how: 'foreign and half made files',
    damage: directory => {
      fs.writeFileSync(path.join(directory, 'README'), 'hello')
      fs.mkdirSync(path.join(directory, 'lost+found'))
      fs.writeFileSync(path.join(directory, 'checkpoint.tmp'), 'half')
      fs.writeFileSync(path.join(directory, segmentName(RECORDS)), Buffer.alloc(100))
    },
    defects: [],
    notes: ['foreign', 'foreign', 'half_made', 'half_made']
  },
  {
    how: 'a last segment of a newer format',
    damage: (_, segments) => makeNewer(segments.at(-1)!),
    defects: [],
    notes: ['newer']
  },
  {
    how: 'a deleted segment before one without a header, without a checkpoint',
    damage: (directory, segments) => {
      fs.unlinkSync(segments.at(-2)!)
      flip(segments.at(-1)!, 13, 4096 + 13)
      flip(path.join(directory, 'checkpoint'), 30)
    },
    defects: [
      ['checkpoint', 'checkpoint', undefined],
      ['header', segmentName(LAST_FIRST), 0],
      [
        'end_lost',
        segmentName(LAST_FIRST - 2 * PER_SEGMENT),
        framePosition(PER_SEGMENT),
        range(LAST_FIRST - PER_SEGMENT, LAST_FIRST)
      ]
    ],
    gone: [range(LAST_FIRST - PER_SEGMENT, RECORDS)]
  },
  {
    how: 'several kinds of damage at once',
    damage: (directory, segments) => {
      flip(segments[0], framePosition(1) + 20)
      flip(segments[1], 13)
      fs.unlinkSync(segments[2])
      flip(segments.at(-1)!, framePosition(4) + 20)
      fs.appendFileSync(segments.at(-1)!, Buffer.alloc(77, 0xab))
      flip(path.join(directory, 'checkpoint'), 30)
    },
    defects: [
      ['checkpoint', 'checkpoint', undefined],
      ['header_copy', segmentName(PER_SEGMENT), 0],
      ['frame', segmentName(0), framePosition(1), range(1, 2)],
      ['gap', segmentName(3 * PER_SEGMENT), 0, range(2 * PER_SEGMENT, 3 * PER_SEGMENT)],
      ['frame', segmentName(LAST_FIRST), framePosition(4), range(LAST_FIRST + 4, LAST_FIRST + 5)],
      ['torn_tail', segmentName(LAST_FIRST), framePosition(RECORDS - LAST_FIRST)]
    ],
    gone: [
      range(1, 2),
      range(2 * PER_SEGMENT, 3 * PER_SEGMENT),
      range(LAST_FIRST + 4, LAST_FIRST + 5)
    ]
  }
]

test.each(WAYS)('verify finds $how, to the byte and the offset', async way => {
  const { directory } = await damaged(way)
  const before = snapshot(directory)
  const report = await verifyLog(nodeDisk, directory, { live: false })
  expect(
    report.defects.map(({ kind, file, position, lost }) => [
      kind,
      file,
      position,
      ...(lost ? [lost] : [])
    ])
  ).toEqual(way.defects)
  expect(report.notes.map(({ kind }) => kind)).toEqual(way.notes ?? [])
  expect(report.sound).toBe(way.defects.length === 0)
  const gone = (way.gone ?? []).reduce((sum, { first, end }) => sum + end - first, 0)
  const told = report.defects.reduce((sum, { lost }) => sum + (lost ? lost.end - lost.first : 0), 0)
  expect(report.totals.lostRecords).toBe(told)
  if (way.how !== 'a last segment of a newer format') {
    expect(report.totals.records).toBe(RECORDS - gone)
  }
  expect(snapshot(directory)).toEqual(before)
})

const REPAIRABLE = WAYS.filter(({ notes }) => !notes?.includes('newer'))

test.each(REPAIRABLE)(
  'after repair of $how the log is sound and every valid record stands where it stood',
  async way => {
    const { directory, records } = await damaged(way)
    const before = snapshot(directory)
    const plan = await repairLog(nodeDisk, directory, { dryRun: true })
    expect(plan.steps.length).toBe(way.defects.length)
    expect(snapshot(directory)).toEqual(before)

    const { after, setAside } = await repairLog(nodeDisk, directory, { dryRun: false })
    expect(after.defects).toEqual([])
    expect(after.sound).toBe(true)
    const isGone = (offset: number) => way.gone?.some(g => offset >= g.first && offset < g.end)
    const kept = records.filter(({ offset }) => !isGone(offset))
    expect(await readAll(directory)).toEqual(kept)
    const bad = way.defects.filter(([kind]) => kind !== 'gap' && kind !== 'end_lost')
    expect(setAside.length).toBe(bad.length)

    // A second repair finds nothing to do, and the log opens and goes on under new ids.
    const again = snapshot(directory)
    expect((await repairLog(nodeDisk, directory, { dryRun: false })).steps).toEqual([])
    expect(snapshot(directory)).toEqual(again)
    const { log, events } = await openLog(directory)
    expect(events.filter(({ event }) => event !== 'log.cursor_unbelievable')).toEqual([])
    const more = await fill(log, 2, 1000)
    const read = await drain(log, await log.reader('any'))
    expect(read).toEqual([...kept.map(({ text }) => text), ...more])
    const all = await readAll(directory)
    expect(
      new Set([...records, ...all].map(({ epoch, offset }) => `${epoch}/${offset}`)).size
    ).toBe(records.length + more.length)
    expect((await verifyLog(nodeDisk, directory, { live: false })).defects).toEqual([])
  }
)

test('what is set aside are just the bad bytes', async () => {
  const { directory } = await damaged({
    damage: (_, segments) => flip(segments[1], framePosition(3) + 50)
  })
  const bytes = fs.readFileSync(segmentFiles(directory)[1])
  const { setAside } = await repairLog(nodeDisk, directory, { dryRun: false })
  const kept = fs.readFileSync(path.join(directory, setAside[0]))
  expect(kept.equals(bytes.subarray(framePosition(3), framePosition(4)))).toBe(true)
})

test('repair leaves segments of a newer format alone', async () => {
  const { directory } = await damaged({ damage: (_, segments) => makeNewer(segments.at(-1)!) })
  const before = snapshot(directory)
  await expect(repairLog(nodeDisk, directory, { dryRun: false })).rejects.toMatchObject({
    code: 'INPUT_UNREADABLE'
  })
  expect(snapshot(directory)).toEqual(before)
})

test('what a segment of a newer format holds is no loss, once it is set aside either', async () => {
  for (const at of [0, 2, -1]) {
    const { directory } = await damaged({ damage: (_, segments) => makeNewer(segments.at(at)!) })
    const { log } = await openLog(directory)
    await drain(log, await log.reader('any'))
    await log.close()
    const { defects, notes } = await verifyLog(nodeDisk, directory, { live: false })
    expect(defects).toEqual([])
    expect(notes.map(({ kind }) => kind)).toEqual(['newer'])
  }
})

test('on a live log unfinished bytes behind the checkpointed end are in flight', async () => {
  const { directory } = await damaged({
    damage: (_, segments) => fs.appendFileSync(segments.at(-1)!, Buffer.alloc(77, 0xab))
  })
  const report = await verifyLog(nodeDisk, directory, { live: true })
  expect([report.sound, report.totals.inFlightBytes]).toEqual([true, 77])
  expect(report.notes.map(({ kind }) => kind)).toEqual(['in_flight'])
})

test('on a live log bytes before the checkpointed end are damage all the same', async () => {
  const { directory } = await damaged({
    damage: (_, segments) => fs.truncateSync(segments.at(-1)!, framePosition(5) + 100)
  })
  const { defects } = await verifyLog(nodeDisk, directory, { live: true })
  expect(defects).toMatchObject([{ kind: 'torn_tail', lost: range(LAST_FIRST + 5, RECORDS) }])
})

test('a log that is appended to and trimmed meanwhile verifies sound', async () => {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory, { bytesMax: 4 << 20, segmentBytes: 64 << 10 })
  const reader = await log.reader('uplink')
  let stopped = false
  const writing = (async () => {
    for (let n = 0; !stopped; n++) {
      await fill(log, 20, n * 20)
      reader.commit({ epoch: log.status.epoch, offset: Math.max(0, log.status.end - 500) })
      await log.maintain()
    }
  })()
  try {
    for (let round = 0; round < 30; round++) {
      const report = await verifyLog(nodeDisk, directory, { live: true })
      expect(report.defects).toEqual([])
    }
  } finally {
    stopped = true
    await writing
  }
})

test('memory does not grow with the log', async () => {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory, { bytesMax: 256 << 20, segmentBytes: 16 << 20 })
  const payloads = Array.from({ length: 100 }, () => Buffer.alloc(10_000, 1))
  for (let n = 0; n < 64; n++) await log.append(payloads)
  await log.close()
  const before = process.memoryUsage.rss()
  let most = 0
  const report = await verifyLog(nodeDisk, directory, {
    live: false,
    onProgress: () => {
      most = Math.max(most, process.memoryUsage.rss())
    }
  })
  expect(report.totals.records).toBe(6400)
  expect(most - before).toBeLessThan(32 << 20)
})

interface Standing {
  epoch: string
  offset: number
  text: string
}

/** A closed log of 60 records in 5 segments with a cursor at 0, then damaged. */
async function damaged(
  way: Pick<Way, 'damage'>
): Promise<{ directory: string; records: Standing[] }> {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory)
  await log.reader('uplink')
  await fill(log, RECORDS)
  await log.close()
  const records = await readAll(directory)
  expect(records.map(({ offset }) => offset)).toEqual([...Array(RECORDS).keys()])
  way.damage(directory, segmentFiles(directory))
  return { directory, records }
}

async function readAll(directory: string): Promise<Standing[]> {
  const found: Standing[] = []
  for await (const batch of new OfflineReader({ disk: nodeDisk, directory }).read()) {
    for (const { epoch, offset, payload } of batch) {
      const text = Buffer.from(payload).toString('latin1')
      found.push({ epoch, offset, text: text.slice(0, text.indexOf('.')) })
    }
  }
  return found
}

/** Every file's bytes. */
function snapshot(directory: string): Record<string, number> {
  const files = fs.readdirSync(directory, { recursive: true, withFileTypes: true })
  return Object.fromEntries(
    files
      .filter(file => file.isFile())
      .map(file => path.join(file.parentPath, file.name))
      .map(file => [file, crc32(fs.readFileSync(file))])
  )
}

function overwrite(file: string, at: number, bytes: Buffer): void {
  const all = fs.readFileSync(file)
  bytes.copy(all, at)
  fs.writeFileSync(file, all)
}

function flip(file: string, ...positions: number[]): void {
  const bytes = fs.readFileSync(file)
  for (const position of positions) bytes[position] ^= 0x10
  fs.writeFileSync(file, bytes)
}
