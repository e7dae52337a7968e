import { isDeepStrictEqual } from 'node:util'
import { groupMessagesPerPartition, type OutgoingMessage } from './mend-group.ts'

/*
 * Replaces kafkajs' `producer/sendMessages`, which keeps its books by broker: when a leader moves to
 * a broker that has answered already, the retry sends nothing and `send` resolves (records lost);
 * when one broker fails while another still answers, the other's batch goes out again under the next
 * sequence (records doubled, even inside a transaction).
 *
 * Here the books are kept by topic-partition:
 *   1. A message's partition is chosen once a send, and a batch's first sequence once a batch: a
 *      retry is byte for byte the batch the broker may already have, so an idempotent one is dropped.
 *   2. An attempt ends when every one of its requests has; only what has no answer is sent again.
 *   3. A send resolves only when each of its partitions has exactly one answer.
 *   4. A rejected send leaves its fate open. The same messages sent again take the same sequence;
 *      any other message for such a partition is refused, with an error that cannot be retried:
 *      under a sequence that the broker may know it would be dropped without a word.
 */

interface Broker {
  nodeId: number
  produce(request: Record<string, unknown>): Promise<ProduceResponse>
}

interface ProduceResponse {
  topics: { topicName: string; partitions: { partition: number }[] }[]
}

interface Cluster {
  addMultipleTargetTopics(topics: string[]): Promise<void>
  refreshMetadata(): Promise<void>
  refreshMetadataIfNecessary(): Promise<void>
  findTopicPartitionMetadata(topic: string): { partitionId: number; leader: number }[]
  findLeaderForPartitions(topic: string, partitions: string[]): Record<string, number[]>
  findBroker(node: { nodeId: string }): Promise<Broker>
  removeBroker(address: { host: unknown; port: unknown }): void
  isConnected(): boolean
  connect(): Promise<void>
}

interface EosManager {
  isInitialized(): boolean
  isTransactional(): boolean
  getTransactionalId(): string
  getProducerId(): number
  getProducerEpoch(): number
  getSequence(topic: string, partition: number): number
  updateSequence(topic: string, partition: number, increment: number): void
  addPartitionsToTransaction(topicData: TopicData[]): Promise<void>
  acquireBrokerLock(broker: Broker): Promise<void>
  releaseBrokerLock(broker: Broker): void
}

interface SendMessagesOptions {
  logger: { debug(message: string, extra?: object): void }
  cluster: Cluster
  partitioner: Parameters<typeof groupMessagesPerPartition>[0]['partitioner']
  eosManager: EosManager
  retrier<T>(
    attempt: (bail: (error: unknown) => void, retryCount: number, retryTime: number) => Promise<T>
  ): Promise<T>
}

interface SendRequest {
  acks: number
  timeout?: number
  compression?: number
  topicMessages: { topic: string; messages: OutgoingMessage[] }[]
}

/** One topic-partition's share of a send. */
interface Share {
  topic: string
  partition: number
  messages: OutgoingMessage[]
  /** Set at its first request and kept for every later one. */
  firstSequence?: number
  /** The broker's answer; undefined while there is none. */
  answer?: Record<string, unknown>
}

interface TopicData {
  topic: string
  partitions: { partition: number; firstSequence?: number; messages: OutgoingMessage[] }[]
}

/** What is taken from kafkajs' own modules. */
export interface SendMessagesParts {
  staleMetadata(error: unknown): boolean
  metadataMissing(message: string): Error
  fatal(message: string): Error
}

type ClientError = Error & { retriable?: boolean; host?: unknown; port?: unknown }

/**
 * The shares of each producer's rejected sends, by topic-partition; at most one each, dropped when
 * the partition is next written. They hold their messages so long.
 */
const openShares = new WeakMap<EosManager, Map<string, Share>>()

export function createSendMessagesWith(parts: SendMessagesParts) {
  return ({ logger, cluster, partitioner, eosManager, retrier }: SendMessagesOptions) =>
    async (request: SendRequest): Promise<Record<string, unknown>[]> => {
      let shares: Share[] | undefined

      const attempt = async (): Promise<Record<string, unknown>[]> => {
        await cluster.refreshMetadataIfNecessary()
        shares ??= resume(parts, eosManager, divide(parts, cluster, partitioner, request))
        const batches = await sharesByBroker(parts, cluster, shares)
        if (eosManager.isTransactional() && batches.size > 0) {
          const unanswered = [...batches.values()].flat()
          await eosManager.addPartitionsToTransaction(topicDataOf(unanswered))
        }
        const requests = [...batches].map(([broker, batch]) =>
          produce(eosManager, broker, batch, request)
        )
        // All of them: a request that is still out could be answered after its retry was sent.
        const outcomes = await Promise.allSettled(requests)
        const errors = outcomes.flatMap(outcome =>
          outcome.status === 'rejected' ? [outcome.reason as ClientError] : []
        )
        for (const error of errors) dropDead(cluster, error)
        if (errors.length > 0) throw errors.find(error => !error.retriable) ?? errors[0]
        return request.acks === 0 ? [] : shares.map(answerOf)
      }

      try {
        return await retrier(async (bail, retryCount, retryTime) => {
          await cluster.addMultipleTargetTopics(request.topicMessages.map(({ topic }) => topic))
          try {
            return await attempt()
          } catch (thrown) {
            const error = thrown as ClientError
            logger.debug(`Failed to send messages: ${error.message}`, { retryCount, retryTime })
            dropDead(cluster, error)
            if (!cluster.isConnected()) {
              await cluster.connect()
              await cluster.refreshMetadata()
              throw error
            }
            if (needsMetadata(parts, error)) {
              await cluster.refreshMetadata()
              throw error
            }
            if (error.retriable) throw error
            bail(error)
            return []
          }
        })
      } catch (error) {
        if (shares) leaveOpen(eosManager, shares)
        throw error
      }
    }
}

function keyOf({ topic, partition }: Share): string {
  return `${topic}/${partition}`
}

/** Chooses every message's partition; needs the topics' metadata, hence only once they are loaded. */
function divide(
  parts: SendMessagesParts,
  cluster: Cluster,
  partitioner: SendMessagesOptions['partitioner'],
  { topicMessages }: SendRequest
): Share[] {
  return topicMessages.flatMap(({ topic, messages }) => {
    const partitionMetadata = cluster.findTopicPartitionMetadata(topic)
    if (partitionMetadata.length === 0) {
      throw parts.metadataMissing('Producing to topic without metadata')
    }
    const groups = groupMessagesPerPartition({ topic, partitionMetadata, messages, partitioner })
    return Object.entries(groups).map(([partition, own]) => ({
      topic,
      partition: Number(partition),
      messages: own
    }))
  })
}

/** Takes up the sequences of a rejected send that comes again (rule 4). */
function resume(parts: SendMessagesParts, eosManager: EosManager, shares: Share[]): Share[] {
  const open = openShares.get(eosManager)
  if (!open) return shares
  const held = shares.map(share => open.get(keyOf(share)))
  for (const [i, earlier] of held.entries()) {
    if (earlier && !isDeepStrictEqual(earlier.messages, shares[i].messages)) {
      throw parts.fatal(
        `An earlier send to ${keyOf(earlier)} was rejected and may be stored: send the same messages again, or make a new producer`
      )
    }
  }
  for (const [i, earlier] of held.entries()) {
    if (!earlier) continue
    shares[i].firstSequence = earlier.firstSequence
    open.delete(keyOf(earlier))
  }
  return shares
}

/** Answered shares too: the caller sends the whole batch again, and their sequence drops the copy. */
function leaveOpen(eosManager: EosManager, shares: Share[]): void {
  if (!eosManager.isInitialized()) return
  const open = openShares.get(eosManager) ?? new Map<string, Share>()
  openShares.set(eosManager, open)
  for (const share of shares) {
    if (share.firstSequence !== undefined) open.set(keyOf(share), { ...share, answer: undefined })
  }
}

async function sharesByBroker(
  parts: SendMessagesParts,
  cluster: Cluster,
  shares: Share[]
): Promise<Map<Broker, Share[]>> {
  const batches = new Map<Broker, Share[]>()
  for (const share of shares) {
    if (share.answer) continue
    const leaders = cluster.findLeaderForPartitions(share.topic, [String(share.partition)])
    const [nodeId] = Object.keys(leaders)
    // kafkajs skips a partition that its metadata does not show, without a word.
    if (nodeId === undefined) throw parts.metadataMissing(`No metadata of ${keyOf(share)}`)
    const broker = await cluster.findBroker({ nodeId })
    const batch = batches.get(broker)
    if (batch) batch.push(share)
    else batches.set(broker, [share])
  }
  return batches
}

async function produce(
  eosManager: EosManager,
  broker: Broker,
  batch: Share[],
  { acks, timeout, compression }: SendRequest
): Promise<void> {
  await eosManager.acquireBrokerLock(broker)
  try {
    for (const share of batch) {
      if (share.firstSequence !== undefined) continue
      share.firstSequence = eosManager.getSequence(share.topic, share.partition)
      eosManager.updateSequence(share.topic, share.partition, share.messages.length)
    }
    const response = await broker.produce({
      transactionalId: eosManager.isTransactional() ? eosManager.getTransactionalId() : undefined,
      producerId: eosManager.getProducerId(),
      producerEpoch: eosManager.getProducerEpoch(),
      acks,
      timeout,
      compression,
      topicData: topicDataOf(batch)
    })
    if (acks === 0) for (const share of batch) share.answer = {}
    else record(response, batch)
  } finally {
    await eosManager.releaseBrokerLock(broker)
  }
}

/** A share without exactly one answer stays unanswered, and is sent again. */
function record(response: ProduceResponse, batch: Share[]): void {
  const answers = response.topics.flatMap(({ topicName, partitions }) =>
    partitions.map(partition => ({ topicName, ...partition }))
  )
  for (const share of batch) {
    const own = answers.filter(
      answer => answer.topicName === share.topic && answer.partition === share.partition
    )
    if (own.length === 1) share.answer = own[0]
  }
  const missing = batch.find(share => !share.answer)
  if (missing) throw unanswered(missing)
}

function answerOf(share: Share): Record<string, unknown> {
  if (!share.answer) throw unanswered(share)
  return share.answer
}

function unanswered(share: Share): ClientError {
  return Object.assign(new Error(`No answer for ${keyOf(share)}`), { retriable: true })
}

function topicDataOf(shares: Share[]): TopicData[] {
  const topics = new Map<string, TopicData>()
  for (const { topic, partition, firstSequence, messages } of shares) {
    const data = topics.get(topic) ?? { topic, partitions: [] }
    topics.set(topic, data)
    data.partitions.push({ partition, firstSequence, messages })
  }
  return [...topics.values()]
}

/** So that the next attempt connects anew; does nothing the second time. */
function dropDead(cluster: Cluster, { name, host, port }: ClientError): void {
  if (name === 'KafkaJSConnectionClosedError') cluster.removeBroker({ host, port })
}

function needsMetadata({ staleMetadata }: SendMessagesParts, error: ClientError): boolean {
  return (
    staleMetadata(error) ||
    error.name === 'KafkaJSMetadataNotLoaded' ||
    error.name === 'KafkaJSConnectionError' ||
    error.name === 'KafkaJSConnectionClosedError' ||
    (error.name === 'KafkaJSProtocolError' && error.retriable === true)
  )
}
