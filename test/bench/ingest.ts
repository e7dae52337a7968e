import os from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../../cli/local-kafka.ts'
import { BenchAgent } from './bench-agent.ts'
import { type BenchProcess, startBenchProcess } from './bench-process.ts'
import type { LoadResult } from './load.ts'
import { type BenchOptions, scaled } from './options.ts'
import { fileSystemOf, medianBy, round2 } from './report.ts'
import { PAYLOAD_BYTES, runLoad } from './run-load.ts'

const ROUNDS = 5
const MAX_COUNT = 1_000_000
const RATES = [1_000, 10_000, 30_000] as const
const RATE_SECONDS = 8
const IDLE_CONNECTIONS = 5_000
const BUSY = { connections: 200, window: 10 }
const BUSY_RATE = 5_000
const SETTLE_MS = 3_000
const ASKED = { ratioOfPlain: 0.9, pubackMsP99: 25, kibAConnection: 30 }

/** Kafka is away and nothing detects: it is the way in that is measured. */
const CONFIG = `detector: { enabled: false }
mqtt: { connections_max: 10000 }
log: { bytes_max: 8GiB }`

interface IngestRun {
  max: LoadResult
  rates: LoadResult[]
  beside: LoadResult
  kibAConnection: number
}

/**
 * The broker with a sync before each PUBACK, beside aedes that acknowledges at once and stores
 * nothing; its PUBACKs at three rates, and at one beside 5,000 connections that only ping.
 */
export async function benchIngest(options: BenchOptions): Promise<unknown> {
  const rounds = options.rounds ?? ROUNDS
  const stored: IngestRun[] = []
  const plain: LoadResult[] = []
  for (let round = 0; round < rounds; round++) {
    stored.push(await runStored(options))
    plain.push(await runPlain(options))
  }
  const maxPerSecond = medianBy(stored, run => run.max.perSecond)
  const plainPerSecond = medianBy(plain, run => run.perSecond)
  const pubackMs = (pick: (run: IngestRun) => LoadResult) => ({
    p50: medianBy(stored, run => pick(run).pubackMs.p50),
    p99: medianBy(stored, run => pick(run).pubackMs.p99)
  })
  return {
    benchmark: 'ingest',
    ...{ payloadBytes: PAYLOAD_BYTES, rounds, fileSystem: fileSystemOf(os.tmpdir()) },
    maxPerSecond,
    plainPerSecond,
    ratio: round2(maxPerSecond / plainPerSecond),
    pubackMs: Object.fromEntries(
      RATES.map((rate, n) => [`at${rate}`, pubackMs(run => run.rates[n])])
    ),
    [`pubackMsBeside${IDLE_CONNECTIONS}Idle`]: pubackMs(run => run.beside),
    kibAConnection: medianBy(stored, run => run.kibAConnection),
    asked: ASKED
  }
}

async function runStored(options: BenchOptions): Promise<IngestRun> {
  const agent = await BenchAgent.start({
    ...{ kafka: '127.0.0.1:1', topic: 'bench', config: CONFIG, profile: options.profile }
  })
  let idle: BenchProcess | undefined
  try {
    const port = agent.mqttPort
    // Before any load: what a load leaves in the heap would hide what a connection costs.
    await pause(SETTLE_MS)
    const before = agent.rssMib
    idle = await startBenchProcess('idle-connections', port, IDLE_CONNECTIONS)
    await pause(SETTLE_MS)
    const kibAConnection = ((agent.rssMib - before) * 1024) / IDLE_CONNECTIONS
    const beside = await runLoad({
      ...{ ...BUSY, port, rate: BUSY_RATE, count: scaled(BUSY_RATE * RATE_SECONDS, options) }
    })
    await idle.stop()
    const rates: LoadResult[] = []
    for (const rate of RATES) {
      rates.push(await runLoad({ port, rate, count: scaled(rate * RATE_SECONDS, options) }))
    }
    const max = await runLoad({ port, count: scaled(MAX_COUNT, options) })
    return { max, rates, beside, kibAConnection }
  } finally {
    await idle?.stop()
    await agent.remove()
  }
}

async function runPlain(options: BenchOptions): Promise<LoadResult> {
  const port = await freePort()
  const broker = await startBenchProcess('plain-broker', port)
  try {
    // As warm as the one it is compared with.
    const rate = RATES[RATES.length - 1]
    await runLoad({ port, rate, count: scaled(rate * RATE_SECONDS, options) })
    return await runLoad({ port, count: scaled(MAX_COUNT, options) })
  } finally {
    await broker.stop()
  }
}
