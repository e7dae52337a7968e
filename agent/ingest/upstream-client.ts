import assert from 'node:assert'
import { randomBytes } from 'node:crypto'
import { Socket } from 'node:net'
import mqtt, { type IPublishPacket, type MqttClient, type Packet } from 'mqtt'
import { isAlertTopic } from '../../core/contract/topics.ts'
import { systemClock } from '../../core/runtime/clock.ts'
import { messageOf, systemCode } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import type { IncomingMessage, Intake } from './intake.ts'
import type { UpstreamConditions, UpstreamOptions, UpstreamStatus } from './upstream-options.ts'

export type { UpstreamConditions, UpstreamOptions, UpstreamStatus }

/** What of the client's packet writer is used though its types hide it (mqtt 5.16.0, pinned). */
interface PacketWriter {
  _sendPacket(packet: Packet, done?: () => void, stored?: () => void, noStore?: boolean): void
}

/** One network connection, with a client object of its own: it *is* the connection's generation. */
interface Connection {
  readonly client: MqttClient
  /** In receive order. */
  readonly unacknowledged: Set<{ ack: Acknowledgement; safe: boolean }>
  readonly acknowledge: (ack: Acknowledgement) => void
  readonly startedAt: number
  /** The PUBLISH that the client is handling. */
  arrived: IPublishPacket | undefined
  /** Lets the client read on; kept back while there is no room. */
  readOn: (() => void) | undefined
  /** Ends publications that the broker has not answered. */
  readonly unanswered: Set<(error: Error) => void>
}

interface Acknowledgement {
  cmd: 'puback' | 'pubrec'
  messageId: number
}

/** `store` is over with the next acknowledgement, `connection` with the next subscription. */
type Condition = 'unknown' | 'well' | 'connection' | 'store'

const CLOSE_WAIT_MS = 1_000
/** With topic and header it fits into a record of the log, which ends at 16 MiB. */
const PAYLOAD_BYTES_MAX = 15 * 1024 * 1024
const SUBSCRIPTION_REFUSED = 0x80

/**
 * Subscribes at an existing MQTT 3.1.1 broker and brings what it sends into the telemetry log.
 *
 * Invariants:
 *   1. PUBACK (QoS 1) and PUBREC (QoS 2) go out when the message is stored, in receive order, and
 *      only on the connection that brought it. What is not acknowledged the broker keeps and sends
 *      again: the session is persistent (clean session off) and the client id stable.
 *   2. At most `window` messages are unacknowledged, or in the store, old connections included.
 *   3. A QoS 2 message is stored once while this object lives and the broker keeps the session;
 *      across a crash of ours it is stored at least once, like QoS 1.
 *
 * The mqtt client handles one packet at a time and would acknowledge it itself. Its own PUBACK and
 * PUBREC are caught on their way to the packet writer: there we read on at once, or not before
 * there is room, which stops the socket. While reading stands still for longer than 1.5 times the
 * keep-alive, the connection is given up and the broker sends again.
 *
 * A store that fails leaves no other answer in MQTT 3.1.1 than to drop the connection: the broker
 * sends again after a back-off that grows until something is stored.
 */
export class UpstreamClient {
  readonly #options: UpstreamOptions
  readonly #intake: Pick<Intake, 'store' | 'offer' | 'full' | 'room'>
  readonly #logger: Logger
  readonly #conditions: UpstreamConditions
  /** QoS 2 packet ids received and not yet released (PUBREL), with the end of their store. */
  readonly #unreleased = new Map<number, Promise<void>>()
  readonly #status: UpstreamStatus
  #connection: Connection | undefined
  #condition: Condition = 'unknown'
  #topicsInSession: string[]
  #subscribed = false
  #storing = 0
  #roomAwaited = false
  #failures = 0
  /** The next attempt's, or the watchdog's of the one under way. */
  #timer: NodeJS.Timeout | undefined
  #onDrained: (() => void) | undefined
  #stopped: Promise<void> | undefined

  constructor(
    options: UpstreamOptions,
    intake: Pick<Intake, 'store' | 'offer' | 'full' | 'room'>,
    logger: Logger,
    conditions: Partial<UpstreamConditions> = {}
  ) {
    assert(options.window >= 1 && options.clientId !== '' && options.topics.length > 0)
    this.#options = options
    this.#intake = intake
    this.#logger = logger
    this.#conditions = {
      keepaliveS: 30,
      connectWaitMs: 15_000,
      backOffMsMin: 1_000,
      backOffMsMax: 60_000,
      stopWaitMs: 5_000,
      prng: new Prng(randomBytes(4).readUInt32BE()),
      clock: systemClock,
      ...conditions
    }
    this.#topicsInSession = options.previousTopics ?? []
    const { name, url } = options
    const counters = { connects: 0, received: 0, oversized: 0, alerts: 0 }
    this.#status = { name, url, state: 'stopped', ...counters }
  }

  get status(): UpstreamStatus {
    return { ...this.#status }
  }

  /**
   * Publishes with QoS 1 and resolves when the broker has answered. Publications arrive in the order
   * of the calls; the caller bounds how many are under way.
   *
   * @throws without a connection, or when it ends before the answer: it may have arrived then.
   */
  publish(topic: string, payload: string, retain: boolean): Promise<void> {
    const connection = this.#connection
    return new Promise((resolve, reject) => {
      if (!connection || this.#status.state !== 'connected') {
        reject(new Error('the upstream broker is not connected'))
        return
      }
      connection.unanswered.add(reject)
      connection.client.publish(topic, payload, { qos: 1, retain }, error => {
        connection.unanswered.delete(reject)
        if (error) reject(error)
        else resolve()
      })
    })
  }

  /** Connects, and does so again whenever that fails or ends, until `stop`. */
  start(): void {
    assert(this.#status.state === 'stopped' && this.#stopped === undefined, 'starts once')
    this.#connect()
  }

  /** Takes nothing more, waits (bounded) for what is being stored, acknowledges it and leaves. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#status.state = 'stopped'
    const connection = this.#connection
    if (connection === undefined) return
    this.#resume(connection)
    if (connection.unacknowledged.size > 0) {
      await new Promise<void>(resolve => {
        this.#timer = setTimeout(resolve, this.#conditions.stopWaitMs)
        this.#onDrained = resolve
      })
      clearTimeout(this.#timer)
    }
    const lost = this.#connection !== connection
    this.#connection = undefined
    if (!lost) await leave(connection.client)
  }

  #connect(): void {
    const { url, clientId, username, password } = this.#options
    const { keepaliveS, connectWaitMs, clock } = this.#conditions
    this.#status.state = 'connecting'
    // Nothing is left to the client's own reconnecting, so a refused CONNACK is an error like others.
    const client = mqtt.connect(url, {
      clientId,
      username,
      password,
      clean: false,
      keepalive: keepaliveS,
      connectTimeout: connectWaitMs,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false
    })
    // An acknowledgement held back to fill a packet costs the window 40 ms.
    if (client.stream instanceof Socket) client.stream.setNoDelay()
    const writer = client as unknown as PacketWriter
    assert(typeof writer._sendPacket === 'function', 'not the mqtt release this is written for')
    const send = writer._sendPacket.bind(client)
    const connection: Connection = {
      client,
      unacknowledged: new Set(),
      acknowledge: send,
      startedAt: clock.monotonic(),
      arrived: undefined,
      readOn: undefined,
      unanswered: new Set()
    }
    writer._sendPacket = (packet, done = () => {}, ...rest) => {
      if (packet.cmd === 'puback' || packet.cmd === 'pubrec') this.#admit(connection, done)
      else send(packet, done, ...rest)
    }
    this.#connection = connection
    this.#timer = setTimeout(() => this.#onSilence(connection), connectWaitMs)
    client.on('packetreceive', packet => this.#receive(connection, packet))
    client.on('connect', ({ sessionPresent }) => void this.#subscribe(connection, sessionPresent))
    client.on('error', error => {
      // Several addresses tried in vain make an AggregateError without a message.
      this.#lose(connection, messageOf(error) || (systemCode(error) ?? 'unknown error'))
    })
    client.on('close', () => this.#lose(connection, 'the broker closed the connection'))
  }

  #onSilence(connection: Connection): void {
    // While we do not read, the silence is ours.
    if (connection.readOn) this.#timer?.refresh()
    else this.#lose(connection, `no answer within ${this.#conditions.connectWaitMs} ms`)
  }

  /** Sees every packet before the client handles it. */
  #receive(connection: Connection, packet: Packet): void {
    if (packet.cmd === 'publish') {
      this.#status.received++
      connection.arrived = packet
      // Nobody would send it again: it is taken even from a connection that has just ended.
      if (packet.qos === 0) this.#takeQos0(packet)
    }
    if (this.#connection !== connection) return
    if (this.#status.state === 'connecting') this.#timer?.refresh()
    if (packet.cmd === 'pubrel' && packet.messageId) this.#unreleased.delete(packet.messageId)
    if (packet.cmd === 'connack' && packet.returnCode === 0) {
      this.#status.connects++
      if (!packet.sessionPresent) this.#unreleased.clear()
    }
  }

  #takeQos0(packet: IPublishPacket): void {
    if (!this.#isWanted(packet)) return
    this.#intake.offer(this.#messageOf(packet))
  }

  /** Takes the arrived message and reads on, or keeps both back until there is room. */
  #admit(connection: Connection, readOn: () => void): void {
    const { window } = this.#options
    const packet = connection.arrived
    if (this.#connection !== connection || this.#status.state === 'stopped' || !packet) {
      // Read past without an answer: the broker sends it again.
      readOn()
    } else if (connection.unacknowledged.size >= window || this.#storing >= window) {
      connection.readOn = readOn
    } else if (this.#intake.full) {
      connection.readOn = readOn
      this.#awaitRoom()
    } else {
      this.#take(connection, packet)
      readOn()
    }
  }

  #resume(connection: Connection | undefined): void {
    const readOn = connection?.readOn
    if (connection === undefined || readOn === undefined) return
    connection.readOn = undefined
    this.#admit(connection, readOn)
  }

  #awaitRoom(): void {
    if (this.#roomAwaited) return
    this.#roomAwaited = true
    void this.#intake.room().then(() => {
      this.#roomAwaited = false
      this.#resume(this.#connection)
    })
  }

  #take(connection: Connection, packet: IPublishPacket): void {
    const cmd = packet.qos === 2 ? 'pubrec' : 'puback'
    const entry = { ack: { cmd, messageId: packet.messageId ?? 0 } as const, safe: false }
    connection.unacknowledged.add(entry)
    this.#secure(packet).then(
      () => {
        entry.safe = true
        this.#acknowledge(connection)
      },
      error => this.#lose(connection, `a message cannot be stored: ${messageOf(error)}`, 'store')
    )
  }

  /** Resolves when the message may be acknowledged. */
  #secure(packet: IPublishPacket): Promise<void> {
    const { qos, messageId = 0 } = packet
    if (qos !== 2) return this.#store(packet)
    const known = this.#unreleased.get(messageId)
    if (known) return known
    const stored = this.#store(packet)
    this.#unreleased.set(messageId, stored)
    stored.catch(() => {
      if (this.#unreleased.get(messageId) === stored) this.#unreleased.delete(messageId)
    })
    return stored
  }

  async #store(packet: IPublishPacket): Promise<void> {
    if (!this.#isWanted(packet)) return
    this.#storing++
    try {
      await this.#intake.store(this.#messageOf(packet))
    } finally {
      this.#storing--
      this.#resume(this.#connection)
    }
  }

  #messageOf(packet: IPublishPacket): IncomingMessage {
    return {
      topic: packet.topic,
      payload: packet.payload as Buffer,
      qos: packet.qos,
      retain: packet.retain && this.#options.retained === 'mark',
      dup: packet.dup,
      packetId: packet.messageId ?? 0,
      clientId: this.#options.name,
      upstream: true
    }
  }

  #isWanted(packet: IPublishPacket): boolean {
    if (packet.retain && this.#options.retained === 'drop') return false
    // Ours come back where a filter matches them, and so would another agent's.
    if (isAlertTopic(packet.topic)) {
      this.#status.alerts++
      return false
    }
    return !this.#isOversized(packet)
  }

  #isOversized({ topic, payload }: IPublishPacket): boolean {
    if (payload.length <= PAYLOAD_BYTES_MAX) return false
    if (this.#status.oversized++ === 0) {
      this.#logger.error(
        { event: 'upstream.oversized', upstream: this.#options.name, topic, bytes: payload.length },
        `A message from the upstream broker is larger than ${PAYLOAD_BYTES_MAX} bytes and is lost; further ones are only counted.`
      )
    }
    return true
  }

  #acknowledge(connection: Connection): void {
    if (this.#connection !== connection) return
    for (const entry of connection.unacknowledged) {
      if (!entry.safe) break
      connection.unacknowledged.delete(entry)
      connection.acknowledge(entry.ack)
      this.#failures = 0
      if (this.#condition === 'store') this.#recover()
    }
    if (connection.unacknowledged.size === 0) this.#onDrained?.()
    this.#resume(connection)
  }

  /** Makes the session's subscriptions those of the configuration. */
  async #subscribe(connection: Connection, sessionPresent: boolean): Promise<void> {
    if (this.#connection !== connection || this.#status.state === 'stopped') return
    // Subscribing again would bring all retained messages again.
    if (this.#subscribed && sessionPresent) return this.#ready()
    const { topics, qos } = this.#options
    const { client } = connection
    const removed = this.#topicsInSession.filter(topic => !topics.includes(topic))
    try {
      // Told before it is true: a crash in between must not leave a filter that nobody knows of.
      this.#tellTopics([...topics, ...removed])
      if (removed.length > 0 && sessionPresent) await client.unsubscribeAsync(removed)
      const granted = await subscribe(client, topics, qos)
      if (this.#connection !== connection) return
      const refused = topics.filter((_, i) => granted[i] === SUBSCRIPTION_REFUSED)
      if (refused.length === topics.length) {
        throw new Error(`the broker refuses to subscribe ${refused.join(', ')}`)
      }
      this.#tellTopics(topics)
      this.#warnOfLess(topics, granted)
      this.#subscribed = refused.length === 0
      this.#ready()
    } catch (error) {
      this.#lose(connection, messageOf(error))
    }
  }

  #tellTopics(topics: string[]): void {
    const known = this.#topicsInSession
    if (topics.length === known.length && topics.every(topic => known.includes(topic))) return
    this.#options.onTopics?.(topics)
    this.#topicsInSession = topics
  }

  #warnOfLess(topics: string[], granted: readonly number[]): void {
    const { name, qos } = this.#options
    const refused = topics.filter((_, i) => granted[i] === SUBSCRIPTION_REFUSED)
    const lowered = topics.filter((_, i) => granted[i] < qos)
    if (refused.length === 0 && lowered.length === 0) return
    this.#logger.warn(
      { event: 'upstream.granted_less', upstream: name, refused, lowered, qos },
      'The upstream broker refuses some of the topics, or grants a lower QoS: what is sent there may be missed.'
    )
  }

  #ready(): void {
    if (this.#status.state !== 'connecting') return
    clearTimeout(this.#timer)
    this.#status.state = 'connected'
    this.#status.connectedAt = this.#conditions.clock.now()
    if (this.#condition !== 'store') this.#recover()
  }

  #recover(): void {
    if (this.#condition === 'well') return
    this.#condition = 'well'
    this.#status.lastError = undefined
    this.#logger.info(
      { event: 'upstream.connected', upstream: this.#options.name },
      'The upstream broker delivers.'
    )
  }

  /** The connection is over, for whatever reason: back off, then try again. */
  #lose(
    connection: Connection,
    reason: string,
    condition: 'connection' | 'store' = 'connection'
  ): void {
    if (this.#connection !== connection) return
    const { clock, backOffMsMax } = this.#conditions
    this.#connection = undefined
    clearTimeout(this.#timer)
    connection.client.end(true)
    for (const reject of connection.unanswered) reject(new Error(reason))
    connection.unanswered.clear()
    this.#status.connectedAt = undefined
    this.#status.lastError = reason
    this.#onDrained?.()
    if (this.#status.state === 'stopped') return
    this.#status.state = 'waiting'
    if (clock.monotonic() - connection.startedAt >= backOffMsMax) this.#failures = 0
    if (this.#condition === 'well' || this.#condition === 'unknown') {
      this.#logger.warn(
        { event: 'upstream.lost', upstream: this.#options.name, reason },
        'No messages from the upstream broker: it keeps what we have not acknowledged; trying again.'
      )
    }
    if (this.#condition !== 'store') this.#condition = condition
    this.#timer = setTimeout(() => this.#connect(), this.#backOffMs())
  }

  /** Exponential with equal jitter: between half and all of min(max, min · 2^failures). */
  #backOffMs(): number {
    const { backOffMsMin, backOffMsMax, prng } = this.#conditions
    const ceilingMs = Math.min(backOffMsMax, backOffMsMin * 2 ** Math.min(this.#failures, 20))
    this.#failures++
    return ceilingMs * (0.5 + 0.5 * prng.float())
  }
}

/** @returns The QoS granted to each topic, or 128 where it was refused. */
async function subscribe(client: MqttClient, topics: string[], qos: 0 | 1 | 2): Promise<number[]> {
  try {
    return (await client.subscribeAsync(topics, { qos })).map(granted => granted.qos)
  } catch (error) {
    const { packet } = error as { packet?: { granted?: number[] } }
    if (packet?.granted?.length !== topics.length) throw error
    return packet.granted
  }
}

/** Says DISCONNECT and closes; resolves when the socket is closed. */
async function leave(client: MqttClient): Promise<void> {
  await new Promise<void>(resolve => {
    const limit = setTimeout(() => {
      client.stream.destroy()
      resolve()
    }, CLOSE_WAIT_MS)
    client.stream.once('close', () => {
      clearTimeout(limit)
      resolve()
    })
    if (client.connected) client.end()
    else client.end(true)
  })
}
