import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import mqtt from 'mqtt'
import { expect, test } from 'vitest'
import { javaCommand, kafkaJars } from '../../cli/local-kafka-tools.ts'
import { TestAgent } from '../kit/agent-process.ts'
import { type OwnKafka, readTopic, startOwnKafka, testClient, useOwnKafka } from '../kit/kafka.ts'
import { example, pythonWith } from '../kit/python.ts'

/* What deploy/SUBSCRIBERS.md shows, run against an agent and a Kafka. */

const DEVICE = 'plant7/pump-3'
/** The last one is out of range. */
const VALUES = [61, 62, 63, 61, 62, 63, 400]
const CONFIG = `
agent: { id: gateway-7 }
kafka: { create_topics: true, partitions: 1 }
detector: { quality: { limits: [{ metrics: [temperature], max: 100 }] } }
`

let kafka: OwnKafka
let agent: TestAgent

/** Readings and an alert about the last; then everything once more, as after a crash, and an end mark. */
useOwnKafka(async () => {
  kafka = await startOwnKafka()
  agent = new TestAgent(CONFIG)
  await agent.start(kafka.address)
  const device = await mqtt.connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`)
  for (const temperature of VALUES) {
    await device.publishAsync(`telemetry/${DEVICE}`, JSON.stringify({ temperature }), { qos: 1 })
  }
  await tellAgain('telemetry', VALUES.length)
  await tellAgain('fieldline.alerts', 1)
  await device.publishAsync(`telemetry/${DEVICE}`, '{"temperature":60}', { qos: 1 })
  await device.publishAsync('telemetry/plant7/last', '{"temperature":500}', { qos: 1 })
  await device.endAsync()
  return {
    remove: async () => {
      await agent.remove()
      await kafka.remove()
    }
  }
})

async function tellAgain(topic: string, count: number): Promise<void> {
  const records = await readTopic([kafka.address], topic, { until: count })
  const producer = testClient([kafka.address]).producer()
  await producer.connect()
  const messages = records.map(({ key, value, headers, partition }) => ({
    ...{ key, value, partition, headers }
  }))
  await producer.send({ topic, messages })
  await producer.disconnect()
}

/** @returns What the program says until a line fits; it is ended then. */
async function linesUntil(fits: RegExp, command: string, args: string[]): Promise<string[]> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const killWithUs = () => child.kill('SIGKILL')
  process.once('exit', killWithUs)
  const ended = once(child, 'exit')
  let errors = ''
  child.stderr.on('data', chunk => {
    errors += chunk
  })
  const lines: string[] = []
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line)
      if (fits.test(line)) return lines
    }
    throw new Error(`it ended by itself:\n${lines.join('\n')}\n${errors}`)
  } finally {
    child.kill('SIGKILL')
    await ended
    process.off('exit', killWithUs)
  }
}

const python = await pythonWith('requirements.txt')

const TELEMETRY_END = new RegExp(`${DEVICE} .*60}`)
const ALERTS_END = /plant7\/last/

function expectReadingsOnce(lines: string[]): void {
  const own = lines.filter(line => line.includes(DEVICE))
  expect(own.map(line => line.replace(/^gateway-7\/1-[0-9a-f]{16}\//, ''))).toEqual(
    [...VALUES, 60].map((temperature, i) => `${i} ${DEVICE} {"temperature":${temperature}}`)
  )
}

function expectAlertOnce(lines: string[]): void {
  const raised = lines.filter(line => line.startsWith('raised') && line.includes(DEVICE))
  expect(raised).toHaveLength(1)
  expect(raised[0]).toMatch(/^raised {3}\w+ +plant7\/pump-3\/temperature range: above 100/)
}

const inPython = test.skipIf(!python)

inPython.each([
  ['read_telemetry.py', TELEMETRY_END, expectReadingsOnce],
  ['read_alerts.py', ALERTS_END, expectAlertOnce]
] as const)(
  'in Python, %s sees each once, in order',
  async (file, end, expectOnce) => {
    const args = [example('python', file), kafka.address, file]
    expectOnce(await linesUntil(end, python as string, args))
  },
  60_000
)

inPython('in Python over MQTT, watch_alerts.py sees what is open now', async () => {
  const lines = await linesUntil(/pump-3/, python as string, [
    example('python', 'watch_alerts.py'),
    '127.0.0.1',
    String(agent.mqttPort)
  ])
  expect(lines.at(-1)).toMatch(
    /^open {5}\w+ +alerts\/plant7\/pump-3\/temperature\/range: above 100/
  )
})

test.each([
  ['ReadTelemetry.java', TELEMETRY_END, expectReadingsOnce],
  ['ReadAlerts.java', ALERTS_END, expectAlertOnce]
] as const)(
  'in Java, %s sees each once, in order',
  async (file, end, expectOnce) => {
    const classes = path.join(await kafkaJars(), '*')
    const args = ['-cp', classes, example('java', file), kafka.address, file]
    expectOnce(await linesUntil(end, javaCommand(), args))
  },
  60_000
)
