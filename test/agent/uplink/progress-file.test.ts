import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ProgressFile } from '../../../agent/uplink/progress-file.ts'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import { createLogger, silentLogger } from '../../../core/runtime/log.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-progress-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

const file = () => path.join(directory, 'progress', 'telemetry')
const at = (offset: number) => ({ epoch: '3-9f2c03d1a7b4e655', offset })

test('the newest of the cursors saved is found again', async () => {
  const first = new ProgressFile(nodeDisk, file(), silentLogger)
  expect(await first.load()).toBeUndefined()
  for (const offset of [999_999, 1_000_000, 7]) first.save(at(offset))
  await first.close()
  const second = new ProgressFile(nodeDisk, file(), silentLogger)
  expect(await second.load()).toEqual(at(7))
  await second.close()
})

test('a damaged file is no cursor, and is written over', async () => {
  const progress = new ProgressFile(nodeDisk, file(), silentLogger)
  progress.save(at(41))
  await progress.close()
  const text = fs.readFileSync(file(), 'latin1')
  for (const damaged of ['', text.slice(0, 20), text.replace('41', '42'), '\0'.repeat(128)]) {
    fs.writeFileSync(file(), damaged)
    const again = new ProgressFile(nodeDisk, file(), silentLogger)
    expect(await again.load()).toBeUndefined()
    again.save(at(43))
    await again.close()
    const last = new ProgressFile(nodeDisk, file(), silentLogger)
    expect(await last.load()).toEqual(at(43))
    await last.close()
  }
})

test('a place that cannot be written is told once and stops nothing', async () => {
  const lines: string[] = []
  fs.writeFileSync(path.join(directory, 'progress'), 'a file where a directory should be')
  const logger = createLogger('warn', line => lines.push(line))
  const progress = new ProgressFile(nodeDisk, file(), logger)
  expect(await progress.load()).toBeUndefined()
  progress.save(at(1))
  await progress.close()
  expect(lines.length).toBe(1)
})
