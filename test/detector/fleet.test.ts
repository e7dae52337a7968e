import { expect, test } from 'vitest'
import { detectorSchema } from '../../detector/config.ts'
import { FleetPlan } from '../../firmware-sim/plan.ts'
import { runFleet } from './fleet-run.ts'
import { detectorConfig, T0 } from './kit.ts'

const SEED = 1
const DAY = 86_400_000

const FLEET = { metrics: 3, seed: SEED, site: 'plant7', prefix: 'd', startAt: T0, timeScale: 1 }

test.each(['auto', 'zscore'] as const)(
  `a simulated fleet's faults are found by %s and its health believed (seed ${SEED})`,
  async scorer => {
    const plan = new FleetPlan({
      ...{ ...FLEET, devices: 100, intervalMs: 500, durationMs: 300_000 },
      faults: { deviceShare: 0.6, perDevice: 1, warmUpMs: 20_000 }
    })
    const run = await runFleet(plan, detectorConfig({ scorer }), 15_000)
    for (const kind of ['spike', 'shift', 'silence']) {
      const { count, found } = run.faults(kind)
      expect(count).toBeGreaterThan(3)
      expect(found, kind).toBeGreaterThanOrEqual(kind === 'spike' ? 1 : 0.8)
    }
    // A wrong clock and doubled messages are no anomaly of what is measured.
    expect(run.unexplained.filter(({ data }) => data.kind === 'silent')).toEqual([])
    expect((run.unexplained.length / run.scored) * 1e4).toBeLessThan(1)
  }
)

test(`after two weeks of a reading a minute, faults are found with less than a false alert a device and week (seed ${SEED})`, async () => {
  const devices = 25
  const plan = new FleetPlan({
    ...{ ...FLEET, devices, intervalMs: 60_000, durationMs: 21 * DAY },
    faults: { deviceShare: 0.6, perDevice: 3, warmUpMs: 14 * DAY }
  })
  const run = await runFleet(plan, detectorSchema.parse({}), 3_600_000)
  for (const kind of ['spike', 'shift', 'drift', 'stuck', 'silence']) {
    const { count, found } = run.faults(kind)
    expect(count).toBeGreaterThan(3)
    expect(found, kind).toBeGreaterThanOrEqual(0.95)
  }
  const lastWeek = run.unexplained.filter(({ when }) => when >= T0 + 14 * DAY)
  expect(lastWeek.length / devices).toBeLessThan(0.6)
})
