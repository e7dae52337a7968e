import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { freePort } from '../../cli/local-kafka.ts'
import type { BenchOptions } from './options.ts'
import { cpuSecondsOf, rssMibOf } from './process-usage.ts'
import { makeScratch, type Scratch } from './scratch.ts'
import { UNMENDED_FILE, UNMENDED_WORD } from './unmended-client.ts'

export type DeliveryMode = 'at_least_once' | 'exactly_once'

export interface BenchAgentOptions {
  /** `HOST:PORT` */
  kafka: string
  /** Of the only route. */
  topic: string
  delivery?: DeliveryMode
  /** YAML beside topic, delivery and log level; by default the detector is off. */
  config?: string
  /** Of one request to Kafka. */
  batchRecordsMax?: number
  /** Runs kafkajs as it is. */
  unmended?: boolean
  /** Copied: the log that it begins with. */
  backlog?: string
  profile?: BenchOptions['profile']
}

/** What of the status page benchmarks look at. */
interface Status {
  ready: boolean
  intake: { stored: number[] }
  lanes: {
    telemetry: {
      state: string
      backlogRecords: number
      counters: { delivered: number; produced: number }
    }
  }
}

const POLL_MS = 20
const WAIT_MS_MAX = 180_000

/** An agent of the built files in a process and directory of its own. Remove it in the end. */
export class BenchAgent {
  readonly mqttPort: number
  readonly #httpPort: number
  readonly #scratch: Scratch
  readonly #child: ChildProcess
  readonly #killWithUs = () => this.#child?.kill('SIGKILL')

  /** Resolves once readings are accepted. */
  static async start(options: BenchAgentOptions): Promise<BenchAgent> {
    const agent = new BenchAgent(options, await freePort(), await freePort())
    try {
      await agent.until(status => status.ready)
      return agent
    } catch (error) {
      await agent.remove()
      throw error
    }
  }

  private constructor(options: BenchAgentOptions, mqttPort: number, httpPort: number) {
    this.mqttPort = mqttPort
    this.#httpPort = httpPort
    this.#scratch = makeScratch('agent')
    // Before its files: the last one to come is the first one called.
    process.prependOnceListener('exit', this.#killWithUs)
    const { directory } = this.#scratch
    const data = path.join(directory, 'data')
    if (options.backlog) fs.cpSync(options.backlog, data, { recursive: true })
    const config = path.join(directory, 'fieldline.yaml')
    fs.writeFileSync(config, configOf(options))
    const log = fs.openSync(path.join(directory, 'agent.log'), 'a')
    const { profile, unmended } = options
    if (profile) fs.mkdirSync(profile, { recursive: true })
    this.#child = spawn(
      process.execPath,
      [
        ...(profile ? ['--cpu-prof', '--cpu-prof-dir', path.resolve(profile)] : []),
        ...(unmended ? ['--import', pathToFileURL(UNMENDED_FILE).href] : []),
        path.join(import.meta.dirname, '../../cli/main.js'),
        ...['agent', '-c', config, '--kafka', options.kafka, '--data', data],
        ...['--listen', `127.0.0.1:${mqttPort}`, '--http', `127.0.0.1:${httpPort}`]
      ],
      { stdio: ['ignore', log, log] }
    )
    fs.closeSync(log)
  }

  get cpuSeconds(): number {
    return cpuSecondsOf(this.#child.pid!)
  }

  get rssMib(): number {
    return rssMibOf(this.#child.pid!)
  }

  /** Kafka has everything. */
  async drained(): Promise<Status> {
    return this.until(({ lanes: { telemetry } }) => {
      return telemetry.state === 'streaming' && telemetry.backlogRecords === 0
    })
  }

  /** Polls the status page, since nothing tells when it changes. */
  async until(holds: (status: Status) => boolean, pollMs = POLL_MS): Promise<Status> {
    const deadline = performance.now() + WAIT_MS_MAX
    let last = 'no answer'
    while (performance.now() < deadline) {
      const status = await this.#status()
      if (status && holds(status)) return status
      if (status) last = JSON.stringify(status)
      if (this.#child.exitCode !== null) throw new Error(`the agent ended:\n${this.#log()}`)
      await new Promise(resolve => setTimeout(resolve, pollMs))
    }
    throw new Error(`not within ${WAIT_MS_MAX} ms; last: ${last}\n${this.#log()}`)
  }

  /** Stops it in order, so that it writes its profile, and removes its files. */
  async remove(): Promise<void> {
    const child = this.#child
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise(resolve => child.once('exit', resolve))
      const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
      child.kill('SIGTERM')
      await ended
      clearTimeout(timer)
    }
    process.off('exit', this.#killWithUs)
    this.#scratch.remove()
  }

  /** @throws When the mends were put in place all the same. */
  checkUnmended(): void {
    if (!this.#log().includes(UNMENDED_WORD)) throw new Error('this agent runs a mended kafkajs')
  }

  async #status(): Promise<Status | undefined> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#httpPort}/status`)
      return (await response.json()) as Status
    } catch {
      // Not listening yet, or no more.
      return undefined
    }
  }

  #log(): string {
    return fs.readFileSync(path.join(this.#scratch.directory, 'agent.log'), 'utf8')
  }
}

function configOf(options: BenchAgentOptions): string {
  const { topic, delivery = 'at_least_once', batchRecordsMax } = options
  const batch = batchRecordsMax ? `, batch_records_max: ${batchRecordsMax}` : ''
  return [
    `routes: [{ name: bench, match: 'telemetry/{site}/{device}/{metric}', topic: ${topic} }]`,
    `uplink: { delivery: ${delivery}${batch} }`,
    'logging: { level: warn }',
    options.config ?? 'detector: { enabled: false }',
    ''
  ].join('\n')
}
