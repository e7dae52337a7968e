import type { AgentStatus, Mode } from '../../agent/status.ts'
import type { LiveLook } from '../../detector/live/live-view.ts'
import { type Verdict, type VerdictParts, verdictOn } from './verdict.ts'

/** What the page is told about the agent; plain data. */
export interface AgentView {
  at: number
  agentId: string
  version: string
  uptimeMs: number
  clock: AgentStatus['clock']
  mode: Mode
  verdict: Verdict
  mqtt: { address: string; clients: number } | null
  upstreams: { name: string; state: string; error?: string }[]
  /** `off`: not on this box. `away`: it is being started, or too busy to answer. */
  detector: 'on' | 'off' | 'away'
  series: number
  seriesLearning: number
  in: { perS: number; total: number }
  disk: { records: number; ageMs: number; bytes: number; bytesMax: number }
  out: { perS: number; total: number; etaSeconds: number | null; state: string }
  /** Alerts that are not in Kafka yet. */
  alertsWaiting: number
  kafka: readonly string[]
  /** Never to reach Kafka as themselves, since start, by what happened; only what did. */
  losses: { name: string; count: number }[]
  sinks: { name: string; state: string; waiting: number; error?: string }[]
}

export interface AgentViewFacts {
  kafka: readonly string[]
  overflow: VerdictParts['overflow']
  detects: boolean
}

const LOSSES: Readonly<Record<string, string>> = {
  'ingest.qos0': 'QoS 0 not taken',
  'log.full': 'dropped, log full',
  'log.age': 'dropped for age',
  'log.damaged': 'damaged on disk'
}
/** A rate is over so many looks. */
const SAMPLES = 6
const LOOK_MS_MIN = 500

interface Sample {
  at: number
  stored: number
  storedBytes: number
  delivered: number
}

/** Turns the agent's status into what the page shows; remembers a few seconds for the rates. */
export class AgentViews {
  readonly #facts: AgentViewFacts
  #samples: Sample[] = []

  constructor(facts: AgentViewFacts) {
    this.#facts = facts
  }

  /** @param now Epoch ms; the distance between calls is what rates are taken over. */
  view(status: AgentStatus, look: LiveLook | undefined, now: number): AgentView {
    const { telemetry, alerts } = status.lanes
    const { stored, storedBytes } = status.intake
    const total = stored.reduce((sum, n) => sum + n)
    const { delivered } = telemetry.counters
    const rate = this.#rates({ at: now, stored: total, storedBytes, delivered })
    const { kafka, overflow, detects } = this.#facts
    return {
      at: now,
      agentId: status.agentId,
      version: status.version,
      uptimeMs: status.uptimeMs,
      clock: status.clock,
      mode: status.mode,
      verdict: verdictOn({ status, look, inBytesPerS: rate.storedBytes, overflow, now }),
      mqtt: status.mqtt && { address: status.mqtt.address, clients: status.mqtt.clients },
      upstreams: status.upstreams.map(({ name, state, lastError }) => ({
        ...{ name, state },
        ...(lastError ? { error: lastError } : {})
      })),
      detector: look ? 'on' : detects ? 'away' : 'off',
      series: look?.counters.series ?? 0,
      seriesLearning: look?.counters.seriesLearning ?? 0,
      in: { perS: rate.stored, total },
      disk: {
        records: telemetry.backlogRecords,
        ageMs: telemetry.backlogAgeMs,
        bytes: telemetry.log.bytes,
        bytesMax: telemetry.log.bytesMax
      },
      out: {
        perS: rate.delivered,
        total: delivered,
        etaSeconds: telemetry.etaSeconds,
        state: telemetry.state
      },
      alertsWaiting: alerts?.backlogRecords ?? 0,
      kafka,
      losses: lossesOf(status),
      sinks: status.alertSinks.map(({ name, state, backlogRecords, lastError }) => ({
        ...{ name, state, waiting: backlogRecords },
        ...(lastError ? { error: lastError.message } : {})
      }))
    }
  }

  /** Nobody looked for a while: what was counted then tells no rate of now. */
  forget(): void {
    this.#samples = []
  }

  #rates(now: Sample): Omit<Sample, 'at'> {
    // A browser that has just come is told at once, between two looks.
    if (now.at - (this.#samples.at(-1)?.at ?? 0) >= LOOK_MS_MIN) this.#samples.push(now)
    if (this.#samples.length > SAMPLES) this.#samples.shift()
    const [first] = this.#samples
    const seconds = Math.max(0.001, (now.at - first.at) / 1000)
    const perS = (name: 'stored' | 'storedBytes' | 'delivered') =>
      this.#samples.length < 2 ? 0 : Math.max(0, (now[name] - first[name]) / seconds)
    return {
      stored: perS('stored'),
      storedBytes: perS('storedBytes'),
      delivered: perS('delivered')
    }
  }
}

function lossesOf(status: AgentStatus): AgentView['losses'] {
  const drops = Object.entries(status.drops).map(([name, count]) => ({
    name: LOSSES[name] ?? name,
    count
  }))
  const letters = Object.entries(status.deadLetters).map(([reason, count]) => ({
    name: `dead letters, ${reason.replaceAll('_', ' ')}`,
    count
  }))
  return [...drops, ...letters].filter(({ count }) => count > 0)
}
