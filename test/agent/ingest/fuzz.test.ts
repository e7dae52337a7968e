import { expect, test } from 'vitest'
import { fuzz } from '../../fuzz/fuzz.ts'

const SEED = 8

test(`20,000 malformed packets crash nothing, leave nothing behind and disturb nobody (seed ${SEED})`, async () => {
  const report = await fuzz({ seed: SEED, packets: 20_000 })
  expect(report.faults).toEqual([])
  expect(report.left).toEqual({ clients: 0, subscriptions: 0, budgetBytes: 0 })
  expect(report.honest).toBeGreaterThan(10)
  expect(report.malformed).toBeGreaterThan(500)
  expect(report.stored).toBeGreaterThan(1000)
  expect(report.heapBytes[1] - report.heapBytes[0]).toBeLessThan(20 << 20)
})
