import { setTimeout as sleep } from 'node:timers/promises'
import { ALERT_CONTENT_TYPE, type AlertEvent } from '../core/contract/alert-event.ts'
import { deviceKey } from '../core/contract/topics.ts'
import { messageOf } from '../core/runtime/errors.ts'
import type { Kafka, Producer } from '../core/runtime/kafka.ts'
import type { Logger } from '../core/runtime/log.ts'

/** Events a `send`. */
const SEND_MAX = 200
const RETRY_DELAY_MS = 1000

export interface KafkaAlertSinkOptions {
  kafka: Kafka
  topic: string
  logger: Logger
}

/**
 * Publishes alert events to Kafka: idempotent producer, acks of all replicas, one send at a time.
 *
 * At least once: an unanswered send is sent again by a new producer, with the same event ids, by
 * which readers know a repeat.
 */
export class KafkaAlertSink {
  readonly #options: KafkaAlertSinkOptions
  #producer: Producer | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = false

  constructor(options: KafkaAlertSinkOptions) {
    this.#options = options
  }

  /**
   * Resolves when Kafka has stored them; tries for as long as it takes.
   *
   * @param alive Called between attempts, so that waiting does not cost the group membership.
   * @throws The signal's reason, when it aborts.
   */
  publish(
    events: readonly AlertEvent[],
    signal: AbortSignal,
    alive?: () => Promise<void>
  ): Promise<void> {
    const done = this.#turn.then(() => this.#publish(events, signal, alive))
    this.#turn = done.catch(() => {})
    return done
  }

  async close(): Promise<void> {
    await this.#turn
    await this.#producer?.disconnect().catch(() => {})
  }

  async #publish(
    events: readonly AlertEvent[],
    signal: AbortSignal,
    alive?: () => Promise<void>
  ): Promise<void> {
    for (let first = 0; first < events.length; first += SEND_MAX) {
      const part = events.slice(first, first + SEND_MAX)
      while (!(await this.#trySend(part))) {
        await sleep(RETRY_DELAY_MS, undefined, { signal })
        await alive?.()
      }
    }
  }

  async #trySend(events: readonly AlertEvent[]): Promise<boolean> {
    const { kafka, topic, logger } = this.#options
    try {
      if (!this.#producer) {
        const producer = kafka.producer({
          idempotent: true,
          maxInFlightRequests: 1,
          allowAutoTopicCreation: false
        })
        await producer.connect()
        this.#producer = producer
      }
      await this.#producer.send({
        topic,
        acks: -1,
        messages: events.map(event => ({
          key: deviceKey(event.data.site, event.data.device),
          value: JSON.stringify(event),
          // The time of sending: a topic may refuse event times that lie far from now.
          timestamp: String(Date.now()),
          headers: { 'content-type': ALERT_CONTENT_TYPE }
        }))
      })
      if (this.#waiting) logger.info({ event: 'detector.alerts_resumed' }, 'Alerts flow again.')
      this.#waiting = false
      return true
    } catch (error) {
      // Unknown outcome, and after some errors a producer never works again: always a new one.
      await this.#producer?.disconnect().catch(() => {})
      this.#producer = undefined
      if (!this.#waiting) {
        logger.error(
          { event: 'detector.alerts_wait', topic },
          `Alerts cannot be sent to topic ${topic}: ${messageOf(error)}. Trying on; telemetry is ` +
            "not committed meanwhile. 'fieldline topics create' makes a missing topic."
        )
      }
      this.#waiting = true
      return false
    }
  }
}
