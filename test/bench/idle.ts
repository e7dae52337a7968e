import { setTimeout as pause } from 'node:timers/promises'
import { BenchAgent, type BenchAgentOptions } from './bench-agent.ts'
import { startBenchKafka } from './bench-kafka.ts'
import type { BenchOptions } from './options.ts'
import { medianBy, medianOf, round2 } from './report.ts'

const ROUNDS = 5
const SETTLE_MS = 15_000
const WINDOW_MS = 12_000
const ASKED = { cpuPercent: 1 }

const VARIANTS: Record<string, Pick<BenchAgentOptions, 'delivery' | 'unmended'>> = {
  at_least_once: { delivery: 'at_least_once' },
  exactly_once: { delivery: 'exactly_once' },
  unmended: { unmended: true }
}

/**
 * CPU and memory of agents with the configuration that they have by default, detector and all, with
 * Kafka connected and nothing to do; beside one that runs kafkajs as it is. All at once: that they
 * disturb each other is what is asked to be little.
 */
export async function benchIdle(options: BenchOptions): Promise<unknown> {
  const rounds = options.rounds ?? ROUNDS
  const kafka = await startBenchKafka()
  const agents: [string, BenchAgent][] = []
  try {
    for (const [name, variant] of Object.entries(VARIANTS)) {
      const topic = await kafka.newTopic()
      const where = { kafka: kafka.address, topic, config: '', profile: options.profile }
      const agent = await BenchAgent.start({ ...where, ...variant })
      agents.push([name, agent])
      await agent.drained()
      if (variant.unmended) agent.checkUnmended()
    }
    await pause(SETTLE_MS * Math.min(1, options.scale))
    const windowMs = WINDOW_MS * options.scale
    const windows = agents.map((): { cpuPercent: number; rssMib: number }[] => [])
    for (let round = 0; round < rounds; round++) {
      const before = agents.map(([, agent]) => agent.cpuSeconds)
      const from = performance.now()
      await pause(windowMs)
      const seconds = (performance.now() - from) / 1000
      for (const [n, [, agent]] of agents.entries()) {
        const cpuPercent = ((agent.cpuSeconds - before[n]) / seconds) * 100
        windows[n].push({ cpuPercent, rssMib: agent.rssMib })
      }
    }
    const cpuPercent = windows.map(all => medianBy(all, ({ cpuPercent }) => cpuPercent))
    const results = agents.map(([name], n) => [
      name,
      { cpuPercent: cpuPercent[n], rssMib: medianOf(windows[n].map(({ rssMib }) => rssMib)) }
    ])
    return {
      benchmark: 'idle',
      ...{ rounds, windowSeconds: windowMs / 1000 },
      ...Object.fromEntries(results),
      ratioCpu: round2(cpuPercent[0] / cpuPercent[2]),
      asked: ASKED
    }
  } finally {
    for (const [, agent] of agents) await agent.remove()
    await kafka.remove()
  }
}
