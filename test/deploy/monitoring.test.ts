import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import type { Agent } from '../../agent/agent.ts'
import { registerAgentMetrics } from '../../agent/metrics.ts'
import { Metrics } from '../../core/runtime/metrics.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import type { CentralDetector } from '../../detector/central-detector.ts'
import { registerDetectorMetrics } from '../../detector/central-metrics.ts'

const deploy = path.join(packageRoot(), 'deploy')
const rules = path.join(deploy, 'prometheus')
const promtool = spawnSync('promtool', ['--version']).error === undefined
if (!promtool) process.stderr.write('promtool: skipped, it is not installed\n')

/** Names that a scrape can show; histograms with the suffixes of their series. */
const known = new Set<string>()

beforeAll(async () => {
  const recorder = new Proxy(
    {},
    {
      get: (_, kind) => (name: string) => {
        const suffixes = kind === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
        for (const suffix of suffixes) known.add(name + suffix)
      }
    }
  )
  // Registering looks at nothing yet.
  const agent = { intake: {} } as unknown as Agent
  registerAgentMetrics(recorder as Metrics, agent)
  registerDetectorMetrics(recorder as Metrics, {} as CentralDetector)
  for (const [, name] of (await new Metrics().text()).matchAll(/^# TYPE (\S+)/gm)) known.add(name)
})

function namesIn(text: string): string[] {
  return [...new Set(text.match(/\b(fieldline|process|nodejs)_[a-z][a-z0-9_]+/g))]
}

test('the dashboard shows metrics that exist', () => {
  const dashboard = JSON.parse(fs.readFileSync(path.join(deploy, 'grafana/fieldline.json'), 'utf8'))
  const expressions = dashboard.panels.flatMap((panel: { targets?: { expr: string }[] }) =>
    (panel.targets ?? []).map(({ expr }) => expr)
  )
  expect(expressions.length).toBeGreaterThan(20)
  const names = namesIn(expressions.join('\n'))
  expect(names.filter(name => !known.has(name))).toEqual([])
})

test('every panel has a place and a number of its own', () => {
  const { panels } = JSON.parse(
    fs.readFileSync(path.join(deploy, 'grafana/fieldline.json'), 'utf8')
  ) as { panels: { id: number; gridPos: { x: number; y: number; w: number; h: number } }[] }
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  const taken = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`)
  )
  expect(new Set(taken).size).toBe(taken.length)
})

test.each(['alerts.yaml', 'alerts.test.yaml'])('%s speaks of metrics that exist', file => {
  const text = fs.readFileSync(path.join(rules, file), 'utf8')
  expect(namesIn(text).filter(name => !known.has(name))).toEqual([])
})

test('each alert has a line in the document that says what to do', () => {
  const text = fs.readFileSync(path.join(rules, 'alerts.yaml'), 'utf8')
  const document = fs.readFileSync(path.join(deploy, 'OPERATING.md'), 'utf8')
  const names = [...text.matchAll(/- alert: (\w+)/g)].map(([, name]) => name)
  expect(names.length).toBeGreaterThan(10)
  expect(names.filter(name => !document.includes(`\`${name}\``))).toEqual([])
})

test('the document speaks of metrics that exist', () => {
  const document = fs.readFileSync(path.join(deploy, 'OPERATING.md'), 'utf8')
  // A histogram under its one name.
  const exists = (name: string) => known.has(name) || known.has(`${name}_count`)
  expect(namesIn(document).filter(name => !exists(name))).toEqual([])
})

test.skipIf(!promtool).each([
  ['check', 'alerts.yaml'],
  ['test', 'alerts.test.yaml']
])('promtool %s rules %s passes', (command, file) => {
  const { status, stdout, stderr } = spawnSync('promtool', [command, 'rules', file], {
    cwd: rules,
    encoding: 'utf8'
  })
  expect(status, stdout + stderr).toBe(0)
})
