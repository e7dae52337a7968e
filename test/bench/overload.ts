import { setTimeout as pause } from 'node:timers/promises'
import { BenchAgent } from './bench-agent.ts'
import type { BenchOptions } from './options.ts'
import { round2 } from './report.ts'
import { startLoad } from './run-load.ts'

const MINUTES = 10
/** Heaps grow to their working size in it. */
const SETTLE_SHARE = 0.1
const SAMPLE_MS = 1_000
const ASKED = { rssMibSpread: 40 }

/**
 * More than the box takes, for minutes: as many messages under way as fit twice the byte budget, from
 * connections that never wait; half of them QoS 0 would be dropped, so all are QoS 1 and must wait.
 * A log of 64 MiB with Kafka away and `drop_oldest` turns over many times.
 */
export async function benchOverload(options: BenchOptions): Promise<unknown> {
  const { minutes = MINUTES } = options
  const agent = await BenchAgent.start({
    ...{ kafka: '127.0.0.1:1', topic: 'bench', profile: options.profile },
    config: `detector: { enabled: false }
mqtt: { connections_max: 10000, inflight_bytes_max: 4MiB }
log: { bytes_max: 64MiB }`
  })
  try {
    const port = agent.mqttPort
    // 400 × 80 × 250 bytes: twice the budget.
    const load = startLoad({ port, count: 1e9, connections: 400, window: 80 })
    const samples: number[] = []
    const from = performance.now()
    while (performance.now() - from < minutes * 60_000) {
      await pause(SAMPLE_MS)
      samples.push(agent.rssMib)
    }
    const { acknowledged, perSecond, pubackMs } = await load.stop()
    const settled = samples.slice(Math.floor(samples.length * SETTLE_SHARE))
    const [least, most] = [Math.min(...settled), Math.max(...settled)]
    const half = Math.floor(settled.length / 2)
    const mean = (values: number[]) => values.reduce((sum, mib) => sum + mib, 0) / values.length
    return {
      benchmark: 'overload',
      ...{ minutes, acknowledged, perSecond, pubackMs },
      rssMib: {
        ...{ least, most, spread: round2(most - least) },
        // What a leak would show, and a heap that breathes would not.
        drift: round2(mean(settled.slice(half)) - mean(settled.slice(0, half)))
      },
      asked: ASKED
    }
  } finally {
    await agent.remove()
  }
}
