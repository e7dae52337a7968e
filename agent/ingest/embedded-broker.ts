import type { EventEmitter } from 'node:events'
import net from 'node:net'
import { Aedes, type AedesPublishPacket, type AuthenticateError, type Client } from 'aedes'
import { type Address, formatAddress } from '../../core/runtime/address.ts'
import { messageOf, systemCode } from '../../core/runtime/errors.ts'
import { openListener } from '../../core/runtime/listen.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { Admission, type AdmissionOptions, type Refusal } from './admission.ts'
import type { IncomingMessage, Intake } from './intake.ts'
import { filterMatches } from './topic-filter.ts'

export interface EmbeddedBrokerOptions extends AdmissionOptions {
  address: Address
  connectionsMax: number
}

export interface EmbeddedBrokerStatus {
  address: string
  clients: number
  /** Since start, by reason. */
  refused: Partial<Record<Refusal, number>>
  malformed: number
}

/** What of aedes' client is used though its types do not show it (aedes 1.2.0, pinned). */
interface AedesClient extends Client {
  pause?(): void
  resume?(): void
  /** Packets under way; it reads on when they are done. */
  _parsingBatch: number
  _parser: { parse(bytes: Buffer): number; packet: { length: number } | null }
  /** By filter. */
  subscriptions: Record<string, { qos: number }>
}

/** What of aedes' persistence holds open QoS 2 messages, by session. */
interface IncomingStore {
  /** Rejects when there is none. */
  incomingGetPacket(client: Client, packet: AedesPublishPacket): Promise<AedesPublishPacket>
  incomingDelPacket(client: Client, packet: AedesPublishPacket): Promise<void>
}

/** Retained messages of devices that are kept for local subscribers; beyond it none is retained. */
const RETAINED_TOPICS_MAX = 10_000
const RETAINED_BYTES_MAX = 16 << 20
/** What aedes' matching can bear; the operator's limit is checked with the message. */
const TOPIC_LEVELS_MAX = 100
const CLIENT_ID_BYTES_MAX = 256
/** MQTT 3.1.1 §3.2.2.3 */
const CONNACK_NOT_AUTHORIZED = 5
/** A refusal is logged at most this often, with the count since. */
const REPORT_INTERVAL_MS = 10_000

/**
 * The MQTT 3.1.1 broker for devices that connect to the box.
 *
 * aedes writes PUBACK and PUBREC after `authorizePublish` calls back, so the durable append happens
 * there. An error from it destroys the socket without an acknowledgement: the device keeps the
 * message and sends it again. That is the only refusal MQTT 3.1.1 knows.
 *
 * aedes answers the repeat of a QoS 2 message from its session, at once, even while the first is
 * still on its way to disk or was refused there: so it may learn of a message only once that is
 * stored, and what is a repeat is decided here.
 */
export class EmbeddedBroker {
  readonly #options: EmbeddedBrokerOptions
  readonly #intake: Intake
  readonly #logger: Logger
  readonly #admission: Admission
  readonly #aedes: Aedes
  readonly #server: net.Server
  /** Bytes by topic. */
  readonly #retained = new Map<string, number>()
  #retainedBytes = 0
  /** QoS 2 messages on their way to the log, by packet id and client. */
  readonly #storing = new Map<string, Promise<void>>()
  readonly #paused = new Set<AedesClient>()
  readonly #refused: Partial<Record<Refusal, number>> = {}
  #malformed = 0
  #unreported = 0
  #reportedAt = Number.NEGATIVE_INFINITY

  /**
   * Opens the listener.
   *
   * @throws {OperationalError} ADDRESS_IN_USE, HOST_UNKNOWN or LISTEN_FAILED.
   */
  static async open(
    options: EmbeddedBrokerOptions,
    intake: Intake,
    logger: Logger
  ): Promise<EmbeddedBroker> {
    const aedes = await Aedes.createBroker({
      maxTopicLevels: TOPIC_LEVELS_MAX,
      drainTimeout: 30_000
    })
    const broker = new EmbeddedBroker(options, intake, logger, aedes)
    try {
      await openListener(broker.#server, options.address)
      return broker
    } catch (error) {
      // Its timers would keep the process alive.
      await broker.close()
      throw error
    }
  }

  private constructor(
    options: EmbeddedBrokerOptions,
    intake: Intake,
    logger: Logger,
    aedes: Aedes
  ) {
    this.#options = options
    this.#intake = intake
    this.#logger = logger
    this.#admission = new Admission(options)
    this.#aedes = aedes
    aedes.preConnect = (_client, packet, done) => this.#preConnect(packet, done)
    aedes.authenticate = (client, username, password, done) => {
      const remote = (client.conn as net.Socket).remoteAddress
      if (this.#admission.admitsClient(username, password, remote)) return done(null, true)
      this.#count('credentials', client.id)
      done(connack(CONNACK_NOT_AUTHORIZED, 'refused: credentials'), false)
    }
    aedes.authorizePublish = (client, packet, done) =>
      this.#authorizePublish(client as AedesClient | null, packet as AedesPublishPacket, done)
    aedes.authorizeSubscribe = (client, subscription, done) => {
      // A session that outlives its connection would queue for an absent subscriber without end.
      if (!client.clean) subscription.qos = 0
      done(null, subscription)
    }
    aedes.authorizeForward = (client, packet) => lowered(client as AedesClient, packet)
    const onTrouble = (client: Client, error: Error) => this.#onTrouble(client, error)
    aedes.on('clientError', onTrouble)
    aedes.on('connectionError', onTrouble)
    const unheard: EventEmitter = aedes
    // Unheard, it would end the process.
    unheard.on('error', error => this.#onTrouble(null, error))
    this.#server = net.createServer({ noDelay: true }, socket => this.#accept(socket))
    this.#server.maxConnections = options.connectionsMax
  }

  get status(): EmbeddedBrokerStatus {
    const bound = this.#server.address()
    const address =
      bound && typeof bound === 'object'
        ? formatAddress({ host: this.#options.address.host, port: bound.port })
        : formatAddress(this.#options.address)
    return {
      address,
      clients: this.#aedes.connectedClients,
      refused: { ...this.#refused },
      malformed: this.#malformed
    }
  }

  /** The port that is listened on: tells which one the system chose. */
  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  /**
   * Publishes to local subscribers with QoS 1, for example an alert; what they subscribed may lower it.
   * An empty retained payload clears.
   */
  publish(topic: string, payload: string | Buffer, retain: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#aedes.publish({ cmd: 'publish', topic, payload, qos: 1, retain, dup: false }, error =>
        error ? reject(error) : resolve()
      )
    })
  }

  /** Takes no new connection; those that are there go on. */
  stopAccepting(): void {
    this.#server.close()
  }

  async close(): Promise<void> {
    this.#server.close()
    await new Promise<void>(resolve => this.#aedes.close(() => resolve()))
  }

  #accept(socket: net.Socket): void {
    const client = this.#aedes.handle(socket) as AedesClient
    // The parser collects a packet of any length before anybody may refuse it: look at the length
    // as soon as it is known.
    const parser = client._parser
    const parse = parser.parse.bind(parser)
    const limit = this.#options.packetBytesMax + this.#options.topicBytesMax + 4
    parser.parse = (bytes: Buffer) => {
      let left: number
      try {
        left = parse(bytes)
      } catch (error) {
        this.#onTrouble(client, error as Error)
        socket.destroy()
        return 0
      }
      if ((parser.packet?.length ?? 0) > limit) {
        this.#count('packet_too_large', client.id)
        socket.destroy()
      }
      return left
    }
  }

  #preConnect(
    packet: { clientId?: string },
    done: (error: Error | null, success: boolean) => void
  ): void {
    const id = packet.clientId ?? ''
    if (Buffer.byteLength(id) > CLIENT_ID_BYTES_MAX) {
      done(new Error(`client id longer than ${CLIENT_ID_BYTES_MAX} bytes`), false)
      return
    }
    done(null, true)
  }

  #authorizePublish(
    client: AedesClient | null,
    packet: AedesPublishPacket,
    done: (error?: Error | null) => void
  ): void {
    const refusal = this.#admission.refuses(packet.topic, packet.payload.length)
    if (refusal) {
      this.#count(refusal, client?.id)
      done(new Error(`refused: ${refusal}`))
      return
    }
    const message = toMessage(packet, client?.id ?? '')
    if (packet.retain) packet.retain = this.#admitsRetained(packet)
    if (packet.qos === 0) {
      this.#intake.offer(message)
      done(null)
    } else {
      // Not malformed, and the intake counts it: the log reports why it takes nothing.
      const refuse = (error: unknown) => done(new Error(`refused: ${messageOf(error)}`))
      // A will has no packet id, and no repeat.
      const stored =
        packet.qos === 2 && client && packet.messageId !== undefined
          ? this.#storeOnce(client, packet, message)
          : this.#intake.store(message)
      stored.then(() => done(null), refuse)
    }
    if (client && this.#intake.full) this.#pause(client)
  }

  /** Stores a QoS 2 message unless it repeats one that is stored or, then waiting with it, about to be. */
  async #storeOnce(
    client: AedesClient,
    packet: AedesPublishPacket,
    message: IncomingMessage
  ): Promise<void> {
    const key = `${packet.messageId}/${client.id}`
    const first = packet.dup ? this.#storing.get(key) : undefined
    if (first) return first
    const stored = this.#isRepeat(client, packet).then(repeat =>
      repeat ? undefined : this.#intake.store(message)
    )
    this.#storing.set(key, stored)
    try {
      await stored
    } finally {
      if (this.#storing.get(key) === stored) this.#storing.delete(key)
    }
  }

  /**
   * Whether the session holds this very message. A device that lost its session (aedes tells it so
   * whenever it has no subscription) may give an open packet id to another reading: that is new.
   */
  async #isRepeat(client: AedesClient, packet: AedesPublishPacket): Promise<boolean> {
    const { persistence } = this.#aedes as unknown as { persistence: IncomingStore }
    let held: AedesPublishPacket
    try {
      held = await persistence.incomingGetPacket(client, packet)
    } catch {
      return false
    }
    if (packet.dup && held.topic === packet.topic && sameBytes(held.payload, packet.payload)) {
      return true
    }
    await persistence.incomingDelPacket(client, packet)
    return false
  }

  #admitsRetained({ topic, payload }: AedesPublishPacket): boolean {
    const before = this.#retained.get(topic) ?? 0
    const bytes = this.#retainedBytes - before + payload.length
    const isNew = !this.#retained.has(topic)
    if (payload.length > 0) {
      if (isNew && this.#retained.size >= RETAINED_TOPICS_MAX) return false
      if (bytes > RETAINED_BYTES_MAX) return false
      this.#retained.set(topic, payload.length)
    } else {
      this.#retained.delete(topic)
    }
    this.#retainedBytes = bytes
    return true
  }

  /** Stops reading from a client until half the byte budget is free: its own window closes. */
  #pause(client: AedesClient): void {
    if (this.#paused.has(client) || !client.pause || !client.resume) return
    this.#paused.add(client)
    client.pause()
    void this.#intake.room().then(() => {
      this.#paused.delete(client)
      if (client.closed) return
      // What was done meanwhile went uncounted: it would wait for ever for packets done long ago.
      client._parsingBatch = 1
      client.resume?.()
    })
  }

  #onTrouble(client: Client | null, error: Error): void {
    if (error.message.startsWith('refused: ')) return
    const code = systemCode(error)
    // A device that goes away is a device's day, not a finding.
    if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE') return
    // aedes' own word, where an acknowledgement finds nobody any more.
    if (error.message === 'connection closed') return
    this.#malformed++
    this.#report(messageOf(error), client?.id ?? undefined)
  }

  #count(refusal: Refusal, clientId: string | undefined): void {
    this.#refused[refusal] = (this.#refused[refusal] ?? 0) + 1
    this.#report(refusal, clientId)
  }

  #report(reason: string, clientId: string | undefined): void {
    this.#unreported++
    const now = Date.now()
    if (now - this.#reportedAt < REPORT_INTERVAL_MS) return
    this.#reportedAt = now
    this.#logger.warn(
      {
        event: 'mqtt.refused',
        reason: reason.slice(0, 200),
        client: clientId?.slice(0, 64),
        count: this.#unreported
      },
      'A client was refused or sent what is no MQTT; its connection was closed.'
    )
    this.#unreported = 0
  }
}

function toMessage(packet: AedesPublishPacket, clientId: string): IncomingMessage {
  return {
    topic: packet.topic,
    payload: typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload,
    qos: packet.qos,
    retain: packet.retain,
    dup: packet.dup,
    packetId: packet.qos === 0 ? 0 : (packet.messageId ?? 0),
    clientId,
    upstream: false
  }
}

/**
 * A retained message goes out with the QoS that was granted at most (§3.8.4): aedes looks that up by
 * the topic, which finds no subscription with a wildcard.
 */
function lowered(client: AedesClient, packet: AedesPublishPacket): AedesPublishPacket {
  if (!packet.retain || packet.qos === 0) return packet
  const granted = Object.entries(client.subscriptions)
    .filter(([filter]) => filterMatches(filter, packet.topic))
    .map(([, { qos }]) => qos)
  packet.qos = Math.min(packet.qos, Math.max(0, ...granted)) as 0 | 1 | 2
  return packet
}

function sameBytes(a: string | Buffer, b: string | Buffer): boolean {
  return Buffer.from(a).equals(Buffer.from(b))
}

function connack(returnCode: number, message: string): AuthenticateError {
  return Object.assign(new Error(message), { returnCode }) as AuthenticateError
}
