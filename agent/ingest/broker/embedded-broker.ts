import type { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'
import { Aedes, type AedesPublishPacket, type AuthenticateError, type Client } from 'aedes'
import { systemClock } from '../../../core/runtime/clock.ts'
import { messageOf, systemCode } from '../../../core/runtime/errors.ts'
import type { Logger } from '../../../core/runtime/log.ts'
import type { IncomingMessage, Intake } from '../intake.ts'
import type { ClientGate } from '../wire/client-gate.ts'
import { ClientGates } from '../wire/client-gates.ts'
import type { GatedClient } from '../wire/gated-client.ts'
import type { LocalAudience } from '../wire/local-audience.ts'
import { Admission, type Refusal } from './admission.ts'
import { type Persistence, replaceMemory } from './broker-memory.ts'
import { listenersOf, type MqttConfig, mqttWarnings } from './config.ts'
import { ConnectionGate } from './connection-gate.ts'
import { Guests } from './guests.ts'
import type { UsersFileStatus } from './identification.ts'
import { KeptSessions } from './kept-sessions.ts'
import { Listener, type ListenerStatus, type Peer } from './listener.ts'
import {
  audienceOf,
  type Deliverer,
  letNobodyWaitForSubscribers,
  lowered,
  lowerKeptSubscriptions
} from './local-delivery.ts'
import { OpenMessages } from './open-messages.ts'
import { ReconnectThrottle } from './reconnect-throttle.ts'
import { Refusals } from './refusals.ts'
import { RetainedTopics } from './retained-topics.ts'
import { StoreOnce } from './store-once.ts'

export interface EmbeddedBrokerOptions extends MqttConfig {
  /** How often files that may be exchanged are looked at. */
  lookIntervalMs?: number
}

export interface EmbeddedBrokerStatus {
  /** Of the first listener. */
  address: string
  listeners: ListenerStatus[]
  clients: number
  subscriptions: number
  /** Kept for clients that are away. */
  sessions: number
  /** Topics whose retained message of a device is kept. */
  retained: number
  /** How often a client was read slower for its rate, since start. */
  throttled: number
  /** Absent without one. */
  usersFile?: UsersFileStatus
  /** Since start, by reason. */
  refused: Partial<Record<Refusal, number>>
  malformed: number
}

/** What of aedes' client is used though its types do not show it (aedes 1.2.0, pinned). */
interface AedesClient extends Client {
  conn: Client['conn'] & Duplex
  /** By filter. */
  subscriptions: Record<string, { qos: number }>
}

/** What of the broker itself is used. */
interface Registry {
  readonly persistence: Persistence
  /** Connected, by id. */
  readonly clients: Readonly<Record<string, Client | undefined>>
  unregisterClient(client: Client): void
}

/** What aedes' matching can bear; the operator's limit is checked with the message. */
const TOPIC_LEVELS_MAX = 100
const CLIENT_ID_BYTES_MAX = 256
/** MQTT 3.1.1 §3.2.2.3 */
const CONNACK = { client_id: 2, busy: 3, credentials: 5 } as const
const EXPIRY_LOOK_MS = 60_000
const SETTLE_MS_MAX = 2_000
/** What cannot change while it runs, and how it is called. */
export const FIXED = {
  listen: 'mqtt.listen',
  listeners: 'mqtt.listeners',
  connectTimeoutMs: 'mqtt.connect_timeout',
  packetBytesMax: 'mqtt.packet_bytes_max',
  topicBytesMax: 'mqtt.topic_bytes_max',
  inflightBytesMax: 'mqtt.inflight_bytes_max'
} as const satisfies Partial<Record<keyof MqttConfig, string>>

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
  readonly #intake: Intake
  readonly #logger: Logger
  readonly #aedes: Aedes
  readonly #refusals: Refusals
  readonly #gate: ConnectionGate
  readonly #guests: Guests
  readonly #retained: RetainedTopics
  readonly #sessions: KeptSessions
  readonly #open: OpenMessages
  readonly #storeOnce: StoreOnce
  readonly #gates: ClientGates
  readonly #audience: LocalAudience
  readonly #timer: NodeJS.Timeout
  #options: EmbeddedBrokerOptions
  #admission: Admission
  #listeners: Listener[] = []
  readonly #throttle = new ReconnectThrottle(() => performance.now())
  #throttled = 0

  /**
   * Opens the listeners.
   *
   * @throws {OperationalError} ADDRESS_IN_USE, HOST_UNKNOWN or LISTEN_FAILED; CONFIG_INVALID when a
   *   certificate or the users' file cannot be used.
   */
  static async open(
    options: EmbeddedBrokerOptions,
    intake: Intake,
    logger: Logger
  ): Promise<EmbeddedBroker> {
    const limits = {
      maxTopicLevels: TOPIC_LEVELS_MAX,
      // Counted by `OpenMessages`, over all connections of a session.
      maxInflightInbound: 0,
      // The listener's own is shorter.
      connectTimeout: options.connectTimeoutMs + 1_000,
      drainTimeout: 30_000
    }
    const aedes = await Aedes.createBroker(limits)
    let broker: EmbeddedBroker | undefined
    try {
      broker = new EmbeddedBroker(options, intake, logger, aedes)
      await broker.#openListeners()
      for (const warning of mqttWarnings(options)) {
        logger.warn({ event: 'mqtt.unwise' }, warning)
      }
      return broker
    } catch (error) {
      // Its timers would keep the process alive.
      if (broker) await broker.close()
      else await new Promise<void>(resolve => aedes.close(() => resolve()))
      throw error
    }
  }

  private constructor(
    options: EmbeddedBrokerOptions,
    intake: Intake,
    logger: Logger,
    aedes: Aedes
  ) {
    const now = () => performance.now()
    const registry = aedes as unknown as Registry
    const { persistence } = registry
    this.#options = options
    this.#intake = intake
    this.#logger = logger
    this.#aedes = aedes
    this.#admission = new Admission(options)
    this.#refusals = new Refusals(logger)
    this.#guests = new Guests(options, {
      onRevoked: client => this.#end(client as AedesClient, 'revoked'),
      logger
    })
    this.#gate = new ConnectionGate(options, now)
    this.#retained = new RetainedTopics(
      options,
      topic => void persistence.storeRetained({ topic, payload: Buffer.alloc(0) })
    )
    this.#open = new OpenMessages(options.inflightQos2Max)
    this.#storeOnce = new StoreOnce(intake, this.#open, (refusal, id) =>
      this.#refusals.count(refusal, id)
    )
    this.#sessions = new KeptSessions(
      options,
      id => {
        void persistence.cleanSubscriptions({ id })
        this.#open.forget(id)
      },
      now
    )
    this.#timer = setInterval(() => this.#sessions.expire(), EXPIRY_LOOK_MS).unref()
    this.#gates = new ClientGates({
      packetBytesMax: options.packetBytesMax + options.topicBytesMax + 4,
      budget: intake.budget,
      clock: systemClock
    })
    const deliverer = aedes as unknown as Deliverer
    this.#audience = audienceOf(deliverer)
    letNobodyWaitForSubscribers(deliverer)
    replaceMemory(persistence, this.#open, this.#guests.subscriptions)
    aedes.preConnect = (client, packet, done) => this.#preConnect(client, packet, done)
    aedes.authenticate = (client, username, password, done) =>
      void this.#authenticate(client, username, password, done)
    aedes.authorizePublish = (client, packet, done) => {
      const gate = this.#gates.of(client)
      this.#authorizePublish(client as AedesClient | null, packet as AedesPublishPacket, error => {
        // What it acknowledges now must not overtake what the gate is about to.
        gate?.flushAcks()
        done(error)
      })
    }
    aedes.authorizeSubscribe = (client, subscription, done) => {
      const refusal = this.#guests.refusesSubscription(client as AedesClient, subscription.topic)
      if (refusal) {
        this.#refusals.count(refusal, client.id)
        // SUBACK 0x80.
        return done(null, null)
      }
      done(null, subscription)
    }
    aedes.authorizeForward = (client, packet) => {
      const { subscriptions } = client as AedesClient
      return this.#keepsUp(client as AedesClient) ? lowered(subscriptions, packet) : null
    }
    aedes.on('unsubscribe', (filters, client) => {
      for (const filter of filters) this.#guests.subscriptions.remove(client, filter)
    })
    aedes.on('client', client => {
      this.#sessions.arrived(client.id)
      // It went while the connection that it takes over was being closed: nobody else takes it out.
      if (client.closed) registry.unregisterClient(client)
    })
    aedes.on('clientDisconnect', client => {
      if (!client.clean) this.#sessions.left(client.id, this.#guests.identified(client)?.user)
    })
    const onTrouble = (client: Client, error: Error) => this.#onTrouble(client, error)
    aedes.on('clientError', onTrouble)
    aedes.on('connectionError', onTrouble)
    const unheard: EventEmitter = aedes
    // Unheard, it would end the process.
    unheard.on('error', error => this.#onTrouble(null, error))
  }

  get status(): EmbeddedBrokerStatus {
    const listeners = this.#listeners.map(({ status }) => status)
    const { usersFile } = this.#guests
    return {
      address: listeners[0]?.address ?? 'off',
      listeners,
      clients: this.#gates.connected,
      subscriptions: this.#guests.subscriptions.total,
      sessions: this.#sessions.size,
      retained: this.#retained.size,
      throttled: this.#throttled,
      ...(usersFile ? { usersFile } : {}),
      refused: this.#refusals.counts,
      malformed: this.#refusals.malformed
    }
  }

  /** The port of the first listener: tells which one the system chose. */
  get port(): number {
    return this.#listeners[0].port
  }

  /**
   * Takes over what may change while it runs: users, rules, limits; reads certificates and the users'
   * file again. Who would not be let in any more is disconnected.
   *
   * @returns The keys whose new value needs a restart; the old one stays in use.
   * @throws {OperationalError} CONFIG_INVALID, and nothing has changed.
   */
  reconfigure(options: MqttConfig): string[] {
    const before = this.#options
    const fields = Object.keys(FIXED) as (keyof typeof FIXED)[]
    const isFixed = (field: keyof typeof FIXED) =>
      JSON.stringify(before[field]) !== JSON.stringify(options[field])
    const next = { ...before, ...options }
    for (const field of fields) Object.assign(next, { [field]: before[field] })
    this.#guests.reconfigure(next)
    this.#options = next
    this.#admission = new Admission(next)
    this.#gate.reconfigure(next)
    this.#retained.reconfigure(next)
    this.#sessions.reconfigure(next)
    this.#open.openMax = next.inflightQos2Max
    this.reloadFiles()
    return fields.filter(isFixed).map(field => FIXED[field])
  }

  /** Reads certificates and the users' file now, instead of in a few seconds. */
  reloadFiles(): void {
    for (const listener of this.#listeners) listener.reloadCertificate()
    this.#guests.reloadUsers()
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
    for (const listener of this.#listeners) listener.stopAccepting()
  }

  /**
   * Ends the connections once what was taken of them is acknowledged: a device would send it again.
   * A log that takes nothing is waited for no longer than two seconds.
   */
  async close(): Promise<void> {
    this.stopAccepting()
    clearInterval(this.#timer)
    this.#guests.close()
    await this.#gates.settle(SETTLE_MS_MAX)
    await new Promise<void>(resolve => this.#aedes.close(() => resolve()))
    for (const listener of this.#listeners) listener.close()
    this.#gates.close()
  }

  async #openListeners(): Promise<void> {
    const { connectTimeoutMs, packetBytesMax, topicBytesMax, lookIntervalMs } = this.#options
    for (const config of listenersOf(this.#options)) {
      const listener = await Listener.open(config, {
        connectTimeoutMs,
        // A packet, and what came before it.
        messageBytesMax: 2 * packetBytesMax + topicBytesMax,
        enter: address => this.#gate.enter(address),
        onStream: (stream, peer) => this.#welcome(stream, peer),
        onRefused: reason => this.#refusals.count(reason),
        logger: this.#logger,
        ...(lookIntervalMs === undefined ? {} : { lookIntervalMs })
      })
      this.#listeners.push(listener)
    }
  }

  #welcome(stream: Duplex, peer: Peer): void {
    const client = this.#accept(stream)
    lowerKeptSubscriptions(client as unknown as Parameters<typeof lowerKeptSubscriptions>[0])
    this.#guests.welcome(client, peer, stream)
  }

  #accept(conn: Duplex): AedesClient {
    const client = this.#aedes.handle(conn) as AedesClient
    this.#gates.open(client as unknown as GatedClient, conn, {
      isWatched: topic => this.#audience.has(topic),
      publish: (packet, done) =>
        this.#authorizePublish(client, packet as unknown as AedesPublishPacket, done),
      refused: reason => this.#refusals.count(reason, client.id),
      answered: why => this.#onTrouble(client, new Error(why))
    })
    return client
  }

  #preConnect(
    client: Client,
    packet: { clientId?: string; keepalive?: number },
    done: (error: Error | null, success: boolean) => void
  ): void {
    this.#guests.arrived(client as AedesClient)
    const id = packet.clientId ?? ''
    if (Buffer.byteLength(id) > CLIENT_ID_BYTES_MAX) {
      done(new Error(`client id longer than ${CLIENT_ID_BYTES_MAX} bytes`), false)
      return
    }
    const secondsMax = Math.ceil(this.#options.keepAliveMsMax / 1000)
    packet.keepalive = Math.min(packet.keepalive || secondsMax, secondsMax)
    this.#throttle.admit(id, () => done(null, true))
  }

  async #authenticate(
    client: Client,
    username: string | undefined,
    password: Uint8Array | undefined,
    done: (error: AuthenticateError | null, success: boolean | null) => void
  ): Promise<void> {
    const refusal = await this.#guests.identify(client as AedesClient, username, password, user =>
      this.#mayUseId(client.id, user)
    )
    if (!refusal) return done(null, true)
    this.#refusals.count(refusal, client.id)
    done(connack(CONNACK[refusal], `refused: ${refusal}`), false)
  }

  /** A client id belongs to the user that uses it, or whose session is kept: nobody else ends it. */
  #mayUseId(id: string, user: string | undefined): boolean {
    const { clients } = this.#aedes as unknown as Registry
    const other = clients[id]
    const identified = other && this.#guests.identified(other)
    return (!identified || identified.user === user) && this.#sessions.admits(id, user)
  }

  /** A subscriber that is too far behind is disconnected: what waits for it lies in memory. */
  #keepsUp(client: AedesClient): boolean {
    if (client.conn.destroyed) return false
    if (client.conn.writableLength <= this.#options.subscriberBytesMax) return true
    this.#end(client, 'slow_subscriber')
    return false
  }

  #end(client: AedesClient, refusal: Refusal): void {
    this.#refusals.count(refusal, client.id)
    client.conn.destroy()
  }

  #authorizePublish(
    client: AedesClient | null,
    packet: AedesPublishPacket,
    done: (error?: Error | null) => void
  ): void {
    const { length } = packet.payload
    const refusal =
      this.#admission.refuses(packet.topic, length) ??
      (client && !this.#guests.mayPublish(client, packet.topic) ? 'publish_denied' : undefined)
    if (refusal) {
      this.#refusals.count(refusal, client?.id)
      done(new Error(`refused: ${refusal}`))
      return
    }
    const message = toMessage(packet, client?.id ?? '')
    const gate = this.#gates.of(client)
    if (client && gate) this.#slow(client, gate, length + packet.topic.length)
    if (packet.retain) packet.retain = this.#retained.admits(packet.topic, length)
    if (packet.qos === 0) {
      this.#intake.offer(message, gate)
      done(null)
    } else {
      // Not malformed, and the intake counts it: the log reports why it takes nothing.
      const refuse = (error: unknown) => {
        this.#throttle.refused(client)
        done(new Error(`refused: ${messageOf(error)}`))
      }
      // A will has no packet id, and no repeat.
      const stored =
        packet.qos === 2 && client && packet.messageId !== undefined
          ? this.#storeOnce.store(message, gate)
          : this.#intake.store(message, gate)
      stored.then(() => done(null), refuse)
    }
  }

  /** A client that sends faster than it may is read slower. */
  #slow(client: AedesClient, gate: ClientGate, bytes: number): void {
    const debtMs = this.#guests.take(client, bytes)
    if (debtMs === 0) return
    this.#throttled++
    gate.pauseFor(debtMs)
  }

  #onTrouble(client: Client | null, error: Error): void {
    if (error.message.startsWith('refused: ')) return
    const code = systemCode(error)
    // A device that goes away is a device's day, not a finding.
    if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE') return
    // aedes' own word, where an acknowledgement finds nobody any more.
    if (error.message === 'connection closed') return
    const refusal = AEDES_REFUSALS[error.message]
    if (refusal) this.#refusals.count(refusal, client?.id ?? undefined)
    else this.#refusals.countMalformed(messageOf(error), client?.id ?? undefined)
  }
}

const AEDES_REFUSALS: Readonly<Record<string, Refusal>> = {
  'keep alive timeout': 'keep_alive',
  'connect did not arrive in time': 'connect_timeout',
  'drain timeout': 'slow_subscriber'
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

function connack(returnCode: number, message: string): AuthenticateError {
  return Object.assign(new Error(message), { returnCode }) as AuthenticateError
}
