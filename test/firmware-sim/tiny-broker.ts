import { once } from 'node:events'
import net from 'node:net'

/** One PUBLISH as it was on the wire. */
export interface Published {
  connection: number
  topic: string
  payload: string
  qos: number
  dup: boolean
  packetId: number
}

/**
 * Just enough of an MQTT 3.1.1 broker to see bytes and to misbehave on purpose. Every PUBLISH is
 * kept; `answer` decides what happens to it. QoS 2 is answered through to PUBCOMP.
 */
export class TinyBroker {
  readonly published: Published[] = []
  readonly connects: { clientId: string; clean: boolean }[] = []
  /** Asked for each PUBLISH, `nth` counting from 1 over the broker's life. */
  answer: (publish: Published, nth: number) => 'ack' | 'withhold' | 'drop_connection' = () => 'ack'
  returnCode = 0
  port = 0
  readonly #server = net.createServer(socket => this.#serve(socket))
  readonly #sockets = new Set<net.Socket>()
  #waiters: { test: () => boolean; resolve: () => void }[] = []

  async start(port = 0): Promise<void> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as net.AddressInfo).port
  }

  async stop(): Promise<void> {
    this.dropConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Resolves as soon as the condition holds after a packet. */
  async until(test: () => boolean): Promise<void> {
    if (test()) return
    await new Promise<void>(resolve => this.#waiters.push({ test, resolve }))
  }

  #serve(socket: net.Socket): void {
    this.#sockets.add(socket)
    let connection = 0
    let bytes = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk])
      for (;;) {
        const packet = takePacket(bytes)
        if (packet === undefined) break
        bytes = bytes.subarray(packet.size)
        if (packet.head >> 4 === 1) connection = this.#connect(socket, packet.body)
        else this.#packet(socket, connection, packet.head, packet.body)
      }
      this.#waiters = this.#waiters.filter(w => {
        if (!w.test()) return true
        w.resolve()
        return false
      })
    })
  }

  #connect(socket: net.Socket, body: Buffer): number {
    const idLength = body.readUInt16BE(10)
    this.connects.push({
      clientId: body.toString('utf8', 12, 12 + idLength),
      clean: (body[7] & 2) !== 0
    })
    socket.write(Buffer.from([0x20, 2, 0, this.returnCode]))
    return this.connects.length
  }

  #packet(socket: net.Socket, connection: number, head: number, body: Buffer): void {
    const type = head >> 4
    if (type === 12) socket.write(Buffer.from([0xd0, 0]))
    if (type === 6) socket.write(Buffer.from([0x70, 2, body[0], body[1]]))
    if (type !== 3) return
    const qos = (head >> 1) & 3
    const topicEnd = 2 + body.readUInt16BE(0)
    const payloadStart = qos > 0 ? topicEnd + 2 : topicEnd
    const publish: Published = {
      connection,
      topic: body.toString('utf8', 2, topicEnd),
      payload: body.toString('utf8', payloadStart),
      qos,
      dup: (head & 8) !== 0,
      packetId: qos > 0 ? body.readUInt16BE(topicEnd) : 0
    }
    if (socket.destroyed) return
    this.published.push(publish)
    const answer = this.answer(publish, this.published.length)
    if (answer === 'drop_connection') socket.destroy()
    if (answer !== 'ack' || qos === 0) return
    const reply = qos === 1 ? 0x40 : 0x50
    socket.write(Buffer.from([reply, 2, publish.packetId >> 8, publish.packetId & 255]))
  }
}

function takePacket(bytes: Buffer): { head: number; body: Buffer; size: number } | undefined {
  let length = 0
  for (let i = 1; i <= 4; i++) {
    if (i >= bytes.length) return undefined
    length += (bytes[i] & 127) << (7 * (i - 1))
    if (bytes[i] < 128) {
      const size = i + 1 + length
      if (bytes.length < size) return undefined
      return { head: bytes[0], body: bytes.subarray(i + 1, size), size }
    }
  }
  throw new Error('malformed remaining length')
}
