import path from 'node:path'
import { writeBacklog } from './backlog.ts'
import { BenchAgent } from './bench-agent.ts'
import { type BenchKafka, checkCount, startBenchKafka } from './bench-kafka.ts'
import type { LoadResult } from './load.ts'
import { type BenchOptions, scaled } from './options.ts'
import { medianBy, round2 } from './report.ts'
import { runLoad, startLoad } from './run-load.ts'
import { makeScratch } from './scratch.ts'

const ROUNDS = 5
const RECORDS = 1_000_000
const LIVE_RATE = 10_000
/** More than the longest drain that is waited for. */
const LIVE_COUNT = 180 * LIVE_RATE
const QUIET_COUNT = 10 * LIVE_RATE
/** So much live traffic is there before Kafka comes back. */
const LIVE_BEFORE = LIVE_RATE
const ASKED = { perSecond: 20_000, pubackP99Ms: 50 }

interface DrainRun {
  /** Of the backlog alone. */
  perSecond: number
  /** Meanwhile. */
  live: LoadResult
  /** The same traffic without a backlog, by the same agent afterwards. */
  quiet: LoadResult
  rssMib: number
}

/**
 * A backlog of a million records that leaves when Kafka is back, beside 10,000 messages a second
 * of live traffic, which go behind it into the same log; its PUBACKs, beside those of the same
 * traffic without a backlog.
 */
export async function benchDrain(options: BenchOptions): Promise<unknown> {
  const rounds = options.rounds ?? ROUNDS
  const records = scaled(RECORDS, options)
  const scratch = makeScratch('drain')
  let kafka: BenchKafka | undefined
  try {
    kafka = await startBenchKafka()
    const backlog = path.join(scratch.directory, 'backlog')
    await writeBacklog(backlog, records)
    const runs: DrainRun[] = []
    for (let round = 0; round < rounds; round++) {
      runs.push(await runOne(kafka, backlog, records, options))
    }
    const p99 = medianBy(runs, run => run.live.pubackMs.p99)
    const quietP99 = medianBy(runs, run => run.quiet.pubackMs.p99)
    return {
      benchmark: 'drain',
      ...{ records, livePerSecond: LIVE_RATE, rounds },
      perSecond: medianBy(runs, run => run.perSecond),
      eachPerSecond: runs.map(run => Math.round(run.perSecond)),
      takenPerSecond: medianBy(runs, run => run.live.perSecond),
      pubackMs: { p50: medianBy(runs, run => run.live.pubackMs.p50), p99 },
      withoutBacklog: {
        pubackMs: { p50: medianBy(runs, run => run.quiet.pubackMs.p50), p99: quietP99 }
      },
      ratioPubackP99: round2(p99 / quietP99),
      rssMib: medianBy(runs, run => run.rssMib),
      asked: ASKED
    }
  } finally {
    await kafka?.remove()
    scratch.remove()
  }
}

async function runOne(
  kafka: BenchKafka,
  backlog: string,
  records: number,
  options: BenchOptions
): Promise<DrainRun> {
  const topic = await kafka.newTopic()
  kafka.node.pause()
  const { profile } = options
  let agent: BenchAgent | undefined
  try {
    agent = await BenchAgent.start({ kafka: kafka.address, topic, backlog, profile })
    const port = agent.mqttPort
    const load = startLoad({ port, count: LIVE_COUNT, rate: LIVE_RATE })
    await agent.until(({ intake }) => intake.stored[1] >= LIVE_BEFORE)
    kafka.node.resume()
    const deliveredOf = ({
      lanes
    }: {
      lanes: { telemetry: { counters: { delivered: number } } }
    }) => lanes.telemetry.counters.delivered
    const first = await agent.until(status => deliveredOf(status) > 0)
    const from = performance.now()
    const last = await agent.until(status => deliveredOf(status) >= records, 50)
    const seconds = (performance.now() - from) / 1000
    const live = await load.stop()
    const rssMib = agent.rssMib
    await agent.drained()
    const quiet = await runLoad({ port, count: scaled(QUIET_COUNT, options), rate: LIVE_RATE })
    await agent.drained()
    await checkCount(kafka, topic, records + live.acknowledged + quiet.acknowledged)
    // Polled: what came beside the backlog's last record is not of it.
    const drained = Math.min(records, deliveredOf(last)) - deliveredOf(first)
    return { perSecond: drained / seconds, live, quiet, rssMib }
  } finally {
    kafka.node.resume()
    await agent?.remove()
  }
}
