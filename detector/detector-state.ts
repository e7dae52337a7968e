import type { Decider, DeciderState } from './alert/decision.ts'
import type { OpenAlert } from './alert/lifecycle.ts'
import type { SilenceState, SilenceWatch } from './alert/silence.ts'
import type { SilenceAlerts } from './alert/silence-alerts.ts'
import type { Dedupe, Mark } from './dedupe.ts'
import type { DeviceModels, VectorState } from './device-models.ts'
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
  silenceAlerts: SilenceAlerts
  open: Map<number, OpenAlert>
  models: DeviceModels
  reserve: (slots: number) => void
}

interface Header {
  scorer: string
  series: {
    name: [site: string, device: string, metric: string]
    touchedAt: number
    decision?: DeciderState
    alert?: OpenAlert
  }[]
  dedupe: [string, Mark][]
  silence: SilenceState
  silenceAlerts: OpenAlert[]
  vectors: VectorState[]
}

export function encodeState(parts: DetectorParts): Buffer {
  const states: Uint8Array[] = []
  const series: Header['series'] = []
  for (const { site, device, metric, touchedAt, slot } of parts.series) {
    states.push(parts.scorer.snapshot(slot))
    const decision = parts.decider.snapshot(slot)
    const alert = parts.open.get(slot)
    series.push({
      name: [site, device, metric],
      touchedAt,
      ...(decision ? { decision } : {}),
      ...(alert ? { alert } : {})
    })
  }
  const header: Header = {
    scorer: identity(parts.scorer),
    series,
    dedupe: parts.dedupe.snapshot(),
    silence: parts.silence.snapshot(),
    silenceAlerts: parts.silenceAlerts.snapshot(),
    vectors: parts.models.snapshot()
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
  if (!snapshot || header?.scorer !== identity(parts.scorer)) return false
  if (snapshot.states.length !== header.series.length * stateBytes) return false
  parts.reserve(Math.max(64, header.series.length))
  for (const [index, { name, touchedAt, decision, alert }] of header.series.entries()) {
    const [site, device, metric] = name
    const { slot } = parts.series.add({ site, device, metric }, touchedAt)
    const state = snapshot.states.subarray(index * stateBytes, (index + 1) * stateBytes)
    if (!parts.scorer.restore(slot, state)) return false
    parts.decider.restore(slot, decision)
    if (alert) parts.open.set(slot, alert)
  }
  parts.dedupe.restore(header.dedupe)
  parts.silence.restore(header.silence)
  parts.silenceAlerts.restore(header.silenceAlerts)
  parts.models.restore(header.vectors)
  return true
}

function identity(scorer: Scorer): string {
  return `${scorer.name}/${scorer.version}/${scorer.stateBytes}`
}
