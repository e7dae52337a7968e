import type { Logger } from '../../../core/runtime/log.ts'

/**
 * What is wrong though no connection need be failing; a closed list. `never_connected` since the
 * start, `taken_over` another client uses our id again and again, `stuck` messages came and none is
 * acknowledged, `silent` connected and no message comes.
 */
export type UpstreamTrouble = 'never_connected' | 'taken_over' | 'stuck' | 'silent'

/** What a person reads when a watchdog barks, and how loud. */
const TROUBLES: Readonly<Record<UpstreamTrouble, readonly ['warn' | 'error', string]>> = {
  never_connected: [
    'error',
    'The upstream broker was never reached since the start: its messages do not arrive. Trying on.'
  ],
  taken_over: [
    'error',
    "Another client seems to use this upstream's client id: each takes the session from the other. Give each agent an id of its own."
  ],
  stuck: [
    'error',
    'Messages from the upstream broker wait for the log and are not acknowledged: look at the log, its disk and its limit.'
  ],
  silent: [
    'warn',
    'The upstream broker is connected and no message comes: connecting and subscribing anew, once.'
  ]
}

/** @param about The upstream, and why the last connection failed or ended. */
export function tellTrouble(
  logger: Logger,
  trouble: UpstreamTrouble,
  about: { upstream: string; clientId: string; fault?: string; reason?: string }
): void {
  const [level, text] = TROUBLES[trouble]
  logger[level]({ event: `upstream.${trouble}`, ...about }, text)
}

export interface WatchLimits {
  readonly neverConnectedMs: number
  readonly stuckMs: number
  /** null: silence is never looked at. */
  readonly silentAfterMs: number | null
}

/**
 * Three watchdogs of one upstream, looked at now and then; time is handed in, in ms of a monotonic
 * clock. Silence is of messages that are not retained ones: those come with every subscription.
 */
export class UpstreamWatch {
  readonly #limits: WatchLimits
  readonly #startedAt: number
  #connectedSince: number | undefined
  #everConnected = false
  #heardAt = Number.NEGATIVE_INFINITY
  #silent = false
  /** Of the oldest message that is owed an acknowledgement, or of the last one sent since. */
  #owedSince: number | undefined

  constructor(limits: WatchLimits, now: number) {
    this.#limits = limits
    this.#startedAt = now
  }

  connected(now: number): void {
    this.#everConnected = true
    this.#connectedSince = now
  }

  lost(): void {
    this.#connectedSince = undefined
    this.#owedSince = undefined
  }

  /** A message that is no retained one. */
  heard(now: number): void {
    this.#heardAt = now
    this.#silent = false
  }

  /** @param inflight Messages that are owed an acknowledgement now, after one came or went. */
  owes(inflight: number, acknowledged: boolean, now: number): void {
    if (inflight === 0) this.#owedSince = undefined
    else if (acknowledged || this.#owedSince === undefined) this.#owedSince = now
  }

  look(now: number): Exclude<UpstreamTrouble, 'taken_over'> | undefined {
    const { neverConnectedMs, stuckMs, silentAfterMs } = this.#limits
    if (!this.#everConnected) {
      return now - this.#startedAt >= neverConnectedMs ? 'never_connected' : undefined
    }
    if (this.#owedSince !== undefined && now - this.#owedSince >= stuckMs) return 'stuck'
    if (silentAfterMs === null || this.#silent) return this.#silent ? 'silent' : undefined
    if (this.#connectedSince === undefined) return undefined
    this.#silent = now - Math.max(this.#heardAt, this.#connectedSince) >= silentAfterMs
    return this.#silent ? 'silent' : undefined
  }
}
