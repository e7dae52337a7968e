import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DeliveryVerdict, judgeDelivery, sequenceOf } from '../../cli/demo/judge.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { Fleet, type FleetOptions } from '../../firmware-sim/fleet.ts'
import { TestAgent } from '../kit/agent-process.ts'
import { missingKafka, type OwnKafka, readTopic, startOwnKafka } from '../kit/kafka.ts'

/** The whole path on real parts: a fleet over sockets, the agent as a process, a broker of its own. */

const missing = await missingKafka()
const CONFIG = 'kafka: { create_topics: true, partitions: 3 }\nlogging: { level: info }\n'
const SITE = 'plant1'
/** Polls look at counters that nobody announces; the machine may be busy. */
const PATIENT = { timeout: 20_000 }

let kafka: OwnKafka
const agents: TestAgent[] = []

beforeAll(async () => {
  if (!missing) kafka = await startOwnKafka()
})
afterAll(async () => {
  for (const agent of agents) await agent.remove()
  await kafka?.remove()
})

function newAgent(config = CONFIG): TestAgent {
  const agent = new TestAgent(config)
  agents.push(agent)
  return agent
}

function newFleet(agent: TestAgent, prefix: string, options: Partial<FleetOptions> = {}): Fleet {
  return new Fleet({
    ...{ host: '127.0.0.1', port: agent.mqttPort, devices: 20, rate: 1000, durationMs: 8000 },
    ...{ seed: 7, site: SITE, prefix, faults: false, backOffMsMax: 300, drainMsMax: 30_000 },
    ...options
  })
}

/** What the fleet was told is safe, held against what is in Kafka. */
async function judge(fleet: Fleet): Promise<DeliveryVerdict> {
  const ledger = Object.fromEntries(
    Object.entries(fleet.ledger()).map(([device, sequence]) => [`${SITE}/${device}`, sequence])
  )
  const records = await readTopic([kafka.address], 'telemetry')
  return judgeDelivery(
    ledger,
    records.map(({ key, value, headers }) => ({
      key,
      sequence: sequenceOf(value),
      id: headers[HEADERS.id],
      dup: headers[HEADERS.dup] === '1'
    }))
  )
}

const drained = (status: { lanes: { telemetry: { backlogRecords: number } } }) =>
  status.lanes.telemetry.backlogRecords === 0

test.skipIf(missing)(
  'no acknowledged reading is lost or reordered when the agent is killed three times',
  async () => {
    const agent = newAgent()
    await agent.start(kafka.address)
    const fleet = newFleet(agent, 'killed-')
    await fleet.start()
    for (let round = 0; round < 3; round++) {
      const { acknowledged } = fleet.counters()
      await expect
        .poll(() => fleet.counters().acknowledged, PATIENT)
        .toBeGreaterThan(acknowledged + 1000)
      await agent.kill()
      await agent.start(kafka.address)
    }
    await fleet.done
    await agent.until(drained)
    const verdict = await judge(fleet)
    expect(verdict).toMatchObject({ lost: 0, reordered: 0, unreadable: 0 })
    expect(verdict.acknowledged).toBeGreaterThan(5000)
    expect(await agent.stop()).toBe(0)
  }
)

test.skipIf(missing)(
  'readings are acknowledged while Kafka is away, and arrive in order when it is back',
  async () => {
    const agent = newAgent()
    await agent.start(kafka.address)
    const fleet = newFleet(agent, 'outage-')
    await fleet.start()
    await expect.poll(() => fleet.counters().acknowledged, PATIENT).toBeGreaterThan(1000)
    await kafka.kill()
    await agent.until(status => status.mode === 'buffering')
    const { acknowledged } = fleet.counters()
    await expect
      .poll(() => fleet.counters().acknowledged, PATIENT)
      .toBeGreaterThan(acknowledged + 1500)
    expect((await agent.page('/ready')).status).toBe(200)
    await kafka.restart()
    await fleet.done
    await agent.until(drained)
    expect(await judge(fleet)).toMatchObject({ lost: 0, reordered: 0, duplicates: 0, resent: 0 })
    await agent.stop()
  }
)

test.skipIf(missing)(
  'an agent that starts without Kafka accepts readings, survives a restart and delivers them later',
  async () => {
    await kafka.stop()
    const agent = newAgent()
    await agent.start(kafka.address)
    const fleet = newFleet(agent, 'boot-', { durationMs: 2000 })
    await fleet.start()
    await fleet.done
    expect(fleet.counters()).toMatchObject({ reconnects: 0, waiting: 0, inFlight: 0 })
    // A restart in the outage: the backlog is found again.
    await agent.stop()
    await agent.start(kafka.address)
    const { lanes } = await agent.status()
    expect(lanes.telemetry.backlogRecords).toBe(fleet.counters().acknowledged)
    await kafka.restart()
    await agent.until(drained)
    expect(await judge(fleet)).toMatchObject({ lost: 0, reordered: 0, duplicates: 0 })
    await agent.stop()
  }
)

test.skipIf(missing)(
  'exactly_once shows each reading once to read_committed consumers across kills of agent and broker',
  async () => {
    const agent = newAgent()
    await agent.start(kafka.address, '--delivery', 'exactly_once')
    const fleet = newFleet(agent, 'once-', { durationMs: 12_000 })
    await fleet.start()
    await expect.poll(() => fleet.counters().acknowledged, PATIENT).toBeGreaterThan(1500)
    await agent.kill()
    await agent.start(kafka.address, '--delivery', 'exactly_once')
    const { acknowledged } = fleet.counters()
    await expect
      .poll(() => fleet.counters().acknowledged, PATIENT)
      .toBeGreaterThan(acknowledged + 1500)
    await kafka.kill()
    await kafka.restart()
    await fleet.done
    await agent.until(drained)
    expect(await judge(fleet)).toMatchObject({ lost: 0, reordered: 0, duplicates: 0 })
    await agent.stop()
  }
)

test.skipIf(missing)(
  'an alert reaches Kafka from the edge, once, also when the agent is killed after it',
  async () => {
    const agent = newAgent(`${CONFIG}detector: { warm_up_readings: 20 }\n`)
    await agent.start(kafka.address)
    const fleet = newFleet(agent, 'alert-', {
      ...{ devices: 30, rate: 300, durationMs: 12_000 },
      faults: { kinds: ['spike'], deviceShare: 0.3, warmUpMs: 6000 }
    })
    await fleet.start()
    await agent.until(status => status.lanes.alerts.counters.produced > 0)
    await agent.kill()
    await agent.start(kafka.address)
    await fleet.done
    await agent.until(
      status => drained(status) && status.lanes.alerts.backlogRecords === 0 && status.detector
    )
    const alerts = (await readTopic([kafka.address], 'fieldline.alerts')).filter(record =>
      record.key?.startsWith(`${SITE}/alert-`)
    )
    const events = alerts.map(record => JSON.parse(String(record.value)))
    const raised = events.filter(event => event.data.state === 'raised')
    expect(raised.length).toBeGreaterThan(3)
    const ids = new Set(alerts.map(record => record.headers[HEADERS.id]))
    // The same event may come twice to Kafka, under one id; never twice into the log.
    const byEvent = new Map(alerts.map((record, n) => [events[n].id, record.headers[HEADERS.id]]))
    expect(byEvent.size).toBe(ids.size)
    expect(events[0]).toMatchObject({
      specversion: '1.0',
      source: expect.stringContaining('/fieldline/')
    })
    await agent.stop()
  }
)
