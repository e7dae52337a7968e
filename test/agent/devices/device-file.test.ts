import { expect, test } from 'vitest'
import { DEVICE_FILE, DeviceFile, type DeviceState } from '../../../agent/devices/device-file.ts'
import { DeviceRegistry } from '../../../agent/devices/device-registry.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { FaultDisk } from '../../kit/fault-disk.ts'

const T0 = 1_795_336_000_000

function stateOf(devices: number, offset = devices): DeviceState {
  const registry = new DeviceRegistry(devices)
  for (let n = 0; n < devices; n++) {
    registry.see({
      ...{ site: 'plant7', device: `d${n}`, topic: `telemetry/plant7/d${n}`, clientId: 'c' },
      ...{ upstream: false, receivedAt: T0 + n, unsynced: false }
    })
    const values = [{ metric: 'temperature', value: n, unit: '°C' }]
    registry.keep('plant7', `d${n}`, [{ values }], T0 + n)
  }
  const position = { epoch: '1-9f2c03d1a7b4e655', offset }
  return { savedAt: T0, position, ...registry.snapshot() }
}

async function fresh(seed = 1): Promise<FaultDisk> {
  const disk = new FaultDisk({ prng: new Prng(seed) })
  await disk.boot().makeDirectory('/data')
  return disk
}

test('what was saved is loaded, and a missing file is absent', async () => {
  const disk = (await fresh()).boot()
  const file = new DeviceFile(disk, '/data')
  expect(await file.load()).toEqual({ kind: 'absent' })
  const state = stateOf(600)
  expect(await file.save(state)).toBe(0)
  expect(await file.load()).toEqual({ kind: 'valid', state })
})

test('a crash at any step of a save leaves the one before or the one after, whole', async () => {
  const [before, after] = [stateOf(3), stateOf(5)]
  for (const kind of ['process', 'power'] as const) {
    for (let step = 1; ; step++) {
      const disk = await fresh(step)
      await new DeviceFile(disk.boot(), '/data').save(before)
      const dying = disk.boot(undefined, step)
      const saved = new DeviceFile(dying, '/data').save(after).then(() => 'saved')
      const outcome = await Promise.race([saved, new Promise(r => setTimeout(r, 20))])
      disk.reboot(kind)
      const found = await new DeviceFile(disk.boot(), '/data').load()
      expect(found.kind, `${kind}, step ${step}`).toBe('valid')
      if (found.kind !== 'valid') return
      expect([3, 5]).toContain(found.state.devices.length)
      if (outcome !== 'saved') continue
      expect(found.state).toEqual(after)
      expect(step).toBeGreaterThan(5)
      break
    }
  }
})

test('any changed byte is found', async () => {
  for (let position = 0; position < 200; position += 7) {
    const disk = await fresh(position)
    await new DeviceFile(disk.boot(), '/data').save(stateOf(2))
    disk.rot(`/data/${DEVICE_FILE}`, position)
    const { kind } = await new DeviceFile(disk.boot(), '/data').load()
    expect(kind, `byte ${position}`).toBe('damaged')
  }
})

test('within its limit values go first, then those unheard for longest; what is left is whole', async () => {
  const disk = await fresh()
  const bytesMax = 20_000
  const file = new DeviceFile(disk.boot(), '/data', bytesMax)
  const state = stateOf(200)
  const left = await file.save(state)
  expect(disk.sizes('/data').get(DEVICE_FILE)).toBeLessThanOrEqual(bytesMax)
  const found = await file.load()
  if (found.kind !== 'valid') throw new Error(found.kind)
  const { devices } = found.state
  expect(devices.length).toBe(200 - left)
  expect(left).toBeGreaterThan(0)
  expect(devices.map(({ device }) => device)).toEqual(
    state.devices.slice(0, devices.length).map(({ device }) => device)
  )
  expect(devices[0].values).toHaveLength(1)
  expect(devices.at(-1)?.values).toEqual([])
})
