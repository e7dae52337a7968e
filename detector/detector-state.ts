import type { Alerts, AlertsState } from './alert/alerts.ts'
import type { Decider, DeciderState } from './alert/decision.ts'
import type { SilenceState, SilenceWatch } from './alert/silence.ts'
import type { Dedupe, Mark } from './dedupe.ts'
import type { DeviceModels, ModelsState } from './device-models.ts'
import type { Quality } from './quality/quality.ts'
import type { Scorer } from './scorer/scorer.ts'
import type { SeriesTable } from './series-table.ts'
import { decodeSnapshot, encodeSnapshot } from './snapshot.ts'

/** The detector's state, piece by piece. */
export interface DetectorParts {
  scorer: Scorer
  decider: Decider
  series: SeriesTable
  dedupe: Dedupe
  silence: SilenceWatch
  alerts: Alerts
  quality: Quality
  models: DeviceModels
  reserve: (slots: number) => void
}

/** Changes with the shape of what is stored; other formats are refused. */
const FORMAT = 3

interface Header {
  format: number
  scorer: string
  series: {
    name: [site: string, device: string, metric: string]
    touchedAt: number
    decision?: DeciderState
  }[]
  dedupe: [string, Mark][]
  silence: SilenceState
  alerts: AlertsState
  /** Their numbers are the last bytes of the states. */
  models: ModelsState
}

export function encodeState(parts: DetectorParts): Buffer {
  const states: Uint8Array[] = []
  const series: Header['series'] = []
  for (const { site, device, metric, touchedAt, slot } of parts.series) {
    states.push(parts.scorer.snapshot(slot), parts.quality.snapshot(slot))
    const decision = parts.decider.snapshot(slot)
    series.push({
      name: [site, device, metric],
      touchedAt,
      ...(decision ? { decision } : {})
    })
  }
  const models = parts.models.snapshot()
  states.push(models.bytes)
  const header: Header = {
    format: FORMAT,
    scorer: identity(parts.scorer),
    series,
    dedupe: parts.dedupe.snapshot(),
    silence: parts.silence.snapshot(),
    alerts: parts.alerts.snapshot(),
    models: models.header
  }
  return encodeSnapshot(header, states)
}

/**
 * @param parts Empty; filled.
 * @returns false when the bytes cannot be used. `parts` may then be half filled.
 */
export function decodeState(bytes: Uint8Array, parts: DetectorParts): boolean {
  const snapshot = decodeSnapshot(bytes)
  const header = snapshot?.header as Header | undefined
  const { stateBytes } = parts.scorer
  const oneBytes = stateBytes + parts.quality.stateBytes
  if (!snapshot || header?.format !== FORMAT) return false
  if (header.scorer !== identity(parts.scorer)) return false
  const seriesBytes = header.series.length * oneBytes
  if (snapshot.states.length !== seriesBytes + header.models.bytes) return false
  parts.reserve(Math.max(64, header.series.length))
  for (const [index, { name, touchedAt, decision }] of header.series.entries()) {
    const [site, device, metric] = name
    const series = parts.series.add({ site, device, metric }, touchedAt)
    const { slot } = series
    const state = snapshot.states.subarray(index * oneBytes, (index + 1) * oneBytes)
    parts.quality.add(series)
    if (!parts.scorer.restore(slot, state.subarray(0, stateBytes))) return false
    if (!parts.quality.restore(slot, state.subarray(stateBytes))) return false
    parts.decider.restore(slot, decision)
  }
  parts.dedupe.restore(header.dedupe)
  parts.silence.restore(header.silence)
  parts.alerts.restore(header.alerts)
  return parts.models.restore(header.models, snapshot.states.subarray(seriesBytes))
}

/** @returns The open alerts, whatever the scorer; undefined when the bytes cannot be used. */
export function alertsOfState(bytes: Uint8Array): AlertsState | undefined {
  const header = decodeSnapshot(bytes)?.header as Header | undefined
  return header?.format === FORMAT ? header.alerts : undefined
}

function identity(scorer: Scorer): string {
  return `${scorer.name}/${scorer.version}/${scorer.stateBytes}`
}
