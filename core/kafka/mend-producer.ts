import assert from 'node:assert/strict'
import type { Producer } from 'kafkajs'
import { pause } from '../runtime/deadline.ts'

/*
 * Three things about kafkajs' producers that a slow link cannot afford:
 *
 *   1. Every call of a transaction asks for its coordinator first: four more round trips a transaction.
 *      Here it is asked once a producer. When it moves, calls fail until a new producer asks again.
 *   2. Before it knows a topic, a producer asks for the metadata of *all* topics: hundreds of kB of a
 *      large cluster. Here it asks for none; brokers and controller are in the answer all the same.
 *   3. The group's committed offset, and the cluster's id, are to be had only over a second connection
 *      (`admin`), which asks for all topics twice more. Here the producer's own serves.
 */

/** A broker's partition, read_committed, as it answers a fetch. */
export interface FetchedPartition {
  partition: number
  highWatermark: string
  lastStableOffset: string
  messages: unknown[]
}

export interface Broker {
  nodeId: number
  /** @param request `isolationLevel` 1: read_committed. */
  fetch(request: {
    isolationLevel: 0 | 1
    maxWaitTime: number
    maxBytes: number
    topics: {
      topic: string
      partitions: { partition: number; fetchOffset: string; maxBytes: number }[]
    }[]
  }): Promise<{ responses: { topicName: string; partitions: FetchedPartition[] }[] }>
  /** @param request `timestamp` −1: the end, −2: the beginning. */
  listOffsets(request: {
    replicaId: number
    isolationLevel: 0 | 1
    topics: { topic: string; partitions: { partition: number; timestamp: string }[] }[]
  }): Promise<{ responses: { topic: string; partitions: { offset: string }[] }[] }>
  lookupRequest(apiKey: number, definition: unknown): (options: MetadataOptions) => ProtocolCall
  metadata(topics?: string[]): Promise<unknown>
  offsetFetch(request: {
    groupId: string
    topics: { topic: string; partitions: { partition: number }[] }[]
  }): Promise<{ responses: { topic: string; partitions: CommittedOffset[] }[] }>
}

interface CommittedOffset {
  partition: number
  offset: string
  metadata: string | null
}

interface MetadataOptions {
  topics: string[]
}

interface Encoder {
  writeArray(array: unknown[]): Encoder
  writeBoolean(value: boolean): Encoder
}

interface ProtocolCall {
  request: { apiVersion: number; encode(): Promise<Encoder> }
  response: unknown
}

export interface Cluster {
  findTopicPartitionMetadata(topic: string): { partitionId: number }[]
  findLeaderForPartitions(topic: string, partitions: number[]): Record<string, number[]>
  brokerPool: {
    metadata: { clusterId: string } | null
    createBroker(options: unknown): Broker
  }
  addMultipleTargetTopics(topics: string[]): Promise<void>
  findBroker(node: { nodeId: number | string }): Promise<Broker>
  findGroupCoordinator(group: { groupId: string; coordinatorType?: number }): Promise<Broker>
}

type CreateProducer = (options: { cluster: Cluster }) => Producer

const ATTEMPTS_MAX = 20
const ATTEMPT_PAUSE_MS = 100

const clusters = new WeakMap<Producer, Cluster>()
/** Makes a cluster ask for its coordinators again. */
const forget = new WeakMap<Cluster, () => void>()

/** Replaces `producer/index`. */
export function createProducerWith(original: CreateProducer, Encoder: new () => Encoder) {
  return (options: { cluster: Cluster }): Producer => {
    askForNoTopics(options.cluster, Encoder)
    rememberCoordinators(options.cluster)
    const producer = original(options)
    clusters.set(producer, options.cluster)
    return producer
  }
}

/**
 * What a group has committed of one partition of a topic, as the producer's connection tells.
 *
 * What a transaction has just committed shows only once its markers are written: after the fencing by
 * a producer with the same transactional id, not before.
 *
 * @returns Undefined when nothing is committed. Rejects with UNKNOWN_TOPIC_OR_PARTITION when there is
 *   no such topic.
 */
export async function committedOffset(
  producer: Producer,
  groupId: string,
  topic: string,
  partition = 0
): Promise<{ clusterId: string; committed: CommittedOffset | undefined }> {
  const cluster = clusterOf(producer)
  await cluster.addMultipleTargetTopics([topic])
  const topics = [{ topic, partitions: [{ partition }] }]
  const { responses } = await withCoordinator(cluster, groupId, coordinator =>
    coordinator.offsetFetch({ groupId, topics })
  )
  const committed = responses[0]?.partitions.find(answer => answer.partition === partition)
  const clusterId = cluster.brokerPool.metadata?.clusterId ?? ''
  return { clusterId, committed: Number(committed?.offset ?? -1) < 0 ? undefined : committed }
}

/** What a producer of a mended client knows of its brokers, and its connections to them. */
export function clusterOf(producer: Producer): Cluster {
  const cluster = clusters.get(producer)
  assert(cluster, 'not a producer of a mended client')
  return cluster
}

/** A young cluster, or one that moves a group, needs a moment. */
async function withCoordinator<T>(
  cluster: Cluster,
  groupId: string,
  call: (coordinator: Broker) => Promise<T>
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call(await cluster.findGroupCoordinator({ groupId }))
    } catch (error) {
      const { type = '' } = error as { type?: string }
      if (!/COORDINATOR|LOAD_IN_PROGRESS/.test(type) || attempt >= ATTEMPTS_MAX) throw error
      forget.get(cluster)?.()
      await pause(ATTEMPT_PAUSE_MS)
    }
  }
}

function rememberCoordinators(cluster: Cluster): void {
  const find = cluster.findGroupCoordinator.bind(cluster)
  const known = new Map<string, number>()
  forget.set(cluster, () => known.clear())
  cluster.findGroupCoordinator = async group => {
    const key = `${group.coordinatorType ?? 0}/${group.groupId}`
    const nodeId = known.get(key)
    if (nodeId !== undefined) {
      try {
        return await cluster.findBroker({ nodeId })
      } catch (error) {
        known.delete(key)
        throw error
      }
    }
    const coordinator = await find(group)
    known.set(key, coordinator.nodeId)
    return coordinator
  }
}

function askForNoTopics({ brokerPool }: Cluster, Encoder: new () => Encoder): void {
  const createBroker = brokerPool.createBroker
  brokerPool.createBroker = options => {
    const broker = createBroker(options)
    const metadata = broker.metadata.bind(broker)
    broker.metadata = topics => {
      if (topics && topics.length > 0) return metadata(topics)
      const lookup = broker.lookupRequest
      broker.lookupRequest = (apiKey, definition) => {
        const protocol = lookup(apiKey, definition)
        return options => withoutTopics(protocol(options), Encoder)
      }
      try {
        // It looks its request up before it first waits.
        return metadata([])
      } finally {
        broker.lookupRequest = lookup
      }
    }
    return broker
  }
}

/** kafkajs encodes an empty list as null, which means all; version 0 knows no other way. */
function withoutTopics(call: ProtocolCall, Encoder: new () => Encoder): ProtocolCall {
  const { apiVersion } = call.request
  if (apiVersion < 1 || apiVersion > 6) return call
  const encode = async () => {
    const encoder = new Encoder().writeArray([])
    // allow_auto_topic_creation, from version 4 on.
    return apiVersion < 4 ? encoder : encoder.writeBoolean(false)
  }
  return { ...call, request: { ...call.request, encode } }
}
