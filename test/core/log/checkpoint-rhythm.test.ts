import { expect, test } from 'vitest'
import { type Checkpoint, loadCheckpoint } from '../../../core/log/checkpoint.ts'
import { CheckpointRhythm } from '../../../core/log/checkpoint-rhythm.ts'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import { settledEnd } from '../../../core/log/tail.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { fill, openLog } from './open-log.ts'

const EPOCH = '1-00000000000000aa'

function checkpoint(cursor: number, end: number, more: Partial<Checkpoint> = {}): Checkpoint {
  return {
    cursors: { uplink: { epoch: EPOCH, offset: cursor } },
    end: { epoch: EPOCH, offset: end },
    tail: { first: 0, position: 5000, end },
    clean: false,
    sync: 'group',
    notes: {},
    savedAt: 0,
    ...more
  }
}

function savedAt0(cursor: number, end: number): CheckpointRhythm {
  const rhythm = new CheckpointRhythm()
  rhythm.saved(checkpoint(cursor, end), 0)
  return rhythm
}

test('a cursor that moved by a few records is saved after five seconds, by many at once', () => {
  const rhythm = savedAt0(10, 100)
  expect(rhythm.isDue(checkpoint(41, 100), 4999, false)).toBe(false)
  expect(rhythm.isDue(checkpoint(41, 100), 5000, false)).toBe(true)
  expect(rhythm.isDue(checkpoint(42, 100), 1, false)).toBe(true)
})

test('an end that moved alone is saved after ten seconds, and one that did not never', () => {
  const rhythm = savedAt0(10, 100)
  expect(rhythm.isDue(checkpoint(10, 100_000), 9_999, false)).toBe(false)
  expect(rhythm.isDue(checkpoint(10, 100_000), 10_000, false)).toBe(true)
  expect(rhythm.isDue(checkpoint(10, 100), 1e9, false)).toBe(false)
})

test('a note, a new segment, 4 MiB more and an orderly stop are saved at once', () => {
  const rhythm = savedAt0(10, 100)
  for (const more of [
    { notes: { n: '1' } },
    { tail: { first: 100, position: 4160, end: 100 } },
    { tail: { first: 0, position: 5 << 20, end: 100 } },
    { clean: true },
    { end: { epoch: '2-00000000000000bb', offset: 100 } }
  ]) {
    expect(rhythm.isDue(checkpoint(10, 100, more), 1, false)).toBe(true)
  }
})

test('whoever asks for a checkpoint gets one if anything moved', () => {
  const rhythm = savedAt0(10, 100)
  expect(rhythm.isDue(checkpoint(11, 100), 1, true)).toBe(true)
  expect(rhythm.isDue(checkpoint(10, 101), 1, true)).toBe(true)
  expect(rhythm.isDue(checkpoint(10, 100), 1, true)).toBe(false)
})

test('while nobody delivers, the saved end follows the log every ten seconds', async () => {
  const directory = temporaryDirectory()
  let now = 1_700_000_000_000
  const clock = { now: () => now, monotonic: () => now }
  const { log } = await openLog(directory, { clock, segmentBytes: 1 << 20 })
  await log.reader('uplink')
  await log.maintain()
  const saves: number[] = []
  for (let second = 1; second <= 40; second++) {
    now += 1000
    await fill(log, 1, second)
    await log.maintain()
    const found = await loadCheckpoint(nodeDisk, directory)
    saves.push(found.kind === 'valid' ? found.checkpoint.end.offset : -1)
  }
  expect(new Set(saves)).toEqual(new Set([0, 10, 20, 30, 40]))
  expect(await settledEnd(nodeDisk, directory)).toBe(40)
})

test('at ten records a second, delivered at once, less than one checkpoint in three seconds is saved', async () => {
  const directory = temporaryDirectory()
  let now = 1_700_000_000_000
  const clock = { now: () => now, monotonic: () => now }
  const { log } = await openLog(directory, { clock, segmentBytes: 1 << 20 })
  const reader = await log.reader('uplink')
  await log.checkpoint()
  const before = log.status.counters.syncs
  for (let tick = 0; tick < 60; tick++) {
    now += 500
    await fill(log, 5, tick * 5)
    reader.commit((await reader.read({ bytesMax: 1 << 16 }))!.end)
    await log.maintain()
  }
  const syncs = log.status.counters.syncs - before - 300
  expect(syncs / 2).toBeLessThanOrEqual(10)
  expect(syncs / 2).toBeGreaterThanOrEqual(5)
  // What power could repeat now.
  const found = await loadCheckpoint(nodeDisk, directory)
  const saved = found.kind === 'valid' ? found.checkpoint.cursors.uplink.offset : 0
  expect(300 - saved).toBeLessThanOrEqual(35)
})
