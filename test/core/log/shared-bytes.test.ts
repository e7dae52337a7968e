import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import type { DurableLog } from '../../../core/log/log.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { openLog } from './open-log.ts'

const BYTES_MAX = 512 << 10

function bytesOnDisk(directory: string): number {
  const names = fs.readdirSync(directory)
  return names.reduce((sum, name) => sum + fs.statSync(path.join(directory, name)).size, 0)
}

/** Records of 300 B, in groups of 20. */
async function fillMany(log: DurableLog, count: number): Promise<void> {
  for (let n = 0; n < count; n += 20) {
    await log.append(Array.from({ length: 20 }, () => Buffer.alloc(300, n)))
  }
}

test('what shares the limit is taken off it: log and files beside it stay within it together', async () => {
  const directory = temporaryDirectory()
  let sharedBytes = 0
  const options = { bytesMax: BYTES_MAX, segmentBytes: 32 << 10, sharedBytes: () => sharedBytes }
  const { log } = await openLog(directory, options)
  await log.reader('nobody')
  await fillMany(log, 2000)
  const alone = bytesOnDisk(directory)
  expect(alone).toBeGreaterThan(BYTES_MAX * 0.85)
  sharedBytes = 200 << 10
  await fillMany(log, 200)
  expect(log.status.bytes).toBeLessThanOrEqual(BYTES_MAX)
  expect(bytesOnDisk(directory) + sharedBytes).toBeLessThanOrEqual(BYTES_MAX)
  expect(bytesOnDisk(directory)).toBeLessThan(alone - (150 << 10))
})

test('files beside it that outgrow everything leave the log half of its limit', async () => {
  const directory = temporaryDirectory()
  const options = { bytesMax: BYTES_MAX, segmentBytes: 32 << 10, sharedBytes: () => 1e12 }
  const { log } = await openLog(directory, options)
  await log.reader('nobody')
  await fillMany(log, 2000)
  expect(bytesOnDisk(directory)).toBeGreaterThan(BYTES_MAX * 0.35)
  expect(bytesOnDisk(directory)).toBeLessThanOrEqual(BYTES_MAX / 2)
  await expect(log.append([Buffer.alloc(BYTES_MAX / 2 - 1000)])).rejects.toMatchObject({
    code: 'LOG_FULL'
  })
  await expect(log.append([Buffer.alloc(200_000)])).resolves.toBeGreaterThan(0)
})
