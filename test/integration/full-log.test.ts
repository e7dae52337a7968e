import { afterAll, expect, test } from 'vitest'
import { TestAgent } from '../kit/agent-process.ts'
import { uniqueTopic, useKafka } from '../kit/kafka.ts'
import { RawMqtt } from '../kit/raw-mqtt.ts'

/** A log that is full and may drop nothing, in an agent that is a process of its own. */

const kafka = useKafka()
const agents: TestAgent[] = []
const AWAY = '127.0.0.1:1'
const MESSAGES = 100
const payload = Buffer.alloc(50_000, 'x')

afterAll(async () => {
  for (const agent of agents) await agent.remove()
})

test.each(['block', 'drop_newest'])(
  'a full log with overflow %s is not ready, says why, and is ready again when Kafka has taken it',
  async overflow => {
    const agent = new TestAgent(
      [
        'kafka: { create_topics: true, partitions: 1 }',
        `log: { bytes_max: 4MiB, overflow: ${overflow} }`,
        `routes: [{ name: all, match: 't/{site}/{device}', topic: ${uniqueTopic('full')}, codec: raw }]`,
        'detector: { enabled: false }',
        ''
      ].join('\n')
    )
    agents.push(agent)
    await agent.start(AWAY)
    expect((await agent.page('/ready')).status).toBe(200)
    const device = await RawMqtt.connect(agent.mqttPort)
    const pubacks = () => device.names().filter(name => name === 'puback').length
    // One after the other: of several at once a smaller part may still find room.
    const acknowledges = async (id: number): Promise<boolean> => {
      device.publish({ topic: 't/s/d', payload, qos: 1, id })
      do await device.until(() => pubacks() === id, 1_000).catch(() => {})
      while (pubacks() < id && !device.closed && (await agent.status()).ready)
      return pubacks() === id
    }
    let acknowledged = 0
    while (acknowledged < MESSAGES && (await acknowledges(acknowledged + 1))) acknowledged++
    await agent.until(status => !status.ready)
    expect((await agent.page('/ready')).status).toBe(503)
    expect((await agent.page('/live')).status).toBe(200)
    expect((await agent.status()).mode).toBe('full')
    expect(acknowledged).toBeGreaterThan(0)
    expect(acknowledged).toBeLessThan(MESSAGES)
    device.socket.destroy()
    // However full it is: it starts, and what it has goes to Kafka.
    expect(await agent.stop()).toBe(0)
    await agent.start(kafka.address)
    await agent.until(({ ready, lanes }) => {
      return ready && lanes.telemetry.counters.delivered >= acknowledged
    })
    await agent.stop()
  }
)
