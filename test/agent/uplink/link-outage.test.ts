import { expect, test } from 'vitest'
import { readTopic, useOwnKafka } from '../../kit/kafka.ts'
import type { LinkState } from '../../kit/link-proxy.ts'
import { MODES } from './delivery-kit.ts'
import { type FarKafka, laneOver, startFarKafka } from './link-kit.ts'

let far: FarKafka
useOwnKafka(async () => {
  far = await startFarKafka()
  return far
})

/*
 * Both modes over one link. Where connections are never told of their end only a deadline of our own
 * finds out; nothing is repeated, also not at_least_once, as its producer stays the same.
 */
test.each([
  ['refused', 6_000, 5_000],
  ['reset', 6_000, 5_000],
  // Longer than the deadline, so that what hangs was begun in the outage; and shorter.
  ['black_hole', 13_000, 15_000],
  ['half_open', 13_000, 15_000],
  ['half_open', 2_000, 15_000]
] as const)(
  'after an outage (%s, %i ms) records flow again within %i ms, each once and in order',
  async (kind, outageMs, recoveryMsMax) => {
    await far.link.set({ kind: 'open' })
    const lanes = await Promise.all(
      MODES.map(async mode => {
        const topic = await far.newTopic(1)
        return { mode, topic, ...laneOver(far, mode, topic, 10) }
      })
    )
    for (const { lane } of lanes) void lane.start()
    const committed = () => Math.min(...lanes.map(({ reader }) => reader.committed))
    const all = () => lanes[0].reader.end
    await expect.poll(committed, { timeout: 30_000 }).toBe(10)
    const trickle = setInterval(() => {
      for (const { reader } of lanes) reader.append(1)
    }, 20)
    await expect.poll(committed).toBeGreaterThan(30)
    await far.link.set({ kind } as LinkState)
    await new Promise(resolve => setTimeout(resolve, outageMs))
    const before = lanes.map(({ reader }) => reader.committed)
    await far.link.set({ kind: 'open' })
    const openedAt = performance.now()
    const recoveries = await Promise.all(
      lanes.map(async ({ mode, reader }, n) => {
        const poll = { timeout: 60_000, interval: 20 }
        await expect.poll(() => reader.committed, poll).toBeGreaterThan(before[n])
        return `${mode} ${Math.round(performance.now() - openedAt)} ms`
      })
    )
    const recoveredMs = performance.now() - openedAt
    clearInterval(trickle)
    process.stdout.write(`${kind}: recovered after ${recoveries.join(', ')}\n`)
    await expect.poll(committed, { timeout: 30_000 }).toBe(all())
    for (const { topic, lane } of lanes) {
      await lane.stop(1000)
      const records = await readTopic(far.brokers, topic, { until: all() })
      const offsets = records.map(({ headers }) => Number(headers['fl-id'].split('/')[2]))
      expect(offsets).toEqual(Array.from({ length: all() }, (_, n) => n))
    }
    expect(recoveredMs).toBeLessThan(recoveryMsMax)
  },
  120_000
)
