import { type AgentWord, decodeAgentWord } from './agent-status.ts'

/** An agent and its last word. */
export interface KnownAgent {
  readonly word: AgentWord
  /** When it was heard, by a clock of whoever reads, ms. */
  readonly heardAt: number
  /** The record's own time, epoch ms: by the brokers' clock, in a topic that was made for it. */
  readonly saidAt: number
}

/**
 * Whether there is somebody: `here`, it speaks; `stopped`, its last word was that of an orderly stop;
 * `away`, it has said nothing for too long.
 */
export type Presence = 'here' | 'stopped' | 'away'

/** So many words may be missed. */
const INTERVALS_MAX = 3
const AGENTS_MAX = 10_000

/** How long an agent may say nothing. */
export function awayAfterMs({ word }: KnownAgent): number {
  return INTERVALS_MAX * word.intervalMs
}

/**
 * @param now By the clock of `heardAt`.
 * @param limitMs In place of three of the agent's own intervals.
 */
export function presenceOf(agent: KnownAgent, now: number, limitMs = awayAfterMs(agent)): Presence {
  if (agent.word.state === 'stopped') return 'stopped'
  return now - agent.heardAt > limitMs ? 'away' : 'here'
}

/**
 * The last word of each agent, as the topic tells it.
 *
 * Bounded: past `agentsMax` further agents are counted and not kept; a tombstone makes room.
 */
export class AgentTable {
  /** Records that are no word of an agent, of a later version for example. */
  unreadable = 0
  readonly #agentsMax: number
  readonly #agents = new Map<string, KnownAgent>()
  readonly #beyond = new Set<string>()

  constructor(agentsMax = AGENTS_MAX) {
    this.#agentsMax = agentsMax
  }

  /**
   * One record of the topic, in the order of its partition.
   *
   * @param heardAt See `KnownAgent`.
   */
  take(
    record: {
      readonly key: Uint8Array | null
      readonly value: Uint8Array | null
      readonly timestamp?: string
    },
    heardAt: number
  ): void {
    const agentId = record.key ? Buffer.from(record.key).toString('utf8') : ''
    if (!record.value) {
      this.#agents.delete(agentId)
      this.#beyond.delete(agentId)
      return
    }
    const word = decodeAgentWord(record.value)
    if (word?.agentId !== agentId) {
      this.unreadable++
      return
    }
    if (!this.#agents.has(agentId) && this.#agents.size >= this.#agentsMax) {
      if (this.#beyond.size < this.#agentsMax) this.#beyond.add(agentId)
      return
    }
    this.#agents.set(agentId, { word, heardAt, saidAt: Number(record.timestamp ?? heardAt) })
  }

  get(agentId: string): KnownAgent | undefined {
    return this.#agents.get(agentId)
  }

  get size(): number {
    return this.#agents.size
  }

  /** Agents that there is no room for. */
  get beyond(): number {
    return this.#beyond.size
  }

  [Symbol.iterator](): Iterator<KnownAgent> {
    return this.#agents.values()
  }
}
