import { expect, test } from 'vitest'
import { benchFleet, type FleetRow } from './fleet.ts'
import { fleetPlan } from './fleet-plan.ts'
import { parseOptions } from './options.ts'

test('every case is dealt to the same number of devices, give or take one', () => {
  const { plan, cases } = fleetPlan(100, 1)
  expect(plan.labels()).toHaveLength(300)
  const counts = new Map<string, number>()
  for (const { name } of cases) counts.set(name, (counts.get(name) ?? 0) + 1)
  expect(Math.max(...counts.values()) - Math.min(...counts.values())).toBeLessThanOrEqual(1)
  for (const [i, label] of plan.labels().entries()) {
    expect(label.kind).toBe(cases[i].kind)
    expect((label.to - label.from) / 60_000).toBe(cases[i].readings)
  }
})

test('ten devices show stuck sensors, silences and large spikes, with few false alerts', async () => {
  const result = (await benchFleet({ ...parseOptions([]), scale: 0.01 })) as {
    rows: FleetRow[]
    falseAlerts: { faultyWeek: number; byKind: Record<string, number> }
  }
  const sure = /stuck|silence|(8|10|12) σ, one/
  for (const row of result.rows.filter(({ name }) => sure.test(name))) {
    expect(row.faults, row.name).toBeGreaterThan(0)
    expect(row.recall, row.name).toBe(1)
  }
  expect(result.falseAlerts.faultyWeek).toBeLessThanOrEqual(1)
  expect(Object.keys(result.falseAlerts.byKind).filter(kind => kind !== 'anomaly')).toEqual([])
})
