import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { OperationalError } from '../core/runtime/errors.ts'
import {
  freePort,
  isPortFree,
  kafkaAnswers,
  LOCAL_HOST,
  waitForAnswer
} from './local-kafka-answer.ts'
import * as docker from './local-kafka-docker.ts'
import { formatStorage, LOG_LINES_SHOWN, spawnBroker, tailOf } from './local-kafka-java.ts'
import { isRunning, signalProcess, startMarkOf, waitForEnd } from './local-kafka-process.ts'
import {
  type BrokerState,
  lockStart,
  makeDataDir,
  readState,
  writeState
} from './local-kafka-state.ts'
import { cacheDir, kafkaJars, localKafkaAvailability } from './local-kafka-tools.ts'

export type { LocalKafkaAvailability } from './local-kafka-tools.ts'
export { freePort, localKafkaAvailability }

export interface LocalKafkaOptions {
  /** On 127.0.0.1; 0 chooses a free one. */
  port: number
  /** Default: a directory for this port in the cache. */
  dataDir?: string
  /** Memory of the Java heap, MB. Default 512; 256 is enough for tests. */
  heapMb?: number
  /** Forgets the topics and records of earlier runs. Not possible while the broker runs. */
  fresh?: boolean
  /** Broker properties beside, or instead of, ours. */
  properties?: Record<string, string>
  /** Aborting it while the broker starts ends what was started. */
  signal?: AbortSignal
}

export interface LocalKafkaStatus {
  state: 'running' | 'starting' | 'stopped'
  port: number
  /** 0 while stopped. */
  pid: number
  dataDir: string
}

/** A real Kafka of one node on this machine. It outlives the process that started it. */
export interface LocalKafka {
  readonly port: number
  /** `127.0.0.1:PORT` */
  readonly address: string
  readonly dataDir: string
  /** Of the broker's process; another after a restart, 0 when stopped. */
  readonly pid: number
  /** It ran before `startLocalKafka` was called. */
  readonly wasRunning: boolean
  status(): Promise<LocalKafkaStatus>
  /** SIGTERM, and SIGKILL when that takes longer than the limit (default 20 s). @returns Whether it ran. */
  stop(graceMs?: number): Promise<boolean>
  /** SIGKILL: what a power cut does to it. @returns Whether it ran. */
  kill(): Promise<boolean>
  /** On the same data and port; stops it first if it runs. Resolves when the broker answers. */
  restart(): Promise<void>
}

const START_MS_MAX = 60_000
const STOP_MS_MAX = 20_000

export function defaultDataDir(port: number, env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheDir(env), 'kafka', `data-${port}`)
}

/**
 * Starts Kafka, or adopts the one that already runs in the data directory, and resolves when it
 * answers. The first start ever fetches Kafka's jars.
 *
 * @throws {OperationalError} TOOL_MISSING: neither Java nor Docker; the message says what to install.
 *   ADDRESS_IN_USE, DIRECTORY_LOCKED, DIRECTORY_UNUSABLE: nothing was started.
 *   LOCAL_KAFKA_FAILED: the message ends with the last lines of the broker's log; nothing runs.
 */
export async function startLocalKafka(options: LocalKafkaOptions): Promise<LocalKafka> {
  const port = options.port === 0 ? await freePort() : options.port
  const dataDir = resolve(options.dataDir ?? defaultDataDir(port))
  const settled = { ...options, port, dataDir }
  const started = await startBroker(settled)
  let { pid } = started

  const kafka: LocalKafka = {
    port,
    dataDir,
    address: `${LOCAL_HOST}:${port}`,
    wasRunning: started.wasRunning,
    get pid() {
      return pid
    },
    status: () => localKafkaStatus(dataDir, port),
    async stop(graceMs) {
      pid = 0
      return stopLocalKafka(dataDir, graceMs)
    },
    async kill() {
      pid = 0
      return killLocalKafka(dataDir)
    },
    async restart() {
      await kafka.stop()
      pid = (await startBroker({ ...settled, fresh: false })).pid
    }
  }
  return kafka
}

/** What the data directory's broker is doing. */
export async function localKafkaStatus(dataDir: string, port: number): Promise<LocalKafkaStatus> {
  const broker = await readState(dataDir)
  const pid = broker ? await pidOf(broker) : 0
  if (!broker || pid === 0) return { state: 'stopped', port, pid: 0, dataDir }
  const state = (await kafkaAnswers(broker.port)) ? 'running' : 'starting'
  return { state, port: broker.port, pid, dataDir }
}

/** Ends the data directory's broker and no other process. @returns Whether one ran. */
export async function stopLocalKafka(dataDir: string, graceMs = STOP_MS_MAX): Promise<boolean> {
  const broker = await readState(dataDir)
  if (!broker || (await pidOf(broker)) === 0) return false
  if (broker.engine === 'docker') {
    await docker.stopContainer(broker.container, graceMs)
    return true
  }
  signalProcess(broker, 'SIGTERM')
  if (!(await waitForEnd(broker, graceMs))) await killLocalKafka(dataDir)
  return true
}

async function killLocalKafka(dataDir: string): Promise<boolean> {
  const broker = await readState(dataDir)
  if (!broker || (await pidOf(broker)) === 0) return false
  if (broker.engine === 'docker') await docker.killContainer(broker.container)
  else {
    signalProcess(broker, 'SIGKILL')
    if (!(await waitForEnd(broker, STOP_MS_MAX))) {
      throw new OperationalError(
        'LOCAL_KAFKA_FAILED',
        `Kafka (pid ${broker.pid}, data ${dataDir}) does not end, not even on SIGKILL; is its disk stuck?`
      )
    }
  }
  return true
}

async function pidOf(broker: BrokerState): Promise<number> {
  if (broker.engine === 'docker') return docker.containerPid(broker.container)
  return isRunning(broker) ? broker.pid : 0
}

type Settled = LocalKafkaOptions & { dataDir: string }

async function startBroker(options: Settled): Promise<{ pid: number; wasRunning: boolean }> {
  const { port, dataDir, signal } = options
  await makeDataDir(dataDir)
  const release = await lockStart(dataDir, START_MS_MAX + 10 * 60_000, signal)
  try {
    const before = await readState(dataDir)
    const runningPid = before ? await pidOf(before) : 0
    if (before && runningPid !== 0) {
      await adopt(before, options)
      return { pid: runningPid, wasRunning: true }
    }
    if (!(await isPortFree(port))) {
      throw new OperationalError(
        'ADDRESS_IN_USE',
        `Another process listens on ${LOCAL_HOST}:${port}, where Kafka should; stop it, or choose another port with --port.`
      )
    }
    if (options.fresh) await forget(dataDir, before)
    const { kind, reason } = await localKafkaAvailability()
    if (kind === 'none') throw new OperationalError('TOOL_MISSING', reason)
    const kept = options.fresh ? undefined : before
    const pid =
      kind === 'java' ? await startOnJava(options, kept) : await startInDocker(options, kept)
    return { pid, wasRunning: false }
  } finally {
    await release()
  }
}

async function adopt(broker: BrokerState, { port, dataDir, signal }: Settled): Promise<void> {
  if (broker.port !== port) {
    throw new OperationalError(
      'DIRECTORY_LOCKED',
      `${dataDir} belongs to the Kafka that runs on port ${broker.port}; stop that one, or choose another directory with --data.`
    )
  }
  await waitForAnswer(
    port,
    async () => (await pidOf(broker)) !== 0,
    signal,
    () => tailOf(dataDir)
  )
}

/** Removes what a broker left behind, and nothing that is not a broker's. */
async function forget(dataDir: string, broker: BrokerState | undefined): Promise<void> {
  if (broker?.engine === 'docker') await docker.removeContainer(broker.container)
  for (const name of ['logs', 'broker.json', 'server.properties', 'kafka.log', 'output.log']) {
    await rm(join(dataDir, name), { recursive: true, force: true })
  }
}

/** One node has nobody to replicate to, and few internal partitions make the first start quick. */
const ONE_NODE: Record<string, string> = {
  // After a SIGKILL the broker may register again only when its old session is over: 9 s by default.
  'broker.session.timeout.ms': '3000',
  'broker.heartbeat.interval.ms': '500',
  'auto.create.topics.enable': 'false',
  'group.initial.rebalance.delay.ms': '0',
  'offsets.topic.replication.factor': '1',
  'offsets.topic.num.partitions': '4',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'transaction.state.log.num.partitions': '4',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'share.coordinator.state.topic.num.partitions': '1'
}

async function startInDocker(options: Settled, before?: BrokerState): Promise<number> {
  const { port, dataDir, signal } = options
  let container: string
  if (before?.engine === 'docker' && before.port === port) {
    container = before.container
    await docker.startContainer(container)
  } else {
    container = await docker.runContainer(port, { ...ONE_NODE, ...options.properties })
    await writeState(dataDir, { engine: 'docker', port, container })
  }
  const runs = async (): Promise<boolean> => (await docker.containerPid(container)) !== 0
  try {
    const log = (): Promise<string> => docker.containerLog(container, LOG_LINES_SHOWN)
    await waitForAnswer(port, runs, signal, log)
  } catch (error) {
    await docker.killContainer(container).catch(() => {})
    throw error
  }
  return docker.containerPid(container)
}

async function startOnJava(options: Settled, before?: BrokerState): Promise<number> {
  const { port, dataDir, signal } = options
  const jars = await kafkaJars(process.env, signal)
  const kept = before?.engine === 'java' ? before.controllerPort : 0
  const controllerPort = kept && (await isPortFree(kept)) ? kept : await freePort()
  const properties = { ...javaProperties(port, controllerPort), ...options.properties }
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`)
  await writeFile(join(dataDir, 'server.properties'), lines.join(''))
  if (!existsSync(join(dataDir, 'logs', 'meta.properties'))) {
    await formatStorage(jars, dataDir, { signal })
  }

  signal?.throwIfAborted()
  const child = await spawnBroker(jars, dataDir, options.heapMb ?? 512)
  // Everything happens in one turn of the event loop: an end of the child is not reaped before.
  const pid = child.pid
  const startMark = pid === undefined ? undefined : startMarkOf(pid)
  try {
    if (pid !== undefined && startMark !== undefined) {
      await writeState(dataDir, { engine: 'java', port, controllerPort, pid, startMark })
    }
    const runs = (): boolean => child.exitCode === null && child.signalCode === null
    await waitForAnswer(port, runs, signal, () => tailOf(dataDir))
  } catch (error) {
    child.kill('SIGKILL')
    if (pid !== undefined && startMark !== undefined) await waitForEnd({ pid, startMark }, 5000)
    throw error
  }
  return pid as number
}

/** Paths are relative to the data directory: whatever its name holds, Kafka need not parse it. */
function javaProperties(port: number, controllerPort: number): Record<string, string> {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@${LOCAL_HOST}:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://${LOCAL_HOST}:${port},CONTROLLER://${LOCAL_HOST}:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://${LOCAL_HOST}:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': 'logs',
    ...ONE_NODE
  }
}
