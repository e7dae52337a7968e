import { once } from 'node:events'
import net from 'node:net'
import {
  generate,
  type IConnectPacket,
  type IPublishPacket,
  type Packet,
  parser
} from 'mqtt-packet'
import { until } from './upstream-kit.ts'

const V5 = { protocolVersion: 5 } as const

/** Just enough of an MQTT 5 broker to send what the test says and to keep what is answered. */
export class Broker5 {
  port = 0
  reasonCode = 0
  sessionPresent = false
  connackProperties: Record<string, unknown> = {}
  /** What a SUBSCRIBE is granted; QoS 2 each when absent. */
  grants: ((filters: string[]) => number[]) | undefined
  /** Whether our client's publications are answered. */
  answersPublish = true
  readonly connects: IConnectPacket[] = []
  readonly subscribed: { topic: string; qos: number; rh?: number }[] = []
  readonly subscribePackets: string[][] = []
  readonly unsubscribed: string[] = []
  readonly published: IPublishPacket[] = []
  readonly acks: string[] = []
  readonly #server = net.createServer({ noDelay: true }, socket => this.#serve(socket))
  #socket: net.Socket | undefined
  #ready = 0

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as net.AddressInfo).port
  }

  async close(): Promise<void> {
    this.#socket?.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  drop(): void {
    this.#socket?.destroy()
  }

  /** Resolves when the n-th connection has been accepted. */
  connection(n: number): Promise<void> {
    return until(() => this.#ready >= n)
  }

  publish(publish: Partial<IPublishPacket>): void {
    this.send({
      ...{ cmd: 'publish', topic: 't', payload: 'x', qos: 1, retain: false, dup: false },
      ...publish
    } as IPublishPacket)
  }

  /** DISCONNECT, then the end of the connection. */
  dismiss(reasonCode: number, reasonString?: string): void {
    this.send({ cmd: 'disconnect', reasonCode, properties: reasonString ? { reasonString } : {} })
    this.#socket?.end()
  }

  send(packet: Packet): void {
    this.#socket?.write(generate(packet, V5))
  }

  /** Answers the n-th publication of the client. */
  acknowledge(n: number): void {
    const { messageId } = this.published[n - 1]
    this.send({ cmd: 'puback', messageId: messageId ?? 0, reasonCode: 0 })
  }

  #serve(socket: net.Socket): void {
    this.#socket = socket
    socket.on('error', () => {})
    const packets = parser(V5)
    packets.on('packet', packet => this.#answer(socket, packet))
    socket.on('data', chunk => packets.parse(chunk))
  }

  #answer(socket: net.Socket, packet: Packet): void {
    const { messageId = 0 } = packet
    if (packet.cmd === 'connect') {
      this.connects.push(packet)
      const sessionPresent = this.sessionPresent && this.reasonCode === 0
      const { reasonCode, connackProperties: properties } = this
      this.send({ cmd: 'connack', reasonCode, sessionPresent, properties })
      if (reasonCode === 0) this.#ready++
      else socket.end()
    }
    if (packet.cmd === 'subscribe') {
      const filters = packet.subscriptions.map(({ topic }) => topic)
      this.subscribePackets.push(filters)
      for (const { topic, qos, rh } of packet.subscriptions) {
        this.subscribed.push({ topic, qos, ...(rh !== undefined && { rh: Number(rh) }) })
      }
      this.send({
        cmd: 'suback',
        messageId,
        granted: this.grants?.(filters) ?? filters.map(() => 2)
      })
    }
    if (packet.cmd === 'unsubscribe') {
      this.unsubscribed.push(...packet.unsubscriptions)
      this.send({ cmd: 'unsuback', messageId, granted: packet.unsubscriptions.map(() => 0) })
    }
    if (packet.cmd === 'publish') {
      this.published.push(packet)
      if (this.answersPublish) this.acknowledge(this.published.length)
    }
    if (packet.cmd === 'puback' || packet.cmd === 'pubrec') {
      this.acks.push(
        `${packet.cmd} ${messageId}${packet.reasonCode ? ` ${packet.reasonCode}` : ''}`
      )
    }
    if (packet.cmd === 'pingreq') this.send({ cmd: 'pingresp' })
    if (packet.cmd === 'disconnect') socket.end()
  }
}
