import os from 'node:os'
import { BenchAgent } from './bench-agent.ts'
import { type BenchKafka, checkCount, startBenchKafka } from './bench-kafka.ts'
import type { LoadResult } from './load.ts'
import { type BenchOptions, scaled } from './options.ts'
import { fileSystemOf, medianBy, round2 } from './report.ts'
import { PAYLOAD_BYTES, runLoad } from './run-load.ts'

const ROUNDS = 5
const AT_1K = { count: 10_000, rate: 1_000 }
const AT_10K = { count: 100_000, rate: 10_000 }
const AT_MAX = { count: 250_000 }

interface PubackRun {
  at1k: LoadResult['pubackMs']
  at10k: LoadResult['pubackMs']
  max: LoadResult
}

/**
 * What the sync before the PUBACK costs: the product, beside the same agent with PUBACK before it
 * (`log.sync: interval`), in turn, in one run.
 */
export async function benchPuback(options: BenchOptions): Promise<unknown> {
  const rounds = options.rounds ?? ROUNDS
  const kafka = await startBenchKafka()
  try {
    const after: PubackRun[] = []
    const before: PubackRun[] = []
    for (let round = 0; round < rounds; round++) {
      after.push(await runOne(kafka, 'group', options))
      before.push(await runOne(kafka, 'interval', options))
    }
    const [pubackAfterSync, pubackBeforeSync] = [after, before].map(summary)
    return {
      benchmark: 'puback',
      ...{ payloadBytes: PAYLOAD_BYTES, rounds, fileSystem: fileSystemOf(os.tmpdir()) },
      ...{ pubackAfterSync, pubackBeforeSync },
      ratio: { maxPerSecond: round2(pubackAfterSync.maxPerSecond / pubackBeforeSync.maxPerSecond) }
    }
  } finally {
    await kafka.remove()
  }
}

async function runOne(kafka: BenchKafka, sync: string, options: BenchOptions): Promise<PubackRun> {
  const topic = await kafka.newTopic()
  const agent = await BenchAgent.start({
    ...{ kafka: kafka.address, topic, profile: options.profile },
    config: `detector: { enabled: false }\nlog: { sync: ${sync} }`
  })
  try {
    await agent.drained()
    const load = ({ count, rate }: { count: number; rate?: number }) =>
      runLoad({ port: agent.mqttPort, count: scaled(count, options), rate })
    const at1k = await load(AT_1K)
    const at10k = await load(AT_10K)
    await agent.drained()
    const max = await load(AT_MAX)
    await agent.drained()
    const acknowledged = [at1k, at10k, max].reduce((sum, load) => sum + load.acknowledged, 0)
    await checkCount(kafka, topic, acknowledged)
    return { at1k: at1k.pubackMs, at10k: at10k.pubackMs, max }
  } finally {
    await agent.remove()
  }
}

function summary(runs: readonly PubackRun[]) {
  const of = (pick: (run: PubackRun) => LoadResult['pubackMs']) => ({
    p50: medianBy(runs, run => pick(run).p50),
    p99: medianBy(runs, run => pick(run).p99)
  })
  return {
    pubackMsAt1k: of(run => run.at1k),
    pubackMsAt10k: of(run => run.at10k),
    pubackMsAtMax: of(run => run.max.pubackMs),
    maxPerSecond: medianBy(runs, run => run.max.perSecond)
  }
}
