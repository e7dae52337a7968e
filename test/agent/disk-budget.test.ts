import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { DiskBudget } from '../../agent/disk-budget.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const MIB = 1 << 20

test('alert log, snapshots and states of sinks are counted, as files come, grow and go', async () => {
  const data = temporaryDirectory()
  const budget = new DiskBudget({ data, bytesMax: 64 * MIB, alertBytesMax: 16 * MIB })
  await budget.look()
  expect(budget.sharedBytes).toBe(0)
  budget.alertLog = { status: { bytes: 1000 } } as unknown as DiskBudget['alertLog']
  const directory = path.join(data, 'detector')
  fs.mkdirSync(directory)
  fs.writeFileSync(path.join(directory, 'edge.snapshot'), Buffer.alloc(500))
  fs.writeFileSync(path.join(directory, 'edge.snapshot.new'), Buffer.alloc(700))
  await budget.look()
  expect(budget.sharedBytes).toBe(2200)
  fs.rmSync(path.join(directory, 'edge.snapshot.new'))
  await budget.look()
  expect(budget.sharedBytes).toBe(1500)
  fs.rmSync(directory, { recursive: true })
  await budget.look()
  expect(budget.sharedBytes).toBe(1000)
  fs.mkdirSync(path.join(data, 'alert-sinks'))
  fs.writeFileSync(path.join(data, 'alert-sinks', 'mqtt.json'), Buffer.alloc(40))
  await budget.look()
  expect(budget.sharedBytes).toBe(1040)
})

test('of a small limit neither alerts nor snapshots take more than their share', () => {
  const data = temporaryDirectory()
  const small = new DiskBudget({ data, bytesMax: 4 * MIB, alertBytesMax: 16 * MIB })
  expect(small.alertBytesMax).toBe(MIB)
  expect(small.snapshotBytesMax).toBe(MIB / 2)
  const large = new DiskBudget({ data, bytesMax: 1024 * MIB, alertBytesMax: 16 * MIB })
  expect(large.alertBytesMax).toBe(16 * MIB)
})
