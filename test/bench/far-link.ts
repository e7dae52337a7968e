import path from 'node:path'
import { type LinkProxy, startLinkProxy } from '../kit/link-proxy.ts'
import { writeBacklog } from './backlog.ts'
import { BenchAgent, type DeliveryMode } from './bench-agent.ts'
import { type BenchKafka, checkCount, checkEach, startBenchKafka } from './bench-kafka.ts'
import { type BenchOptions, scaled } from './options.ts'
import { medianBy, round2 } from './report.ts'
import { makeScratch } from './scratch.ts'

const ROUNDS = 5
/** A minute and a quarter of the link: the way to the first full batch takes a second of it. */
const RECORDS = 200_000
const LINK = { bytesPerSecond: 1_000_000, roundTripMs: 200 }
const ASKED = { at_least_once: 0.8, exactly_once: 0.5 }

interface LinkRun {
  /** Of what the link could have carried from the lane's first sign of life to the last answer. */
  share: number
  seconds: number
  linkBytesPerRecord: number
}

/** Kafka behind 200 ms round trip and 1 MB/s: how much of the link a backlog uses as it drains. */
export async function benchFarLink(options: BenchOptions): Promise<unknown> {
  const rounds = options.rounds ?? ROUNDS
  const records = scaled(RECORDS, options)
  const target = { port: 0 }
  const scratch = makeScratch('far')
  const link = await startLinkProxy(() => target)
  let kafka: BenchKafka | undefined
  try {
    kafka = await startBenchKafka((_, port) => {
      target.port = port
      return link.address
    })
    const backlog = path.join(scratch.directory, 'backlog')
    const ledger = await writeBacklog(backlog, records)
    const runs: Record<DeliveryMode, LinkRun[]> = { at_least_once: [], exactly_once: [] }
    for (let round = 0; round < rounds; round++) {
      for (const delivery of Object.keys(runs) as DeliveryMode[]) {
        const stage = { kafka, link, backlog, ledger, records }
        runs[delivery].push(await runOne(stage, delivery, options))
      }
    }
    return {
      benchmark: 'far-link',
      ...{ ...LINK, records, rounds },
      at_least_once: summary(runs.at_least_once),
      exactly_once: summary(runs.exactly_once),
      askedShare: ASKED
    }
  } finally {
    await kafka?.remove()
    await link.close()
    scratch.remove()
  }
}

interface LinkStage {
  kafka: BenchKafka
  link: LinkProxy
  backlog: string
  ledger: Record<string, number>
  records: number
}

async function runOne(
  { kafka, link, backlog, ledger, records }: LinkStage,
  delivery: DeliveryMode,
  { profile }: BenchOptions
): Promise<LinkRun> {
  await link.set({ kind: 'open' })
  const topic = await kafka.newTopic()
  await link.set({ kind: 'open', ...LINK })
  const agent = await BenchAgent.start({ kafka: kafka.address, topic, delivery, backlog, profile })
  try {
    await agent.until(({ lanes }) => lanes.telemetry.state === 'streaming')
    const [from, bytesBefore] = [performance.now(), link.bytesUp]
    await agent.drained()
    const seconds = (performance.now() - from) / 1000
    const bytes = link.bytesUp - bytesBefore
    await link.set({ kind: 'open' })
    if (delivery === 'at_least_once') await checkCount(kafka, topic, records)
    await checkEach(kafka, topic, ledger, delivery)
    const share = bytes / (seconds * LINK.bytesPerSecond)
    return { share, seconds, linkBytesPerRecord: bytes / records }
  } finally {
    await link.set({ kind: 'open' })
    await agent.remove()
  }
}

function summary(runs: readonly LinkRun[]) {
  return {
    share: medianBy(runs, run => run.share),
    seconds: medianBy(runs, run => run.seconds),
    linkBytesPerRecord: medianBy(runs, run => run.linkBytesPerRecord),
    eachShare: runs.map(run => round2(run.share))
  }
}
