import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Rooms and what each may import beside itself. Imports point one way. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  'core/runtime': [],
  'core/kafka': ['core/runtime'],
  'core/contract': ['core/runtime'],
  // It stores bytes and knows nothing of what they mean.
  'core/log': ['core/runtime'],
  agent: ['core/runtime', 'core/kafka', 'core/contract', 'core/log'],
  detector: ['core/runtime', 'core/kafka', 'core/contract', 'core/log'],
  'firmware-sim': ['core/runtime', 'core/contract', 'core/log'],
  cli: [
    'core/runtime',
    'core/kafka',
    'core/contract',
    'core/log',
    'agent',
    'detector',
    'firmware-sim'
  ]
}

interface Door {
  /** Files that may import it. */
  readonly through: RegExp
  /** Loaded only when it is needed, as it may be absent. */
  readonly lazy?: boolean
}

/** One door a library: replacing it, or mending it, touches one place. */
const DOORS: Readonly<Record<string, Door>> = {
  aedes: { through: /^agent\/ingest\/broker\/embedded-broker\.ts$/ },
  mqtt: { through: /^(agent\/ingest\/upstream\/upstream-client|firmware-sim\/device)\.ts$/ },
  'mqtt-packet': { through: /^cli\/dry-run\/mqtt-talk\.ts$/ },
  // A server's door and a client's.
  ws: { through: /^(agent\/ingest\/broker|cli\/dry-run)\/websocket\.ts$/ },
  kafkajs: { through: /^core\/kafka\/|(^|\/)kafka-[a-z0-9-]+\.ts$/ },
  // Its inner modules are mended at load, nowhere else.
  'kafkajs/': { through: /^core\/kafka\// },
  'onnxruntime-node': { through: /^detector\/scorer\/onnx[a-z0-9-]*\.ts$/, lazy: true },
  pino: { through: /^core\/runtime\/log\.ts$/ },
  'prom-client': { through: /^core\/runtime\/metrics[a-z0-9-]*\.ts$/ },
  commander: { through: /^cli\// },
  'simple-statistics': { through: /^detector\// },
  'ml-matrix': { through: /^detector\/train\/linear-algebra\.ts$/ },
  yaml: { through: /^core\/runtime\/config-(document|print)\.ts$/ },
  zod: {
    through:
      /^core\/(runtime|contract|kafka)\/|(\/|-)config\.ts$|^detector\/scorer\/onnx-sidecar\.ts$/
  },
  // Data reaches the disk through the log's storage port; the rest are small files by name.
  'node:fs': {
    through:
      /^core\/log\/node-disk\.ts$|^core\/(runtime|kafka)\/|^cli\/|^firmware-sim\/|^agent\/identity\.ts$|^detector\/(snapshot-files\.ts$|scorer\/(onnx|models\/)|source\/file)/
  },
  // createRequire would be a way past every other door.
  'node:module': { through: /^core\/kafka\// }
}

interface Import {
  readonly specifier: string
  readonly kind: 'static' | 'type' | 'dynamic'
}

const STATIC =
  /^[ \t]*(?:import|export)\s+(type\s)?\s*(?:(?:(?!\b(?:import|export)\b)[^'"`;=()])*?\bfrom\s*)?['"]([^'"\n]+)['"]/gm
const DYNAMIC = /(typeof\s+)?\b(?:import|require|require\.resolve)\s*\(\s*['"`]([^'"`\n]+)['"`]/g

function importsOf(source: string): Import[] {
  const found: Import[] = []
  for (const [, type, specifier] of source.matchAll(STATIC)) {
    found.push({ specifier, kind: type ? 'type' : 'static' })
  }
  for (const [, type, specifier] of source.matchAll(DYNAMIC)) {
    found.push({ specifier, kind: type ? 'type' : 'dynamic' })
  }
  return found
}

function roomOf(path: string): string | undefined {
  return Object.keys(ROOMS).find(room => path.startsWith(`${room}/`))
}

/** What one import of a file breaks. */
function importViolation(path: string, { specifier, kind }: Import): string | undefined {
  if (!specifier.startsWith('.')) return doorViolation(path, specifier, kind)
  const target = posix.normalize(posix.join(posix.dirname(path), specifier))
  if (!specifier.endsWith('.ts')) return `${path}: '${specifier}' does not end in .ts`
  const [from, to] = [roomOf(path), roomOf(target)]
  if (from === undefined) return `${path}: belongs to no room`
  if (to === undefined) return `${path}: ${target} belongs to no room`
  if (from === to || ROOMS[from].includes(to)) return undefined
  return `${path}: ${from} must not import ${to} (${target})`
}

function doorViolation(path: string, specifier: string, kind: Import['kind']): string | undefined {
  const name = doorName(specifier)
  const door = DOORS[name]
  if (!door) return name.startsWith('node:') ? undefined : `${path}: '${specifier}' has no door`
  if (!door.through.test(path)) return `${path}: '${specifier}' has its door elsewhere`
  if (door.lazy && kind === 'static') return `${path}: '${specifier}' is to be loaded lazily`
  return undefined
}

/** `node:fs/promises` → `node:fs`; `kafkajs/src/…` → `kafkajs/`. */
function doorName(specifier: string): string {
  const [first, second] = specifier.split('/')
  if (specifier.startsWith('@')) return `${first}/${second}`
  return first === 'kafkajs' && second !== undefined ? 'kafkajs/' : first
}

const LINES_MAX = 500
// Put together here, so that this file does not hold the words it looks for.
const UNFINISHED = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'HA' + 'CK'].join('|')})\\b`)
const VAGUE = /(^|[-/])(manager|helpers?|utils?|service|impl|base|common|misc)(\.|-|$)/

/** What a file breaks beside its imports: name, length, unfinished work. */
function fileViolations(path: string, source: string): string[] {
  const violations: string[] = []
  const name = posix.basename(path)
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(name)) violations.push(`${path}: no kebab-case`)
  if (VAGUE.test(name)) violations.push(`${path}: the name says nothing`)
  const lines = source.split('\n').length
  if (lines > LINES_MAX) violations.push(`${path}: ${lines} lines, look for the second noun in it`)
  if (UNFINISHED.test(source))
    violations.push(`${path}: unfinished: ${UNFINISHED.exec(source)?.[0]}`)
  return violations
}

const TEST_NAME =
  /(?:\b(test|it)(?:\.[a-z]+)*|\]\))\(\s*(?:'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`|"([^"\n]*)")/g

/** Test names are sentences in the present tense; no test runs alone. */
function testViolations(path: string, source: string): string[] {
  const violations: string[] = []
  for (const [, , single, template, double] of source.matchAll(TEST_NAME)) {
    const name = single ?? template ?? double
    if (name.trim().split(/\s+/).length < 3) violations.push(`${path}: '${name}' is no sentence`)
    if (/^(should|test|tests|it|works)\b/i.test(name))
      violations.push(`${path}: '${name}' says little`)
    if (name.endsWith('.')) violations.push(`${path}: '${name}' ends with a full stop`)
  }
  if (/\b(test|describe)\.only\(/.test(source)) violations.push(`${path}: a test runs alone`)
  return violations
}

function sourcesUnder(directory: string): [path: string, source: string][] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap(entry => {
    const path = posix.join(directory, entry.name)
    if (entry.isDirectory()) return sourcesUnder(path)
    if (!entry.name.endsWith('.ts')) return []
    return [[path, readFileSync(join(ROOT, path), 'utf8')] as [string, string]]
  })
}

const product = ['core', 'agent', 'detector', 'firmware-sim', 'cli'].flatMap(sourcesUnder)
const tests = sourcesUnder('test')

test('imports point one way and every library has one door', () => {
  const violations = product.flatMap(([path, source]) =>
    importsOf(source).map(found => importViolation(path, found))
  )
  expect(violations.filter(violation => violation !== undefined)).toEqual([])
})

test('the checker sees every import of the sources', () => {
  for (const [path, source] of product) {
    // Counted another way: lines that end an import statement.
    const ends = source.match(/^(?:import .*|export .*|\}) from '[^']+'$/gm)?.length ?? 0
    const seen = importsOf(source).filter(({ kind }) => kind !== 'dynamic').length
    expect(seen, path).toBeGreaterThanOrEqual(ends)
  }
  expect(product.flatMap(([, source]) => importsOf(source)).length).toBeGreaterThan(100)
})

test('the command line loads no command before it is asked for', () => {
  const program = product.find(([path]) => path === 'cli/program.ts')?.[1] ?? ''
  const commands = importsOf(program).filter(({ specifier }) => specifier.startsWith('./commands/'))
  expect(commands.length).toBeGreaterThan(5)
  expect(commands.filter(({ kind }) => kind !== 'dynamic')).toEqual([])
})

test('files are short, finished and named for what they hold', () => {
  const all = [...product, ...tests]
  expect(all.flatMap(([path, source]) => fileViolations(path, source))).toEqual([])
})

test('every test has a sentence for its name and none runs alone', () => {
  expect(tests.flatMap(([path, source]) => testViolations(path, source))).toEqual([])
})

test.each([
  ['core/runtime/a.ts', "import { b } from '../contract/b.ts'", 'must not import core/contract'],
  ['core/log/a.ts', "import type { B } from '../contract/b.ts'", 'must not import core/contract'],
  ['core/contract/a.ts', "export * from '../log/b.ts'", 'must not import core/log'],
  ['core/log/a.ts', "import '../../agent/b.ts'", 'must not import agent'],
  ['agent/a.ts', "import { b } from '../detector/b.ts'", 'must not import detector'],
  ['agent/ingest/a.ts', "await import('../../firmware-sim/b.ts')", 'must not import firmware-sim'],
  ['detector/a.ts', "import {\n  b,\n  c\n} from '../agent/b.ts'", 'must not import agent'],
  ['firmware-sim/a.ts', "import { b } from '../cli/b.ts'", 'must not import cli'],
  ['cli/a.ts', "import { b } from '../test/kit/b.ts'", 'belongs to no room'],
  ['cli/a.ts', "import { b } from './b.js'", 'does not end in .ts'],
  ['agent/agent.ts', "import { Aedes } from 'aedes'", 'has its door elsewhere'],
  ['agent/uplink/lane.ts', "import { Kafka } from 'kafkajs'", 'has its door elsewhere'],
  ['agent/uplink/kafka-sink.ts', "require('kafkajs/src/x')", 'has its door elsewhere'],
  ['cli/a.ts', "import mqtt from 'mqtt'", 'has its door elsewhere'],
  ['detector/a.ts', "import type { Tensor } from 'onnxruntime-node'", 'has its door elsewhere'],
  ['detector/scorer/onnx.ts', "import ort from 'onnxruntime-node'", 'to be loaded lazily'],
  ['core/runtime/a.ts', "import { pino } from 'pino'", 'has its door elsewhere'],
  ['agent/a.ts', "import { Command } from 'commander'", 'has its door elsewhere'],
  ['core/log/log.ts', "import { open } from 'node:fs/promises'", 'has its door elsewhere'],
  ['agent/a.ts', "import { createRequire } from 'node:module'", 'has its door elsewhere'],
  ['cli/a.ts', "import leftPad from 'left-pad'", 'has no door']
])('the checker refuses in %s: %s', (path, source, violation) => {
  const violations = importsOf(source).map(found => importViolation(path, found))
  expect(violations).toEqual([expect.stringContaining(violation)])
})

test.each([
  ['agent/a.ts', "import { a } from '../core/log/log.ts'"],
  ['core/log/node-disk.ts', "import { open } from 'node:fs/promises'"],
  ['agent/uplink/kafka-sink.ts', "import type { Producer } from 'kafkajs'"],
  ['core/kafka/client.ts', "require('kafkajs/src/x')"],
  ['detector/scorer/onnx.ts', "await import('onnxruntime-node')"],
  ['detector/scorer/onnx.ts', "import type { Tensor } from 'onnxruntime-node'"],
  ['cli/main.ts', "await import('./commands/agent.ts')"]
])('the checker accepts in %s: %s', (path, source) => {
  const imports = importsOf(source)
  expect(imports).toHaveLength(1)
  expect(imports.map(found => importViolation(path, found))).toEqual([undefined])
})

test('the checker refuses long, unfinished and vaguely named files', () => {
  expect(fileViolations('agent/a.ts', '\n'.repeat(LINES_MAX - 1))).toEqual([])
  expect(fileViolations('agent/a.ts', '\n'.repeat(LINES_MAX))).toHaveLength(1)
  expect(fileViolations('agent/a.ts', `// ${'TO' + 'DO'}: later`)).toHaveLength(1)
  for (const name of ['logManager', 'log-manager', 'util', 'string-utils', 'base-sink']) {
    expect(fileViolations(`agent/${name}.ts`, '')).toHaveLength(1)
  }
})

test('the checker refuses test names that are no sentences', () => {
  const named = (name: string): string => `te${'st'}('${name}', () => {})`
  expect(testViolations('a', named('recovery cuts a torn record'))).toEqual([])
  for (const name of ['appends', 'should append a record', 'it appends a record.']) {
    expect(testViolations('a', named(name)).length).toBeGreaterThan(0)
  }
  expect(testViolations('a', `te${'st'}.only('x', () => {})`).length).toBeGreaterThan(1)
})
