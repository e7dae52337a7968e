import { setInterval } from 'node:timers/promises'
import type { Message } from '../../core/kafka/client.ts'
import { medianSpread, type Spread, spreadOf, watchArrivals } from './arrivals.ts'
import { BenchAgent, type DeliveryMode } from './bench-agent.ts'
import { type BenchKafka, startBenchKafka } from './bench-kafka.ts'
import { type BenchOptions, scaled } from './options.ts'
import { Payload } from './payload.ts'
import { round2 } from './report.ts'
import { PAYLOAD_BYTES, runLoad } from './run-load.ts'

const ROUNDS = 5
const RATE = 1_000
const MESSAGES = 10_000
const WARM_UP = 5_000
/** The agent's own default of `uplink.linger`. */
const DIRECT_TICK_MS = 5
const ASKED = { at_least_once: { p99: 25 }, exactly_once: { p99: 250 } }

/**
 * From publish to what a Kafka consumer is given, at 1,000 messages a second, beside a producer
 * that sends the same to Kafka directly every 5 ms. The consumer is in this process, which does
 * nothing else; times are whole ms of the machine's clock, so up to 1 ms too long.
 */
export async function benchLatency(options: BenchOptions): Promise<unknown> {
  const rounds = options.rounds ?? ROUNDS
  const kafka = await startBenchKafka()
  try {
    const runs: Record<DeliveryMode | 'direct', Spread[]> = {
      at_least_once: [],
      exactly_once: [],
      direct: []
    }
    for (let round = 0; round < rounds; round++) {
      runs.at_least_once.push(await runAgent(kafka, 'at_least_once', options))
      runs.exactly_once.push(await runAgent(kafka, 'exactly_once', options))
      runs.direct.push(await runDirect(kafka, options))
    }
    const [atLeastOnce, exactlyOnce, direct] = Object.values(runs).map(medianSpread)
    return {
      benchmark: 'latency',
      ...{ perSecond: RATE, messages: scaled(MESSAGES, options), rounds },
      ...{ at_least_once: atLeastOnce, exactly_once: exactlyOnce, direct },
      ratioP99: {
        at_least_once: round2(atLeastOnce.p99 / direct.p99),
        exactly_once: round2(exactlyOnce.p99 / direct.p99)
      },
      asked: ASKED
    }
  } finally {
    await kafka.remove()
  }
}

async function runAgent(
  kafka: BenchKafka,
  delivery: DeliveryMode,
  { profile, ...options }: BenchOptions
): Promise<Spread> {
  const topic = await kafka.newTopic()
  const agent = await BenchAgent.start({ kafka: kafka.address, topic, delivery, profile })
  const arrivals = await listen(kafka, topic)
  try {
    await agent.drained()
    const load = (count: number) => runLoad({ port: agent.mqttPort, count, rate: RATE })
    const warmUp = await load(scaled(WARM_UP, { ...options, profile }))
    await arrivals.until(warmUp.acknowledged)
    const { acknowledged } = await load(scaled(MESSAGES, { ...options, profile }))
    await arrivals.until(warmUp.acknowledged + acknowledged)
    return spreadOf(arrivals.latencies.slice(warmUp.acknowledged))
  } finally {
    await arrivals.close()
    await agent.remove()
  }
}

async function runDirect(kafka: BenchKafka, options: BenchOptions): Promise<Spread> {
  const topic = await kafka.newTopic()
  const producer = kafka.client().producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const arrivals = await listen(kafka, topic)
  try {
    const warmUp = scaled(WARM_UP, options)
    const count = warmUp + scaled(MESSAGES, options)
    const payload = new Payload(PAYLOAD_BYTES)
    const from = performance.now()
    let made = 0
    for await (const _ of setInterval(DIRECT_TICK_MS)) {
      const due = Math.min(count, Math.floor(((performance.now() - from) * RATE) / 1000))
      const messages: Message[] = []
      while (made < due) {
        payload.write(payload.bytes, 0, ++made, Date.now())
        messages.push({ key: `bench/${made % 50}`, value: Buffer.from(payload.bytes) })
      }
      if (messages.length > 0) await producer.send({ topic, messages })
      if (made === count) break
    }
    await arrivals.until(count)
    return spreadOf(arrivals.latencies.slice(warmUp))
  } finally {
    await arrivals.close()
    await producer.disconnect()
  }
}

interface Latencies {
  /** Ms, in the order of arrival. */
  readonly latencies: number[]
  until(count: number): Promise<void>
  close(): Promise<void>
}

async function listen(kafka: BenchKafka, topic: string): Promise<Latencies> {
  const latencies: number[] = []
  const arrivals = await watchArrivals(kafka, topic, (value, at) => {
    const { ts } = JSON.parse(value.toString('latin1')) as { ts: number }
    latencies.push(at - ts)
  })
  return {
    latencies,
    async until(count) {
      await arrivals.until(() =>
        latencies.length < count ? `${latencies.length} of ${count} messages arrived` : undefined
      )
      if (latencies.length > count) throw new Error(`${latencies.length} arrived, not ${count}`)
    },
    close: arrivals.close
  }
}
