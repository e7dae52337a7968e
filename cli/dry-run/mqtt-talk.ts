import { randomBytes } from 'node:crypto'
import type net from 'node:net'
import { type Answer, frame, takeAnswer, takeFrame } from './mqtt-words.ts'

const BYTES_MAX = 4 << 20

/** One conversation over a connection that is made: says packets, waits for the answer of a kind. */
export class MqttTalk {
  readonly #socket: net.Socket
  readonly #version5: boolean
  readonly #deadlineAt: number
  readonly #websocket: boolean
  #frames: Buffer = Buffer.alloc(0)
  #unread: Buffer = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => {}

  /** @param path Of the WebSocket; absent where the connection is bare. */
  static async open(
    socket: net.Socket,
    options: { version5: boolean; deadlineAt: number; host: string; path?: string }
  ): Promise<MqttTalk> {
    if (options.path !== undefined) {
      await upgrade(socket, options.host, options.path, options.deadlineAt)
    }
    return new MqttTalk(socket, options)
  }

  private constructor(
    socket: net.Socket,
    options: { version5: boolean; deadlineAt: number; path?: string }
  ) {
    this.#socket = socket
    this.#version5 = options.version5
    this.#deadlineAt = options.deadlineAt
    this.#websocket = options.path !== undefined
    socket.on('data', bytes => this.#receive(bytes))
    socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
    socket.on('error', () => {})
  }

  say(packet: Buffer): void {
    this.#socket.write(this.#websocket ? frame(packet, randomBytes(4)) : packet)
  }

  /**
   * The next answer of the type; others are passed over.
   *
   * @throws when the connection ends, or nothing of the kind comes in time.
   */
  async answer(type: number): Promise<Answer> {
    for (;;) {
      const taken = takeAnswer(this.#unread, this.#version5)
      if (taken) {
        this.#unread = taken.rest
        if (taken.answer.type === type) return taken.answer
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

  #receive(bytes: Buffer): void {
    if (this.#unread.length + this.#frames.length > BYTES_MAX) this.#socket.destroy()
    if (this.#websocket) {
      this.#frames = Buffer.concat([this.#frames, bytes])
      for (let taken = takeFrame(this.#frames); taken; taken = takeFrame(this.#frames)) {
        this.#frames = taken.rest
        this.#unread = Buffer.concat([this.#unread, taken.payload])
      }
    } else this.#unread = Buffer.concat([this.#unread, bytes])
    this.#wake()
  }
}

/** RFC 6455 §4.1, as far as a trial needs it. @throws when the server does not switch. */
function upgrade(
  socket: net.Socket,
  host: string,
  path: string,
  deadlineAt: number
): Promise<void> {
  socket.write(
    [
      `GET ${path} HTTP/1.1`,
      `Host: ${host}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Protocol: mqtt',
      '\r\n'
    ].join('\r\n')
  )
  let head = ''
  return new Promise((resolve, reject) => {
    const finish = (error?: Error) => {
      clearTimeout(timer)
      socket.off('data', onData).off('close', onClose)
      if (error) reject(error)
      else resolve()
    }
    const late = () => finish(new Error('it does not answer the request for a WebSocket'))
    const timer = setTimeout(late, Math.max(0, deadlineAt - performance.now()))
    const onClose = () => finish(new Error('it closes the connection instead of a WebSocket'))
    const onData = (bytes: Buffer) => {
      head += bytes.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0 && head.length < 16_384) return
      const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]
      if (status === '101') finish()
      else
        finish(
          new Error(`it answers ${status ?? 'no HTTP'} instead of a WebSocket: correct the path`)
        )
    }
    socket.on('data', onData).once('close', onClose)
  })
}
