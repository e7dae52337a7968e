import type { Value } from '../../core/contract/reading.ts'
import { Prng } from '../../core/runtime/prng.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import type { DetectorReading } from '../../detector/detector.ts'
import { qualitySchema } from '../../detector/quality/quality-config.ts'

export const EPOCH = '1-9f2c03d1a7b4e655'
export const T0 = Date.UTC(2026, 10, 22, 8)

export function detectorConfig(changes: Partial<DetectorConfig> = {}): DetectorConfig {
  return {
    enabled: true,
    scope: 'edge',
    group: 'fieldline-detector',
    topics: ['telemetry'],
    edgeAgents: [],
    scorer: 'auto',
    sensitivity: 'normal',
    warmUpReadings: 30,
    raise: 0.8,
    clear: 0.5,
    onDelay: { readings: 1, of: 1 },
    offDelayReadings: 5,
    refractoryReadings: 10,
    habituation: 1,
    updateIntervalMs: 10_000,
    severity: { warning: 0.87, critical: 0.95 },
    groupBy: 'device',
    silences: [],
    seriesMax: 1000,
    seriesTtlMs: 7 * 86_400_000,
    lagRecordsMax: 100_000,
    snapshotIntervalMs: 5000,
    silent: { enabled: true, factor: 5, minMs: 10_000 },
    quality: qualitySchema.parse({}),
    models: [],
    windowBytesMax: 16 << 20,
    ...changes
  }
}

export function reading(
  offset: number,
  device: string,
  at: number,
  values: Record<string, number>,
  changes: Partial<DetectorReading> = {}
): DetectorReading {
  return {
    epoch: EPOCH,
    offset,
    agentId: 'gateway-7',
    eventId: `gateway-7/${EPOCH}/${offset}`,
    site: 'plant7',
    device,
    at,
    receivedAt: at + 5,
    values: Object.entries(values).map(([metric, value]): Value => ({ metric, value })),
    ...changes
  }
}

/** A fleet with noise, spikes, a shift, and devices that fall silent: something of everything. */
export function eventfulReadings(seed: number, count: number, devices = 6): DetectorReading[] {
  const prng = new Prng(seed)
  const readings: DetectorReading[] = []
  let at = T0
  for (let offset = 0; readings.length < count; offset++) {
    at += Math.floor(500 / devices)
    const n = offset % devices
    const silent = n === 1 && offset % 900 > 500
    if (silent) continue
    const spike = offset > 300 && prng.chance(0.01) ? 12 : 0
    const shift = n === 2 && offset % 1200 > 800 ? 5 : 0
    const values = {
      temperature: 60 + prng.normal() + spike,
      pressure: Math.round((5 + 0.3 * prng.normal() + shift) * 10) / 10
    }
    readings.push(reading(offset, `pump-${n}`, at, values))
  }
  return readings
}

export interface SignalShape {
  phi?: number
  /** From trough to crest, in deviations. */
  swing?: number
  /** Readings a day. */
  period?: number
  /** Rounded to; 0: not at all. */
  step?: number
}

/** AR(1) of unit deviation around 100, with a daily shape and rounding. */
export function ar1Signal(
  prng: Prng,
  { phi = 0, swing = 0, period = 1440, step = 0 }: SignalShape
): () => number {
  const innovation = Math.sqrt(1 - phi * phi)
  const phase = prng.float() * 2 * Math.PI
  let last = 0
  let i = 0
  return () => {
    last = phi * last + innovation * prng.normal()
    const value = 100 + last + (swing / 2) * Math.sin((2 * Math.PI * i++) / period + phase)
    return step ? Math.round(value / step) * step : value
  }
}
