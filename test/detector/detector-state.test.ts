import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { silentLogger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import { StateChunks } from '../../detector/state-chunks.ts'
import { detectorConfig, reading, T0 } from './kit.ts'

const CHANGES: Partial<DetectorConfig> = { onDelay: { readings: 2, of: 3 } }

function detectorOf(changes: Partial<DetectorConfig> = CHANGES): Detector {
  const options = { source: '/fieldline/gateway-7', logger: silentLogger }
  return new Detector(detectorConfig(changes), options)
}

/** Devices of several sites and agents, metrics that come and go, spikes, gaps, strange names. */
function randomReadings(seed: number, count: number): DetectorReading[] {
  const prng = new Prng(seed)
  const names = ['pump-1', 'Öl 2', '温度', 'x', '\ud800', 'line/3/🌡']
  const metrics = ['temperature', 'p', '\udc00', 'flow_rate', '']
  return Array.from({ length: count }, (_, i) => {
    const values: Record<string, number> = {}
    for (const metric of metrics) {
      if (prng.chance(0.6)) values[metric] = 20 + prng.normal() + (prng.chance(0.02) ? 30 : 0)
    }
    const site = `plant${prng.int(3)}`
    const agentId = `gateway-${prng.int(2)}`
    return reading(i, names[prng.int(names.length)], T0 + i * 700, values, { site, agentId })
  })
}

async function stateOf(seed: number, count: number): Promise<Buffer> {
  const detector = detectorOf()
  await detector.process(randomReadings(seed, count))
  return detector.snapshot()
}

/** As if it had been written so. */
function mended(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32(bytes.subarray(12)), 8)
  return bytes
}

for (const seed of [1, 2, 3]) {
  test(`a restored state is the same bytes, and goes on to the same bytes (seed ${seed})`, async () => {
    for (const count of [0, 1, 50, 700]) {
      const first = detectorOf()
      await first.process(randomReadings(seed, count))
      const state = first.snapshot()
      expect(first.snapshot().equals(state)).toBe(true)
      const second = detectorOf()
      expect(second.restore(state)).toBe(true)
      expect(second.snapshot().equals(state)).toBe(true)
      const rest = randomReadings(seed + 10, 300).map(r => ({ ...r, offset: r.offset + count }))
      expect(await second.process(rest)).toEqual(await first.process(rest))
      expect(second.snapshot().equals(first.snapshot())).toBe(true)
    }
  })

  test(`a state cut anywhere is refused, with a right checksum, too (seed ${seed})`, async () => {
    const state = await stateOf(seed, 60)
    const detector = detectorOf()
    const prng = new Prng(seed)
    const lengths = [0, 1, 7, 8, 12, 15, 16, 17, state.length - 1, state.length - 4]
    for (let i = 0; i < 300; i++) lengths.push(prng.int(state.length))
    for (const length of lengths) {
      const cut = Buffer.from(state.subarray(0, length))
      expect(detector.restore(cut), `${length}`).toBe(false)
      if (length >= 16) expect(detector.restore(mended(cut)), `mended ${length}`).toBe(false)
      expect(detector.counters().series).toBe(0)
    }
    const longer = mended(Buffer.concat([state, Buffer.alloc(4)]))
    expect(detector.restore(longer)).toBe(false)
    expect(detector.restore(state)).toBe(true)
  })

  test(`flipped bits are refused, and with a right checksum never a crash (seed ${seed})`, async () => {
    const state = await stateOf(seed, 120)
    const prng = new Prng(seed)
    let refused = 0
    for (let i = 0; i < 400; i++) {
      const flipped = Buffer.from(state)
      // Behind the JSON, whose content is checked by nothing else.
      const first = 16 + state.readUInt32LE(12)
      flipped[first + prng.int(state.length - first)] ^= 1 << prng.int(8)
      expect(detectorOf().restore(flipped)).toBe(false)
      const detector = detectorOf()
      if (!detector.restore(mended(flipped))) refused++
      const more = randomReadings(seed, 20).map(r => ({ ...r, offset: r.offset + 1000 }))
      await detector.process(more)
      // What was flipped may have made numbers beyond all bounds of it: refused, then.
      detectorOf().restore(detector.snapshot())
    }
    expect(refused).toBeGreaterThan(0)
  })
}

test('a state of another format is refused, and one of another scorer keeps its open alerts', async () => {
  const state = await stateOf(4, 700)
  const text = state.toString('latin1')
  expect(text).toContain('"format":4')
  const older = mended(Buffer.from(text.replace('"format":4', '"format":3'), 'latin1'))
  const detector = detectorOf()
  expect(detector.restore(older)).toBe(false)
  expect(detector.openAlerts()).toEqual([])
  const before = detectorOf()
  expect(before.restore(state)).toBe(true)
  const other = detectorOf({ ...CHANGES, scorer: 'zscore' })
  expect(other.restore(state)).toBe(false)
  expect(other.openAlerts()).toEqual(before.openAlerts())
})

test('what was not heard since the last time is not written again', async () => {
  const detector = detectorOf({ seriesMax: 10_000 })
  const prng = new Prng(1)
  const devices = (from: number, count: number, at: number) =>
    Array.from({ length: count }, (_, i) => {
      const values = { temperature: 20 + prng.normal(), current: 3 + prng.normal() }
      return reading(at + i, `motor-${from + i}`, T0 + at * 100 + i, values)
    })
  for (let round = 0; round < 5; round++) await detector.process(devices(0, 1000, round * 1000))
  const chunks = new StateChunks('g/t/#0')
  const place = { position: 0, watermark: null }
  const bytesOf = (records: ReturnType<StateChunks['write']>) =>
    records.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
  const all = bytesOf(chunks.write(detector.snapshot(), place))
  expect(bytesOf(chunks.write(detector.snapshot(), place))).toBeLessThan(5000)
  await detector.process(devices(300, 50, 5000))
  expect(bytesOf(chunks.write(detector.snapshot(), place))).toBeLessThan(all / 4)
})
