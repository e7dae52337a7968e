import { isReservedMqttTopic } from '../../../core/contract/topics.ts'

export interface AdmissionOptions {
  topicBytesMax: number
  topicLevelsMax: number
  packetBytesMax: number
}

/** Why a message is not let in, whoever sends it. */
export type MessageRefusal =
  | 'reserved_topic'
  | 'topic_too_long'
  | 'topic_too_deep'
  | 'topic_malformed'
  | 'packet_too_large'

/**
 * Why a connection, a client, a message or a subscription is not let in: a closed list, fit for a
 * metric's label. What each means and which key sets it: deploy/MQTT.md.
 */
export type Refusal =
  | MessageRefusal
  | 'packet_too_slow'
  | 'connections'
  | 'connections_per_address'
  | 'connect_rate'
  | 'connect_timeout'
  | 'keep_alive'
  | 'tls_handshake'
  | 'certificate'
  | 'websocket'
  | 'origin'
  | 'credentials'
  | 'busy'
  | 'client_id'
  | 'revoked'
  | 'publish_denied'
  | 'subscribe_denied'
  | 'subscriptions'
  | 'qos2_inflight'
  | 'slow_subscriber'

/** What may be published by anybody: rules without state. */
export class Admission {
  readonly #options: AdmissionOptions

  constructor(options: AdmissionOptions) {
    this.#options = options
  }

  /** @returns undefined when the message may pass. */
  refuses(topic: string, payloadBytes: number): MessageRefusal | undefined {
    if (payloadBytes > this.#options.packetBytesMax) return 'packet_too_large'
    if (Buffer.byteLength(topic) > this.#options.topicBytesMax) return 'topic_too_long'
    if (isReservedMqttTopic(topic)) return 'reserved_topic'
    // MQTT 3.1.1 §4.7: not empty, no wildcard (a will's topic comes here unchecked), no U+0000.
    // §1.5.3: U+FFFD stands where the bytes were no UTF-8.
    if (topic === '' || /[+#\0\uFFFD]/.test(topic)) return 'topic_malformed'
    let levels = 1
    for (let at = topic.indexOf('/'); at >= 0; at = topic.indexOf('/', at + 1)) levels++
    return levels > this.#options.topicLevelsMax ? 'topic_too_deep' : undefined
  }
}
