import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet } from '../../firmware-sim/fleet.ts'
import { TestAgent } from '../kit/agent-process.ts'
import { checkDelivery } from '../kit/delivery-check.ts'
import { missingKafka, testClient } from '../kit/kafka.ts'
import { type KafkaNodes, startKafkaNodes } from '../kit/kafka-nodes.ts'

/*
 * Agents as processes before a cluster of three nodes, three replicas, two in sync at least, while one
 * node after the other is restarted, as an operator does who upgrades it.
 */

const missing = await missingKafka()
const MODES = ['at_least_once', 'exactly_once'] as const
const SITE = 'plant1'
const CONFIG = 'kafka: { create_topics: true, partitions: 6 }\nlogging: { level: info }\n'
const SEED = 11

let cluster: KafkaNodes
const agents: TestAgent[] = []

beforeAll(async () => {
  if (!missing) cluster = await startKafkaNodes({ nodes: 3 })
})
afterAll(async () => {
  for (const agent of agents) await agent.remove()
  await cluster?.remove()
})

test.skipIf(missing)(
  `a rolling restart of the cluster under load loses, reorders and doubles nothing, in either mode (seed ${SEED})`,
  async () => {
    const sides = await Promise.all(
      MODES.map(async mode => {
        const agent = new TestAgent(CONFIG)
        agents.push(agent)
        await agent.start(cluster.brokers.join(), '--delivery', mode)
        const fleet = new Fleet({
          ...{ host: '127.0.0.1', port: agent.mqttPort, devices: 40, rate: 700, seed: SEED },
          ...{ durationMs: 300_000, site: SITE, prefix: `${mode}-`, faults: false },
          drainMsMax: 30_000
        })
        await fleet.start()
        return { agent, fleet }
      })
    )
    const flows = async () => {
      for (const { fleet } of sides) {
        const { acknowledged } = fleet.counters()
        await expect
          .poll(() => fleet.counters().acknowledged, { timeout: 30_000 })
          .toBeGreaterThan(acknowledged + 2000)
      }
    }
    await flows()
    for (const node of cluster.nodes) {
      await node.stop()
      await flows()
      await node.start()
      await replicasInSync()
    }
    await flows()
    await Promise.all(sides.map(({ fleet }) => fleet.stop()))
    for (const { agent, fleet } of sides) {
      await agent.until(status => status.lanes.telemetry.backlogRecords === 0)
      const ledger = Object.entries(fleet.ledger()).map(([device, n]) => [`${SITE}/${device}`, n])
      const verdict = await checkDelivery({
        brokers: cluster.brokers,
        topic: 'telemetry',
        ledger: Object.fromEntries(ledger)
      })
      expect(verdict).toMatchObject({ lost: 0, reordered: 0, duplicates: 0, resent: 0 })
      expect(verdict.acknowledged).toBeGreaterThan(10_000)
      // Leaders move by themselves: nobody is called.
      expect(agent.log()).not.toContain('uplink.parked')
      expect((await agent.status()).deadLetters).toEqual({})
      expect(await agent.stop()).toBe(0)
    }
  },
  240_000
)

/** What an operator waits for before the next node. */
async function replicasInSync(): Promise<void> {
  const admin = testClient(cluster.brokers, 'test-admin').admin()
  await admin.connect()
  try {
    const behind = async () => {
      const { topics } = await admin.fetchTopicMetadata()
      const partitions = topics.flatMap(topic => topic.partitions)
      return partitions.filter(({ replicas, isr }) => isr.length < replicas.length).length
    }
    await expect.poll(() => behind().catch(() => -1), { timeout: 60_000 }).toBe(0)
  } finally {
    await admin.disconnect()
  }
}
