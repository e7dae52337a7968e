import os from 'node:os'
import { BenchAgent, type BenchAgentOptions, type DeliveryMode } from './bench-agent.ts'
import { type BenchKafka, checkCount, checkEach, startBenchKafka } from './bench-kafka.ts'
import { type BenchOptions, scaled } from './options.ts'
import { cpuSecondsOf } from './process-usage.ts'
import { fileSystemOf, medianBy, round2 } from './report.ts'
import { PAYLOAD_BYTES, runLoad } from './run-load.ts'

const ROUNDS = 5
const MESSAGES = 250_000
const WARM_UP = 50_000
/** Of unmended kafkajs; with more its grouping is quadratic, with fewer the round trips count. */
const BATCHES = [500, 1_000, 2_000, 4_000]
const TRIALS = 2
const ASKED = { mends: 1.4, exactlyOnce: 0.75, perSecond: 55_000 }

type Variant = Pick<BenchAgentOptions, 'delivery' | 'unmended' | 'batchRecordsMax'>

interface PathRun {
  /** From the first publish to the last record acknowledged by Kafka. */
  perSecond: number
  /** From the first publish to the last PUBACK. */
  acknowledgedPerSecond: number
  pubackP50Ms: number
  pubackP99Ms: number
  agentCpuMicros: number
  brokerCpuMicros: number
  rssMib: number
}

/**
 * MQTT QoS 1 → log, synced → Kafka, as fast as it goes, acknowledged both ways: both delivery
 * modes, and the same agent with kafkajs as it is at whatever batch size is best for it, in turn.
 */
export async function benchPath(options: BenchOptions): Promise<unknown> {
  const rounds = options.rounds ?? ROUNDS
  const kafka = await startBenchKafka()
  try {
    const run = (variant: Variant, readAll = false) => runPath(kafka, variant, options, readAll)
    // Nobody's first run: the broker compiles itself meanwhile.
    await run({})
    const trials = new Map<number, PathRun[]>(BATCHES.map(batch => [batch, []]))
    for (let trial = 0; trial < TRIALS; trial++) {
      for (const [batchRecordsMax, runs] of trials) {
        runs.push(await run({ unmended: true, batchRecordsMax }))
      }
    }
    const best = [...trials].sort(([, a], [, b]) => perSecond(b) - perSecond(a))[0][0]
    const variants: Record<string, Variant> = {
      at_least_once: { delivery: 'at_least_once' },
      exactly_once: { delivery: 'exactly_once' },
      unmended: { unmended: true, batchRecordsMax: best }
    }
    const results = new Map<string, PathRun[]>(Object.keys(variants).map(name => [name, []]))
    for (let round = 0; round < rounds; round++) {
      for (const name of turned(Object.keys(variants), round)) {
        results.get(name)!.push(await run(variants[name], round === rounds - 1))
      }
    }
    const [mended, once, unmended] = [...results.values()].map(summary)
    return {
      benchmark: 'path',
      ...{ payloadBytes: PAYLOAD_BYTES, messages: scaled(MESSAGES, options), rounds },
      fileSystem: fileSystemOf(os.tmpdir()),
      ...{ at_least_once: mended, exactly_once: once },
      unmended: {
        batchRecords: best,
        ...unmended,
        trials: Object.fromEntries([...trials].map(([batch, runs]) => [batch, perSecond(runs)]))
      },
      ratio: {
        mends: round2(mended.perSecond / unmended.perSecond),
        mendsCpu: round2(unmended.agentCpuMicros / mended.agentCpuMicros),
        exactlyOnce: round2(once.perSecond / mended.perSecond),
        exactlyOnceCpu: round2(mended.agentCpuMicros / once.agentCpuMicros)
      },
      asked: ASKED
    }
  } finally {
    await kafka.remove()
  }
}

async function runPath(
  kafka: BenchKafka,
  variant: Variant,
  options: BenchOptions,
  readAll: boolean
): Promise<PathRun> {
  const topic = await kafka.newTopic()
  const delivery: DeliveryMode = variant.delivery ?? 'at_least_once'
  const agent = await BenchAgent.start({
    ...{ kafka: kafka.address, topic, profile: options.profile },
    ...variant
  })
  try {
    await agent.drained()
    if (variant.unmended) agent.checkUnmended()
    const load = (count: number) => runLoad({ port: agent.mqttPort, count })
    const warmUp = await load(scaled(WARM_UP, options))
    await agent.drained()
    const cpuBefore = [agent.cpuSeconds, cpuSecondsOf(kafka.node.pid)]
    const result = await load(scaled(MESSAGES, options))
    await agent.drained()
    const seconds = (Date.now() - result.startedAt) / 1000
    const cpuMicros = [agent.cpuSeconds, cpuSecondsOf(kafka.node.pid)].map(
      (cpu, n) => ((cpu - cpuBefore[n]) * 1e6) / result.acknowledged
    )
    const rssMib = agent.rssMib
    const ledger = { ...warmUp.ledger, ...result.ledger }
    // Transactions leave marks among the records: these are read.
    if (delivery === 'at_least_once') {
      await checkCount(kafka, topic, warmUp.acknowledged + result.acknowledged)
    }
    if (readAll || delivery === 'exactly_once') await checkEach(kafka, topic, ledger, delivery)
    return {
      perSecond: Math.round(result.acknowledged / seconds),
      acknowledgedPerSecond: result.perSecond,
      pubackP50Ms: result.pubackMs.p50,
      pubackP99Ms: result.pubackMs.p99,
      ...{ agentCpuMicros: cpuMicros[0], brokerCpuMicros: cpuMicros[1], rssMib }
    }
  } finally {
    await agent.remove()
  }
}

function perSecond(runs: readonly PathRun[]): number {
  return medianBy(runs, run => run.perSecond)
}

/** Each round begins with another one. */
function turned<T>(all: readonly T[], by: number): T[] {
  return all.map((_, n) => all[(n + by) % all.length])
}

function summary(runs: readonly PathRun[]) {
  return {
    perSecond: perSecond(runs),
    acknowledgedPerSecond: medianBy(runs, run => run.acknowledgedPerSecond),
    pubackMs: {
      p50: medianBy(runs, run => run.pubackP50Ms),
      p99: medianBy(runs, run => run.pubackP99Ms)
    },
    agentCpuMicros: medianBy(runs, run => run.agentCpuMicros),
    brokerCpuMicros: medianBy(runs, run => run.brokerCpuMicros),
    rssMib: medianBy(runs, run => run.rssMib),
    eachPerSecond: runs.map(run => run.perSecond)
  }
}
