import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { drain, openLog } from './open-log.ts'

const ROUNDS = 25
const SEED = Number(process.env.FIELDLINE_SEED ?? Date.now() % 1_000_000)
const DIST = process.env.FIELDLINE_DIST ?? path.resolve(import.meta.dirname, '../../../dist')

test(`every acknowledged record outlives ${ROUNDS} kills under load (seed ${SEED})`, async () => {
  const program = path.join(DIST, 'test/core/log/kill-child.js')
  expect(fs.existsSync(program), `${program} must be built`).toBe(true)
  const directory = temporaryDirectory()
  const prng = new Prng(SEED)
  const acked = new Map<number, number>()
  for (let round = 0; round < ROUNDS; round++) {
    const args = [program, directory, String(prng.uint32()), String(round * 1_000_000)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    // At an acknowledgement by chance, and then at a moment by chance.
    const killAfter = prng.int(60)
    let seen = 0
    for await (const line of createInterface({ input: child.stdout })) {
      const [first, id, count] = line.split(' ').map(Number)
      if (!line.endsWith('\n') && Number.isNaN(first)) continue
      for (let i = 0; i < count; i++) {
        expect(acked.has(first + i), `offset ${first + i} is given away twice`).toBe(false)
        acked.set(first + i, id + i)
      }
      if (seen++ === killAfter) setTimeout(() => child.kill('SIGKILL'), prng.float() * 5)
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    expect(child.signalCode).toBe('SIGKILL')
  }
  const { log } = await openLog(directory, { bytesMax: 64 << 20 })
  const ids = new Set((await drain(log, await log.reader('any'))).map(Number))
  const lost = [...acked.values()].filter(id => !ids.has(id))
  expect(lost).toEqual([])
  expect(acked.size).toBeGreaterThan(ROUNDS)
  expect(log.status.counters.damaged).toBe(0)
}, 120_000)
