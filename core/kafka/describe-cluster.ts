import { createRequire } from 'node:module'
import type { Producer } from './client.ts'
import { clusterOf } from './mend-producer.ts'

/*
 * What a cluster says of itself and of what we may do, without a change to it: Metadata in version 8,
 * which tells rights and is younger than the client, and DescribeConfigs. A producer's own connections
 * serve; it need not be idempotent nor transactional.
 */

/** By their number in Kafka's `AclOperation`. */
const OPERATIONS = {
  3: 'Read',
  4: 'Write',
  5: 'Create',
  8: 'Describe',
  10: 'DescribeConfigs',
  12: 'IdempotentWrite'
} as const
export type Operation = (typeof OPERATIONS)[keyof typeof OPERATIONS]

export interface TopicDescription {
  topic: string
  /** Kafka's name of why it cannot be told; undefined when all is well. */
  error: string | undefined
  partitions: number
  /** Of the partition that has the fewest. */
  replicasMin: number
  /** Partitions without a leader. */
  leaderless: number
  /** Undefined where the broker does not tell. */
  allowed: ReadonlySet<Operation> | undefined
}

export interface ClusterDescription {
  clusterId: string
  /** `HOST:PORT`, as clients are told. */
  brokers: string[]
  topics: TopicDescription[]
  /** The oldest Kafka that speaks as this one does, `4.0`; undefined before 2.3. */
  versionMin: string | undefined
}

interface ApiVersions {
  [apiKey: number]: { maxVersion: number } | undefined
}

interface ConfigsAnswer {
  resources: { configEntries: { configName: string; configValue: string | null }[] }[]
}

interface RawBroker {
  nodeId: number
  versions: ApiVersions | null
  connectionPool: { send(call: unknown): Promise<MetadataAnswer> }
  describeConfigs(request: unknown): Promise<ConfigsAnswer>
  initProducerId(request: { transactionalId: null; transactionTimeout: number }): Promise<unknown>
  findGroupCoordinator(request: { groupId: string; coordinatorType: number }): Promise<unknown>
}

interface MetadataAnswer {
  brokers: { host: string; port: number }[]
  clusterId: string | null
  topics: {
    errorCode: number
    topic: string
    partitions: { leader: number; replicas: number[] }[]
    allowed: number
  }[]
}

const METADATA = 3
const FETCH = 1
const METADATA_VERSION = 8
const TOPIC_RESOURCE = 2
const COORDINATOR_TYPES = { group: 0, transaction: 1 } as const
/** Of a set of rights that was not asked for, or that the broker does not tell: Int32's least. */
const NOT_TOLD = -(2 ** 31)

/** @throws The client's error. Topics that are missing or forbidden are in the answer. */
export async function describeCluster(
  producer: Producer,
  topics: readonly string[]
): Promise<ClusterDescription> {
  const broker = brokerOf(producer)
  const [answer, versions] = [
    await broker.connectionPool.send(metadataCall(topics)),
    broker.versions
  ]
  return {
    clusterId: answer.clusterId ?? '',
    brokers: answer.brokers.map(({ host, port }) =>
      host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    ),
    topics: answer.topics.map(({ topic, errorCode, partitions, allowed }) => ({
      topic,
      error: errorCode === 0 ? undefined : nameOf(errorCode),
      partitions: partitions.length,
      replicasMin: Math.min(...partitions.map(({ replicas }) => replicas.length)),
      leaderless: partitions.filter(({ leader }) => leader < 0).length,
      allowed: allowed === NOT_TOLD ? undefined : operationsIn(allowed)
    })),
    versionMin: versionOf(versions?.[FETCH]?.maxVersion ?? 0)
  }
}

/** @returns Values by name. @throws The client's error: TOPIC_AUTHORIZATION_FAILED without the right. */
export async function topicConfigs(
  producer: Producer,
  topic: string,
  names: readonly string[]
): Promise<Record<string, string>> {
  const resources = [{ type: TOPIC_RESOURCE, name: topic, configNames: [...names] }]
  const answer = await brokerOf(producer).describeConfigs({ resources, includeSynonyms: false })
  const entries = answer.resources.flatMap(({ configEntries }) => configEntries)
  return Object.fromEntries(entries.map(each => [each.configName, each.configValue ?? '']))
}

/**
 * Whether this user may be an idempotent producer: asks for a producer id, a number that nobody uses.
 *
 * @throws The client's error: CLUSTER_AUTHORIZATION_FAILED without the right.
 */
export async function askForProducerId(producer: Producer): Promise<void> {
  await brokerOf(producer).initProducerId({ transactionalId: null, transactionTimeout: 60_000 })
}

/**
 * Whether this user may describe a transactional id, or a group. Asks who coordinates it: whoever holds
 * the id goes on undisturbed, which asking for its producer would not let him.
 *
 * @throws The client's error: TRANSACTIONAL_ID_AUTHORIZATION_FAILED or GROUP_AUTHORIZATION_FAILED
 *   without the right.
 */
export async function askForCoordinator(
  producer: Producer,
  kind: keyof typeof COORDINATOR_TYPES,
  id: string
): Promise<void> {
  const coordinatorType = COORDINATOR_TYPES[kind]
  await brokerOf(producer).findGroupCoordinator({ groupId: id, coordinatorType })
}

/** One that the producer is connected to. */
function brokerOf(producer: Producer): RawBroker {
  const pool = clusterOf(producer).brokerPool as unknown as {
    seedBroker?: RawBroker & { isConnected(): boolean }
    brokers: Record<string, RawBroker & { isConnected(): boolean }>
  }
  const known = [...Object.values(pool.brokers), ...(pool.seedBroker ? [pool.seedBroker] : [])]
  const broker = known.find(each => each.isConnected())
  if (!broker) throw new Error('the connection to the broker was lost')
  return broker
}

/** As far as they are used here. */
interface Encoder {
  writeArray(values: readonly unknown[]): Encoder
  writeBoolean(value: boolean): Encoder
}

interface Decoder {
  readInt16(): number
  readInt32(): number
  readString(): string
  readBoolean(): boolean
  readArray<T>(read: (decoder: Decoder) => T): T[]
}

/** Source: Kafka protocol guide, Metadata v8. */
function metadataCall(topics: readonly string[]) {
  const require = createRequire(import.meta.url)
  const Encoder = require('kafkajs/src/protocol/encoder.js') as new () => Encoder
  const Decoder = require('kafkajs/src/protocol/decoder.js') as new (bytes: Buffer) => Decoder
  return {
    request: {
      ...{ apiKey: METADATA, apiVersion: METADATA_VERSION, apiName: 'Metadata' },
      encode: async () =>
        new Encoder()
          .writeArray(topics)
          .writeBoolean(false) // create none
          .writeBoolean(false) // rights in the cluster
          .writeBoolean(true) // rights in the topics
    },
    response: {
      decode: async (bytes: Buffer) => decodeMetadata(new Decoder(bytes)),
      parse: async (answer: MetadataAnswer) => answer
    },
    logResponseError: false
  }
}

function decodeMetadata(decoder: Decoder): MetadataAnswer {
  decoder.readInt32() // throttle time
  const brokers = decoder.readArray(each => {
    each.readInt32() // node id
    const [host, port] = [each.readString(), each.readInt32()]
    each.readString() // rack
    return { host, port }
  })
  const clusterId = decoder.readString()
  decoder.readInt32() // controller
  const topics = decoder.readArray(each => {
    const [errorCode, topic] = [each.readInt16(), each.readString()]
    each.readBoolean() // internal
    const partitions = each.readArray(readPartition)
    return { errorCode, topic, partitions, allowed: each.readInt32() }
  })
  return { brokers, clusterId, topics }
}

function readPartition(decoder: Decoder): { leader: number; replicas: number[] } {
  const ids = () => decoder.readArray(each => each.readInt32())
  decoder.readInt16() // error
  decoder.readInt32() // index
  const leader = decoder.readInt32()
  decoder.readInt32() // leader epoch
  const replicas = ids()
  ids() // in sync
  ids() // offline
  return { leader, replicas }
}

function operationsIn(bits: number): Set<Operation> {
  const found = Object.entries(OPERATIONS).filter(([bit]) => (bits & (1 << Number(bit))) !== 0)
  return new Set(found.map(([, operation]) => operation))
}

function nameOf(errorCode: number): string {
  const { createErrorFromCode } = createRequire(import.meta.url)(
    'kafkajs/src/protocol/error.js'
  ) as { createErrorFromCode(code: number): { type?: string } }
  return createErrorFromCode(errorCode).type ?? `KAFKA_ERROR_${errorCode}`
}

/** Which release brought a version of Fetch. Source: `FetchRequest.json` of Kafka. */
function versionOf(fetchVersionMax: number): string | undefined {
  const releases: [number, string][] = [
    [17, '3.9'],
    [16, '3.7'],
    [15, '3.5'],
    [13, '3.1'],
    [12, '2.7'],
    [11, '2.3']
  ]
  return releases.find(([version]) => fetchVersionMax >= version)?.[1]
}
