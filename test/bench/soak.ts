import { setTimeout as pause } from 'node:timers/promises'
import { linearRegression } from 'simple-statistics'
import { BenchAgent } from './bench-agent.ts'
import { checkCount, startBenchKafka } from './bench-kafka.ts'
import type { BenchOptions } from './options.ts'
import { medianOf, round2 } from './report.ts'
import { startLoad } from './run-load.ts'

const MINUTES = 15
const RATE = 10_000
const SAMPLE_MS = 15_000
const SAMPLES_MIN = 8
/** The heap finds its size first. */
const SETTLING_SHARE = 1 / 3
const ASKED = { rssMib: 200, flat: 'a slope of about 0' }

/**
 * Memory of an agent in the configuration that it has by default, the detector left out, under
 * 10,000 messages a second for a long time. The curve goes to stderr as it comes.
 */
export async function benchSoak(options: BenchOptions): Promise<unknown> {
  const { minutes = MINUTES } = options
  const durationMs = minutes * 60_000
  const sampleMs = Math.min(SAMPLE_MS, durationMs / SAMPLES_MIN)
  const kafka = await startBenchKafka()
  let agent: BenchAgent | undefined
  try {
    const topic = await kafka.newTopic()
    agent = await BenchAgent.start({ kafka: kafka.address, topic, profile: options.profile })
    await agent.drained()
    const count = Math.ceil((2 * durationMs * RATE) / 1000)
    const load = startLoad({ port: agent.mqttPort, count, rate: RATE })
    const curve: { seconds: number; rssMib: number }[] = []
    const from = performance.now()
    const cpuBefore = agent.cpuSeconds
    while (performance.now() - from < durationMs) {
      await Promise.race([pause(sampleMs), load.ended])
      const seconds = Math.round((performance.now() - from) / 1000)
      curve.push({ seconds, rssMib: agent.rssMib })
      process.stderr.write(`${seconds} s: ${agent.rssMib} MiB\n`)
    }
    const result = await load.stop()
    const cpuMicros = ((agent.cpuSeconds - cpuBefore) * 1e6) / result.acknowledged
    await agent.drained()
    await checkCount(kafka, topic, result.acknowledged)
    const settled = curve.slice(Math.floor(curve.length * SETTLING_SHARE))
    const points = settled.map(({ seconds, rssMib }) => [seconds / 60, rssMib])
    const values = curve.map(({ rssMib }) => rssMib)
    return {
      benchmark: 'soak',
      ...{ minutes, perSecond: result.perSecond, sampleSeconds: sampleMs / 1000 },
      pubackMs: result.pubackMs,
      agentCpuMicros: round2(cpuMicros),
      rssMib: { first: values[0], median: medianOf(values), max: Math.max(...values) },
      settledMibPerMinute: round2(linearRegression(points).m),
      curveRssMib: values.join(' '),
      asked: ASKED
    }
  } finally {
    await agent?.remove()
    await kafka.remove()
  }
}
