import assert from 'node:assert'
import { randomBytes } from 'node:crypto'
import { Socket } from 'node:net'
import mqtt, { type MqttClient, type Packet } from 'mqtt'
import { systemClock } from '../../../core/runtime/clock.ts'
import { messageOf } from '../../../core/runtime/errors.ts'
import type { Logger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { formatDuration } from '../../../core/runtime/units.ts'
import type { Intake } from '../intake.ts'
import { UpstreamBackOff } from './back-off.ts'
import { connectOptions } from './connect-options.ts'
import { lossOf, lossOfDisconnect, maybeTakenOver, type UpstreamLoss } from './faults.ts'
import {
  type Acknowledgement,
  type InboundLink,
  type InboundPublish,
  UpstreamInbox
} from './inbox.ts'
import { LargePackets, PACKET_BYTES_MAX } from './large-packets.ts'
import type { UpstreamConditions, UpstreamOptions, UpstreamStatus } from './options.ts'
import { Publications, serverLimits } from './publications.ts'
import { readThrough } from './read-through.ts'
import { UpstreamSubscription } from './subscription.ts'
import { tellTrouble, UpstreamWatch } from './watch.ts'

export type { UpstreamConditions, UpstreamOptions, UpstreamStatus }

/** What of the client is used though its types hide it (mqtt 5.16.0, pinned). */
interface ClientInside {
  /** QoS 2 messages unreleased at which the client gives the connection up; its own, after CONNECT. */
  _receiveMaximum: number
  _sendPacket(packet: Packet, done?: () => void, stored?: () => void, noStore?: boolean): void
}

/** One network connection, with a client object of its own. */
interface Connection {
  readonly client: MqttClient
  readonly link: InboundLink
  readonly largePackets: LargePackets
  readonly publications: Publications
  readonly startedAt: number
  /** The broker has let us in. */
  accepted: boolean
  /** What the broker said in a DISCONNECT, before it closes. */
  farewell: UpstreamLoss | undefined
  /** Of the last PINGREQ of ours while reading stands still. */
  pingedAt: number
}

/** `store` is over with the next acknowledgement, `connection` with the next subscription. */
type Condition = 'unknown' | 'well' | 'connection' | 'store'

/** MQTT 5 §3.1.2.11.3, the highest. */
const RECEIVE_MAXIMUM = 65_535
const CLOSE_WAIT_MS = 1_000
const LOOK_INTERVAL_MS = 1_000

/**
 * Subscribes at an existing MQTT 3.1.1 or 5 broker and brings what it sends into the telemetry log.
 * What is not acknowledged the broker keeps and sends again: the session is persistent and the client
 * id stable. When and in which order it is acknowledged: `UpstreamInbox`.
 *
 * The mqtt client handles one packet at a time and would acknowledge it itself. Its own PUBACK and
 * PUBREC are caught on their way to the packet writer: there we read on at once, or not before there
 * is room, which stops the socket. While it stands still we ping without reading the answers, so that
 * the broker does not give us up.
 *
 * A store that fails is answered by dropping the connection, in both versions: the broker sends again
 * after a back-off that grows until something is stored. (A PUBACK with an error would end the message.)
 */
export class UpstreamClient {
  readonly #options: UpstreamOptions
  readonly #logger: Logger
  readonly #conditions: UpstreamConditions
  readonly #inbox: UpstreamInbox
  readonly #subscription: UpstreamSubscription
  readonly #backOff: UpstreamBackOff
  readonly #watch: UpstreamWatch
  readonly #status: Omit<
    UpstreamStatus,
    'received' | 'acknowledged' | 'oversized' | 'alerts' | 'inflight' | 'granted'
  >
  #connection: Connection | undefined
  #condition: Condition = 'unknown'
  /** The next attempt's, or the watchdog's of the one under way. */
  #timer: NodeJS.Timeout | undefined
  #looks: NodeJS.Timeout | undefined
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
    this.#logger = logger
    this.#conditions = {
      connectWaitMs: 15_000,
      backOffMsMin: 1_000,
      backOffMsMax: 60_000,
      takeoverBackOffMsMax: 300_000,
      neverConnectedMs: 60_000,
      stuckMs: 30_000,
      stopWaitMs: 5_000,
      prng: new Prng(randomBytes(4).readUInt32BE()),
      clock: systemClock,
      ...conditions
    }
    const { clock, prng } = this.#conditions
    this.#inbox = new UpstreamInbox(options, intake, logger, {
      onAcknowledged: link => this.#onAcknowledged(link),
      onFailed: (link, error) => {
        const reason = `a message cannot be stored: ${messageOf(error)}`
        if (this.#connection?.link === link)
          this.#lose(this.#connection, { fault: 'store', reason })
      }
    })
    this.#subscription = new UpstreamSubscription(options, logger)
    this.#backOff = new UpstreamBackOff(this.#conditions, prng)
    const { silentAfterMs } = options
    this.#watch = new UpstreamWatch({ ...this.#conditions, silentAfterMs }, clock.monotonic())
    const { name, url, clientId, mqttVersion, retained } = options
    this.#status = {
      ...{ name, url, clientId, mqttVersion, retained },
      ...{ state: 'stopped', sinceAt: clock.now(), connects: 0 }
    }
  }

  get status(): UpstreamStatus {
    const { granted } = this.#subscription
    return { ...this.#status, ...this.#inbox.counters, inflight: this.#inbox.inflight, granted }
  }

  /**
   * Publishes with QoS 1 and resolves when the broker has answered. Publications arrive in the order
   * of the calls; the caller bounds how many are under way.
   *
   * @throws without a connection, or when it ends before the answer: it may have arrived then.
   */
  async publish(topic: string, payload: string, retain: boolean): Promise<void> {
    const connection = this.#connection
    if (!connection || this.#status.state !== 'connected') {
      throw new Error('the upstream broker is not connected')
    }
    await connection.publications.publish(topic, payload, retain)
  }

  /** Connects, and does so again whenever that fails or ends, until `stop`. */
  start(): void {
    assert(this.#status.state === 'stopped' && this.#stopped === undefined, 'starts once')
    // A ping that nobody heard is known at half the keep-alive after it.
    const intervalMs = Math.min(LOOK_INTERVAL_MS, this.#options.keepAliveS * 250)
    this.#looks = setInterval(() => this.#look(), intervalMs)
    this.#connect()
  }

  /** Takes nothing more, waits (bounded) for what is being stored, acknowledges it and leaves. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#timer)
    clearInterval(this.#looks)
    this.#turn('stopped')
    const connection = this.#connection
    if (connection === undefined) return
    this.#inbox.stopTaking()
    if (this.#inbox.inflight > 0) {
      await new Promise<void>(resolve => {
        this.#timer = setTimeout(resolve, this.#conditions.stopWaitMs)
        this.#onDrained = resolve
      })
      clearTimeout(this.#timer)
    }
    const lost = this.#connection !== connection
    this.#connection = undefined
    this.#inbox.close()
    if (!lost) await leave(connection.client)
  }

  #turn(state: UpstreamStatus['state']): void {
    this.#status.state = state
    this.#status.sinceAt = this.#conditions.clock.now()
  }

  #connect(): void {
    const { connectWaitMs } = this.#conditions
    this.#turn('connecting')
    try {
      const options = connectOptions(this.#options, connectWaitMs)
      this.#serve(mqtt.connect(this.#options.url, options))
    } catch (error) {
      this.#retry(this.#lossOf(error))
    }
  }

  #serve(client: MqttClient): void {
    const { connectWaitMs, clock } = this.#conditions
    // An acknowledgement held back to fill a packet costs the window 40 ms.
    if (client.stream instanceof Socket) client.stream.setNoDelay()
    const inside = client as unknown as ClientInside
    assert(typeof inside._sendPacket === 'function', 'not the mqtt release this is written for')
    assert(typeof inside._receiveMaximum === 'number', 'not the mqtt release this is written for')
    // Mosquitto 2.0.11 counts anew when a session is resumed and sends more; our window bears that.
    inside._receiveMaximum = RECEIVE_MAXIMUM
    const send = inside._sendPacket.bind(client)
    const largePackets = new LargePackets(PACKET_BYTES_MAX, this.#options.mqttVersion)
    readThrough(client.stream, (chunk, passOn) => largePackets.pass(chunk, passOn))
    const connection: Connection = {
      client,
      link: this.#inbox.open((ack: Acknowledgement) => send(ack)),
      largePackets,
      publications: new Publications((topic, payload, options, done) =>
        client.publish(topic, payload, options, done)
      ),
      startedAt: clock.monotonic(),
      accepted: false,
      farewell: undefined,
      pingedAt: Number.NEGATIVE_INFINITY
    }
    inside._sendPacket = (packet, done = () => {}, ...rest) => {
      const isAck = packet.cmd === 'puback' || packet.cmd === 'pubrec'
      if (!isAck) return send(packet, done, ...rest)
      this.#inbox.admit(connection.link, done)
      this.#owe(false)
    }
    this.#connection = connection
    this.#timer = setTimeout(() => this.#onNoAnswer(connection), connectWaitMs)
    const lose = (error: unknown): void => this.#lose(connection, this.#lossOf(error))
    client.on('packetreceive', packet => this.#receive(connection, packet))
    client.on('connect', ({ sessionPresent }) => void this.#subscribe(connection, sessionPresent))
    client.on('error', lose)
    // The client keeps to itself those without a code, as of a WebSocket that is refused.
    client.stream.on('error', lose)
    client.on('close', () => this.#onClose(connection))
  }

  #lossOf(error: unknown): UpstreamLoss {
    return lossOf(error, new URL(this.#options.url).hostname)
  }

  #onNoAnswer(connection: Connection): void {
    const { connectWaitMs } = this.#conditions
    // While we do not read, the silence is ours.
    if (connection.link.readOn) this.#timer?.refresh()
    else
      this.#lose(connection, { fault: 'timeout', reason: `no answer within ${connectWaitMs} ms` })
  }

  #onClose(connection: Connection): void {
    if (this.#connection !== connection) return
    const { clientId } = this.#options
    const closed: UpstreamLoss = { fault: 'closed', reason: 'the broker closed the connection' }
    // Not every broker has a word for it: Mosquitto 2.0.11 has none in MQTT 5 either.
    if (!connection.farewell && this.#status.state === 'connected') {
      this.#backOff.lasted(this.#ageMs(connection))
      if (this.#backOff.closedByBroker()) {
        connection.farewell = { fault: 'taken_over', reason: maybeTakenOver(clientId) }
      }
    }
    this.#lose(connection, connection.farewell ?? closed)
  }

  /** Sees every packet before the client handles it. */
  #receive(connection: Connection, packet: Packet): void {
    if (packet.cmd === 'publish') {
      const lostBytes = connection.largePackets.publishArrived()
      const publish = packet as InboundPublish
      if (lostBytes !== undefined) publish.lostBytes = lostBytes
      this.#inbox.receive(connection.link, publish)
      if (!packet.retain) this.#watch.heard(this.#conditions.clock.monotonic())
    }
    if (this.#connection !== connection) return
    if (this.#status.state === 'connecting') this.#timer?.refresh()
    if (packet.cmd === 'pubrel' && packet.messageId) this.#inbox.release(packet.messageId)
    if (packet.cmd === 'disconnect') {
      const { reasonCode = 0, properties } = packet
      const { clientId } = this.#options
      connection.farewell = lossOfDisconnect(reasonCode, properties?.reasonString, clientId)
      if (connection.farewell.fault === 'taken_over') this.#backOff.takenOver()
    }
    if (packet.cmd === 'connack' && (packet.reasonCode ?? packet.returnCode) === 0) {
      this.#status.connects++
      connection.accepted = true
      if (!packet.sessionPresent) this.#inbox.forgetSession()
      if (this.#options.mqttVersion === '5') {
        this.#status.server = serverLimits(packet.properties)
        connection.publications.limit(this.#status.server)
      }
    }
  }

  #owe(acknowledged: boolean): void {
    this.#watch.owes(this.#inbox.inflight, acknowledged, this.#conditions.clock.monotonic())
  }

  #onAcknowledged(link: InboundLink): void {
    this.#backOff.succeeded()
    this.#owe(true)
    if (this.#condition === 'store') this.#recover()
    if (link.unacknowledged.size === 0) this.#onDrained?.()
  }

  /** Makes the session's subscriptions those of the configuration. */
  async #subscribe(connection: Connection, sessionPresent: boolean): Promise<void> {
    const isCurrent = (): boolean =>
      this.#connection === connection && this.#status.state !== 'stopped'
    if (!isCurrent()) return
    try {
      await this.#subscription.establish(connection.client, sessionPresent, isCurrent)
      if (isCurrent()) this.#ready()
    } catch (error) {
      this.#lose(connection, { fault: 'subscription', reason: messageOf(error) })
    }
  }

  #ready(): void {
    if (this.#status.state !== 'connecting') return
    const { clock } = this.#conditions
    clearTimeout(this.#timer)
    this.#turn('connected')
    this.#status.connectedAt = clock.now()
    this.#watch.connected(clock.monotonic())
    if (this.#condition !== 'store') this.#recover()
  }

  #recover(): void {
    if (this.#condition === 'well') return
    this.#condition = 'well'
    this.#status.lastError = undefined
    this.#status.fault = undefined
    this.#logger.info(
      { event: 'upstream.connected', upstream: this.#options.name },
      'The upstream broker delivers.'
    )
  }

  /** The connection is over, for whatever reason: back off, then try again. */
  #lose(connection: Connection, loss: UpstreamLoss): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#inbox.close()
    this.#watch.lost()
    connection.client.end(true)
    connection.publications.rejectAll(loss.reason)
    this.#backOff.lasted(this.#ageMs(connection))
    if (loss.fault === 'unreachable' && !connection.accepted) this.#backOff.unreachable()
    // What the broker said of its reason is worth more than how the connection then ended.
    this.#retry(loss.fault === 'store' ? loss : (connection.farewell ?? loss))
  }

  #retry({ fault, reason }: UpstreamLoss): void {
    clearTimeout(this.#timer)
    this.#status.connectedAt = undefined
    this.#status.lastError = reason
    this.#status.fault = fault
    this.#onDrained?.()
    if (this.#status.state === 'stopped') return
    this.#turn('waiting')
    if (this.#condition === 'well' || this.#condition === 'unknown') {
      this.#logger.warn(
        { event: 'upstream.lost', upstream: this.#options.name, fault, reason },
        'No messages from the upstream broker: it keeps what we have not acknowledged; trying again.'
      )
    }
    if (this.#condition !== 'store') this.#condition = fault === 'store' ? 'store' : 'connection'
    this.#look()
    this.#timer = setTimeout(() => this.#connect(), this.#backOff.nextMs())
  }

  #ageMs({ startedAt }: Connection): number {
    return this.#conditions.clock.monotonic() - startedAt
  }

  /** The watchdogs' round. */
  #look(): void {
    const now = this.#conditions.clock.monotonic()
    const connection = this.#connection
    if (connection && this.#status.state === 'connected') {
      this.#backOff.lasted(now - connection.startedAt)
    }
    if (connection?.accepted) this.#stayAlive(connection, now)
    const watched = this.#watch.look(now)
    const trouble = this.#backOff.contested ? 'taken_over' : watched
    const before = this.#status.trouble
    if (trouble === before) return
    this.#status.trouble = trouble
    if (trouble) {
      const { name: upstream, clientId, fault, lastError: reason } = this.#status
      tellTrouble(this.#logger, trouble, { upstream, clientId, fault, reason })
    }
    if (trouble === 'silent' && connection && before === undefined) {
      const { silentAfterMs } = this.#options
      const since = formatDuration(silentAfterMs ?? 0)
      this.#subscription.distrust()
      this.#lose(connection, { fault: 'silent', reason: `no message for ${since}` })
    }
  }

  /**
   * While reading stands still the client cannot see its pings answered, and would give up a connection
   * that is well. So we ping for it; whether the link lives is seen when reading goes on. It cannot
   * either while a long packet comes, before which the broker answers nothing.
   */
  #stayAlive(connection: Connection, now: number): void {
    const { client, link, largePackets } = connection
    const isComing = largePackets.isComing()
    if (!link.readOn && !isComing) return
    if (isComing && this.#status.state === 'connecting') this.#timer?.refresh()
    client.reschedulePing(true)
    if (now - connection.pingedAt < this.#options.keepAliveS * 500) return
    connection.pingedAt = now
    client.sendPing()
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
