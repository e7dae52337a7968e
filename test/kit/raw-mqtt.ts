import { once } from 'node:events'
import net from 'node:net'

/** MQTT 3.1.1 control packet types by number (§2.2.1). */
const TYPES =
  'reserved connect connack publish puback pubrec pubrel pubcomp subscribe suback unsubscribe unsuback pingreq pingresp disconnect auth'.split(
    ' '
  )

export interface RawPacket {
  type: string
  flags: number
  body: Buffer
}

export interface ConnectFields {
  clientId?: string
  clean?: boolean
  /** 0, the default: none. */
  keepAliveS?: number
  /** 4 is MQTT 3.1.1, 5 is MQTT 5. */
  version?: number
  username?: string
  password?: string
  will?: { topic: string; payload: string; qos?: 0 | 1 | 2; retain?: boolean }
}

export interface PublishFields {
  topic: string
  payload?: string | Buffer
  qos?: 0 | 1 | 2
  id?: number
  dup?: boolean
  retain?: boolean
}

/**
 * A device that says exactly what it is told to, byte for byte: nothing is sent, answered or repeated
 * by itself. Collects what it receives.
 */
export class RawMqtt {
  readonly packets: RawPacket[] = []
  readonly socket: net.Socket
  closed = false
  #unread = Buffer.alloc(0)
  #wake: () => void = () => {}

  /** Opens the connection; sends nothing. */
  static async open(port: number): Promise<RawMqtt> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new RawMqtt(socket)
  }

  /** Opens the connection, sends CONNECT and waits for a CONNACK that welcomes. */
  static async connect(port: number, fields: ConnectFields = {}): Promise<RawMqtt> {
    const client = await RawMqtt.open(port)
    client.send(connectBytes(fields))
    await client.until(() => client.packets.length > 0)
    const [connack] = client.packets.splice(0, 1)
    if (connack.body[1] !== 0) throw new Error(`refused: CONNACK ${connack.body[1]}`)
    return client
  }

  constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', bytes => this.#receive(bytes))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  send(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts))
  }

  publish(...messages: PublishFields[]): void {
    this.send(...messages.map(publishBytes))
  }

  /** Waits for the SUBACK. */
  async subscribe(filter: string, qos = 0): Promise<void> {
    this.send(packetBytes(0x82, Buffer.from([0, 1]), textBytes(filter), Buffer.from([qos])))
    await this.until(() => this.names().includes('suback'))
    this.packets.splice(this.names().indexOf('suback'), 1)
  }

  /** Waits for the answer to a PINGREQ: everything sent before was looked at. */
  async roundTrip(): Promise<void> {
    const pongs = () => this.names().filter(name => name === 'pingresp').length
    const before = pongs()
    this.send(Buffer.from([0xc0, 0]))
    await this.until(() => pongs() > before)
  }

  /** Checks after every packet and at the end of the connection. */
  async until(condition: () => boolean, ms = 10_000): Promise<void> {
    const deadline = Date.now() + ms
    while (!condition()) {
      const left = deadline - Date.now()
      if (left <= 0 || this.closed) {
        const why = this.closed ? 'the broker closed the connection' : `${ms} ms have passed`
        throw new Error(`${why}; received: ${this.names().join(' ')}`)
      }
      await new Promise<void>(resolve => {
        this.#wake = resolve
        setTimeout(resolve, left)
      })
    }
  }

  async untilClosed(): Promise<void> {
    // Not events.once: a reset is an end like any other.
    if (!this.closed) await new Promise(resolve => this.socket.once('close', resolve))
  }

  names(): string[] {
    return this.packets.map(({ type }) => type)
  }

  /** Like `puback 7`, in the order of arrival. */
  acks(): string[] {
    return this.packets
      .filter(({ type }) => /^pub(ack|rec|comp)$/.test(type))
      .map(({ type, body }) => `${type} ${body.readUInt16BE(0)}`)
  }

  /** Received PUBLISHes of QoS 0. */
  messages(): { topic: string; payload: string; retain: boolean }[] {
    return this.packets
      .filter(({ type }) => type === 'publish')
      .map(({ flags, body }) => {
        const topicEnd = 2 + body.readUInt16BE(0)
        return {
          topic: body.toString('utf8', 2, topicEnd),
          payload: body.toString('utf8', topicEnd),
          retain: (flags & 1) === 1
        }
      })
  }

  /** Gone without a DISCONNECT. */
  destroy(): void {
    this.socket.destroy()
  }

  #receive(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes])
    for (;;) {
      const packet = firstPacket(this.#unread)
      if (!packet) break
      this.#unread = this.#unread.subarray(packet.end)
      this.packets.push(packet)
    }
    this.#wake()
  }
}

export function connectBytes(fields: ConnectFields = {}): Buffer {
  const { clientId = 'device', clean = true, version = 4, username, password, will } = fields
  const { keepAliveS = 0 } = fields
  const flags =
    (clean ? 0x02 : 0) |
    (will ? 0x04 | ((will.qos ?? 0) << 3) | (will.retain ? 0x20 : 0) : 0) |
    (password === undefined ? 0 : 0x40) |
    (username === undefined ? 0 : 0x80)
  return packetBytes(
    0x10,
    textBytes('MQTT'),
    Buffer.from([version, flags, keepAliveS >> 8, keepAliveS & 0xff]),
    ...(version === 5 ? [Buffer.from([0])] : []),
    textBytes(clientId),
    ...(will ? [textBytes(will.topic), textBytes(will.payload)] : []),
    ...(username === undefined ? [] : [textBytes(username)]),
    ...(password === undefined ? [] : [textBytes(password)])
  )
}

export function publishBytes(fields: PublishFields): Buffer {
  const { topic, payload = '1', qos = 0, id = 1, dup = false, retain = false } = fields
  const first = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)
  return packetBytes(
    first,
    textBytes(topic),
    ...(qos > 0 ? [Buffer.from([id >> 8, id & 0xff])] : []),
    Buffer.from(payload)
  )
}

export function pubrelBytes(id: number): Buffer {
  return packetBytes(0x62, Buffer.from([id >> 8, id & 0xff]))
}

export function packetBytes(first: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([first]), lengthBytes(body.length), body])
}

/** MQTT 3.1.1 §2.2.3: seven bits a byte, the lowest first. */
export function lengthBytes(length: number): Buffer {
  const bytes: number[] = []
  do {
    bytes.push((length & 0x7f) | (length > 0x7f ? 0x80 : 0))
    length >>>= 7
  } while (length > 0)
  return Buffer.from(bytes)
}

function textBytes(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}

function firstPacket(bytes: Buffer): (RawPacket & { end: number }) | undefined {
  let length = 0
  for (let at = 1; at < bytes.length && at < 5; at++) {
    length |= (bytes[at] & 0x7f) << (7 * (at - 1))
    if (bytes[at] & 0x80) continue
    const end = at + 1 + length
    if (end > bytes.length) return undefined
    const body = bytes.subarray(at + 1, end)
    return { type: TYPES[bytes[0] >> 4], flags: bytes[0] & 15, body, end }
  }
  return undefined
}
