import { expect, test } from 'vitest'
import { useOwnKafka } from '../../kit/kafka.ts'
import { type FarKafka, laneOver, startFarKafka } from './link-kit.ts'

let far: FarKafka
useOwnKafka(async () => {
  far = await startFarKafka()
  return far
})

const BYTES_PER_SECOND = 1_000_000
/** Once the batch has grown. */
const SECONDS = 15

test.each([
  // With nothing else on the machine 0.8 and 0.6; what the machine does between sends counts here.
  ['at_least_once', 0.6],
  ['exactly_once', 0.45]
] as const)(
  '%s: of a far link (200 ms, 1 MB/s) a backlog uses at least %f',
  async (mode, share) => {
    const topic = await far.newTopic()
    await far.link.set({ kind: 'open', bytesPerSecond: BYTES_PER_SECOND, roundTripMs: 200 })
    const { lane, reader } = laneOver(far, mode, topic, 200_000)
    const startedAt = performance.now()
    void lane.start()
    await expect.poll(() => reader.committed, { timeout: 60_000 }).toBeGreaterThan(6_000)
    const grownMs = Math.round(performance.now() - startedAt)
    const [from, since] = [far.link.bytesUp, performance.now()]
    await new Promise(resolve => setTimeout(resolve, SECONDS * 1000))
    const used = (far.link.bytesUp - from) / ((performance.now() - since) / 1000) / BYTES_PER_SECOND
    await far.link.set({ kind: 'open' })
    await lane.stop(0)
    process.stdout.write(
      `${mode}: ${used.toFixed(3)} of the link; 6,000 records after ${grownMs} ms\n`
    )
    expect(used).toBeGreaterThan(share)
  },
  120_000
)
