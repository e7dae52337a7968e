import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import mqtt from 'mqtt'
import { type IPublishPacket, parser } from 'mqtt-packet'
import { expect, onTestFinished } from 'vitest'
import { freePort } from '../../../cli/local-kafka.ts'
import { decodeStoredRecord, type StoredMessage } from '../../../core/contract/stored-message.ts'
import type { DurableLog } from '../../../core/log/log.ts'

export const TOPICS = 4
const PROGRAM = '/usr/sbin/mosquitto'

/** Why tests that need it are left out; empty when it is there. (Debian: `apt install mosquitto`.) */
export const mosquittoMissing = fs.existsSync(PROGRAM) ? '' : `${PROGRAM} is not installed`

/** A real Mosquitto on loopback, its sessions kept on disk. */
export class Mosquitto {
  readonly port: number
  readonly #config: string
  #child: ChildProcess | undefined

  private constructor(directory: string, port: number, extra: string) {
    this.port = port
    this.#config = path.join(directory, 'mosquitto.conf')
    const lines = [
      'user root',
      `listener ${port} 127.0.0.1`,
      'allow_anonymous true',
      'persistence true',
      `persistence_location ${directory}/`,
      'max_queued_messages 0',
      'log_dest stderr',
      'log_type all',
      extra
    ]
    fs.writeFileSync(this.#config, `${lines.join('\n')}\n`)
  }

  /** @param extra Lines of its configuration. */
  static async start(directory: string, extra = ''): Promise<Mosquitto> {
    const mosquitto = new Mosquitto(directory, await freePort(), extra)
    onTestFinished(() => mosquitto.end('SIGKILL'))
    await mosquitto.run()
    return mosquitto
  }

  /** Resolves when it listens. */
  async run(): Promise<void> {
    const child = spawn(PROGRAM, ['-c', this.#config], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child = child
    const said: string[] = []
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stderr }).on('line', line => {
        said.push(line)
        if (/mosquitto version .* running/.test(line)) resolve()
      })
      child.once('error', reject)
      child.once('exit', code => reject(new Error(`mosquitto ended (${code}): ${said.join('\n')}`)))
    })
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  /** SIGTERM lets it save its sessions, SIGKILL does not. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    await new Promise(resolve => {
      child.once('exit', resolve)
      child.kill(signal)
    })
  }
}

/**
 * A relay between our client and the broker that keeps the book: every payload that was sent to us,
 * and every one that we acknowledged, in order.
 */
export class AckLedger {
  readonly delivered: string[] = []
  readonly acknowledged: string[] = []
  /** Deliveries marked as repeated. */
  dups = 0
  /** Acknowledgements vanish, and with them the rest of what our client says. */
  deaf = false
  port = 0
  readonly #sockets = new Set<net.Socket>()

  static async start(brokerPort: number, protocolVersion: 4 | 5): Promise<AckLedger> {
    const ledger = new AckLedger()
    const server = net.createServer({ noDelay: true }, client => {
      ledger.#relay(client, net.connect({ port: brokerPort, noDelay: true }), protocolVersion)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    ledger.port = (server.address() as net.AddressInfo).port
    onTestFinished(() => {
      server.close()
      for (const socket of ledger.#sockets) socket.destroy()
    })
    return ledger
  }

  #relay(client: net.Socket, broker: net.Socket, protocolVersion: 4 | 5): void {
    const open = new Map<number, string>()
    const down = parser({ protocolVersion })
    down.on('packet', packet => {
      if (packet.cmd !== 'publish') return
      const { payload, messageId = 0, dup } = packet as IPublishPacket
      this.delivered.push(String(payload))
      if (dup) this.dups++
      open.set(messageId, String(payload))
    })
    const up = parser({ protocolVersion })
    up.on('packet', ({ cmd, messageId = 0 }) => {
      const payload = open.get(messageId)
      if (payload === undefined || (cmd !== 'puback' && cmd !== 'pubrec')) return
      this.acknowledged.push(payload)
      open.delete(messageId)
    })
    // Counted before it is passed on: what the broker may know, the book knows.
    pipe(client, broker, bytes => {
      if (!this.deaf) up.parse(bytes)
      return !this.deaf
    })
    pipe(broker, client, bytes => {
      down.parse(bytes)
      return true
    })
    for (const socket of [client, broker]) {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
    }
    // What the broker said last still arrives.
    client.on('close', () => broker.destroy())
    broker.on('close', failed => (failed ? client.destroy() : client.end()))
  }
}

/** @param see Says whether they go on. */
function pipe(from: net.Socket, to: net.Socket, see: (bytes: Buffer) => boolean): void {
  from.on('data', bytes => {
    if (!see(bytes) || to.destroyed || to.write(bytes)) return
    from.pause()
    to.once('drain', () => from.resume())
  })
}

/** Numbers on four topics, each sent when the one before was accepted by Mosquitto. */
export class Publisher {
  readonly accepted: string[] = []
  #client: mqtt.MqttClient | undefined
  #next = 0
  readonly #port: number

  constructor(port: number) {
    this.#port = port
    onTestFinished(() => void this.leave())
  }

  async send(count: number): Promise<void> {
    this.#client ??= await mqtt.connectAsync(`mqtt://127.0.0.1:${this.#port}`, {
      ...{ reconnectPeriod: 50, clean: false, clientId: 'publisher' }
    })
    const end = this.#next + count
    while (this.#next < end) {
      const n = this.#next++
      await this.#client.publishAsync(`t/${n % TOPICS}`, String(n), { qos: 1 })
      this.accepted.push(String(n))
    }
  }

  leave(): void {
    this.#client?.end(true)
    this.#client = undefined
  }
}

export async function messagesIn(log: DurableLog): Promise<StoredMessage[]> {
  const reader = await log.reader('check')
  const messages: StoredMessage[] = []
  const signal = AbortSignal.abort()
  for (;;) {
    const batch = await reader.read({ bytesMax: 1 << 20, signal })
    if (!batch) return messages
    for (const { payload } of batch.records) {
      const stored = decodeStoredRecord(payload)
      if (stored.kind === 'message') messages.push(stored.message)
    }
  }
}

/** Everything acknowledged is in the log, and of each topic first arrivals are in the order sent. */
export function expectHonest(messages: StoredMessage[], ledger: AckLedger): Set<string> {
  const stored = new Set(messages.map(({ payload }) => Buffer.from(payload).toString()))
  expect(ledger.acknowledged.filter(payload => !stored.has(payload))).toEqual([])
  expect(ledger.acknowledged.length).toBeGreaterThan(0)
  const highest = new Map<string, number>()
  const known = new Set<string>()
  for (const { topic, payload } of messages) {
    const text = Buffer.from(payload).toString()
    if (known.has(text)) continue
    known.add(text)
    expect(Number(text)).toBeGreaterThan(highest.get(topic) ?? -1)
    highest.set(topic, Number(text))
  }
  return stored
}

export function expectAll(stored: Set<string>, accepted: string[]): void {
  expect(accepted.filter(payload => !stored.has(payload))).toEqual([])
}
