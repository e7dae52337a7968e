import { createRequire } from 'node:module'
import { setImmediate } from 'node:timers/promises'
import { beforeEach, expect, test } from 'vitest'
import { createSendMessagesWith } from '../../../core/kafka/mend-send.ts'
import { Prng } from '../../../core/runtime/prng.ts'

/*
 * A model of two brokers as far as an idempotent producer sees them (sequences, the memory of the last
 * five batches, leaders that move, answers that get lost), under kafkajs' real sequence keeping and
 * retrier. The same run is held against kafkajs' own `sendMessages`, so that the model proves its teeth.
 */

const require = createRequire(import.meta.url)
const errors = require('kafkajs/src/errors.js')
const { staleMetadata, createErrorFromCode } = require('kafkajs/src/protocol/error.js')
const createEosManager = require('kafkajs/src/producer/eosManager/index.js')
const createRetry = require('kafkajs/src/retry/index.js')
const originalSendMessages = require('kafkajs/src/producer/sendMessages.js')

const seed = Number(process.env.SEED ?? 20_260_102)
const NOT_LEADER = 6
const OUT_OF_ORDER_SEQUENCE = 45
const TOPIC = 't'
const PARTITIONS = 4

const mendedSendMessages = createSendMessagesWith({
  staleMetadata,
  metadataMissing: message => new errors.KafkaJSMetadataNotLoaded(message),
  fatal: message => new errors.KafkaJSNonRetriableError(message)
})

interface Message {
  value: string
  partition: number
}

interface Entry {
  partition: number
  firstSequence: number
  messages: Message[]
}

interface Answer {
  partition: number
  errorCode: number
}

type Fate = 'stored' | 'lost' | 'stored, answer lost'

class ModelCluster {
  readonly logs = Array.from({ length: PARTITIONS }, () => ({
    values: [] as string[],
    next: 0,
    batches: [] as { first: number; count: number }[]
  }))
  leaders = Array.from({ length: PARTITIONS }, (_, i) => 1 + (i % 2))
  known = [...this.leaders]
  /** Decides what becomes of a request. */
  fate: (nodeId: number) => Fate = () => 'stored'
  /** Turns of the event loop before the broker does anything. */
  delay: (nodeId: number) => number = () => 0
  /** What a broker says of the partitions it has stored. */
  answers: (partitions: Answer[]) => Answer[] = partitions => partitions
  produced = 0
  readonly retry = {
    initialRetryTime: 1,
    factor: 0,
    multiplier: 1,
    maxRetryTime: 1,
    retries: 6
  }
  readonly #brokers = [1, 2].map(nodeId => ({
    nodeId,
    initProducerId: async () => ({ producerId: 7, producerEpoch: 0 }),
    produce: (request: { topicData: { partitions: Entry[] }[] }) => this.#produce(nodeId, request)
  }))

  async #produce(nodeId: number, { topicData }: { topicData: { partitions: Entry[] }[] }) {
    this.produced++
    // As the encoder does: what is sent is what it was at the time.
    const entries = structuredClone(topicData.flatMap(({ partitions }) => partitions))
    const fate = this.fate(nodeId)
    for (let turns = this.delay(nodeId); turns > 0; turns--) await setImmediate()
    const closed = new errors.KafkaJSConnectionClosedError('closed', { host: 'h', port: nodeId })
    if (fate === 'lost') throw closed
    const codes = entries.map(entry => this.#append(nodeId, entry))
    if (fate === 'stored, answer lost') throw closed
    const failure = codes.find(code => code !== 0)
    if (failure) throw createErrorFromCode(failure)
    const partitions = entries.map(({ partition }) => ({ partition, errorCode: 0 }))
    return { topics: [{ topicName: TOPIC, partitions: this.answers(partitions) }] }
  }

  #append(nodeId: number, { partition, firstSequence: first, messages }: Entry): number {
    if (this.leaders[partition] !== nodeId) return NOT_LEADER
    const log = this.logs[partition]
    const count = messages.length
    if (log.batches.slice(-5).some(b => b.first === first && b.count === count)) return 0
    if (first !== log.next) return OUT_OF_ORDER_SEQUENCE
    log.batches.push({ first, count })
    log.next += count
    log.values.push(...messages.map(({ value }) => value))
    return 0
  }

  async addMultipleTargetTopics() {}
  async refreshMetadataIfNecessary() {}
  async refreshMetadata() {
    this.known = [...this.leaders]
  }
  findTopicPartitionMetadata() {
    return this.known.map((leader, partitionId) => ({ partitionId, leader }))
  }
  findLeaderForPartitions(_topic: string, partitions: string[]) {
    const result: Record<string, number[]> = {}
    for (const id of partitions) {
      const leader = this.known[Number(id)]
      if (leader === undefined) continue
      result[leader] ??= []
      result[leader].push(Number(id))
    }
    return result
  }
  async findBroker({ nodeId }: { nodeId: string }) {
    return this.#brokers[Number(nodeId) - 1]
  }
  async findControllerBroker() {
    return this.#brokers[0]
  }
  removeBroker() {}
  isConnected() {
    return true
  }
  async connect() {}
}

const quiet = { debug() {}, info() {}, warn() {}, error() {}, namespace: () => quiet }

async function producerOn(cluster: ModelCluster, createSendMessages: unknown) {
  const eosManager = createEosManager({ logger: quiet, cluster, transactional: false })
  await eosManager.initProducerId()
  const partitioner = ({ message }: { message: Message }) => message.partition
  const send = (createSendMessages as (o: unknown) => (r: unknown) => Promise<unknown[]>)({
    logger: quiet,
    cluster,
    partitioner,
    eosManager,
    retrier: createRetry(cluster.retry)
  })
  return (messages: Message[]) =>
    send({ acks: -1, timeout: 1000, topicMessages: [{ topic: TOPIC, messages }] })
}

let sent: string[][]
beforeEach(() => {
  sent = Array.from({ length: PARTITIONS }, () => [])
})

let serial = 0
function batchOf(prng: Prng, count = 1 + prng.int(12)): Message[] {
  return Array.from({ length: count }, () => ({
    value: String(serial++),
    partition: prng.int(PARTITIONS)
  }))
}

/** @returns Whether every record is stored once and in order, after every send was repeated until it resolved. */
async function storesEachOnce(createSendMessages: unknown, prng: Prng): Promise<boolean> {
  const cluster = new ModelCluster()
  const expected: string[][] = Array.from({ length: PARTITIONS }, () => [])
  const send = await producerOn(cluster, createSendMessages)
  let troubled = true
  cluster.delay = () => prng.int(6)
  cluster.fate = () => {
    if (!troubled) return 'stored'
    if (prng.chance(0.3)) cluster.leaders[prng.int(PARTITIONS)] = 1 + prng.int(2)
    return prng.chance(0.6) ? 'stored' : prng.chance(0.5) ? 'lost' : 'stored, answer lost'
  }
  for (let i = 0; i < 8; i++) {
    const messages = batchOf(prng)
    for (const { value, partition } of messages) expected[partition].push(value)
    for (let tries = 0; ; tries++) {
      troubled = tries < 3
      const resolved = await send(messages).then(
        () => true,
        () => false
      )
      if (resolved) break
      if (tries > 5) return false
    }
  }
  return expected.every((values, p) => values.join() === cluster.logs[p].values.join())
}

test(`each record is stored once and in order through lost answers and moving leaders (seed ${seed})`, async () => {
  const prng = new Prng(seed)
  for (let round = 0; round < 150; round++) {
    const roundSeed = prng.uint32()
    const good = await storesEachOnce(mendedSendMessages, new Prng(roundSeed))
    expect(good, `round seed ${roundSeed}`).toBe(true)
  }
})

test('the original fails in the same model: the mend is still needed, and the model can tell', async () => {
  const prng = new Prng(seed)
  let failures = 0
  for (let round = 0; round < 20; round++) {
    if (!(await storesEachOnce(originalSendMessages, new Prng(prng.uint32())))) failures++
  }
  expect(failures).toBeGreaterThan(0)
})

test('a leader that moves to a broker which has answered gets its records in the retry', async () => {
  const cluster = new ModelCluster()
  const send = await producerOn(cluster, mendedSendMessages)
  cluster.leaders = [1, 1, 1, 1] // the producer still believes in broker 2
  const answers = await send([
    { value: 'a', partition: 0 },
    { value: 'b', partition: 1 }
  ])
  expect(cluster.logs.map(log => log.values)).toEqual([['a'], ['b'], [], []])
  expect(answers).toEqual([
    expect.objectContaining({ topicName: TOPIC, partition: 0 }),
    expect.objectContaining({ topicName: TOPIC, partition: 1 })
  ])
})

test('a retry waits for the slow broker and does not send its batch again', async () => {
  const cluster = new ModelCluster()
  const send = await producerOn(cluster, mendedSendMessages)
  let refusals = 1
  cluster.fate = nodeId => (nodeId === 1 && refusals-- > 0 ? 'lost' : 'stored')
  cluster.delay = nodeId => (nodeId === 2 ? 50 : 0)
  await send([
    { value: 'a', partition: 0 },
    { value: 'b', partition: 1 }
  ])
  expect(cluster.logs.map(log => log.values)).toEqual([['a'], ['b'], [], []])
  expect(cluster.produced).toBe(3)
})

test('a rejected send that comes again is stored once, though every answer was lost', async () => {
  const cluster = new ModelCluster()
  const send = await producerOn(cluster, mendedSendMessages)
  const messages = batchOf(new Prng(seed), 20)
  for (const { value, partition } of messages) sent[partition].push(value)
  cluster.fate = () => 'stored, answer lost'
  await expect(send(messages)).rejects.toThrow('closed')
  cluster.fate = () => 'stored'
  // Made anew, as a caller that keeps only bytes does.
  await send(messages.map(message => ({ ...message })))
  expect(cluster.logs.map(log => log.values)).toEqual(sent)
})

test('other messages after a rejected send are refused, not dropped under its sequence', async () => {
  const cluster = new ModelCluster()
  const send = await producerOn(cluster, mendedSendMessages)
  cluster.fate = () => 'stored, answer lost'
  await expect(send([{ value: 'a', partition: 0 }])).rejects.toThrow('closed')
  cluster.fate = () => 'stored'
  await expect(send([{ value: 'b', partition: 0 }])).rejects.toThrow(
    'An earlier send to t/0 was rejected and may be stored'
  )
  await send([{ value: 'c', partition: 1 }])
  await send([{ value: 'a', partition: 0 }])
  await send([{ value: 'b', partition: 0 }])
  expect(cluster.logs.map(log => log.values)).toEqual([['a', 'b'], ['c'], [], []])
})

test('a partition that vanished from the metadata rejects the send, where the original resolves', async () => {
  const messages = [{ value: 'a', partition: 9 }]
  const mended = await producerOn(new ModelCluster(), mendedSendMessages)
  await expect(mended(messages)).rejects.toThrow('No metadata of t/9')
  const original = await producerOn(new ModelCluster(), originalSendMessages)
  await expect(original(messages)).resolves.toEqual([])
})

test.each<[string, (partitions: Answer[]) => Answer[]]>([
  ['leaves out', partitions => partitions.slice(1)],
  ['repeats', partitions => [...partitions, partitions[0]]],
  ['is empty of', () => []]
])(
  'an answer that %s a partition is none: it is sent again under its sequence, and stored once',
  async (_what, spoil) => {
    const cluster = new ModelCluster()
    let spoilt = 0
    cluster.answers = partitions => (spoilt++ < 2 ? spoil(partitions) : partitions)
    const send = await producerOn(cluster, mendedSendMessages)
    const messages = Array.from({ length: 12 }, (_, i) => ({
      value: String(i),
      partition: i % PARTITIONS
    }))
    const answers = (await send(messages)) as Answer[]
    expect(answers.map(({ partition }) => partition).sort()).toEqual([0, 1, 2, 3])
    expect(cluster.produced).toBeGreaterThan(2)
    expect(cluster.logs.map(({ values }) => values.join())).toEqual([
      '0,4,8',
      '1,5,9',
      '2,6,10',
      '3,7,11'
    ])
  }
)

test('a partition that is never answered rejects the send, where the original resolves', async () => {
  const messages = Array.from({ length: 4 }, (_, i) => ({ value: String(i), partition: i }))
  const outcomes = await Promise.all(
    [mendedSendMessages, originalSendMessages].map(async createSendMessages => {
      const cluster = new ModelCluster()
      cluster.answers = partitions => partitions.filter(({ partition }) => partition !== 2)
      const send = await producerOn(cluster, createSendMessages)
      return send(messages).then(
        () => 'resolved',
        () => 'rejected'
      )
    })
  )
  expect(outcomes).toEqual(['rejected', 'resolved'])
})
