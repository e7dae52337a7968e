import { expect, test } from 'vitest'
import { readTopic, useOwnKafka } from '../../kit/kafka.ts'
import { MODES } from './delivery-kit.ts'
import { type FarKafka, laneOver, startFarKafka } from './link-kit.ts'

let far: FarKafka
useOwnKafka(async () => {
  far = await startFarKafka()
  return far
})

test('on a link of 1 kB/s both modes get on, side by side, without a restart or a repetition', async () => {
  const topics = [await far.newTopic(1), await far.newTopic(1)]
  await far.link.set({ kind: 'open', bytesPerSecond: 1_000, roundTripMs: 100 })
  const lanes = MODES.map((mode, n) => laneOver(far, mode, topics[n], 15))
  const startedAt = performance.now()
  for (const { lane } of lanes) void lane.start()
  for (const { reader } of lanes) {
    await expect.poll(() => reader.committed, { timeout: 150_000 }).toBe(15)
  }
  const troubles = lanes.map(({ states }) => states.flatMap(s => ('code' in s ? [s.code] : [])))
  process.stdout.write(
    `1 kB/s: 2 × 15 records in ${Math.round(performance.now() - startedAt)} ms; ${JSON.stringify(troubles)}\n`
  )
  await far.link.set({ kind: 'open' })
  for (const [n, { lane }] of lanes.entries()) {
    await lane.stop(1000)
    const records = await readTopic(far.brokers, topics[n], { until: 15 })
    expect(records.length).toBe(15)
  }
}, 200_000)
