import type { Mode } from '../../agent/status.ts'
import type { LiveLook } from '../../detector/live/live-view.ts'
import { deadLettersOf, dropsOf, type Loss, type Note, notesOn, type SeenStatus } from './notes.ts'
import { type Verdict, type VerdictParts, verdictOn } from './verdict.ts'

/** What the page is told about the agent; plain data. */
export interface AgentView {
  at: number
  agentId: string
  version: string
  uptimeMs: number
  mode: Mode
  verdict: Verdict
  mqtt: { address: string; clients: number; listeners: string[] } | null
  upstreams: { name: string; state: string }[]
  /** `off`: not on this box. `away`: it is being started, or too busy to answer. */
  detector: 'on' | 'off' | 'away'
  series: number
  seriesLearning: number
  in: { perS: number; total: number }
  disk: { records: number; waitingBytes: number; ageMs: number; bytes: number; bytesMax: number }
  out: { perS: number; total: number; etaSeconds: number | null; state: string }
  kafka: readonly string[]
  /** Never to reach Kafka as themselves, since start, by what happened; only what did. */
  losses: Loss[]
  sinks: { name: string; state: string; waiting: number; error?: string }[]
  /** The gravest first. */
  notes: Note[]
}

export interface AgentViewFacts {
  kafka: readonly string[]
  overflow: VerdictParts['overflow']
  detects: boolean
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
  view(
    status: SeenStatus,
    look: Pick<LiveLook, 'alerts' | 'counters'> | undefined,
    now: number
  ): AgentView {
    const { telemetry } = status.lanes
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
      mode: status.mode,
      verdict: verdictOn({ status, look, inBytesPerS: rate.storedBytes, overflow, now }),
      mqtt: status.mqtt && {
        address: status.mqtt.address,
        clients: status.mqtt.clients,
        listeners: (status.mqtt.listeners ?? []).map(
          ({ protocol, address }) => `${protocol}://${address}`
        )
      },
      upstreams: status.upstreams.map(({ name, state }) => ({ name, state })),
      detector: look ? 'on' : detects ? 'away' : 'off',
      series: look?.counters.series ?? 0,
      seriesLearning: look?.counters.seriesLearning ?? 0,
      in: { perS: rate.stored, total },
      disk: {
        records: telemetry.backlogRecords,
        waitingBytes: telemetry.backlogBytes ?? 0,
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
      kafka,
      losses: [...dropsOf(status), ...deadLettersOf(status)],
      sinks: status.alertSinks.map(({ name, state, backlogRecords, lastError }) => ({
        ...{ name, state, waiting: backlogRecords },
        ...(lastError ? { error: lastError.message } : {})
      })),
      notes: notesOn(status, now)
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
