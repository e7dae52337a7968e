import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import type { Agent } from '../../agent/agent.ts'
import { registerAgentMetrics, registerLogMetrics } from '../../agent/metrics.ts'
import { Metrics } from '../../core/runtime/metrics.ts'
import { fill, openLog } from '../core/log/open-log.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const DESIGN = path.resolve(import.meta.dirname, '../../agent/DESIGN.md')

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

test('every metric has a name as Prometheus has them, a help text, and a line in the document', async () => {
  const { log } = await openLog(temporaryDirectory())
  const metrics = new Metrics()
  const agent = {
    telemetryLog: log,
    alertLog: log,
    intake: { counters: { stored: [0, 0, 0], refused: 0 } },
    alertSinks: { status: [] },
    ready: true,
    // Each part of it is empty.
    status: new Proxy({}, { get: () => ({}) })
  }
  registerAgentMetrics(metrics, agent as unknown as Agent)
  const text = await metrics.text()
  const document = fs.readFileSync(DESIGN, 'utf8')
  const types = [...text.matchAll(/^# TYPE (fieldline_\w+) (\w+)$/gm)]
  expect(types.length).toBeGreaterThan(15)
  for (const [, name, type] of types) {
    expect(name.endsWith('_total'), name).toBe(type === 'counter')
    if (type === 'histogram') expect(name).toMatch(/_(seconds|bytes)$/)
    expect(text).toMatch(new RegExp(`^# HELP ${name} \\S.*\\.$`, 'm'))
    expect(document.includes(`\`${name}\``), `${name} in agent/DESIGN.md, Metrics`).toBe(true)
  }
})
