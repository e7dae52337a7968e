import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, LOCAL_HOST, liveNodes, waitForAnswer } from '../../cli/local-kafka-answer.ts'
import {
  formatStorage,
  SHORT_JVM_OPTIONS,
  spawnBroker,
  tailOf
} from '../../cli/local-kafka-java.ts'
import {
  isRunning,
  type ProcessIdentity,
  signalProcess,
  startMarkOf,
  waitForEnd
} from '../../cli/local-kafka-process.ts'
import { kafkaJars } from '../../cli/local-kafka-tools.ts'

export interface KafkaNodesOptions {
  /** Default 1. */
  nodes?: number
  /** Laid over the defaults, on every node. */
  properties?: Record<string, string>
  /**
   * What clients are told to connect to (`HOST:PORT`), e.g. a proxy in front of the node's own port.
   * Default: that port.
   *
   * @param node From 0.
   */
  advertise?: (node: number, port: number) => string | Promise<string>
  /** Of the clients' listener: PLAINTEXT (default), SSL, SASL_PLAINTEXT, SASL_SSL. */
  protocol?: string
  /** For the storage tool, e.g. `--add-scram`. */
  formatArguments?: string[]
  /** Instead of the defaults, which make for a quick start. */
  jvmArguments?: string[]
  /** Default 256. */
  heapMb?: number
}

export interface KafkaNode {
  /** From 1, Kafka's `node.id`. */
  readonly id: number
  /** `127.0.0.1:PORT`, the node's own, whatever is advertised; kept through restarts. */
  readonly address: string
  readonly port: number
  /** 0 while it does not run. */
  readonly pid: number
  /** Where its properties, logs (`kafka.log`) and data are. */
  readonly directory: string
  /**
   * On the same data and ports. Resolves once the node answers and counts itself a member; without a
   * majority of the cluster's nodes that does not come to pass.
   */
  start(): Promise<void>
  /** SIGTERM: leaders move away first, where there is somewhere to move to. */
  stop(): Promise<void>
  /** SIGKILL: what a power cut does to it. */
  kill(): Promise<void>
  /** SIGSTOP: its connections stay open, nothing is answered. */
  pause(): void
  resume(): void
}

export interface KafkaNodes {
  readonly nodes: KafkaNode[]
  /** What clients are told: the advertised addresses. */
  readonly brokers: string[]
  /** Kills all and removes their data. */
  remove(): Promise<void>
}

const STOP_MS_MAX = 20_000

/**
 * Real Kafka brokers for a test: a cluster of 1..n nodes, each broker and controller, replicas on all
 * of them; from three nodes on `min.insync.replicas` is 2.
 *
 * Each node has a listener CLIENT of the protocol wanted, and beside it INTERNAL, always PLAINTEXT,
 * on which brokers speak with each other (with an authorizer: `super.users=User:ANONYMOUS`).
 *
 * Remove it in `afterAll` or a `finally`. Nodes left over die with the test's process.
 */
export async function startKafkaNodes(options: KafkaNodesOptions = {}): Promise<KafkaNodes> {
  const count = options.nodes ?? 1
  const directory = mkdtempSync(join(tmpdir(), 'fieldline-kafka-nodes-'))
  const nodes: Node[] = []
  const killAll = () => {
    for (const node of nodes) node.kill9()
    rmSync(directory, { recursive: true, force: true })
  }
  process.once('exit', killAll)
  const remove = async (): Promise<void> => {
    await Promise.all(nodes.map(node => node.kill()))
    process.off('exit', killAll)
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    const jars = await kafkaJars()
    const places = await portsFor(count)
    const voters = places.map(({ controller }, n) => `${n + 1}@${LOCAL_HOST}:${controller}`)
    const brokers: string[] = []
    for (const [n, ports] of places.entries()) {
      const advertised = await (options.advertise?.(n, ports.client) ??
        `${LOCAL_HOST}:${ports.client}`)
      brokers.push(advertised)
      const home = join(directory, `node-${n + 1}`)
      mkdirSync(home)
      const properties = {
        ...propertiesOf(n + 1, ports, voters, advertised, options.protocol ?? 'PLAINTEXT'),
        ...replicationOf(count),
        ...options.properties
      }
      const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`)
      writeFileSync(join(home, 'server.properties'), lines.join(''))
      nodes.push(new Node(n + 1, home, ports, jars, options))
    }
    await formatStorage(jars, nodes[0].directory, { extra: options.formatArguments })
    for (const node of nodes.slice(1)) copyStorage(nodes[0].directory, node)
    await Promise.all(nodes.map(node => node.start(count)))
    return { nodes, brokers, remove }
  } catch (error) {
    await remove()
    throw error
  }
}

interface Ports {
  client: number
  internal: number
  controller: number
}

async function portsFor(count: number): Promise<Ports[]> {
  const ports = new Set<number>()
  while (ports.size < 3 * count) ports.add(await freePort())
  const all = [...ports]
  return Array.from({ length: count }, (_, n) => {
    const [client, internal, controller] = all.slice(3 * n)
    return { client, internal, controller }
  })
}

function propertiesOf(
  id: number,
  { client, internal, controller }: Ports,
  voters: string[],
  advertised: string,
  protocol: string
): Record<string, string> {
  const at = (port: number) => `${LOCAL_HOST}:${port}`
  return {
    'process.roles': 'broker,controller',
    'node.id': String(id),
    'controller.quorum.voters': voters.join(),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'INTERNAL',
    listeners: `CLIENT://${at(client)},INTERNAL://${at(internal)},CONTROLLER://${at(controller)}`,
    'advertised.listeners': `CLIENT://${advertised},INTERNAL://${at(internal)}`,
    'listener.security.protocol.map': `CLIENT:${protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT`,
    'log.dirs': 'logs',
    'auto.create.topics.enable': 'false',
    'group.initial.rebalance.delay.ms': '0',
    // After a SIGKILL a node may register again only when its old session is over: 9 s by default.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500'
  }
}

function replicationOf(count: number): Record<string, string> {
  const replicas = String(Math.min(3, count))
  const inSync = count >= 3 ? '2' : '1'
  return {
    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    'share.coordinator.state.topic.num.partitions': '1'
  }
}

/** A formatted storage made another node's: a second start of the storage tool would take 2 s. */
function copyStorage(from: string, to: Node): void {
  cpSync(join(from, 'logs'), join(to.directory, 'logs'), { recursive: true })
  const file = join(to.directory, 'logs', 'meta.properties')
  const meta = readFileSync(file, 'utf8')
    .replace(/^node\.id=.*$/m, `node.id=${to.id}`)
    .replace(/^directory\.id=.*$/m, `directory.id=f${randomBytes(15).toString('base64url')}A`)
  writeFileSync(file, meta)
}

class Node implements KafkaNode {
  readonly id: number
  readonly directory: string
  readonly port: number
  readonly address: string
  readonly #internalPort: number
  readonly #jars: string
  readonly #options: KafkaNodesOptions
  #identity: ProcessIdentity | undefined

  constructor(
    id: number,
    directory: string,
    ports: Ports,
    jars: string,
    options: KafkaNodesOptions
  ) {
    this.id = id
    this.directory = directory
    this.port = ports.client
    this.address = `${LOCAL_HOST}:${ports.client}`
    this.#internalPort = ports.internal
    this.#jars = jars
    this.#options = options
  }

  get pid(): number {
    return this.#identity && isRunning(this.#identity) ? this.#identity.pid : 0
  }

  /** @param membersMin So many nodes must be seen, this one among them. */
  async start(membersMin = 1): Promise<void> {
    const { heapMb = 256, jvmArguments = SHORT_JVM_OPTIONS } = this.#options
    const child: ChildProcess = await spawnBroker(this.#jars, this.directory, heapMb, jvmArguments)
    // In the same turn of the event loop: an end of the child is not reaped before.
    const { pid } = child
    const startMark = pid === undefined ? undefined : startMarkOf(pid)
    if (pid !== undefined && startMark !== undefined) {
      this.#identity = { pid, startMark }
      guard(pid, child, this.directory)
    }
    const isMember = async (port: number): Promise<boolean> => {
      const seen = await liveNodes(port)
      return seen.includes(this.id) && seen.length >= membersMin
    }
    const runs = (): boolean => child.exitCode === null && child.signalCode === null
    const log = (): Promise<string> => tailOf(this.directory)
    await waitForAnswer(this.#internalPort, runs, undefined, log, isMember)
  }

  async stop(): Promise<void> {
    this.resume()
    this.#signal('SIGTERM')
    if (this.#identity && !(await waitForEnd(this.#identity, STOP_MS_MAX))) await this.kill()
  }

  async kill(): Promise<void> {
    this.kill9()
    if (this.#identity && !(await waitForEnd(this.#identity, STOP_MS_MAX))) {
      throw new Error(`broker ${this.id} (pid ${this.#identity.pid}) does not end on SIGKILL`)
    }
  }

  kill9(): void {
    this.#signal('SIGKILL')
  }

  pause(): void {
    this.#signal('SIGSTOP')
  }

  resume(): void {
    this.#signal('SIGCONT')
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#identity) signalProcess(this.#identity, signal)
  }
}

/**
 * Kills the broker and removes its files when this process ends in any way: it notices by the pipe
 * that closes. Ends itself, doing nothing, when the broker does.
 */
function guard(pid: number, broker: ChildProcess, directory: string): void {
  const script = `read -r end || { kill -9 ${pid}; sleep 1; rm -rf "$1"; rmdir "\${1%/*}"; }`
  const shell = spawn('sh', ['-c', script, 'sh', directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true
  })
  shell.on('error', () => {})
  shell.stdin?.on('error', () => {})
  shell.unref()
  broker.once('exit', () => shell.stdin?.end('\n'))
}
