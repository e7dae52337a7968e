import { awayAfterMs, type KnownAgent } from '../../core/contract/agent-table.ts'
import {
  type AlertData,
  type AlertEvent,
  type AlertState,
  alertEvent,
  alertId,
  type Severity,
  seriesSubject
} from '../../core/contract/alert-event.ts'
import type { Clock } from '../../core/runtime/clock.ts'
import { scoreOfRatio } from '../scorer/scorer.ts'
import type { AgentWordsView } from '../source/agent-words.ts'
import type { Muting } from './muting.ts'

/** Where an agent's own alerts stand: it is no device of any site. */
export const AGENT_SITE = 'fieldline'

/** See `SilenceAlerts`. */
const THRESHOLD = 0.8

export interface AgentWatchOptions {
  /** `/fieldline/{group}` */
  source: string
  words: AgentWordsView
  /** Adds to each agent's count the devices that were last heard through it. */
  countDevices: (counts: Map<string, number>) => void
  muting: Pick<Muting, 'of'>
  clock: Pick<Clock, 'now'>
}

/** Something to tell, and what is to be kept of it: an alert that is open, or null when it is over. */
export interface AgentNews {
  event: AlertEvent
  kept: { agentId: string; value: string | null }
}

/**
 * Tells which agents are away: one alert `silent` of each, subject `fieldline/{agentId}`, whatever the
 * number of devices behind it. These are silent in no stream of readings that flows, so nothing is
 * told of each of them (see `SilenceWatch`).
 *
 * By our own monotonic clock, and only for as long as we hear the others: neither our outage nor
 * Kafka's nor a wrong clock makes an agent away. An alert is named for the last word, so that whoever
 * watches after us does not tell it anew; what is open is kept in Kafka with the alert itself.
 *
 * Bounded by the words' table, but for agents taken out of it, whose alerts are cleared.
 */
export class AgentWatch {
  readonly #options: AgentWatchOptions
  /** The raised events, by agent. */
  #open = new Map<string, AlertEvent>()

  constructor(options: AgentWatchOptions) {
    this.#options = options
  }

  get openAlerts(): AlertEvent[] {
    return [...this.#open.values()]
  }

  /** @param kept As `judge` gave it, by agent. What cannot be read is left out. */
  restore(kept: ReadonlyMap<string, Uint8Array>): void {
    this.#open = new Map()
    for (const [agentId, value] of kept) {
      const event = raisedOf(value, agentId)
      if (event) this.#open.set(agentId, event)
    }
  }

  judge(): AgentNews[] {
    const { words, clock, muting, countDevices } = this.#options
    const { heard } = words
    if (!heard) return []
    const news: AgentNews[] = []
    const now = clock.now()
    for (const [agentId, raised] of this.#open) {
      const end = endOf(raised, words.get(agentId), now)
      if (end) news.push(this.#clear(agentId, raised, end))
    }
    const lost: { agent: KnownAgent; quietMs: number }[] = []
    for (const agent of words) {
      const { agentId } = agent.word
      const quietMs = heard.until - Math.max(agent.heardAt, heard.since)
      if (quietMs <= awayAfterMs(agent) || this.#open.has(agentId)) continue
      const subject = { site: AGENT_SITE, device: agentId, metric: '-', kind: 'silent' } as const
      if (!muting.of(subject, now)) lost.push({ agent, quietMs })
    }
    // Of all of them in one go: it looks at every device.
    const counts = new Map(lost.map(({ agent }) => [agent.word.agentId, 0]))
    if (lost.length > 0) countDevices(counts)
    for (const { agent, quietMs } of lost) {
      news.push(this.#raise(agent, quietMs, now, counts.get(agent.word.agentId) ?? 0))
    }
    return news
  }

  #raise(agent: KnownAgent, quietMs: number, now: number, devices: number): AgentNews {
    const { word, saidAt } = agent
    const { agentId } = word
    const limitMs = awayAfterMs(agent)
    const stopped = word.state === 'stopped'
    const score = scoreOfRatio(Math.max(1, quietMs / limitMs))
    // A box whose records bear its own clock's time may be ahead of us.
    const at = Math.max(now, saidAt)
    const silentFor = spanText(at - saidAt)
    const what = stopped
      ? `agent ${agentId} was stopped ${silentFor} ago and has not come back`
      : `agent ${agentId} has not reported for ${silentFor}`
    const whom = devices === 1 ? 'the device' : `${devices} devices`
    const behind = devices === 0 ? '' : `; ${whom} behind it cannot be judged meanwhile`
    const event = this.#event('raised', {
      alertId: alertId(seriesSubject(AGENT_SITE, agentId, '-'), 'silent', saidAt),
      severity: stopped ? 'info' : 'warning',
      ...{ device: agentId, score, startedAt: saidAt, at, limitMs, reason: what + behind }
    })
    this.#open.set(agentId, event)
    return { event, kept: { agentId, value: JSON.stringify(event) } }
  }

  #clear(agentId: string, raised: AlertEvent, { at, reason }: AlertEnd): AgentNews {
    const { data } = raised
    const startedAt = Date.parse(data.startedAt)
    const event = this.#event('cleared', {
      ...{ alertId: data.alertId, severity: data.severity, device: agentId, score: 0 },
      ...{ startedAt, at: Math.max(at, startedAt), limitMs: 0, reason },
      raised: data
    })
    this.#open.delete(agentId)
    return { event, kept: { agentId, value: null } }
  }

  #event(state: AlertState, told: Told): AlertEvent {
    const { raised } = told
    const [startedAt, at] = [instant(told.startedAt), instant(told.at)]
    const data: AlertData = {
      ...{ alertId: told.alertId, state, kind: 'silent', severity: told.severity },
      ...{ site: AGENT_SITE, device: told.device, metric: '-' },
      ...{ score: told.score, threshold: THRESHOLD },
      detector: raised?.detector ?? {
        ...{ name: 'agent-watch', version: '1', params: { limitMs: told.limitMs } }
      },
      ...{ startedAt, at },
      ...(raised ? { clearedAt: at, durationMs: told.at - told.startedAt } : {}),
      peak: raised?.peak ?? { score: told.score, at },
      ...{ samples: 0, contributions: [], reason: told.reason, late: false }
    }
    return alertEvent(this.#options.source, raised ? 2 : 1, data)
  }
}

interface Told {
  alertId: string
  severity: Severity
  device: string
  score: number
  /** Epoch ms. */
  startedAt: number
  at: number
  limitMs: number
  reason: string
  /** Of an alert that is over. */
  raised?: AlertData
}

interface AlertEnd {
  /** Epoch ms. */
  at: number
  reason: string
}

/** A later word than the one the alert is named for; whether it was heard by us or before our time. */
function endOf(
  raised: AlertEvent,
  agent: KnownAgent | undefined,
  now: number
): AlertEnd | undefined {
  const { device, startedAt } = raised.data
  if (!agent) return { at: now, reason: `agent ${device} was taken out of the fleet` }
  const { word, saidAt } = agent
  const lastSaidAt = Date.parse(startedAt)
  if (saidAt === lastSaidAt || word.state === 'stopped') return undefined
  const quiet = spanText(Math.max(0, saidAt - lastSaidAt))
  return { at: saidAt, reason: `agent ${device} reports again after ${quiet}` }
}

function raisedOf(value: Uint8Array, agentId: string): AlertEvent | undefined {
  try {
    const event = JSON.parse(Buffer.from(value).toString('utf8')) as AlertEvent
    const { data } = event
    const whole =
      data.device === agentId &&
      data.state === 'raised' &&
      typeof data.alertId === 'string' &&
      typeof data.peak === 'object' &&
      !Number.isNaN(Date.parse(data.startedAt))
    return whole ? event : undefined
  } catch {
    return undefined
  }
}

function instant(at: number): string {
  return new Date(at).toISOString()
}

/** `40 s`, `4 min`, `3 h`, `2 d` */
function spanText(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}
