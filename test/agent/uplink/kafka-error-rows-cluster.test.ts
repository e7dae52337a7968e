import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Admin } from '../../../core/kafka/client.ts'
import { createTopic, missingKafka, testClient } from '../../kit/kafka.ts'
import { type KafkaNode, type KafkaNodes, startKafkaNodes } from '../../kit/kafka-nodes.ts'
import { MODES } from './delivery-kit.ts'
import { type Row, rowOf, troubles } from './error-rows-kit.ts'

/*
 * Rows of the error table that it takes a cluster for: three nodes, three replicas, two in sync at
 * least. Both modes at once, so that a node need not be stopped twice.
 */

const missing = await missingKafka()
const MS_MAX = 120_000

let cluster: KafkaNodes
let admin: Admin

beforeAll(async () => {
  if (missing) return
  cluster = await startKafkaNodes({ nodes: 3 })
  admin = testClient(cluster.brokers, 'test-admin').admin()
  await admin.connect()
  await createTopic(admin, 'fieldline.cursors', { replicationFactor: 3 })
})
afterAll(async () => {
  await admin?.disconnect()
  await cluster?.remove()
})

/** One a mode, warm: the coordinators' own topics are there. */
async function rows(topicOptions = {}): Promise<Row[]> {
  const all = await Promise.all(
    MODES.map(mode =>
      rowOf(admin, cluster.brokers, mode, {
        kafka: testClient(cluster.brokers),
        topicOptions: { replicationFactor: 3, ...topicOptions }
      })
    )
  )
  for (const each of all) {
    await each.send(50)
    each.states.length = 0
  }
  return all
}

async function leaderOf(topic: string, partition = 0): Promise<KafkaNode> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  const found = topics[0].partitions.find(({ partitionId }) => partitionId === partition)
  return cluster.nodes[Number(found?.leader) - 1]
}

/** Batch after batch until told to stop. */
function stream(row: Row): { stop(): Promise<void>; batches(): number } {
  let stopping = false
  let batches = 0
  const ended = (async () => {
    for (; !stopping; batches++) await row.send(50)
  })()
  ended.catch(() => {})
  return {
    batches: () => batches,
    stop: () => {
      stopping = true
      return ended
    }
  }
}

/** Batches are sent before, while and after. */
async function amid(all: Row[], trouble: () => Promise<void>): Promise<void> {
  const streams = all.map(stream)
  await trouble()
  for (const each of streams) {
    const before = each.batches()
    await expect.poll(() => each.batches(), { timeout: 60_000 }).toBeGreaterThan(before + 5)
    await each.stop()
  }
}

test.skipIf(missing)(
  'a leader that moves, and moves back, costs nothing and parks nobody',
  async () => {
    const all = await rows()
    const leader = await leaderOf(all[0].topic)
    await amid(all, async () => {
      await leader.stop()
      await leader.start()
    })
    for (const each of all) {
      expect(troubles(each.states).filter(trouble => trouble.startsWith('parked'))).toEqual([])
      expect(each.states.at(-1)).toEqual({ kind: 'streaming' })
      await each.expectWhole()
    }
  },
  MS_MAX
)

test.skipIf(missing)(
  'a coordinator that is killed in the middle of a transaction is found again elsewhere',
  async () => {
    const all = (await rows()).slice(1)
    const [{ topic, states, expectWhole }] = all
    // Of the transaction and of the group alike: both hash the same name over as many partitions.
    const partition = Math.abs(javaHash(topic)) % 4
    const coordinator = await leaderOf('__transaction_state', partition)
    const keeper = await leaderOf('__consumer_offsets', partition)
    await amid(all, async () => {
      await coordinator.kill()
      await coordinator.start()
      if (keeper === coordinator) return
      await keeper.kill()
      await keeper.start()
    })
    expect(troubles(states).filter(trouble => trouble.startsWith('parked'))).toEqual([])
    expect(states.at(-1)).toEqual({ kind: 'streaming' })
    await expectWhole()
  },
  MS_MAX
)

test.skipIf(missing)(
  'NOT_ENOUGH_REPLICAS: with two of three nodes away the lane waits and says why; it goes on when they are back',
  async () => {
    const all = await rows()
    const leader = await leaderOf(all[0].topic)
    const others = cluster.nodes.filter(node => node !== leader)
    for (const node of others) await node.stop()
    const sent = all.map(each => each.send(50))
    const waiting = await all[0].told('NOT_ENOUGH_REPLICAS')
    expect(waiting).toMatchObject({ kind: 'waiting' })
    // Without a majority of nodes there is no coordinator either: any trouble, but told.
    await expect.poll(() => all[1].states.at(-1)?.kind, { timeout: 40_000 }).toBe('waiting')
    await Promise.all(others.map(node => node.start()))
    await Promise.all(sent)
    for (const each of all) {
      expect(each.states.at(-1)).toEqual({ kind: 'streaming' })
      expect(each.deadLetters).toEqual([])
      await each.expectWhole()
    }
  },
  MS_MAX
)

/** `String.hashCode`, by which brokers choose a coordinator's partition. */
function javaHash(text: string): number {
  let hash = 0
  for (let n = 0; n < text.length; n++) hash = (31 * hash + text.charCodeAt(n)) | 0
  return hash
}
