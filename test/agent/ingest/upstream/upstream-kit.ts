import { once } from 'node:events'
import net from 'node:net'
import { Aedes } from 'aedes'
import { afterEach, expect } from 'vitest'
import type { IncomingMessage } from '../../../../agent/ingest/intake.ts'
import {
  UpstreamClient,
  type UpstreamConditions,
  type UpstreamOptions
} from '../../../../agent/ingest/upstream/upstream-client.ts'
import { createLogger } from '../../../../core/runtime/log.ts'
import { Prng } from '../../../../core/runtime/prng.ts'

/* Upstream brokers for the upstream client's tests: one that does as it is told, and aedes. */

export const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

export interface Arrival {
  message: IncomingMessage
  resolve: () => void
  reject: (error: Error) => void
}

/** An intake whose stores end when the test says so. */
export class HeldIntake {
  readonly arrivals: Arrival[] = []
  readonly offered: IncomingMessage[] = []
  readonly waiting: (() => void)[] = []
  storesAtOnce = false
  full = false

  store(message: IncomingMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      // Copied: the payload is lent for the call only, as it is to the real intake.
      const copy = { ...message, payload: message.payload.slice() }
      this.arrivals.push({ message: copy, resolve, reject })
      if (this.storesAtOnce) resolve()
    })
  }

  offer(message: IncomingMessage): void {
    this.offered.push(message)
  }

  room(): Promise<void> {
    return new Promise(resolve => this.waiting.push(resolve))
  }

  /** The n-th message stored, counting from 1. */
  async arrival(n: number): Promise<Arrival> {
    await until(() => this.arrivals.length >= n)
    return this.arrivals[n - 1]
  }
}

export interface Publish {
  topic?: string
  payload?: string
  qos: 0 | 1 | 2
  packetId: number
  dup?: boolean
  retain?: boolean
}

export const PACKETS: Record<number, string> = {
  1: 'connect',
  4: 'puback',
  5: 'pubrec',
  7: 'pubcomp',
  8: 'subscribe',
  10: 'unsubscribe',
  12: 'pingreq',
  14: 'disconnect'
}

/** Just enough of an MQTT 3.1.1 broker to send what the test says and to keep what is answered. */
export class ScriptedBroker {
  port = 0
  connections = 0
  returnCode = 0
  sessionPresent = false
  /** Reads and never answers. */
  mute = false
  /** What a SUBSCRIBE is granted; QoS 2 each when absent, no answer when it gives none. */
  grants: (() => number[] | undefined) | undefined
  readonly subscribed: string[] = []
  readonly unsubscribed: string[] = []
  /** All packets received, like `puback 7`. */
  readonly #received: string[] = []
  #server = net.createServer()
  #socket: net.Socket | undefined
  #ready = 0
  #roundTrips = 60_000

  async listen(port = 0): Promise<void> {
    this.#server = net.createServer({ noDelay: true }, socket => this.#serve(socket))
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as net.AddressInfo).port
  }

  async close(): Promise<void> {
    this.drop()
    this.#server.close()
    await once(this.#server, 'close')
  }

  drop(): void {
    this.#socket?.destroy()
  }

  get unsentBytes(): number {
    return this.#socket?.writableLength ?? 0
  }

  has(packet: string): boolean {
    return this.#received.includes(packet)
  }

  acks(): string[] {
    return this.#received.filter(packet => /^(puback|pubrec)/.test(packet))
  }

  until(condition: () => boolean): Promise<void> {
    return until(condition)
  }

  /** Resolves when the n-th connection has been accepted. */
  connection(n: number): Promise<void> {
    return until(() => this.#ready >= n)
  }

  /** Resolves when everything sent so far has been handled: a PUBREL is answered in its turn. */
  async roundTrip(): Promise<void> {
    const id = ++this.#roundTrips
    this.pubrel(id)
    await until(() => this.has(`pubcomp ${id}`))
  }

  pubrel(packetId: number): void {
    this.#socket?.write(Buffer.from([0x62, 2, packetId >> 8, packetId & 0xff]))
  }

  publish(publish: Publish): void {
    const { topic = 't', payload = 'x', qos, packetId, dup = false, retain = false } = publish
    const body = Buffer.concat([
      Buffer.from([topic.length >> 8, topic.length & 0xff]),
      Buffer.from(topic),
      qos > 0 ? Buffer.from([packetId >> 8, packetId & 0xff]) : Buffer.alloc(0),
      Buffer.from(payload)
    ])
    const head = [0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)]
    let rest = body.length
    do {
      head.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
      rest >>= 7
    } while (rest > 0)
    this.#socket?.write(Buffer.concat([Buffer.from(head), body]))
  }

  #serve(socket: net.Socket): void {
    this.connections++
    this.#socket = socket
    let bytes = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk])
      // The client sends nothing long here: one length byte, or two.
      while (bytes.length >= 2) {
        const long = bytes[1] > 0x7f ? 1 : 0
        const end = 2 + long + (long ? (bytes[1] & 0x7f) + bytes[2] * 128 : bytes[1])
        if (bytes.length < end) break
        this.#answer(socket, bytes[0] >> 4, bytes.subarray(2 + long, end))
        bytes = bytes.subarray(end)
      }
    })
  }

  #answer(socket: net.Socket, type: number, body: Buffer): void {
    const name = PACKETS[type] ?? `type ${type}`
    const id = [4, 5, 7].includes(type) ? ` ${body.readUInt16BE(0)}` : ''
    this.#received.push(`${name}${id}`)
    if (this.mute) return
    if (name === 'connect') {
      expect(body[7] & 2, 'clean session').toBe(0)
      const present = this.sessionPresent && this.returnCode === 0 ? 1 : 0
      socket.write(Buffer.from([0x20, 2, present, this.returnCode]))
      if (this.returnCode === 0) this.#ready++
      else socket.end()
    }
    if (name === 'subscribe') {
      const topics = topicsOf(body, 1)
      this.subscribed.push(...topics)
      const granted = this.grants ? this.grants() : topics.map(() => 2)
      if (granted)
        socket.write(Buffer.from([0x90, 2 + granted.length, body[0], body[1], ...granted]))
    }
    if (name === 'unsubscribe') {
      this.unsubscribed.push(...topicsOf(body, 0))
      socket.write(Buffer.from([0xb0, 2, body[0], body[1]]))
    }
    if (name === 'pingreq') socket.write(Buffer.from([0xd0, 0]))
    if (name === 'disconnect') socket.end()
  }
}

export function topicsOf(body: Buffer, bytesAfter: number): string[] {
  const topics: string[] = []
  for (let at = 2; at < body.length; ) {
    const end = at + 2 + body.readUInt16BE(at)
    topics.push(body.toString('utf8', at + 2, end))
    at = end + bytesAfter
  }
  return topics
}

export function upstream(
  port: number,
  options: Partial<UpstreamOptions> = {},
  conditions: Partial<UpstreamConditions> = {}
) {
  const lines: string[] = []
  const intake = new HeldIntake()
  const client = new UpstreamClient(
    {
      name: 'plant',
      url: `mqtt://127.0.0.1:${port}`,
      clientId: 'fieldline-test',
      topics: ['t'],
      qos: 1,
      window: 1000,
      retained: 'mark',
      mqttVersion: '3.1.1',
      keepAliveS: 30,
      sessionExpiryS: 3600,
      silentAfterMs: null,
      ...options
    },
    intake,
    createLogger('debug', line => lines.push(line)),
    {
      backOffMsMin: 2,
      backOffMsMax: 20,
      stopWaitMs: 200,
      prng: new Prng(1),
      ...conditions
    }
  )
  closers.push(() => client.stop())
  return { client, intake, lines }
}

export async function scripted(
  options: Partial<UpstreamOptions> = {},
  conditions: Partial<UpstreamConditions> = {},
  prepare: (broker: ScriptedBroker) => void = () => {}
) {
  const broker = new ScriptedBroker()
  prepare(broker)
  await broker.listen()
  closers.push(() => broker.close())
  const parts = upstream(broker.port, options, conditions)
  parts.client.start()
  return { broker, ...parts }
}

export async function connected(...args: Parameters<typeof scripted>) {
  const parts = await scripted(...args)
  await until(() => parts.client.status.state === 'connected')
  return parts
}

export async function aedesBroker() {
  const aedes = await Aedes.createBroker()
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    aedes.handle(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(async () => {
    await new Promise<void>(resolve => aedes.close(() => resolve()))
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { aedes, server: { sockets }, port: (server.address() as net.AddressInfo).port }
}

export function events(lines: string[]): string[] {
  return lines.map(line => JSON.parse(line).event)
}

/** Looks once a turn of the event loop; the test's own time limit ends a vain wait. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1)
}

export async function turns(count = 50): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(resolve => setImmediate(resolve))
}
