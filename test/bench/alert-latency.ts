import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import type { AlertEvent } from '../../core/contract/alert-event.ts'
import { TOPICS } from '../../core/contract/topics.ts'
import { uniqueTopic } from '../kit/kafka.ts'
import type { AlertFleetResult } from './alert-fleet.ts'
import { medianSpread, type Spread, spreadOf, watchArrivals } from './arrivals.ts'
import { BenchAgent, type DeliveryMode } from './bench-agent.ts'
import { type BenchKafka, startBenchKafka } from './bench-kafka.ts'
import type { BenchOptions } from './options.ts'

const ROUNDS = 3
const RATE = 1_000
/** A prime: spikes that are evenly apart meet each device once at most. */
const DEVICES = 947
/** The default wants 30 before anything is found; then the tails of the usual are learned. */
const WARM_UP_READINGS = 60
const SPIKES = 400
const SECONDS = 40
const ASKED = { at_least_once: { p99: 50 } }
const FLEET = path.join(import.meta.dirname, 'alert-fleet.js')
const run = promisify(execFile)

interface AlertLatencyRun extends Spread {
  alerts: number
  /** Raised on a usual reading. */
  unasked: number
}

/**
 * From the publishing of a reading that stands out to its alert in the hands of a Kafka consumer:
 * edge mode, default settings, 947 devices that together publish 1,000 readings a second. The
 * consumer is in this process, which does nothing else; times are whole ms of the machine's clock,
 * so up to 1 ms too long.
 */
export async function benchAlertLatency(options: BenchOptions): Promise<unknown> {
  const rounds = options.rounds ?? ROUNDS
  const kafka = await startBenchKafka()
  try {
    const runs: Record<DeliveryMode, AlertLatencyRun[]> = { at_least_once: [], exactly_once: [] }
    for (let round = 0; round < rounds; round++) {
      runs.at_least_once.push(await runAgent(kafka, 'at_least_once', options))
      runs.exactly_once.push(await runAgent(kafka, 'exactly_once', options))
    }
    return {
      benchmark: 'alert-latency',
      ...{ perSecond: RATE, devices: DEVICES, rounds },
      at_least_once: summary(runs.at_least_once),
      exactly_once: summary(runs.exactly_once),
      asked: ASKED
    }
  } finally {
    await kafka.remove()
  }
}

async function runAgent(
  kafka: BenchKafka,
  delivery: DeliveryMode,
  { scale, profile }: BenchOptions
): Promise<AlertLatencyRun> {
  const topic = await kafka.newTopic()
  const agent = await BenchAgent.start({
    ...{ kafka: kafka.address, topic, delivery, config: 'detector: { enabled: true }' },
    ...(profile ? { profile } : {})
  })
  const site = uniqueTopic('site')
  const alerts = await listen(kafka, site)
  try {
    await agent.drained()
    const spikes = Math.max(10, Math.round(SPIKES * scale))
    const seconds = Math.max(2, Math.round(SECONDS * scale))
    const plan = [agent.mqttPort, site, DEVICES, RATE, WARM_UP_READINGS, spikes, seconds]
    const { stdout } = await run(process.execPath, [FLEET, ...plan.map(String)])
    const told = JSON.parse(stdout) as AlertFleetResult
    const latencies = await alerts.of(told.spikes)
    const { length } = latencies
    return { alerts: length, unasked: alerts.raised - length, ...spreadOf(latencies) }
  } finally {
    await alerts.close()
    await agent.remove()
  }
}

interface RaisedAlerts {
  /** So many were raised in all. */
  readonly raised: number
  /** Ms from publishing to arrival, of each spike. Waits for what is still on its way. */
  of(spikes: AlertFleetResult['spikes']): Promise<number[]>
  close(): Promise<void>
}

async function listen(kafka: BenchKafka, site: string): Promise<RaisedAlerts> {
  const arrivedAt = new Map<string, number>()
  const arrivals = await watchArrivals(kafka, TOPICS.alerts, (value, at) => {
    const { data } = JSON.parse(value.toString()) as AlertEvent
    if (data.site !== site || data.state !== 'raised' || data.kind !== 'anomaly') return
    arrivedAt.set(`${data.device} ${Date.parse(data.startedAt)}`, at)
  })
  return {
    get raised() {
      return arrivedAt.size
    },
    async of(spikes) {
      await arrivals.until(() => {
        const missing = spikes.filter(({ device, at }) => !arrivedAt.has(`${device} ${at}`))
        return missing.length > 0 ? `no alert about ${JSON.stringify(missing)}` : undefined
      })
      return spikes.map(({ device, at }) => arrivedAt.get(`${device} ${at}`)! - at)
    },
    close: arrivals.close
  }
}

function summary(runs: readonly AlertLatencyRun[]): AlertLatencyRun {
  const all = (pick: (run: AlertLatencyRun) => number) => runs.reduce((sum, r) => sum + pick(r), 0)
  return {
    alerts: all(each => each.alerts),
    unasked: all(each => each.unasked),
    ...medianSpread(runs)
  }
}
