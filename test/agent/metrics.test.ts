import { expect, test } from 'vitest'
import { registerLogMetrics } from '../../agent/metrics.ts'
import { Metrics } from '../../core/runtime/metrics.ts'
import { fill, openLog } from '../core/log/open-log.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

function values(text: string): Record<string, number> {
  const lines = text.split('\n').filter(line => line.startsWith('fieldline_'))
  return Object.fromEntries(
    lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))])
  )
}

test('bytes appended, bytes really written, syncs and the wear they project are told by lane', async () => {
  let now = 0
  const clock = { now: () => now, monotonic: () => now }
  const telemetry = await openLog(temporaryDirectory(), { clock })
  const alerts = await openLog(temporaryDirectory(), { clock })
  const metrics = new Metrics()
  registerLogMetrics(metrics, { telemetryLog: telemetry.log, alertLog: alerts.log })
  const before = values(await metrics.text())
  await fill(telemetry.log, 10)
  const after = values(await metrics.text())
  const grown = (name: string, lane: string) => {
    const key = `fieldline_log_${name}{lane="${lane}"}`
    return after[key] - before[key]
  }
  expect(grown('appended_records_total', 'telemetry')).toBe(10)
  expect(grown('appended_bytes_total', 'telemetry')).toBe(3000)
  expect(grown('written_bytes_total', 'telemetry')).toBe(3160)
  expect(grown('written_page_bytes_total', 'telemetry')).toBeGreaterThanOrEqual(10 * 4096)
  expect(grown('syncs_total', 'telemetry')).toBe(10)
  expect(grown('syncs_total', 'alerts')).toBe(0)
  expect(after).not.toHaveProperty(['fieldline_log_wear_bytes_per_day{lane="telemetry"}'])
  now += 3_600_000
  const pages = after['fieldline_log_written_page_bytes_total{lane="telemetry"}']
  const later = values(await metrics.text())
  expect(later['fieldline_log_wear_bytes_per_day{lane="telemetry"}']).toBeCloseTo(pages * 24)
})
