import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Fleet, type FleetOptions } from '../../firmware-sim/fleet.ts'
import { freePort, type LocalKafka, startLocalKafka } from '../local-kafka.ts'
import { LOCAL_HOST } from '../local-kafka-answer.ts'
import { AgentProcess } from './agent-process.ts'
import { endKafka } from './end-kafka.ts'
import { KAFKA_DIRECTORY } from './places.ts'

const KAFKA_HEAP_MB = 384
const FLEET_STOP_MS_MAX = 1_500

/** The devices here report several times a second: a pause of 3 s is a long one for them. */
const AGENT_CONFIG = `agent:
  stop_timeout: 5s
kafka:
  create_topics: true
detector:
  silent:
    min: 3s
`

export interface StageOptions {
  delivery: string | undefined
  /** The agent ended though nobody asked. */
  onAgentLost: (how: string) => void
}

/**
 * What the demo runs on: a directory, a Kafka, an agent, a fleet. Whatever happens to this process,
 * its reaper ends the others and removes the directory.
 */
export class Stage {
  readonly directory: string
  readonly agent: AgentProcess
  readonly kafkaPort: number
  readonly httpAddress: string
  readonly #mqttPort: number
  readonly #reaper: ChildProcess
  #kafka: LocalKafka | undefined
  #fleet: Fleet | undefined
  #probe: Fleet | undefined

  static async set(options: StageOptions): Promise<Stage> {
    const [kafkaPort, mqttPort, httpPort] = [await freePort(), await freePort(), await freePort()]
    return new Stage(options, kafkaPort, mqttPort, httpPort)
  }

  private constructor(
    { delivery, onAgentLost }: StageOptions,
    kafkaPort: number,
    mqttPort: number,
    httpPort: number
  ) {
    this.directory = mkdtempSync(join(tmpdir(), 'fieldline-demo-'))
    this.#reaper = startReaper(this.directory)
    this.kafkaPort = kafkaPort
    this.#mqttPort = mqttPort
    this.httpAddress = `${LOCAL_HOST}:${httpPort}`
    const config = join(this.directory, 'fieldline.yaml')
    writeFileSync(config, AGENT_CONFIG)
    this.agent = new AgentProcess({
      directory: this.directory,
      onUnexpectedEnd: onAgentLost,
      args: [
        ...['-c', config, '--id', 'demo-gateway', '--data', join(this.directory, 'agent')],
        ...['--kafka', this.kafkaAddress, '--listen', `${LOCAL_HOST}:${mqttPort}`],
        ...['--http', this.httpAddress],
        ...(delivery === undefined ? [] : ['--delivery', delivery])
      ]
    })
  }

  get kafkaAddress(): string {
    return `${LOCAL_HOST}:${this.kafkaPort}`
  }

  /** @throws When it was not started. */
  get kafka(): LocalKafka {
    if (!this.#kafka) throw new Error('this stage has no Kafka')
    return this.#kafka
  }

  get fleet(): Fleet | undefined {
    return this.#fleet
  }

  get probe(): Fleet | undefined {
    return this.#probe
  }

  async startKafka(signal: AbortSignal): Promise<void> {
    this.#kafka = await startLocalKafka({
      port: this.kafkaPort,
      dataDir: join(this.directory, KAFKA_DIRECTORY),
      heapMb: KAFKA_HEAP_MB,
      signal
    })
  }

  async startFleet(options: Omit<FleetOptions, 'host' | 'port'>): Promise<Fleet> {
    this.#fleet = new Fleet({ ...options, host: LOCAL_HOST, port: this.#mqttPort })
    await this.#fleet.start()
    return this.#fleet
  }

  /**
   * One device more, whose only task is to tell how long a PUBACK takes: the fleet's own numbers
   * hold the crowd of the first second, when a hundred devices connect to an agent just started.
   */
  async startProbe(options: Omit<FleetOptions, 'host' | 'port'>): Promise<Fleet> {
    this.#probe = new Fleet({ ...options, host: LOCAL_HOST, port: this.#mqttPort })
    await this.#probe.start()
    return this.#probe
  }

  /** Ends everything, quickly; the directory goes too unless it is to be kept. */
  async strike(keep: boolean): Promise<void> {
    if (keep) this.#reaper.stdin?.write('keep\n')
    // Devices say goodbye while somebody is there to hear it, but nobody waits for long.
    const goodbyes = Promise.all([this.#fleet?.stop(), this.#probe?.stop()])
    await Promise.race([goodbyes, delay(FLEET_STOP_MS_MAX, undefined, { ref: false })])
    await this.agent.kill()
    await endKafka(join(this.directory, KAFKA_DIRECTORY))
    if (!keep) rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 })
    this.#reaper.stdin?.end()
  }
}

function startReaper(directory: string): ChildProcess {
  const program = fileURLToPath(new URL('./reaper.js', import.meta.url))
  const reaper = spawn(process.execPath, [program, directory], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore']
  })
  reaper.on('error', () => {})
  reaper.stdin?.on('error', () => {})
  reaper.unref()
  ;(reaper.stdin as unknown as { unref?: () => void } | null)?.unref?.()
  return reaper
}
