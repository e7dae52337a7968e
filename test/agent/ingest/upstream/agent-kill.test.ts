import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { DurableLog } from '../../../../core/log/log.ts'
import { createLogger } from '../../../../core/runtime/log.ts'
import { TestAgent } from '../../../kit/agent-process.ts'
import { temporaryDirectory } from '../../../kit/temp-directory.ts'
import {
  AckLedger,
  expectAll,
  expectHonest,
  Mosquitto,
  messagesIn,
  mosquittoMissing,
  Publisher
} from '../mosquitto.ts'
import { until } from './upstream-kit.ts'

/* A whole agent beside a real Mosquitto, killed. Kafka is not there: readings wait in the log. */

const NO_KAFKA = '127.0.0.1:1'

test.skipIf(mosquittoMissing !== '').each(['3.1.1', '5'] as const)(
  'an agent killed with messages unacknowledged gets them again, and the broker of all others goes on, MQTT %s',
  async version => {
    const mosquitto = await Mosquitto.start(temporaryDirectory())
    const ledger = await AckLedger.start(mosquitto.port, version === '5' ? 5 : 4)
    const agent = new TestAgent(`
agent: { id: gateway-7 }
uplink: { status_topic: 'off' }
detector: { enabled: false }
upstreams:
  - { name: away, url: 'mqtt://127.0.0.1:1', topics: [t/#] }
  - { name: plant, url: 'mqtt://127.0.0.1:${ledger.port}', topics: [t/#], window: 30, mqtt_version: ${version} }
`)
    onTestFinished(() => agent.remove())
    await agent.start(NO_KAFKA)
    await agent.until(status => status.upstreams[1].state === 'connected')
    const publisher = new Publisher(mosquitto.port)
    await publisher.send(100)
    await until(() => ledger.acknowledged.length === 100)
    ledger.deaf = true
    await publisher.send(100)
    await until(() => ledger.delivered.length > 100)
    await agent.kill()
    ledger.deaf = false
    await agent.start(NO_KAFKA)
    // Once more, in the middle of everything.
    const known = ledger.acknowledged.length
    const sending = publisher.send(300)
    await until(() => ledger.acknowledged.length > known + 150)
    await agent.kill()
    await agent.start(NO_KAFKA)
    await sending
    await publisher.send(1)
    await until(() => ledger.acknowledged.includes(publisher.accepted.at(-1) ?? ''))
    expect(ledger.dups).toBeGreaterThan(0)
    const { upstreams } = await agent.status()
    expect(upstreams[0]).toMatchObject({ name: 'away', connects: 0, fault: 'unreachable' })
    expect(upstreams[1]).toMatchObject({ state: 'connected', granted: { 't/#': 1 } })
    expect(await agent.stop()).toBe(0)
    const log = await DurableLog.open({
      directory: path.join(agent.directory, 'data/telemetry'),
      logger: createLogger('silent'),
      ...{ bytesMax: 1 << 30, overflow: 'drop_oldest' as const, sync: 'group' as const }
    })
    onTestFinished(() => log.close())
    const messages = await messagesIn(log)
    expectAll(expectHonest(messages, ledger), publisher.accepted)
    expect(messages.some(({ dup }) => dup)).toBe(true)
  }
)
