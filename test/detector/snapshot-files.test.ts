import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { SnapshotFiles } from '../../detector/snapshot-files.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

test('a snapshot is replaced whole, one file a stream', async () => {
  const directory = temporaryDirectory()
  const files = await SnapshotFiles.open(directory)
  expect(await files.load('t/1')).toBeUndefined()
  await files.save('t/1', Buffer.from('one'))
  await files.save('t/1', Buffer.from('two'))
  expect(String(await files.load('t/1'))).toBe('two')
  expect(readdirSync(directory)).toEqual(['t%2F1.snapshot'])
})

test('a snapshot larger than its share of the disk is refused, and the one before stays', async () => {
  const files = await SnapshotFiles.open(temporaryDirectory(), 100)
  await files.save('edge', Buffer.alloc(100, 1))
  await expect(files.save('edge', Buffer.alloc(101, 2))).rejects.toThrow(
    'the snapshot has 101 bytes, its share of the disk is 100: lower detector.series_max or raise log.bytes_max'
  )
  expect(await files.load('edge')).toEqual(Buffer.alloc(100, 1))
})
