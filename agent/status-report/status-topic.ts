import type { AgentWord } from '../../core/contract/agent-status.ts'
import { encodeAgentWord } from '../../core/contract/agent-word-bytes.ts'
import type { Clock } from '../../core/runtime/clock.ts'
import { withDeadline } from '../../core/runtime/deadline.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { Verdict } from '../uplink/verdict.ts'

/**
 * How it stands with the status topic: `connecting`, no word was written yet; `writing`, the last one
 * was; `waiting`, Kafka does not answer; `refused`, a person must act (topic, ACL, login).
 */
export interface StatusTopicView {
  topic: string
  state: 'connecting' | 'writing' | 'waiting' | 'refused'
  lastError?: { code: string; message: string; sinceAt: number }
}

/** One connection to Kafka, until the first error. */
export interface WordWriter {
  write(agentId: string, value: Buffer): Promise<void>
  /** Whatever is under way is rejected. Never rejects itself. */
  close(): Promise<void>
}

export interface StatusTopicOptions {
  topic: string
  open: () => Promise<WordWriter>
  judge: (error: unknown) => Verdict
  clock: Clock
  logger: Logger
}

/** One word, connecting included. */
const WORD_MS_MAX = 15_000
/** Of a stop. */
const LAST_WORD_MS_MAX = 1_500
const REST_MS_MIN = 2_000
const WAITING_REST_MS_MAX = 30_000
const REFUSED_REST_MS_MAX = 300_000

/**
 * The agent's words on their way to Kafka: one at a time, none kept. A word that cannot be written now
 * is lost, the next one says more. Nothing waits for it but a stop, and that 1.5 s at most.
 */
export class StatusTopic {
  readonly #options: StatusTopicOptions
  #view: StatusTopicView
  #writer: WordWriter | undefined
  #underWay: Promise<void> | undefined
  #failures = 0
  #restUntil = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(options: StatusTopicOptions) {
    this.#options = options
    this.#view = { topic: options.topic, state: 'connecting' }
  }

  get view(): StatusTopicView {
    return this.#view
  }

  /** Writes it, unless another one is under way or the last one failed a moment ago. */
  say(word: AgentWord): void {
    if (this.#closed || this.#underWay || this.#rests) return
    this.#underWay = this.#write(word).finally(() => {
      this.#underWay = undefined
    })
  }

  /** The last word, if Kafka takes words; then closes. Never rejects. */
  async end(word: AgentWord): Promise<void> {
    const telling = this.#tellLast(word)
    await withDeadline('the last word', LAST_WORD_MS_MAX, telling).catch(() => {})
    await this.close()
  }

  async close(): Promise<void> {
    this.#closed = true
    const writer = this.#writer
    this.#writer = undefined
    await writer?.close()
  }

  get #rests(): boolean {
    return this.#options.clock.monotonic() < this.#restUntil
  }

  async #tellLast(word: AgentWord): Promise<void> {
    await this.#underWay
    if (!this.#closed && this.#failures === 0) await this.#write(word)
  }

  async #write(word: AgentWord): Promise<void> {
    try {
      await withDeadline('the status topic', WORD_MS_MAX, this.#writeNow(word))
      this.#failures = 0
      this.#view = { topic: this.#options.topic, state: 'writing' }
    } catch (error) {
      const writer = this.#writer
      this.#writer = undefined
      await writer?.close()
      if (!this.#closed) this.#fail(error)
    }
  }

  async #writeNow(word: AgentWord): Promise<void> {
    if (!this.#writer) {
      const writer = await this.#options.open()
      // Given up meanwhile.
      if (this.#closed) return writer.close()
      this.#writer = writer
    }
    await this.#writer.write(word.agentId, encodeAgentWord(word))
  }

  #fail(error: unknown): void {
    const { topic, judge, clock, logger } = this.#options
    const { action, code, message } = judge(error)
    const refused = action !== 'retry' && action !== 'renew'
    const before = this.#view.lastError
    const sinceAt = before?.code === code ? before.sinceAt : clock.now()
    this.#view = {
      ...{ topic, state: refused ? 'refused' : 'waiting' },
      lastError: { code, message, sinceAt }
    }
    const restMsMax = refused ? REFUSED_REST_MS_MAX : WAITING_REST_MS_MAX
    const restMs = Math.min(restMsMax, REST_MS_MIN * 2 ** Math.min(this.#failures, 16))
    this.#restUntil = clock.monotonic() + restMs
    // The first one may come before the topic is made; that Kafka is away the lanes tell.
    if (++this.#failures === 2 && refused) {
      logger.warn(
        { event: 'status.refused', topic, code },
        `Kafka does not take what this agent says of itself: ${message}. Readings are not concerned. ` +
          "'fieldline topics create' makes the topic and prints the rights; `uplink.status_topic: null` turns it off."
      )
    }
  }
}
