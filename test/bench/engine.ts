import { silentLogger } from '../../core/runtime/log.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import { detectorConfig } from '../detector/kit.ts'

const EPOCH = '1-9f2c03d1a7b4e655'
const T0 = 1.8e12
const AGENTS = 10
const BATCH = 512
const METRICS = ['temperature', 'vibration_rms', 'pressure_bar']

export interface Fleet {
  devices: number
  intervalMs: number
  /** Their noise, used again and again. */
  values: Float64Array
}

export function engineOf(scorer: 'auto' | 'zscore', seriesMax: number): Detector {
  return new Detector(detectorConfig({ scorer, seriesMax }), {
    ...{ source: '/fieldline/bench', logger: silentLogger }
  })
}

/**
 * Devices of three metrics each, in turn, as a decoded payload brings them: every text made anew.
 *
 * @param from Readings before these, of all devices together.
 */
export function readingsOf(
  { devices, intervalMs, values }: Fleet,
  from: number,
  count: number
): DetectorReading[] {
  return Array.from({ length: count }, (_, i): DetectorReading => {
    const n = from + i
    const device = n % devices
    const agentId = `gateway-${device % AGENTS}`
    const at = T0 + Math.floor((n * intervalMs) / devices)
    const names = JSON.parse(
      `["plant${device % 7}","line-${device % 50}/motor-${device}",${METRICS_JSON}]`
    ) as string[]
    const [site, name, ...metrics] = names
    return {
      ...{ epoch: EPOCH, offset: n, agentId, eventId: `${agentId}/${EPOCH}/${n}` },
      ...{ site, device: name, at, receivedAt: at + 5 },
      values: metrics.map((metric, m) => ({ metric, value: values[(n * 7 + m * 31) & 0xffff] }))
    }
  })
}

const METRICS_JSON = METRICS.map(metric => JSON.stringify(metric)).join()

/** Milliseconds within `process`; of the processor, its collector's threads included. */
export interface Passed {
  wallMs: number
  cpuMs: number
}

/** Batches of 512. */
export async function run(
  detector: Detector,
  fleet: Fleet,
  from: number,
  count: number
): Promise<Passed> {
  let wallMs = 0
  let cpuMs = 0
  for (let done = 0; done < count; done += BATCH) {
    const readings = readingsOf(fleet, from + done, Math.min(BATCH, count - done))
    const cpu = process.cpuUsage()
    const startedAt = performance.now()
    await detector.process(readings)
    wallMs += performance.now() - startedAt
    const { user, system } = process.cpuUsage(cpu)
    cpuMs += (user + system) / 1000
  }
  return { wallMs, cpuMs }
}

export const SERIES_A_DEVICE = METRICS.length
