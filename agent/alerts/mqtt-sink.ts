import { type AlertEvent, alertMqttTopic } from '../../core/contract/alert-event.ts'
import { withDeadline } from '../../core/runtime/deadline.ts'
import { type AlertChange, type AlertSink, type Delivered, SinkUnavailable } from './sink.ts'

/** A broker that alerts are published to. */
export interface MqttDoor {
  /** QoS 1; resolves when the broker has it. An empty retained payload takes a retained one away. */
  publish(topic: string, payload: string, retain: boolean): Promise<void>
  /** Of the connection: another number, and what was retained may be gone. */
  session(): number
}

export interface MqttSinkOptions {
  name: string
  target: string
  door: MqttDoor
  /** Publications without an answer, at most; they arrive in order. */
  inFlightMax: number
  /** How often it is looked whether the connection is another one, ms; undefined: it never is. */
  repeatMs?: number
  answerMsMax?: number
}

interface Publication {
  topic: string
  payload: string
  retain: boolean
}

const ANSWER_MS_MAX = 10_000

/**
 * Alerts under `alerts/{site}/{device}/{metric or -}/{kind}`: retained while open; a cleared one is
 * told, then an empty retained message takes its place.
 */
export class MqttSink implements AlertSink {
  readonly name: string
  readonly target: string
  readonly changesMax: number
  readonly repeatMs: number | undefined
  readonly #options: MqttSinkOptions
  #session = -1

  constructor(options: MqttSinkOptions) {
    this.name = options.name
    this.target = options.target
    this.changesMax = options.inFlightMax
    this.repeatMs = options.repeatMs
    this.#options = options
  }

  async deliver(changes: readonly AlertChange[]): Promise<Delivered> {
    const publications: Publication[] = []
    let refused = 0
    for (const { event, isOpen } of changes) {
      const topic = topicOf(event)
      if (topic === undefined) {
        refused++
        continue
      }
      publications.push({ topic, payload: JSON.stringify(event), retain: isOpen })
      if (event.data.state === 'cleared') publications.push({ topic, payload: '', retain: true })
    }
    await this.#publish(publications)
    return { delivered: changes.length - refused, refused }
  }

  async tellOpen(events: readonly AlertEvent[]): Promise<void> {
    const session = this.#options.door.session()
    await this.#publish(retained(events, event => JSON.stringify(event)))
    this.#session = session
  }

  async repeat(events: readonly AlertEvent[]): Promise<void> {
    if (this.#options.door.session() !== this.#session) await this.tellOpen(events)
  }

  async withdraw(events: readonly AlertEvent[]): Promise<void> {
    await this.#publish(retained(events, () => ''))
  }

  async #publish(publications: readonly Publication[]): Promise<void> {
    const { door, inFlightMax, answerMsMax = ANSWER_MS_MAX } = this.#options
    try {
      for (let at = 0; at < publications.length; at += inFlightMax) {
        const under = publications
          .slice(at, at + inFlightMax)
          .map(({ topic, payload, retain }) => door.publish(topic, payload, retain))
        await withDeadline('the MQTT broker', answerMsMax, Promise.all(under))
      }
    } catch (error) {
      throw new SinkUnavailable((error as Error).message)
    }
  }
}

function retained(
  events: readonly AlertEvent[],
  payloadOf: (event: AlertEvent) => string
): Publication[] {
  return events.flatMap(event => {
    const topic = topicOf(event)
    return topic === undefined ? [] : [{ topic, payload: payloadOf(event), retain: true }]
  })
}

/** @returns undefined when the frame did not come from us: no topic can be made of it. */
function topicOf({ data }: AlertEvent): string | undefined {
  const whole = typeof data.metric === 'string' && typeof data.kind === 'string'
  return whole ? alertMqttTopic(data) : undefined
}
