import type { Logger } from '../../../core/runtime/log.ts'
import { hex } from './faults.ts'
import type { UpstreamOptions } from './options.ts'

/** What of the client is used to subscribe. */
export interface Subscriber {
  subscribeAsync(filters: string[], options: SubscribeOptions): Promise<{ qos: number }[]>
  unsubscribeAsync(filters: string[]): Promise<unknown>
}

export interface SubscribeOptions {
  qos: 0 | 1 | 2
  /** MQTT 5 retain handling: 0 retained messages are sent, 1 for new subscriptions only, 2 never. */
  rh?: 0 | 1 | 2
}

/** AWS IoT Core takes no more in one packet. */
const FILTERS_A_PACKET = 8
const REFUSED = 0x80

/**
 * The subscriptions of one broker session, made those of the configuration: what was removed from it
 * is unsubscribed. What the session may hold is told before it is so, to be remembered over a crash.
 */
export class UpstreamSubscription {
  /** By filter: the granted QoS, or why it was refused. */
  granted: Record<string, number | string> = {}
  readonly #options: UpstreamOptions
  readonly #logger: Logger
  #inSession: string[]
  #complete = false

  constructor(options: UpstreamOptions, logger: Logger) {
    this.#options = options
    this.#logger = logger
    this.#inSession = options.previousTopics ?? []
  }

  /** The next connection subscribes, whatever the broker says it has kept. */
  distrust(): void {
    this.#complete = false
  }

  /**
   * @param isCurrent Whether the connection is still the one in use, asked when answers come.
   * @throws when the broker refuses every filter.
   */
  async establish(
    subscriber: Subscriber,
    sessionPresent: boolean,
    isCurrent: () => boolean
  ): Promise<void> {
    // Subscribing again would bring all retained messages again.
    if (this.#complete && sessionPresent) return
    const { topics, qos, mqttVersion, retained } = this.#options
    const removed = this.#inSession.filter(topic => !topics.includes(topic))
    // Told before it is true: a crash in between must not leave a filter that nobody knows of.
    this.#tell([...topics, ...removed])
    if (sessionPresent) {
      for (const filters of chunksOf(removed)) await subscriber.unsubscribeAsync(filters)
    }
    const rh = retained === 'drop' ? 2 : 1
    const codes: number[] = []
    for (const filters of chunksOf(topics)) {
      const options = { qos, ...(mqttVersion === '5' && ({ rh } as const)) }
      codes.push(...(await subscribe(subscriber, filters, options)))
    }
    if (!isCurrent()) return
    this.granted = Object.fromEntries(
      topics.map((topic, i) => [topic, codes[i] < REFUSED ? codes[i] : refusal(codes[i])])
    )
    const refused = topics.filter((_, i) => codes[i] >= REFUSED)
    if (refused.length === topics.length) {
      throw new Error(
        `the broker refuses to subscribe ${refused.slice(0, 10).join(', ')}${whyOf(codes[0])}`
      )
    }
    this.#tell(topics)
    this.#warnOfLess(codes, refused)
    this.#complete = refused.length === 0
  }

  #tell(topics: string[]): void {
    const known = this.#inSession
    if (topics.length === known.length && topics.every(topic => known.includes(topic))) return
    this.#options.onTopics?.(topics)
    this.#inSession = topics
  }

  #warnOfLess(codes: readonly number[], refused: string[]): void {
    const { name, topics, qos } = this.#options
    const lowered = topics.filter((_, i) => codes[i] < qos)
    if (refused.length === 0 && lowered.length === 0) return
    this.#logger.warn(
      { event: 'upstream.granted_less', upstream: name, refused, lowered, qos },
      'The upstream broker refuses some of the topics, or grants a lower QoS: what is sent there may be missed.'
    )
  }
}

/** @returns The QoS granted to each filter, or 0x80 and above where it was refused. */
async function subscribe(
  subscriber: Subscriber,
  filters: string[],
  options: SubscribeOptions
): Promise<number[]> {
  try {
    return (await subscriber.subscribeAsync(filters, options)).map(granted => granted.qos)
  } catch (error) {
    const { packet } = error as { packet?: { granted?: number[] } }
    if (packet?.granted?.length !== filters.length) throw error
    return packet.granted
  }
}

/** Source: MQTT 5 §3.9.3. In 3.1.1 there is but 0x80. */
const REASONS: Readonly<Record<number, string>> = {
  131: 'implementation specific',
  135: 'not authorized',
  143: 'topic filter invalid',
  145: 'packet id in use',
  151: 'quota exceeded',
  158: 'shared subscriptions not supported',
  161: 'subscription identifiers not supported',
  162: 'wildcard subscriptions not supported'
}

function refusal(code: number): string {
  return `refused${whyOf(code)}`
}

function whyOf(code: number): string {
  return code === REFUSED ? '' : `: ${REASONS[code] ?? 'reason'} (${hex(code)})`
}

function chunksOf(filters: string[]): string[][] {
  const chunks: string[][] = []
  for (let at = 0; at < filters.length; at += FILTERS_A_PACKET) {
    chunks.push(filters.slice(at, at + FILTERS_A_PACKET))
  }
  return chunks
}
