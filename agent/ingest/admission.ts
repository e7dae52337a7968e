import { createHash, timingSafeEqual } from 'node:crypto'
import { isReservedMqttTopic } from '../../core/contract/topics.ts'
import { isLoopbackHost } from '../../core/runtime/address.ts'

export interface AdmissionOptions {
  anonymous: 'loopback' | 'always' | 'never'
  users: readonly { username: string; password: string }[]
  topicBytesMax: number
  topicLevelsMax: number
  packetBytesMax: number
}

/** Why a client or a message is not let in: a closed list, fit for a metric's label. */
export type Refusal =
  | 'credentials'
  | 'reserved_topic'
  | 'topic_too_long'
  | 'topic_too_deep'
  | 'topic_malformed'
  | 'packet_too_large'

/** Who may connect and what may be published: rules without state. */
export class Admission {
  readonly #options: AdmissionOptions
  readonly #digests: Map<string, Buffer>

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#digests = new Map(options.users.map(user => [user.username, digest(user.password)]))
  }

  /** @param remoteAddress As the socket tells it; undefined when it is gone already. */
  admitsClient(
    username: string | undefined,
    password: Uint8Array | undefined,
    remoteAddress: string | undefined
  ): boolean {
    if (username !== undefined) {
      const expected = this.#digests.get(username)
      // The digest is compared for unknown users too, so that time tells nothing.
      const equal = timingSafeEqual(digest(password ?? ''), expected ?? digest('\0none'))
      if (expected) return equal
      if (this.#digests.size > 0) return false
    }
    if (this.#options.anonymous === 'always') return true
    const host = remoteAddress?.replace(/^::ffff:/, '') ?? ''
    return this.#options.anonymous === 'loopback' && isLoopbackHost(host)
  }

  /** @returns undefined when the message may pass. */
  refuses(topic: string, payloadBytes: number): Refusal | undefined {
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

function digest(password: string | Uint8Array): Buffer {
  return createHash('sha256').update(password).digest()
}
