import type { Duplex } from 'node:stream'
import { generate, type Packet, parser } from 'mqtt-packet'

const BYTES_MAX = 4 << 20

export interface MqttTalkOptions {
  version5: boolean
  /** `performance.now()` at which patience ends. */
  deadlineAt: number
}

/**
 * One conversation over a connection that is made: says packets, waits for the answer of a kind. The
 * agent's own client would take the session over that is to be left alone.
 */
export class MqttTalk {
  readonly #stream: Duplex
  readonly #deadlineAt: number
  readonly #protocol: { protocolVersion: 4 | 5 }
  readonly #unread: Packet[] = []
  #bytes = 0
  #ended = false
  #wake: () => void = () => {}

  constructor(stream: Duplex, { version5, deadlineAt }: MqttTalkOptions) {
    this.#stream = stream
    this.#deadlineAt = deadlineAt
    this.#protocol = { protocolVersion: version5 ? 5 : 4 }
    const reader = parser(this.#protocol)
    reader.on('packet', packet => {
      this.#bytes = 0
      this.#unread.push(packet)
      this.#wake()
    })
    reader.on('error', () => stream.destroy())
    stream.on('data', (bytes: Buffer) => {
      this.#bytes += bytes.length
      reader.parse(bytes)
      if (this.#bytes > BYTES_MAX) stream.destroy()
    })
    stream.on('close', () => {
      this.#ended = true
      this.#wake()
    })
    stream.on('error', () => {})
  }

  say(packet: Packet): void {
    this.#stream.write(generate(packet, this.#protocol))
  }

  /**
   * The next answer of the kind; others are passed over.
   *
   * @throws when the connection ends, or nothing of the kind comes in time.
   */
  async answer<C extends Packet['cmd']>(cmd: C): Promise<Extract<Packet, { cmd: C }>> {
    for (;;) {
      const packet = this.#unread.shift()
      if (packet) {
        if (packet.cmd === cmd) return packet as Extract<Packet, { cmd: C }>
        continue
      }
      const leftMs = this.#deadlineAt - performance.now()
      if (this.#ended) throw new Error('the broker closes the connection without an answer')
      if (leftMs <= 0) throw new Error('the broker accepts the connection and does not answer')
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, leftMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}
