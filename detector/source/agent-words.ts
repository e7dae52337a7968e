import { AgentTable, type KnownAgent } from '../../core/contract/agent-table.ts'
import type { Kafka } from '../../core/kafka/client.ts'
import { socketsOf } from '../../core/kafka/sockets.ts'
import { TopicReader } from '../../core/kafka/topic-reader.ts'
import type { Clock } from '../../core/runtime/clock.ts'
import { pause } from '../../core/runtime/deadline.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'

/** What the agents say of themselves, as far as we hear them. */
export interface AgentWordsView {
  get(agentId: string): KnownAgent | undefined
  /** `heardAt` is monotonic ms. */
  [Symbol.iterator](): Iterator<KnownAgent>
  /**
   * For how long we have heard them without a break, monotonic ms: what was said before `until` is known.
   * Undefined while we do not.
   */
  readonly heard: { readonly since: number; readonly until: number } | undefined
}

type WordsReader = Pick<TopicReader, 'read' | 'next' | 'close'>

export interface AgentWordsOptions {
  topic: string
  /**
   * @param next Where to go on.
   * @param signal Whatever waits for an answer is not waited for once it aborts.
   */
  open: (next: TopicReader['next'], signal: AbortSignal) => Promise<WordsReader>
  clock: Clock
  logger: Logger
  pollMs?: number
}

const POLL_MS = 2_000
/** Kafka, or we, stood still: nobody could be heard, and what is heard at once then is not all. */
const BREAK_MS = 5_000
const RETRY_MS_MIN = 1_000
const RETRY_MS_MAX = 60_000

/** @param kafka A client for each connection. */
export function readerOf(kafka: () => Kafka, topic: string): AgentWordsOptions['open'] {
  return async (next, signal) => {
    const client = kafka()
    signal.addEventListener('abort', () => socketsOf(client).close(), { once: true })
    return TopicReader.open(client, topic, next)
  }
}

/**
 * Follows the status topic: all of it, then what comes. Without the topic, or the right to read it,
 * nothing is known of any agent, and nothing is concluded from that.
 */
export class AgentWords implements AgentWordsView {
  heard: { since: number; until: number } | undefined
  /** Why nothing is heard. */
  error: string | undefined
  readonly #options: AgentWordsOptions
  readonly #table = new AgentTable()
  #next: ReadonlyMap<number, number | undefined> = new Map()

  constructor(options: AgentWordsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#table.size
  }

  get(agentId: string): KnownAgent | undefined {
    return this.#table.get(agentId)
  }

  [Symbol.iterator](): Iterator<KnownAgent> {
    return this.#table[Symbol.iterator]()
  }

  /** Runs until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { topic, logger } = this.#options
    for (let failures = 0; !signal.aborted; ) {
      try {
        await this.#follow(signal, () => {
          failures = 0
        })
      } catch (error) {
        this.heard = undefined
        if (signal.aborted) return
        this.error = messageOf(error)
        if (++failures === 2) {
          logger.warn(
            { event: 'detector.agents_unheard', topic, error: this.error },
            'The detector cannot read what agents say of themselves: it does not tell who is away. ' +
              "Devices are judged as ever. 'fieldline topics create' makes the topic and prints the rights."
          )
        }
        await pause(Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures, 16)), signal)
      }
    }
  }

  /** @param askedAt What comes of later may still be under way. */
  #hearUntil(askedAt: number, pollMs: number): void {
    const now = this.#options.clock.monotonic()
    const { heard } = this
    const unbroken = heard && now - heard.until <= 2 * pollMs + BREAK_MS
    this.heard = unbroken ? { since: heard.since, until: askedAt } : { since: now, until: now }
  }

  async #follow(signal: AbortSignal, onRead: () => void): Promise<void> {
    const { open, clock, pollMs = POLL_MS } = this.#options
    const reader = await open(this.#next, signal)
    try {
      while (!signal.aborted) {
        const askedAt = clock.monotonic()
        await reader.read(message => this.#table.take(message, clock.monotonic()), signal)
        this.#next = reader.next
        this.#hearUntil(askedAt, pollMs)
        this.error = undefined
        onRead()
        await pause(pollMs, signal)
      }
    } finally {
      await reader.close()
    }
  }
}
