import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { loadFieldlineConfig } from '../../cli/config.ts'
import { parseEpoch } from '../../core/contract/event-id.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import { TelemetryDecoder } from '../../detector/source/telemetry-record.ts'
import { Fleet } from '../../firmware-sim/fleet.ts'
import { TestAgent } from '../kit/agent-process.ts'
import {
  type OwnKafka,
  readTopic,
  startOwnKafka,
  type TopicRecord,
  useOwnKafka
} from '../kit/kafka.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const SEED = Number(process.env.FIELDLINE_SEED ?? 1107)
const KILLS = Number(process.env.FIELDLINE_KILLS ?? 4)
const AGENT = 'edge-7'
const CONFIG = `
agent: { id: ${AGENT} }
kafka: { create_topics: true, partitions: 3 }
uplink: { delivery: exactly_once }
detector: { warm_up_readings: 20, snapshot_interval: 1s }
logging: { level: info }
`

let kafka: OwnKafka
useOwnKafka(async () => {
  kafka = await startOwnKafka()
  return kafka
})

/** The agent's readings in the order in which it acknowledged them, as Kafka has them. */
function readingsOf(records: readonly TopicRecord[], decoder: TelemetryDecoder): DetectorReading[] {
  const readings = records.flatMap(({ topic, key, value, timestampMs, headers }) => {
    const decoded = decoder.decode({
      ...{ topic, key: Buffer.from(key ?? ''), value, timestampMs },
      header: name => headers[name]
    })
    return decoded.ok ? decoded.readings : []
  })
  const generation = ({ epoch }: DetectorReading): number => parseEpoch(epoch)?.generation ?? 0
  return readings.sort((a, b) => generation(a) - generation(b) || a.offset - b.offset)
}

/** Records that the detector has not read; undefined while it has not begun. */
async function lagOf(agent: TestAgent): Promise<number | undefined> {
  const text = await (await agent.page('/metrics')).text()
  const found = /^fieldline_detector_lag_records (\d+)$/m.exec(text)
  return found ? Number(found[1]) : undefined
}

function byKey(told: readonly (readonly [key: string, event: string])[]): Record<string, string[]> {
  const keys: Record<string, string[]> = {}
  for (const [key, event] of told) {
    keys[key] ??= []
    keys[key].push(event)
  }
  return keys
}

test(
  `an agent killed ${KILLS} times while it raises alerts neither repeats nor skips one (seed ${SEED})`,
  async () => {
    const prng = new Prng(SEED)
    const agent = new TestAgent(CONFIG)
    try {
      await agent.start(kafka.address)
      const fleet = new Fleet({
        ...{ host: '127.0.0.1', port: agent.mqttPort, devices: 30, rate: 400 },
        ...{ durationMs: 5000 + 3500 * KILLS, seed: SEED, site: 'plant1', prefix: 'edge-' },
        ...{ backOffMsMax: 300, drainMsMax: 30_000 },
        faults: { kinds: ['spike', 'shift'], deviceShare: 0.8, warmUpMs: 3000 }
      })
      await fleet.start()
      for (let kill = 0; kill < KILLS; kill++) {
        // Counted since the start: alerts are on their way now.
        await agent.until(status => status.lanes.alerts.counters.produced > 0)
        await new Promise(resolve => setTimeout(resolve, prng.int(1500)))
        await agent.kill()
        await agent.start(kafka.address)
      }
      await fleet.done
      // A stop does not wait for the detector: what it has not read yet is told after the next start.
      await expect.poll(() => lagOf(agent), { timeout: 60_000 }).toBe(0)
      await agent.until(
        ({ lanes }) => lanes.telemetry.backlogRecords === 0 && lanes.alerts.backlogRecords === 0
      )
      // What it was told to do before it ends, it does.
      expect(await agent.stop()).toBe(0)
    } finally {
      await agent.remove()
    }

    const file = path.join(temporaryDirectory(), 'fieldline.yaml')
    writeFileSync(file, CONFIG)
    const { config } = await loadFieldlineConfig({ file })
    const readings = readingsOf(
      await readTopic([kafka.address], 'telemetry'),
      new TelemetryDecoder(config.routes)
    )
    const engine = new Detector(config.detector, {
      ...{ source: `/fieldline/${AGENT}`, logger: silentLogger }
    })
    const expected = (await engine.process(readings)).flatMap(({ events }) =>
      events.map(e => [`${e.data.site}/${e.data.device}`, JSON.stringify(e)] as const)
    )
    const alerts = await readTopic([kafka.address], 'fieldline.alerts')
    const told = alerts.map(({ key, value }) => [key ?? '', String(value)] as const)
    expect(expected.length).toBeGreaterThan(5 * KILLS)
    expect(byKey(told)).toEqual(byKey(expected))
  },
  120_000 + KILLS * 15_000
)
