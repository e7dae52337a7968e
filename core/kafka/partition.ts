import { createRequire } from 'node:module'
import type { KafkaMessage, Producer } from './client.ts'
import { type Broker, clusterOf, type FetchedPartition } from './mend-producer.ts'

/*
 * One partition, read without a group: the client's consumer cannot be told which partitions to read,
 * and would leave a group behind. A producer's own connections serve.
 */

/** Offsets of a partition, [first, end): `end` counts transactions that are still open. */
export interface PartitionBounds {
  first: number
  end: number
}

const READ_UNCOMMITTED = 0
const READ_COMMITTED = 1
const EARLIEST = '-2'
const LATEST = '-1'
const FETCH_BYTES_MAX = 4 << 20
const FETCH_WAIT_MS = 250

/** @throws The client's error: UNKNOWN_TOPIC_OR_PARTITION when there is no such partition. */
export async function partitionBounds(
  producer: Producer,
  topic: string,
  partition: number
): Promise<PartitionBounds> {
  const leader = await leaderOf(producer, topic, partition)
  const [first, end] = await Promise.all([
    offsetAt(leader, topic, partition, EARLIEST),
    offsetAt(leader, topic, partition, LATEST)
  ])
  return { first, end }
}

/**
 * Reads a partition to what is its end now, read_committed: where another producer's transaction is open
 * before that end, waits for it to be over.
 *
 * @param take Called for each record, in their order.
 * @param from Where to begin; what is not there, or no longer, means the beginning.
 * @returns Where to go on.
 */
export async function readPartition(
  producer: Producer,
  topic: string,
  partition: number,
  take: (message: KafkaMessage) => void,
  signal?: AbortSignal,
  from?: number
): Promise<number> {
  const { first, end } = await partitionBounds(producer, topic, partition)
  const leader = await leaderOf(producer, topic, partition)
  const Batch = batchClass()
  let next = from !== undefined && from >= first && from <= end ? from : first
  while (next < end) {
    signal?.throwIfAborted()
    const fetched = await fetch(leader, topic, partition, next)
    const batch = new Batch(topic, String(next), fetched)
    const last = batch.messagesWithinOffset.at(-1)
    // What compaction has removed from the very end leaves nothing to read.
    if (!last && Number(fetched.lastStableOffset) >= end) return end
    for (const message of batch.messages) take(message)
    if (last) next = Number(last.offset) + 1
  }
  return next
}

/** @throws The client's error: UNKNOWN_TOPIC_OR_PARTITION when there is no such topic. */
export async function partitionsOf(producer: Producer, topic: string): Promise<number[]> {
  const cluster = clusterOf(producer)
  await cluster.addMultipleTargetTopics([topic])
  const partitions = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)
  return partitions.sort((a, b) => a - b)
}

async function leaderOf(producer: Producer, topic: string, partition: number): Promise<Broker> {
  const cluster = clusterOf(producer)
  await cluster.addMultipleTargetTopics([topic])
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
  if (nodeId === undefined) throw new NoPartitionError(topic, partition)
  return cluster.findBroker({ nodeId })
}

async function offsetAt(
  leader: Broker,
  topic: string,
  partition: number,
  timestamp: string
): Promise<number> {
  const { responses } = await leader.listOffsets({
    replicaId: -1,
    isolationLevel: READ_UNCOMMITTED,
    topics: [{ topic, partitions: [{ partition, timestamp }] }]
  })
  return Number(responses[0].partitions[0].offset)
}

async function fetch(
  leader: Broker,
  topic: string,
  partition: number,
  offset: number
): Promise<FetchedPartition> {
  const maxBytes = FETCH_BYTES_MAX
  const partitions = [{ partition, fetchOffset: String(offset), maxBytes }]
  const { responses } = await leader.fetch({
    ...{ isolationLevel: READ_COMMITTED, maxWaitTime: FETCH_WAIT_MS, maxBytes },
    topics: [{ topic, partitions }]
  })
  return responses[0].partitions[0]
}

interface FetchedBatch {
  /** Without those of aborted transactions, and without control records. */
  messages: KafkaMessage[]
  /** With them. */
  messagesWithinOffset: KafkaMessage[]
}

/** The client's own: knows which records belong to aborted transactions. */
function batchClass(): new (
  topic: string,
  fetchedOffset: string,
  partition: FetchedPartition
) => FetchedBatch {
  return createRequire(import.meta.url)('kafkajs/src/consumer/batch.js')
}

/** The topic has fewer partitions, or there is no such topic. */
export class NoPartitionError extends Error {
  constructor(topic: string, partition: number) {
    super(`topic ${topic} has no partition ${partition}`)
    this.name = 'NoPartitionError'
  }
}
