import fs from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { DurableLog } from '../../../core/log/log.ts'
import { newerBetween } from '../../../core/log/newer-segments.ts'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import { FRAMES_POSITION, segmentName } from '../../../core/log/segment.ts'
import { OfflineReader, type Passed } from '../../../core/log/tail.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { FaultDisk, type Incarnation } from '../../kit/fault-disk.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { drain, fill, makeNewer, openLog, segmentFiles } from './open-log.ts'

const RECORDS = 60
const PER_SEGMENT = 12
const ALL = Array.from({ length: RECORDS }, (_, n) => `r${n}`)

/** A closed log of five segments; what the segment is that was made a newer one. */
async function logWithNewer(at: number, read = false) {
  const directory = temporaryDirectory()
  const { log } = await openLog(directory)
  const reader = await log.reader('uplink')
  await fill(log, RECORDS)
  await log.checkpoint()
  await log.close()
  if (read) {
    // Everything was delivered, and the process died before it could trim.
    const copies = segmentFiles(directory).map(file => ({ file, bytes: fs.readFileSync(file) }))
    const again = await openLog(directory)
    const uplink = await again.log.reader('uplink')
    await drain(again.log, uplink)
    uplink.commit(uplink.position)
    await again.log.close()
    for (const { file, bytes } of copies) fs.writeFileSync(file, bytes)
  }
  reader.close()
  const file = segmentFiles(directory).at(at)!
  makeNewer(file)
  return { directory, file, bytes: fs.readFileSync(file) }
}

function setAside(directory: string): Buffer[] {
  const aside = path.join(directory, 'format-2')
  if (!fs.existsSync(aside)) return []
  return fs.readdirSync(aside).map(name => fs.readFileSync(path.join(aside, name)))
}

for (const at of [0, 2, -1]) {
  test(`segment ${at} of a newer format is set aside untouched, told once, and outlives the quarantine`, async () => {
    const { directory, bytes } = await logWithNewer(at)
    const { log, events } = await openLog(directory)
    await drain(log, await log.reader('uplink'))
    await drain(log, await log.reader('other'))
    await log.close()
    expect(setAside(directory)).toEqual([bytes])
    expect(events.filter(each => each.event === 'log.segment_newer').length).toBe(1)
    expect(log.status.counters).toMatchObject({ damaged: 0, droppedFull: 0, droppedAge: 0 })
    fs.appendFileSync(segmentFiles(directory).at(-1)!, Buffer.alloc(3_000_000, 1))
    const again = await openLog(directory)
    expect(again.events.map(each => each.event)).toEqual(['log.tail_cut'])
    expect(setAside(directory)).toEqual([bytes])
  })
}

test('the one line about it names the file, the version and how its records are delivered', async () => {
  const { directory, file } = await logWithNewer(2)
  const messages: string[] = []
  const logger = { ...silentLogger, error: (_: object, message: string) => messages.push(message) }
  const { log } = await openLog(directory, { logger: logger as unknown as typeof silentLogger })
  await drain(log, await log.reader('uplink'))
  await log.close()
  expect(messages.length).toBe(1)
  expect(messages[0]).toContain('format version 2')
  expect(messages[0]).toContain(path.basename(file))
})

test('who reads from outside is told that records set aside are of a newer format, not missing', async () => {
  const { directory } = await logWithNewer(2)
  const { log } = await openLog(directory)
  await drain(log, await log.reader('uplink'))
  await log.close()
  const passed: Passed[] = []
  const reader = new OfflineReader({
    ...{ disk: nodeDisk, directory },
    onPassed: each => passed.push(each)
  })
  let records = 0
  for await (const batch of reader.read()) records += batch.length
  const [name] = fs.readdirSync(path.join(directory, 'format-2'))
  const lost = { first: 2 * PER_SEGMENT, end: 3 * PER_SEGMENT }
  expect(passed).toEqual([{ reason: 'newer', file: path.join('format-2', name), lost }])
  expect(records).toBe(RECORDS - PER_SEGMENT)
})

test('what a reader has passed is trimmed around a segment of a newer format', async () => {
  const { directory, bytes } = await logWithNewer(2, true)
  const { log, events } = await openLog(directory)
  expect(events.map(each => each.event)).toEqual(['log.segment_newer'])
  expect(setAside(directory)).toEqual([bytes])
  expect(segmentFiles(directory).length).toBe(1)
  expect(log.status.firstKept).toBe(RECORDS - PER_SEGMENT)
})

test('a full log drops the oldest, but keeps a segment of a newer format and no longer counts it', async () => {
  const { directory, bytes } = await logWithNewer(1)
  const { log, events } = await openLog(directory, { bytesMax: 80 << 10 })
  const reader = await log.reader('uplink')
  await fill(log, 150, RECORDS)
  expect(setAside(directory)).toEqual([bytes])
  const dropped = events.filter(each => each.event === 'log.dropped')
  expect(dropped.length).toBeGreaterThan(2)
  const records = dropped.reduce((sum, { records }) => sum + Number(records), 0)
  // All that is not there any more, save the records of a newer format.
  expect(records).toBe(log.status.firstKept - PER_SEGMENT)
  expect(log.status.counters.droppedFull).toBe(records)
  const onDisk = segmentFiles(directory).reduce((sum, file) => sum + fs.statSync(file).size, 0)
  expect(log.status.bytes).toBeGreaterThanOrEqual(onDisk)
  expect(log.status.bytes).toBeLessThan(onDisk + (20 << 10))
  expect((await drain(log, reader)).length).toBe(log.status.end - log.status.firstKept)
})

test('the age limit takes what is old around a segment of a newer format', async () => {
  const { directory, bytes } = await logWithNewer(1)
  const now = Date.now() + 3_600_000
  const clock = { now: () => now, monotonic: () => now }
  const { log } = await openLog(directory, { ageMsMax: 1000, clock })
  await log.maintain()
  expect(setAside(directory)).toEqual([bytes])
  expect(log.status.firstKept).toBe(RECORDS - PER_SEGMENT)
  expect(log.status.counters.droppedAge).toBe(RECORDS - 2 * PER_SEGMENT)
})

test('a segment of a newer format put beside a running log is set aside by the reader that meets it', async () => {
  const directory = temporaryDirectory()
  const { log, events } = await openLog(directory)
  await fill(log, RECORDS)
  makeNewer(segmentFiles(directory)[1])
  const before = log.status.bytes
  const kept = await drain(log, await log.reader('uplink'))
  expect(kept).toEqual([...ALL.slice(0, PER_SEGMENT), ...ALL.slice(2 * PER_SEGMENT)])
  await log.close()
  expect(setAside(directory).length).toBe(1)
  const segmentBytes = FRAMES_POSITION + PER_SEGMENT * 316
  expect(log.status.bytes).toBeLessThan(before - segmentBytes / 2)
  expect(events.map(each => each.event)).toEqual(['log.newer_passed', 'log.segment_newer'])
})

test('a newer format is found between two offsets, standing in its place or set aside', async () => {
  const { directory } = await logWithNewer(2)
  const first = 2 * PER_SEGMENT
  const find = async (from: number, end: number) =>
    (await newerBetween(nodeDisk, directory, from, end)).map(({ first, end }) => [first, end])
  const all = async () => [
    await find(0, 60),
    await find(30, 32),
    await find(0, 24),
    await find(36, 60)
  ]
  const expected = [[[first, first + PER_SEGMENT]], [[30, 32]], [], []]
  expect(await all()).toEqual(expected)
  const { log } = await openLog(directory)
  await drain(log, await log.reader('uplink'))
  await log.close()
  expect(fs.existsSync(path.join(directory, segmentName(first)))).toBe(false)
  expect(await all()).toEqual(expected)
})

// Over the disk that tears and forgets ---------------------------------------------------------

const DIRECTORY = '/data/log'

function open(disk: Incarnation, errors: string[] = []): Promise<DurableLog> {
  const logger = { ...silentLogger, error: ({ event }: { event: string }) => errors.push(event) }
  return DurableLog.open({
    directory: DIRECTORY,
    logger: logger as unknown as typeof silentLogger,
    bytesMax: 1 << 20,
    segmentBytes: 8192,
    overflow: 'drop_oldest',
    sync: 'group',
    checkpointIntervalMs: 0,
    disk
  })
}

async function rewriteAsNewer(disk: Incarnation, first: number): Promise<Buffer> {
  const name = `${DIRECTORY}/${segmentName(first)}`
  const file = await disk.open(name, 'write')
  const bytes = Buffer.alloc(await file.size())
  await file.read(bytes, 0)
  for (const at of [0, 4096]) {
    bytes.writeUInt16BE(2, at + 8)
    bytes.writeUInt32BE(crc32(bytes.subarray(at, at + 60)), at + 60)
  }
  await file.write(bytes, 0)
  await file.sync()
  await file.close()
  return bytes
}

/** Everything that stands under a segment's name, in its place or set aside. */
async function standing(disk: Incarnation, first: number): Promise<Buffer[]> {
  const found: Buffer[] = []
  for (const directory of [DIRECTORY, `${DIRECTORY}/format-2`]) {
    for (const name of await disk.list(directory).catch(() => [])) {
      if (!name.startsWith(segmentName(first))) continue
      const file = await disk.open(`${directory}/${name}`, 'read')
      const bytes = Buffer.alloc(await file.size())
      await file.read(bytes, 0)
      found.push(bytes)
    }
  }
  return found
}

/** Reads all there is; commits it and trims. */
async function deliver(log: DurableLog): Promise<number[]> {
  const reader = await log.reader('uplink')
  const offsets = await drainOffsets(log, reader)
  reader.commit(reader.position)
  await log.checkpoint()
  return offsets
}

async function drainOffsets(log: DurableLog, reader: Awaited<ReturnType<DurableLog['reader']>>) {
  const offsets: number[] = []
  while (reader.position.offset < log.status.end) {
    const batch = await reader.read({ bytesMax: 4096 })
    offsets.push(...batch!.records.map(record => record.offset))
  }
  return offsets
}

for (const kind of ['process', 'power'] as const) {
  for (const newer of [0, 1, 2]) {
    test(`a process that dies (${kind}) at any step of setting segment ${newer} aside loses nothing of it`, async () => {
      for (let crashAt = 1; ; crashAt++) {
        const disk = new FaultDisk({ prng: new Prng(crashAt) })
        const first = await open(disk.boot())
        for (let n = 0; n < 40; n++) await first.append([Buffer.alloc(300, n)])
        await first.reader('uplink')
        await first.close()
        const incarnation = disk.boot()
        const bytes = await rewriteAsNewer(incarnation, newer * PER_SEGMENT)

        const dying = disk.boot(undefined, crashAt)
        let done = false
        const life = (async () => {
          const log = await open(dying)
          await deliver(log)
          await log.close()
          done = true
        })()
        while (!done && !dying.dead) await new Promise(resolve => setImmediate(resolve))
        if (done) await life

        disk.reboot(kind)
        const again = disk.boot()
        const errors: string[] = []
        const log = await open(again, errors)
        const offsets = await deliver(log)
        await log.close()
        expect(errors.filter(event => event !== 'log.segment_newer')).toEqual([])
        expect(log.status.counters).toMatchObject({ damaged: 0, droppedFull: 0 })
        if (!done) {
          const own = (offset: number) => Math.floor(offset / PER_SEGMENT) !== newer
          const left = Array.from({ length: 40 }, (_, n) => n).filter(own)
          // What a checkpoint said was delivered is not read again.
          expect(offsets).toEqual(left.slice(left.length - offsets.length))
        }
        const found = await standing(again, newer * PER_SEGMENT)
        expect(found.length, `died at step ${crashAt}`).toBeGreaterThan(0)
        for (const each of found) expect(each.equals(bytes)).toBe(true)
        if (done) {
          expect(crashAt).toBeGreaterThan(40)
          return
        }
      }
    })
  }
}
