import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { CERTIFICATE_WARNING_MS } from '../../core/runtime/tls-files.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'
import { scrapeAgent, scrapeDetector } from './scrapes.ts'

const deploy = path.join(packageRoot(), 'deploy')
const rules = path.join(deploy, 'prometheus')
const promtool = spawnSync('promtool', ['--version']).error === undefined
if (!promtool) process.stderr.write('promtool: skipped, it is not installed\n')

interface Metric {
  type: string
  help: string
  /** Of the samples; a metric may have none yet. */
  labels: Set<string>
}

/** What real processes show. */
const scrapes = { agent: '', central: '' }
const shown = { agent: new Map<string, Metric>(), central: new Map<string, Metric>() }
/** Names that a query can use: histograms with the suffixes of their series. */
const known = new Set<string>()

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-metrics-'))
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))

beforeAll(async () => {
  scrapes.agent = await scrapeAgent(directory)
  scrapes.central = await scrapeDetector()
  shown.agent = metricsOf(scrapes.agent)
  shown.central = metricsOf(scrapes.central)
  for (const [name, { type }] of [...shown.agent, ...shown.central]) {
    const suffixes = type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
    for (const suffix of suffixes) known.add(name + suffix)
  }
})

function metricsOf(text: string): Map<string, Metric> {
  const metrics = new Map<string, Metric>()
  for (const [, name, help] of text.matchAll(/^# HELP (\S+) (.*)$/gm)) {
    const type = new RegExp(`^# TYPE ${name} (\\w+)$`, 'm').exec(text)?.[1] ?? 'none'
    metrics.set(name, { type, help, labels: new Set() })
  }
  for (const [, sample, labels] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    const metric = metrics.get(sample) ?? metrics.get(sample.replace(/_(bucket|sum|count)$/, ''))
    if (!metric) throw new Error(`${sample} has no type`)
    for (const [, label] of (labels ?? '').matchAll(/(\w+)="/g)) {
      if (label !== 'le') metric.labels.add(label)
    }
  }
  return metrics
}

function namesIn(text: string): string[] {
  return [...new Set(text.match(/\b(fieldline|process|nodejs)_[a-z][a-z0-9_]+/g))]
}

/** A histogram under its one name, too. */
const exists = (name: string) => known.has(name) || known.has(`${name}_count`)

interface Row {
  name: string
  type: string
  unit: string
  labels: string[]
  from: string[]
  meaning: string
}

function rows(): Row[] {
  const document = fs.readFileSync(path.join(deploy, 'METRICS.md'), 'utf8')
  return [...document.matchAll(/^\| `(\w+)` \|(.*)\|$/gm)].map(([, name, rest]) => {
    const cells = rest.split('|').map(cell => cell.trim())
    expect(cells, name).toHaveLength(6)
    const [type, unit, labels, from, meaning] = cells
    return {
      ...{ name, type, unit, meaning },
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
      from: from.split(', ')
    }
  })
}

test('every metric that a process shows has one line in the document, and every line a metric', () => {
  const described = rows().map(({ name }) => name)
  const all = [...new Set([...shown.agent.keys(), ...shown.central.keys()])]
  expect(described.toSorted()).toEqual(all.toSorted())
})

test('the document says of each metric who shows it, its type, its labels and its unit', () => {
  for (const { name, type, unit, labels, from, meaning } of rows()) {
    const isAll = from.includes('all')
    const inAgent = shown.agent.get(name)
    const inCentral = shown.central.get(name)
    expect(inAgent !== undefined, `${name} from agent`).toBe(
      isAll || from.includes('agent') || from.includes('edge')
    )
    expect(inCentral !== undefined, `${name} from central`).toBe(isAll || from.includes('central'))
    for (const metric of [inAgent, inCentral]) {
      if (!metric) continue
      expect(metric.type, name).toBe(type)
      if (metric.labels.size > 0)
        expect([...metric.labels].toSorted(), name).toEqual(labels.toSorted())
    }
    const base = /_(seconds|bytes)(_max|_total|_per_day)?$/.exec(name)?.[1]
    if (base) expect(unit, name).toContain(base)
    else expect(unit, name).not.toMatch(/seconds|bytes/)
    expect(meaning.length, name).toBeGreaterThan(0)
  }
})

/** Beside those, nothing of ours has only samples that an event brings about. */
const WITHOUT_SAMPLES = [
  'fieldline_dead_letters_total',
  'fieldline_log_wear_bytes_per_day',
  'fieldline_mqtt_certificate_expiry_timestamp_seconds'
]

test('what has labels shows them at once, so that a rate over them is never missing', () => {
  const described = new Map(rows().map(row => [row.name, row.labels]))
  const silent = [...shown.agent]
    .filter(([name, { labels }]) => labels.size === 0 && described.get(name)!.length > 0)
    .map(([name]) => name)
    .filter(name => name.startsWith('fieldline_'))
  // Threads: here all runs in one.
  expect(silent.toSorted()).toEqual(
    [...WITHOUT_SAMPLES, 'fieldline_thread_faults_total'].toSorted()
  )
})

test('names and types are as Prometheus has them', () => {
  const ours = [...shown.agent, ...shown.central].filter(([name]) => name.startsWith('fieldline_'))
  expect(ours.length).toBeGreaterThan(80)
  for (const [name, { type, help, labels }] of ours) {
    expect(name.endsWith('_total'), name).toBe(type === 'counter')
    if (type === 'histogram') expect(name).toMatch(/_(seconds|bytes)$/)
    expect(help, name).toMatch(/\S/)
    expect(name).not.toMatch(/_(ms|kb|mb|percent|count|sum|bucket)(_|$)/)
    const allowed =
      /^(qos|lane|state|mode|stage|reason|route|upstream|listener|sink|kind|severity|result|thread|version|node|hash)$/
    for (const label of labels) expect(label, name).toMatch(allowed)
  }
})

test('no device, topic, client or payload is in a scrape', () => {
  for (const text of Object.values(scrapes)) {
    expect(text).not.toMatch(/plant7|pump-3|temperature|telemetry\//)
  }
})

test.skipIf(!promtool).each(['agent', 'central'] as const)(
  'promtool check metrics passes on the output of a real %s',
  process => {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: scrapes[process],
      encoding: 'utf8'
    })
    expect(stdout + stderr).toBe('')
    expect(status).toBe(0)
  }
)

test('the dashboard shows metrics that exist', () => {
  const dashboard = JSON.parse(fs.readFileSync(path.join(deploy, 'grafana/fieldline.json'), 'utf8'))
  const expressions = dashboard.panels.flatMap((panel: { targets?: { expr: string }[] }) =>
    (panel.targets ?? []).map(({ expr }) => expr)
  )
  expect(expressions.length).toBeGreaterThan(20)
  const text = expressions.join('\n') + JSON.stringify(dashboard.templating)
  expect(namesIn(text).filter(name => !known.has(name))).toEqual([])
})

test.skipIf(!promtool)('every query of the dashboard is one that Prometheus can read', () => {
  const { panels } = JSON.parse(
    fs.readFileSync(path.join(deploy, 'grafana/fieldline.json'), 'utf8')
  ) as { panels: { targets?: { expr: string }[] }[] }
  const queries = panels.flatMap(({ targets }) => (targets ?? []).map(({ expr }) => expr))
  // As recording rules, with what Grafana fills in.
  const asRules = queries.map((query, i) => ({
    record: `panel_${i}`,
    expr: query
      .replaceAll('$instance', '.*')
      .replaceAll(/\$__(rate_interval|range|interval)/g, '5m')
  }))
  const file = path.join(temporaryDirectory(), 'panels.yaml')
  fs.writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules: asRules }] }))
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', file], {
    encoding: 'utf8'
  })
  expect(status, stdout + stderr).toBe(0)
})

test('every panel has a place and a number of its own, and a picture or a number for its unit', () => {
  const { panels } = JSON.parse(
    fs.readFileSync(path.join(deploy, 'grafana/fieldline.json'), 'utf8')
  ) as {
    panels: {
      id: number
      type: string
      title: string
      gridPos: { x: number; y: number; w: number; h: number }
    }[]
  }
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  const taken = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`)
  )
  expect(new Set(taken).size).toBe(taken.length)
  const titles = panels.map(({ type, title }) => `${type} ${title}`)
  expect(new Set(titles).size).toBe(titles.length)
  // What is wrong now comes first.
  expect(titles[0]).toBe('row What is wrong now')
})

test.each(['alerts.yaml', 'alerts.test.yaml'])('%s speaks of metrics that exist', file => {
  const text = fs.readFileSync(path.join(rules, file), 'utf8')
  expect(namesIn(text).filter(name => !known.has(name))).toEqual([])
})

test('each alert has a line in the document that says what to do, and a test that fires it', () => {
  const text = fs.readFileSync(path.join(rules, 'alerts.yaml'), 'utf8')
  const tests = fs.readFileSync(path.join(rules, 'alerts.test.yaml'), 'utf8')
  const document = fs.readFileSync(path.join(deploy, 'OPERATING.md'), 'utf8')
  const names = [...text.matchAll(/- alert: (\w+)/g)].map(([, name]) => name)
  expect(names.length).toBeGreaterThan(15)
  expect(names.filter(name => !document.includes(`\`${name}\``))).toEqual([])
  expect(names.filter(name => !tests.includes(name))).toEqual([])
})

test('the alert rule tells of a certificate as long before its end as everything else', () => {
  const days = CERTIFICATE_WARNING_MS / 86_400_000
  const text = fs.readFileSync(path.join(rules, 'alerts.yaml'), 'utf8')
  expect(text).toContain(
    `fieldline_mqtt_certificate_expiry_timestamp_seconds - time() < ${days} * 86400`
  )
  const document = fs.readFileSync(path.join(deploy, 'OPERATING.md'), 'utf8')
  expect(document).toContain(`expired, or within ${days} days`)
})

test.each(['OPERATING.md', 'METRICS.md', '../agent/DESIGN.md', '../detector/DESIGN.md'])(
  '%s speaks of metrics that exist',
  file => {
    const document = fs.readFileSync(path.join(deploy, file), 'utf8')
    expect(namesIn(document).filter(name => !exists(name))).toEqual([])
  }
)

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

test.skipIf(!promtool)('the scrape configuration shown is one that Prometheus takes', () => {
  const document = fs.readFileSync(path.join(deploy, 'METRICS.md'), 'utf8')
  const [, text] = /^```yaml\n([\s\S]*?)^```$/m.exec(document)!
  const file = path.join(temporaryDirectory(), 'prometheus.yml')
  fs.writeFileSync(file, text)
  const { status, stdout, stderr } = spawnSync(
    'promtool',
    ['check', 'config', '--syntax-only', file],
    { encoding: 'utf8' }
  )
  expect(status, stdout + stderr).toBe(0)
})
