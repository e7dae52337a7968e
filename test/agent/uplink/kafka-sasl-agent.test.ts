import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { createTopics } from '../../../agent/uplink/kafka-topics.ts'
import { judgeDelivery, sequenceOf } from '../../../cli/demo/judge.ts'
import { HEADERS } from '../../../core/contract/headers.ts'
import { TOPICS } from '../../../core/contract/topics.ts'
import { Fleet } from '../../../firmware-sim/fleet.ts'
import { TestAgent } from '../../kit/agent-process.ts'
import { readTopic, testClient, useOwnKafka } from '../../kit/kafka.ts'
import { PASSWORD, type SecureKafka, startSecureKafka, USER } from '../../kit/secure-kafka.ts'
import { MODES } from './delivery-kit.ts'
import { grant, type Right } from './secure-lane.ts'

/** The agent as a process, its uplink in a thread: secrets go through both as references. */

let own: SecureKafka
useOwnKafka(async () => {
  own = await startSecureKafka()
  return own
})
beforeAll(async () => {
  if (!own) return
  await grant(own, [
    ...(['write', 'describe', 'read'] as const).map(operation => all('topic', operation)),
    ...(['write', 'describe'] as const).map(operation => all('transactionalId', operation)),
    all('group', 'read'),
    { resource: 'cluster', name: 'kafka-cluster', operation: 'idempotentWrite' }
  ])
})

const all = (resource: Right['resource'], operation: Right['operation']): Right => ({
  ...{ resource, operation },
  name: '*'
})

/** Two starts of a broker and readings all the while, on a busy machine. */
const SLOW_MS = 180_000

let password = PASSWORD

test.each(MODES)(
  '%s: an agent waits for the right password, follows it when it is exchanged, and loses nothing',
  async mode => {
    const telemetry = `telemetry-${mode}`
    await createTopics(testClient(own.internal), {
      telemetry: [telemetry],
      ...{ deadLetters: TOPICS.deadLetters, alerts: TOPICS.alerts },
      ...{ status: TOPICS.status, partitions: 3, replicationFactor: null }
    })
    const file = own.write(`agent-${mode}`, 'not-the-password')
    const agent = new TestAgent(`
agent: { id: agent-${mode} }
kafka:
  tls: { ca: ${own.caFile} }
  sasl: { mechanism: scram-sha-512, username: ${USER}, password: '@file:${file}' }
uplink: { delivery: ${mode} }
routes: [{ name: all, match: 'telemetry/{site}/{device}', topic: ${telemetry} }]
detector: { enabled: false }
logging: { level: debug }
`)
    onTestFinished(() => agent.remove())
    await agent.start(own.brokers[0])
    const fleet = new Fleet({
      ...{ host: '127.0.0.1', port: agent.mqttPort, devices: 5, rate: 200, durationMs: SLOW_MS },
      ...{ seed: 7, site: 'plant1', prefix: 'pump', faults: false },
      ...{ backOffMsMax: 300, drainMsMax: 30_000 }
    })
    await fleet.start()
    await agent.until(({ mode, lanes }) => {
      const { state, lastError } = lanes.telemetry
      return (
        mode === 'parked' && state === 'parked' && /correct kafka\.sasl/.test(lastError?.message)
      )
    })
    own.write(`agent-${mode}`, password)
    await agent.until(({ lanes }) => lanes.telemetry.state === 'streaming')
    password = `${password}*`
    await own.changePassword(password)
    own.write(`agent-${mode}`, password)
    const renewed = () => agent.log().includes('uplink.login_renewed')
    // A trial login that failed on a busy machine is tried again after half a minute.
    await expect.poll(renewed, { timeout: 90_000 }).toBe(true)
    await own.node.kill()
    await own.node.start()
    await fleet.stop()
    await agent.until(({ lanes }) => {
      const { backlogRecords, state } = lanes.telemetry
      return backlogRecords === 0 && state === 'streaming'
    })
    const ledger = Object.entries(fleet.ledger())
    const records = await readTopic(own.internal, telemetry)
    const verdict = judgeDelivery(
      Object.fromEntries(ledger.map(([device, sequence]) => [`plant1/${device}`, sequence])),
      records.map(({ key, value, headers }) => ({
        ...{ key, sequence: sequenceOf(value), id: headers[HEADERS.id], dup: false }
      }))
    )
    expect(verdict).toMatchObject({ lost: 0, reordered: 0, duplicates: 0 })
    expect(verdict.acknowledged).toBeGreaterThan(1000)
    const parked = agent.log().match(/uplink\.parked/g)
    expect(parked?.length).toBeLessThanOrEqual(2)
    for (const secret of [PASSWORD, password, 'not-the-password']) {
      expect(agent.log()).not.toContain(secret)
    }
  },
  SLOW_MS
)
