import { expect, test } from 'vitest'
import { DurableLog } from '../../../core/log/log.ts'
import { FRAMES_POSITION, segmentName } from '../../../core/log/segment.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { FaultDisk, type Incarnation } from '../../kit/fault-disk.ts'

const DIRECTORY = '/data/log'
const FRAME_BYTES = 116

function open(disk: Incarnation): Promise<DurableLog> {
  return DurableLog.open({
    directory: DIRECTORY,
    logger: silentLogger,
    bytesMax: 1 << 20,
    overflow: 'drop_oldest',
    sync: 'group',
    checkpointIntervalMs: 0,
    disk
  })
}

/** Opens over a process that dies at the given step; resolves either way. */
async function openAndDie(disk: FaultDisk, crashAt: number): Promise<'opened' | 'died'> {
  let settled = false
  const incarnation = disk.boot(undefined, crashAt)
  const opening = open(incarnation).then(() => {
    settled = true
  })
  while (!settled && !incarnation.dead) await new Promise(resolve => setImmediate(resolve))
  if (settled) await opening
  return settled ? 'opened' : 'died'
}

for (const kind of ['process', 'power'] as const) {
  for (const damagedFrame of [0, 4]) {
    test(`a recovery of frame ${damagedFrame} that dies at any step (${kind}) still ends in a new epoch`, async () => {
      for (let crashAt = 1; ; crashAt++) {
        const disk = new FaultDisk({ prng: new Prng(crashAt) })
        const first = await open(disk.boot())
        for (let n = 0; n < 5; n++) await first.append([Buffer.alloc(100, n)])
        const { epoch } = first.status
        disk.reboot('process')
        for (let frame = damagedFrame; frame < 5; frame++) {
          disk.rot(`${DIRECTORY}/${segmentName(0)}`, FRAMES_POSITION + frame * FRAME_BYTES + 50)
        }
        const outcome = await openAndDie(disk, crashAt)
        disk.reboot(kind)
        const again = await open(disk.boot())
        expect(again.status.epoch, `died at step ${crashAt}`).not.toBe(epoch)
        expect(again.status.end).toBe(damagedFrame)
        if (outcome === 'opened') {
          expect(crashAt).toBeGreaterThan(20)
          return
        }
      }
    })
  }
}

test('an orderly stop and start leaves epoch and segment as they were', async () => {
  const disk = new FaultDisk({ prng: new Prng(1) })
  const first = await open(disk.boot())
  await first.append([Buffer.from('a')])
  await first.close()
  disk.reboot('power')
  const again = await open(disk.boot())
  expect(again.status).toMatchObject({ epoch: first.status.epoch, end: 1, segments: 1 })
})

test('a second process sees what the page cache kept, and power loss takes only what was not synced', async () => {
  const disk = new FaultDisk({ prng: new Prng(1) })
  const incarnation = disk.boot()
  await incarnation.makeDirectory('/d')
  const file = await incarnation.open('/d/f', 'create')
  await file.write(Buffer.from('synced'), 0)
  await file.sync()
  await incarnation.syncDirectory('/d')
  await file.write(Buffer.from('-lost?'), 6)
  disk.reboot('process')
  expect(disk.sizes('/d').get('f')).toBe(12)
  const outcomes = new Set<number>()
  for (let seed = 0; seed < 50; seed++) {
    const other = new FaultDisk({ prng: new Prng(seed) })
    const process = other.boot()
    await process.makeDirectory('/d')
    const written = await process.open('/d/f', 'create')
    await written.write(Buffer.from('synced'), 0)
    await written.sync()
    await process.syncDirectory('/d')
    await written.write(Buffer.from('-lost?'), 6)
    other.reboot('power')
    outcomes.add(other.sizes('/d').get('f')!)
  }
  expect([...outcomes].sort((a, b) => a - b)).toEqual([6, 12])
})
