import { judge } from '../../agent/uplink/kafka-errors.ts'
import type { Producer } from '../../core/kafka/client.ts'
import { kafkaFromConfig } from '../../core/kafka/connection.ts'
import { KafkaCredentials } from '../../core/kafka/credentials.ts'
import { type ClusterDescription, describeCluster } from '../../core/kafka/describe-cluster.ts'
import { socketsOf } from '../../core/kafka/sockets.ts'
import { parseAddress } from '../../core/runtime/address.ts'
import { withDeadline } from '../../core/runtime/deadline.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import type { FieldlineConfig } from '../config.ts'
import { type Probe, Trial } from './probe.ts'
import { reach } from './reach.ts'
import { tryRights, tryTopics } from './try-topics.ts'

/** Of one try beyond which others are not waited for. */
const BROKERS_MAX = 20

interface Session {
  producer: Producer
  cluster: ClusterDescription
  close(): Promise<void>
}

/**
 * Every broker that is configured, and every other one that the cluster tells clients to connect to;
 * then topics and rights, through the first that lets us in. No group is joined, no transactional id
 * is used, nothing is written.
 */
export async function tryKafka(
  config: FieldlineConfig,
  agentId: string | undefined,
  deadlineAt: number
): Promise<Probe[]> {
  const { brokers } = config.kafka
  const tries = await Promise.all(
    brokers.map((broker, index) => tryBroker(config, broker, index, deadlineAt))
  )
  const sessions = tries.flatMap(({ session }) => (session ? [session] : []))
  const probes = tries.map(({ probe }) => probe)
  const [session] = sessions
  try {
    if (!session) return probes
    const further = session.cluster.brokers.filter(address => !brokers.includes(address))
    const ids = new Set(sessions.map(({ cluster }) => cluster.clusterId))
    if (ids.size > 1) probes.push(severalClusters(ids))
    const [advertised, topics, rights] = await Promise.all([
      Promise.all(
        further.slice(0, BROKERS_MAX).map(address => tryAdvertised(config, address, deadlineAt))
      ),
      tryTopics(config, session.producer, deadlineAt),
      tryRights(config, session.producer, agentId, deadlineAt)
    ])
    return [...probes, ...advertised, ...topics, ...rights]
  } finally {
    await Promise.all(sessions.map(each => each.close()))
  }
}

async function tryBroker(
  config: FieldlineConfig,
  broker: string,
  index: number,
  deadlineAt: number
): Promise<{ probe: Probe; session?: Session }> {
  const trial = new Trial('kafka', broker, ['kafka', 'brokers', index])
  if (!(await isReached(config, broker, trial, deadlineAt))) return { probe: trial.end() }
  const kafka = kafkaFromConfig({ ...config.kafka, brokers: [broker] }, 'dry-run', silentLogger)
  const sockets = socketsOf(kafka)
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  const close = async () => {
    await withDeadline('closing', 1_000, producer.disconnect()).catch(() => {})
    sockets.close()
  }
  try {
    await withDeadline('the login', leftMs(deadlineAt), producer.connect())
    const { sasl } = config.kafka
    trial.fact(sasl ? `login by ${sasl.mechanism}` : 'no login')
    const call = describeCluster(producer, [])
    const cluster = await withDeadline('the cluster', leftMs(deadlineAt), call)
    const { clusterId, brokers, versionMin } = cluster
    trial.fact(
      `cluster ${clusterId}, ${brokers.length === 1 ? '1 broker' : `${brokers.length} brokers`}`
    )
    if (versionMin !== undefined) trial.fact(`Kafka ${versionMin} or later`)
    return { probe: trial.end(), session: { producer, cluster, close } }
  } catch (error) {
    const { message } = judge(error)
    trial.fail(message)
    await close()
    return { probe: trial.end() }
  }
}

/** What clients are sent to for the partitions it leads: the commonest mistake of a broker's set-up. */
async function tryAdvertised(
  config: FieldlineConfig,
  address: string,
  deadlineAt: number
): Promise<Probe> {
  const trial = new Trial('kafka', `${address} (told by the cluster)`)
  if (await isReached(config, address, trial, deadlineAt)) trial.fact('reached')
  else
    trial.fail(
      'clients are told this address: correct advertised.listeners of that broker, or the way there'
    )
  return trial.end()
}

async function isReached(
  { kafka }: FieldlineConfig,
  broker: string,
  trial: Trial,
  deadlineAt: number
): Promise<boolean> {
  const credentials = new KafkaCredentials(kafka)
  const tls = () => ({ secureContext: credentials.secureContext() })
  try {
    const goal = { ...parseAddress(broker), ...(kafka.tls ? { tls } : {}) }
    const socket = await reach(goal, trial, deadlineAt)
    socket?.destroy()
    return socket !== undefined
  } catch (error) {
    trial.fail(messageOf(error))
    return false
  }
}

function severalClusters(ids: ReadonlySet<string>): Probe {
  const trial = new Trial('kafka', 'kafka.brokers', ['kafka', 'brokers'])
  trial.fail(`they are of different clusters (${[...ids].join(', ')}): name brokers of one`)
  return trial.end()
}

function leftMs(deadlineAt: number): number {
  return Math.max(1, Math.round(deadlineAt - performance.now()))
}
