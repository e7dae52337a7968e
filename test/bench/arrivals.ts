import { KAFKA_CONSUMER_RETRY } from '../../core/kafka/client.ts'
import { uniqueTopic } from '../kit/kafka.ts'
import type { BenchKafka } from './bench-kafka.ts'
import { medianBy, percentile } from './report.ts'

const ARRIVAL_MS_MAX = 30_000

export interface Arrivals {
  /** Rejects with what it says is missing when that does not come. */
  until(missing: () => string | undefined): Promise<void>
  close(): Promise<void>
}

/**
 * A `read_committed` consumer that is told at once. Resolves when it would miss nothing.
 *
 * @param take Given each record with the instant of its arrival, epoch ms.
 */
export async function watchArrivals(
  kafka: BenchKafka,
  topic: string,
  take: (value: Buffer, at: number) => void
): Promise<Arrivals> {
  const consumer = kafka.client().consumer({
    groupId: uniqueTopic('bench-arrivals'),
    ...{ minBytes: 1, maxWaitTimeInMs: 50, retry: KAFKA_CONSUMER_RETRY }
  })
  let wake = () => {}
  const joined = new Promise(resolve => consumer.on('consumer.group_join', resolve))
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: 6,
    eachBatch: async ({ batch }) => {
      const now = performance.timeOrigin + performance.now()
      for (const { value } of batch.messages) take(value!, now)
      wake()
    }
  })
  await joined
  return {
    async until(missing) {
      const deadline = performance.now() + ARRIVAL_MS_MAX
      for (let what = missing(); what !== undefined; what = missing()) {
        const left = deadline - performance.now()
        if (left <= 0) throw new Error(what)
        await new Promise<void>(resolve => {
          const timer = setTimeout(resolve, left)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
    },
    close: () => consumer.disconnect()
  }
}

/** Of latencies, ms. */
export interface Spread {
  p50: number
  p99: number
  max: number
}

export function spreadOf(latencies: Iterable<number>): Spread {
  const sorted = Float64Array.from(latencies).sort()
  return {
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    max: percentile(sorted, 1)
  }
}

/** Of several rounds. */
export function medianSpread(runs: readonly Spread[]): Spread {
  return {
    p50: medianBy(runs, run => run.p50),
    p99: medianBy(runs, run => run.p99),
    max: medianBy(runs, run => run.max)
  }
}
