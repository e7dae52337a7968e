import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { DeliveryVerdict } from '../../../cli/demo/judge.ts'
import { TOPICS } from '../../../core/contract/topics.ts'
import type { Cursor } from '../../../core/log/reader.ts'
import { TestAgent } from '../../kit/agent-process.ts'
import { checkDelivery, readWhole } from '../../kit/delivery-check.ts'
import { missingKafka, testClient } from '../../kit/kafka.ts'
import { type KafkaNodes, startKafkaNodes } from '../../kit/kafka-nodes.ts'
import { RawMqtt } from '../../kit/raw-mqtt.ts'

/*
 * What happens when the delivery mode, the cluster, the agent's name or its data directory is another
 * than before: the table "What happens when" in agent/DESIGN.md, with agents as processes.
 */

const missing = await missingKafka()
const CONFIG = 'kafka: { create_topics: true, partitions: 3 }\nlogging: { level: info }\n'
const ONCE = ['--delivery', 'exactly_once']
const AT_LEAST = ['--delivery', 'at_least_once']

let kafka: KafkaNodes
let other: KafkaNodes
const plants: Plant[] = []

beforeAll(async () => {
  if (missing) return
  ;[kafka, other] = await Promise.all([startKafkaNodes(), startKafkaNodes()])
})
afterAll(async () => {
  for (const { agent } of plants) await agent.remove()
  await kafka?.remove()
  await other?.remove()
})

let serial = 0

/** An agent and its one device, which sends each reading once. */
class Plant {
  readonly agent = new TestAgent(CONFIG)
  readonly site = `modes-${++serial}`
  sent = 0

  constructor() {
    plants.push(this)
  }

  get directory(): string {
    return path.join(this.agent.directory, 'data')
  }

  start(flags: string[], { brokers } = kafka): Promise<void> {
    return this.agent.start(brokers.join(), ...flags)
  }

  /** Acknowledged all. */
  async publish(count: number): Promise<void> {
    const device = await RawMqtt.connect(this.agent.mqttPort, { clientId: this.site })
    const first = this.sent + 1
    this.sent += count
    for (let seq = first; seq <= this.sent; seq++) {
      const payload = JSON.stringify({ seq })
      device.publish({ topic: `telemetry/${this.site}/pump`, payload, qos: 1, id: seq })
    }
    await device.until(() => device.acks().length === count)
    device.destroy()
  }

  async drained(): Promise<void> {
    await this.agent.until(status => status.lanes.telemetry.backlogRecords === 0)
  }

  /** Publishes, waits until all is in Kafka, and ends the agent in order. */
  async run(flags: string[], count: number, cluster = kafka): Promise<void> {
    await this.start(flags, cluster)
    await this.publish(count)
    await this.drained()
    expect(await this.agent.stop()).toBe(0)
  }

  async facts(): Promise<{ group: string; epoch: string }> {
    const { agentId, lanes } = await this.agent.status()
    return { group: `fieldline.${agentId}.telemetry`, epoch: lanes.telemetry.log.epoch }
  }

  check(): Promise<DeliveryVerdict> {
    const ledger = { [`${this.site}/pump`]: this.sent }
    return checkDelivery({ brokers: kafka.brokers, topic: 'telemetry', ledger })
  }

  async expectEachOnce(): Promise<void> {
    const each = { lost: 0, reordered: 0, duplicates: 0, resent: 0, records: this.sent }
    expect(await this.check()).toMatchObject(each)
  }

  /** Puts the log's checkpoint back to what it was: power loss, but for the progress file. */
  async withOlderCheckpoint(act: () => Promise<void>): Promise<void> {
    const file = path.join(this.directory, 'telemetry', 'checkpoint')
    const older = fs.readFileSync(file)
    await act()
    fs.writeFileSync(file, older)
  }
}

const idsOf = async (site: string, { brokers } = kafka) => {
  const records = await readWhole({ brokers, topic: 'telemetry' })
  return records.filter(({ key }) => key === `${site}/pump`).map(({ id }) => id ?? '')
}

test.skipIf(missing)(
  'switching to exactly_once and back loses nothing and repeats nothing',
  async () => {
    const plant = new Plant()
    for (const flags of [AT_LEAST, ONCE, AT_LEAST, ONCE]) await plant.run(flags, 60)
    await plant.expectEachOnce()
  }
)

test.skipIf(missing)('a backlog of one mode is delivered by the other', async () => {
  const plant = new Plant()
  for (const [before, after] of [
    [AT_LEAST, ONCE],
    [ONCE, AT_LEAST]
  ]) {
    // Nobody listens there: nothing is delivered.
    await plant.start(before, { ...kafka, brokers: ['127.0.0.1:1'] })
    await plant.publish(60)
    await plant.agent.stop()
    await plant.run(after, 5)
  }
  await plant.expectEachOnce()
})

test.skipIf(missing).each([
  ['at_least_once', 'progress file', AT_LEAST],
  ['exactly_once', 'cursor in Kafka', ONCE]
])('%s: the %s counts where it is later than the checkpoint', async (_mode, _what, flags) => {
  const plant = new Plant()
  await plant.run(flags, 60)
  await plant.withOlderCheckpoint(() => plant.run(flags, 60))
  await plant.run(flags, 60)
  await plant.expectEachOnce()
})

test.skipIf(missing)(
  'exactly_once: the checkpoint counts where the group’s offsets have expired',
  async () => {
    const plant = new Plant()
    await plant.start(ONCE)
    const { group } = await plant.facts()
    await plant.publish(60)
    await plant.drained()
    await plant.agent.stop()
    const admin = testClient(kafka.brokers).admin()
    await admin.connect()
    await admin.deleteGroups([group])
    await admin.disconnect()
    await plant.run(ONCE, 60)
    await plant.expectEachOnce()
  }
)

test.skipIf(missing)(
  'exactly_once: a renamed agent goes on at the checkpoint, under its new name',
  async () => {
    const plant = new Plant()
    await plant.run([...ONCE, '--id', `${plant.site}-a`], 60)
    await plant.run([...ONCE, '--id', `${plant.site}-b`], 60)
    await plant.expectEachOnce()
    const names = (await idsOf(plant.site)).map(id => id.split('/')[0])
    expect(names.filter(name => name === `${plant.site}-a`)).toHaveLength(60)
    expect(names.filter(name => name === `${plant.site}-b`)).toHaveLength(60)
  }
)

test.skipIf(missing).each([
  ['at_least_once', AT_LEAST],
  ['exactly_once', ONCE]
])(
  '%s: another cluster gets what comes from now on, whatever cursor was copied there',
  async (_mode, flags) => {
    const plant = new Plant()
    await plant.start(flags)
    const { group, epoch } = await plant.facts()
    await plant.publish(60)
    await plant.drained()
    await plant.agent.stop()
    const cluster = await clusterIdOf(kafka)
    await copyCursor(other, group, { epoch, offset: 100_000 }, cluster)

    await plant.start(flags, other)
    await plant.publish(60)
    await plant.drained()
    // It is believed in no way: the log has no older copy.
    expect((await plant.facts()).epoch).toBe(epoch)
    await plant.agent.stop()
    expect(await idsOf(plant.site)).toHaveLength(60)
    const ids = await idsOf(plant.site, other)
    expect(new Set(ids).size).toBe(60)
    expect(ids).toHaveLength(60)
  }
)

test.skipIf(missing)(
  'exactly_once: an old copy of the data directory is noticed by the cursor in Kafka; nothing is lost, and a new epoch begins',
  async () => {
    const plant = new Plant()
    await plant.start(ONCE)
    const { epoch } = await plant.facts()
    await plant.publish(60)
    await plant.drained()
    await plant.agent.stop()
    const backup = path.join(plant.agent.directory, 'backup')
    fs.cpSync(plant.directory, backup, { recursive: true })
    await plant.run(ONCE, 60)
    fs.rmSync(plant.directory, { recursive: true })
    fs.cpSync(backup, plant.directory, { recursive: true })
    await plant.start(ONCE)
    // At once: the log reaches the cursor's offset again, maybe before Kafka has told it.
    await plant.publish(60)
    await plant.agent.until(({ lanes }) => lanes.telemetry.log.epoch !== epoch)
    await plant.publish(60)
    await plant.drained()
    await plant.agent.stop()
    expect(await plant.check()).toMatchObject({ lost: 0, reordered: 0, records: 240 })
    const ids = (await idsOf(plant.site)).slice(180)
    expect(new Set(ids).size).toBe(60)
    expect(ids.filter(id => id.includes(epoch))).toEqual([])
  }
)

test.skipIf(missing)(
  'at_least_once: an old copy of the data directory is put into a new epoch by hand, and no id is given twice',
  async () => {
    const plant = new Plant()
    await plant.run(AT_LEAST, 60)
    const backup = path.join(plant.agent.directory, 'backup')
    fs.cpSync(plant.directory, backup, { recursive: true })
    await plant.run(AT_LEAST, 60)
    fs.rmSync(plant.directory, { recursive: true })
    fs.cpSync(backup, plant.directory, { recursive: true })
    for (const log of ['telemetry', 'alerts']) {
      fs.writeFileSync(path.join(plant.directory, log, 'new-epoch'), '')
    }
    await plant.run(AT_LEAST, 60)
    await plant.expectEachOnce()
  }
)

async function clusterIdOf({ brokers }: KafkaNodes): Promise<string> {
  const admin = testClient(brokers).admin()
  await admin.connect()
  const { clusterId } = await admin.describeCluster()
  await admin.disconnect()
  return clusterId
}

/** As a mirror brings it from another cluster. */
async function copyCursor(
  { brokers }: KafkaNodes,
  group: string,
  { epoch, offset }: Cursor,
  cluster: string
): Promise<void> {
  const kafka = testClient(brokers)
  const admin = kafka.admin()
  await admin.connect()
  const topics = [{ topic: TOPICS.cursors, numPartitions: 1, replicationFactor: 1 }]
  await admin.createTopics({ topics, waitForLeaders: true })
  await admin.disconnect()
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    transactionalId: 'test-mirror'
  })
  await producer.connect()
  const transaction = await producer.transaction()
  const metadata = JSON.stringify({ epoch, cluster })
  const partition = { partition: 0, offset: String(offset), metadata }
  const cursor = {
    consumerGroupId: group,
    topics: [{ topic: TOPICS.cursors, partitions: [partition] }]
  }
  // The young cluster makes its coordinator first.
  await vi.waitFor(() => transaction.sendOffsets(cursor), { timeout: 20_000 })
  await transaction.commit()
  await producer.disconnect()
}
