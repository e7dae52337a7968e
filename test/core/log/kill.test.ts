import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { SyncMode } from '../../../core/log/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { KillHistory } from './kill-history.ts'
import { idOf } from './kill-payload.ts'
import { openLog } from './open-log.ts'

const ROUNDS = Number(process.env.FIELDLINE_KILLS ?? 240)
const SEED = Number(process.env.FIELDLINE_SEED ?? Date.now() % 1_000_000)
const DIST = process.env.FIELDLINE_DIST ?? path.resolve(import.meta.dirname, '../../../dist')
const PROGRAM = path.join(DIST, 'test/core/log/kill-child.js')
/** Side by side, each with a directory of its own. A kill takes nothing that was written. */
const WORLDS: SyncMode[] = ['group', 'group', 'interval', 'never']

test(`nothing acknowledged is lost, repeated or out of place over ${ROUNDS} kills under load (seed ${SEED})`, async () => {
  expect(fs.existsSync(PROGRAM), `${PROGRAM} must be built`).toBe(true)
  const rounds = Math.ceil(ROUNDS / WORLDS.length)
  const worlds = await Promise.all(
    WORLDS.map((sync, index) => runWorld(sync, rounds, new Prng(SEED + index)))
  )
  expect(worlds.flatMap(world => world.violations)).toEqual([])
  for (const { acked } of worlds) expect(acked.size).toBeGreaterThan(rounds)
}, 600_000)

async function runWorld(sync: SyncMode, rounds: number, prng: Prng): Promise<KillHistory> {
  const directory = temporaryDirectory()
  const history = new KillHistory()
  for (let round = 0; round < rounds && history.violations.length === 0; round++) {
    await runLife(history, prng, [directory, String(prng.uint32()), String(round * 1e6), sync])
  }
  const { log } = await openLog(directory, { bytesMax: 16 << 20, sync })
  const reader = await log.reader('uplink')
  history.begin(reader.position.offset)
  const stop = AbortSignal.abort()
  for (;;) {
    const batch = await reader.read({ bytesMax: 1 << 20, signal: stop })
    if (!batch) break
    for (const record of batch.records) {
      history.read(record.epoch, record.offset, idOf(record.payload))
    }
  }
  history.end()
  expect(log.status.counters.damaged).toBe(0)
  return history
}

/** One child, killed while it recovers, or after some lines and then at a moment by chance. */
async function runLife(history: KillHistory, prng: Prng, args: string[]): Promise<void> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const kill = () => void child.kill('SIGKILL')
  onTestFinished(kill)
  const early = prng.chance(0.1) ? setTimeout(kill, 30 + prng.float() * 60) : undefined
  const killAfter = prng.int(prng.pick([20, 200, 1500]))
  let seen = 0
  let text = ''
  child.stdout.setEncoding('latin1').on('data', (part: string) => {
    const lines = (text + part).split('\n')
    text = lines.pop()!
    for (const line of lines) history.take(line)
    if (seen <= killAfter && seen + lines.length > killAfter) setTimeout(kill, prng.float() * 5)
    seen += lines.length
  })
  await new Promise(resolve => child.once('close', resolve))
  clearTimeout(early)
  expect(child.signalCode).toBe('SIGKILL')
}
