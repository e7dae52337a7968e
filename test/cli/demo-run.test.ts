import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { AGENT_IDENTITY, KAFKA_DIRECTORY } from '../../cli/demo/places.ts'
import type { DemoResult } from '../../cli/demo/result.ts'
import { isRunning, type ProcessIdentity } from '../../cli/local-kafka-process.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { missingKafka } from '../kit/kafka.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

/** The compiled files, `$FIELDLINE_DIST` if set: the demo starts processes of its own. */
const BUILT = process.env.FIELDLINE_DIST ?? join(packageRoot(), 'dist')

class DemoRun {
  readonly child: ChildProcess
  /** The demo makes its directory in here. */
  readonly parent: string
  stdout = ''
  stderr = ''
  #heard: () => void = () => {}

  constructor(args: string[], env: Record<string, string> = {}) {
    this.parent = temporaryDirectory()
    this.child = spawn(process.execPath, [join(BUILT, 'cli', 'main.js'), 'demo', ...args], {
      env: { ...process.env, ...env, TMPDIR: this.parent },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    this.child.stdout?.on('data', text => {
      this.stdout += text
      this.#heard()
    })
    this.child.stderr?.on('data', text => {
      this.stderr += text
      this.#heard()
    })
    // A failed test leaves nothing either: the demo's reaper sees to that.
    onTestFinished(() => void this.child.kill('SIGKILL'))
  }

  async said(words: string): Promise<void> {
    while (!this.stdout.includes(words)) {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.stdout}${this.stderr}`)
      await Promise.race([
        new Promise<void>(resolve => {
          this.#heard = resolve
        }),
        once(this.child, 'exit')
      ])
    }
  }

  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await once(this.child, 'close')
    }
    return this.child.exitCode
  }

  get directories(): string[] {
    return readdirSync(this.parent).map(name => join(this.parent, name))
  }

  identity(...file: string[]): ProcessIdentity {
    return JSON.parse(readFileSync(join(this.directories[0], ...file), 'utf8')) as ProcessIdentity
  }
}

/** An environment in which there is no Java and no Docker, only what the agent itself needs. */
function withoutKafka(): Record<string, string> {
  const bin = join(temporaryDirectory(), 'bin')
  mkdirSync(bin)
  const places = (process.env.PATH ?? '').split(delimiter)
  const flock = places.map(place => join(place, 'flock')).find(existsSync)
  if (flock) symlinkSync(flock, join(bin, 'flock'))
  return { PATH: bin, JAVA_HOME: '' }
}

/** Nobody tells of the end of somebody else's child: it is looked for. */
async function gone(happened: () => boolean): Promise<void> {
  const limit = performance.now() + 10_000
  while (!happened() && performance.now() < limit) await delay(25)
  expect(happened()).toBe(true)
}

test('the demo loses and reorders nothing while Kafka and the agent are killed', async context => {
  const missing = await missingKafka()
  if (missing) context.skip(missing)
  const run = new DemoRun(['--fast', '--json', '--delivery', 'exactly_once', '--seed', '7'])
  const exitCode = await run.ended()
  const said = `${run.stderr}\n${run.stdout}`
  expect(exitCode, said).toBe(0)
  const result = JSON.parse(run.stdout) as DemoResult
  expect(result).toMatchObject({ ok: true, kafka: 'real', delivery: 'exactly_once', seed: 7 })
  expect(result.verdict, said).toMatchObject({ lost: 0, reordered: 0, duplicates: 0 })
  // 300 a second for 37 s; devices that are silent send less.
  expect(result.verdict?.acknowledged).toBeGreaterThan(9_000)
  expect(result.verdict?.found).toBe(result.verdict?.acknowledged)
  // 300 a second for the 4 s in which Kafka was dead.
  expect(result.outage?.acknowledged).toBeGreaterThan(1_000)
  expect(result.outage?.backlogMax).toBeGreaterThan(1_000)
  expect(result.alertsToldTwice).toBe(0)
  expect(result.faults.rows.some(row => row.kind === 'spike' && row.detected > 0)).toBe(true)
  expect(run.stderr).toContain('Pulled the plug')
  expect(run.directories).toEqual([])
}, 150_000)

test('Ctrl-C while Kafka starts ends it, and leaves neither process nor file', async context => {
  const missing = await missingKafka()
  if (missing) context.skip(missing)
  const run = new DemoRun(['--fast'])
  await run.said('Starting Apache Kafka')
  const state = (): string => join(run.directories[0] ?? run.parent, KAFKA_DIRECTORY, 'broker.json')
  await gone(() => existsSync(state()))
  const broker = run.identity(KAFKA_DIRECTORY, 'broker.json')
  run.child.kill('SIGINT')
  expect(await run.ended()).toBe(130)
  expect(run.directories).toEqual([])
  if (broker.pid) await gone(() => !isRunning(broker))
})

test('Ctrl-C while the devices send ends the agent, and leaves neither process nor file', async () => {
  const run = new DemoRun(['--fast'], withoutKafka())
  await run.said('100 devices connect')
  expect(run.stdout).toContain('A local Kafka needs a Java runtime')
  const agent = run.identity(AGENT_IDENTITY)
  expect(isRunning(agent)).toBe(true)
  run.child.kill('SIGINT')
  expect(await run.ended()).toBe(130)
  expect(isRunning(agent)).toBe(false)
  expect(run.directories).toEqual([])
})

test('a demo that is killed outright leaves neither process nor file', async () => {
  const run = new DemoRun(['--fast'], withoutKafka())
  await run.said('100 devices connect')
  const agent = run.identity(AGENT_IDENTITY)
  run.child.kill('SIGKILL')
  await run.ended()
  await gone(() => !isRunning(agent) && run.directories.length === 0)
})

test('a demo whose agent dies says why, shows its log and keeps it', async () => {
  const run = new DemoRun(['--fast'], withoutKafka())
  await run.said('100 devices connect')
  process.kill(run.identity(AGENT_IDENTITY).pid, 'SIGKILL')
  expect(await run.ended()).toBe(1)
  expect(run.stdout).toContain('The demo failed: the agent ended by itself (SIGKILL)')
  expect(run.stdout).toContain('"event":"agent.ready"')
  expect(run.stdout).toContain(`kept in ${run.directories[0]}`)
  expect(existsSync(join(run.directories[0], 'agent.log'))).toBe(true)
})
