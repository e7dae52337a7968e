import { expect, test } from 'vitest'
import { useOwnKafka } from '../../kit/kafka.ts'
import { MODES } from './delivery-kit.ts'
import { type FarKafka, laneOver, startFarKafka } from './link-kit.ts'

let far: FarKafka
useOwnKafka(async () => {
  far = await startFarKafka()
  return far
})

/** Of each alert, one after the other. */
const ALERTS = 5

test.each(MODES)(
  '%s: an alert passes a backlog of 200,000 readings on a link of 10 kB/s within 10 s',
  async mode => {
    const [telemetryTopic, alertTopic] = [await far.newTopic(), await far.newTopic()]
    await far.link.set({ kind: 'open', bytesPerSecond: 10_000, roundTripMs: 50 })
    const telemetry = laneOver(far, mode, telemetryTopic, 200_000)
    const alerts = laneOver(far, mode, alertTopic, 0)
    void telemetry.lane.start()
    void alerts.lane.start()
    // The backlog is on its way at the size that the link is good for.
    await expect.poll(() => telemetry.reader.committed, { timeout: 60_000 }).toBeGreaterThan(60)
    await expect.poll(() => alerts.lane.state.kind, { timeout: 60_000 }).toBe('streaming')
    const waits: number[] = []
    for (let n = 1; n <= ALERTS; n++) {
      const raisedAt = performance.now()
      alerts.reader.append(1)
      await expect.poll(() => alerts.reader.committed, { timeout: 60_000, interval: 20 }).toBe(n)
      waits.push(Math.round(performance.now() - raisedAt))
    }
    process.stdout.write(`${mode}: alerts passed in ${waits.join(', ')} ms\n`)
    expect(Math.max(...waits)).toBeLessThan(10_000)
    await far.link.set({ kind: 'open' })
    await Promise.all([telemetry.lane.stop(0), alerts.lane.stop(0)])
  },
  180_000
)
