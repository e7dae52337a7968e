import type { AgentStatus } from '../../agent/status.ts'
import type { AlertEvent } from '../../core/contract/alert-event.ts'
import type { Fleet } from '../../firmware-sim/fleet.ts'
import { RateMeter } from '../terminal/rate-meter.ts'
import { type AlertChange, AlertFeed } from './alert-feed.ts'

/** What `/status` says, as far as the demo reads it. */
export type StatusPage = AgentStatus & { detector: { openAlerts: AlertEvent[] } | null }

/** What can be seen from outside: the agent's `/status` and the devices' own counters. */
export interface Observation {
  /** The last answer; kept while the agent does not answer. */
  status: StatusPage | undefined
  answering: boolean
  acknowledged: number
  acknowledgedPerSecond: number
  deliveredPerSecond: number
  connected: number
  /** Readings that devices hold back, for want of an agent. */
  heldByDevices: number
  /** Of the probe; 0 before it was started. */
  ackMs: { p50: number; p99: number }
  backlog: number
  backlogAgeMs: number
  /** One value every half second. */
  backlogHistory: number[]
  openAlerts: number
  raisedAlerts: number
}

interface Observed {
  readonly httpAddress: string
  readonly fleet: Fleet | undefined
  /** Tells how long a PUBACK takes. */
  readonly probe: Fleet | undefined
}

const POLL_MS = 250
const POLL_MS_MAX = 1_000
const HISTORY_EVERY_MS = 500
const HISTORY_MAX = 200

/** Looks at agent and fleet a few times a second. */
export class Observer {
  readonly alerts = new AlertFeed()
  readonly #stage: Observed
  readonly #onAlert: (change: AlertChange) => void
  readonly #acknowledged = new RateMeter()
  readonly #delivered = new RateMeter()
  readonly #history: number[] = []
  readonly #stopped = new AbortController()
  #historyAt = 0
  #status: StatusPage | undefined
  #answering = false
  #running: Promise<void> | undefined

  constructor(stage: Observed, onAlert: (change: AlertChange) => void) {
    this.#stage = stage
    this.#onAlert = onAlert
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }

  /** Asks now. @returns undefined when the agent does not answer. */
  async ask(): Promise<StatusPage | undefined> {
    try {
      const response = await fetch(`http://${this.#stage.httpAddress}/status`, {
        signal: AbortSignal.timeout(POLL_MS_MAX)
      })
      return response.ok ? ((await response.json()) as StatusPage) : undefined
    } catch {
      return undefined
    }
  }

  get now(): Observation {
    const counters = this.#stage.fleet?.counters()
    const ackMs = this.#stage.probe?.counters().latencyMs
    const lane = this.#status?.lanes.telemetry
    return {
      status: this.#status,
      answering: this.#answering,
      acknowledged: this.#acknowledgedNow(),
      acknowledgedPerSecond: this.#acknowledged.perSecond,
      deliveredPerSecond: this.#answering ? this.#delivered.perSecond : 0,
      connected: counters?.connected ?? 0,
      heldByDevices: (counters?.waiting ?? 0) + (counters?.inFlight ?? 0),
      ackMs: { p50: ackMs?.p50 ?? 0, p99: ackMs?.p99 ?? 0 },
      backlog: lane?.backlogRecords ?? 0,
      backlogAgeMs: lane?.backlogAgeMs ?? 0,
      backlogHistory: this.#history,
      openAlerts: this.alerts.open,
      raisedAlerts: this.alerts.raised.length
    }
  }

  #acknowledgedNow(): number {
    const { fleet, probe } = this.#stage
    return (fleet?.counters().acknowledged ?? 0) + (probe?.counters().acknowledged ?? 0)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      const from = performance.now()
      const status = await this.ask()
      if (signal.aborted) return
      this.#take(status)
      const restMs = Math.max(20, POLL_MS - (performance.now() - from))
      await new Promise<void>(resolve => setTimeout(resolve, restMs))
    }
  }

  #take(status: StatusPage | undefined): void {
    const at = performance.now()
    this.#answering = status !== undefined
    this.#acknowledged.add(at, this.#acknowledgedNow())
    if (status) {
      this.#status = status
      this.#delivered.add(at, status.lanes.telemetry.counters.delivered)
      for (const change of this.alerts.take(status.detector?.openAlerts ?? [])) {
        this.#onAlert(change)
      }
    } else {
      this.#delivered.reset()
    }
    if (this.#stage.fleet && at - this.#historyAt >= HISTORY_EVERY_MS) {
      this.#historyAt = at
      this.#history.push(this.#status?.lanes.telemetry.backlogRecords ?? 0)
      if (this.#history.length > HISTORY_MAX) this.#history.shift()
    }
  }
}
