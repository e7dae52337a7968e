import mqtt, { type MqttClient } from 'mqtt'
import type { Clock } from '../core/runtime/clock.ts'
import { messageOf } from '../core/runtime/errors.ts'
import type { Prng } from '../core/runtime/prng.ts'
import type { LatencyHistogram } from './latency.ts'

export type Qos = 0 | 1 | 2

export interface DeviceOptions {
  host: string
  port: number
  clientId: string
  topic: string
  qos: Qos
  username?: string
  password?: string
  /** Readings sent and not yet acknowledged, 1..1000. */
  windowMax: number
  /** Readings stored and not yet sent, at least 1. When full, the new reading is refused and counted. */
  bufferMax: number
  /** An acknowledgement this late means a dead connection: it is closed and made anew. */
  ackTimeoutMs: number
  backOffMsMin: number
  backOffMsMax: number
  prng: Prng
  clock: Clock
  /** Time from the first PUBLISH of a reading to its acknowledgement, shared by the fleet. */
  latency: LatencyHistogram
  /** Called whenever nothing is stored or unacknowledged any more. */
  onIdle?: () => void
}

export interface DeviceCounters {
  /** PUBLISH packets of new readings. */
  sent: number
  /** Readings answered by PUBACK (QoS 1), PUBCOMP (QoS 2), or handed to the socket (QoS 0). */
  acknowledged: number
  /** PUBLISH packets sent again, with DUP, after a lost connection. */
  resent: number
  /** Connections accepted by the broker after the first one. */
  reconnects: number
  /** Readings refused because the local buffer was full, or (QoS 0) lost with their connection. */
  dropped: number
}

type DeviceState = 'stopped' | 'connecting' | 'connected' | 'backing_off'

/** A stored message. Its bytes and packet id never change, however often it is sent. */
interface Entry {
  packetId: number
  sequence: number
  payload: string
  /** A second publish of the same reading: the ledger does not wait for it. */
  copy: boolean
  /** Monotonic ms; undefined until the first PUBLISH. */
  firstSentAt: number | undefined
  sentAt: number
}

const CONNECT_TIMEOUT_MS = 10_000
const KEEPALIVE_S = 30
const CLOSE_WAIT_MS = 1_000
const PACKET_IDS = 65_535

/**
 * One device's firmware: takes readings into a local store and brings them to an MQTT 3.1.1 broker.
 *
 * Invariants:
 *   1. A reading leaves the store only when acknowledged; sequences are given to stored readings
 *      only, so they ascend from 1 without gaps.
 *   2. At most `windowMax` are unacknowledged; they are sent in the order they were taken.
 *   3. After a lost connection all of them are sent again, in that order, with DUP and the packet
 *      id they had, before anything new. The session is persistent (clean session off).
 *
 * Each connection is a client object of its own without retries or store: what is sent again, and
 * when, is decided here alone. A QoS 2 reading whose PUBCOMP was lost is published again, which a
 * broker that has already released its id takes as new: at least once, like QoS 1.
 */
export class Device {
  readonly counters: DeviceCounters = {
    sent: 0,
    acknowledged: 0,
    resent: 0,
    reconnects: 0,
    dropped: 0
  }
  /** Why the last connection failed or ended; undefined while all is well. */
  lastError: string | undefined

  readonly #options: DeviceOptions
  readonly #inFlight = new Map<number, Entry>()
  #waiting: Entry[] = []
  #waitingHead = 0
  #state: DeviceState = 'stopped'
  #client: MqttClient | undefined
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  #everConnected = false
  #nextSequence = 1
  #nextPacketId = 1
  #sentSequence = 0
  #pumping = false
  #newest: Entry | undefined

  constructor(options: DeviceOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#state === 'stopped') this.#connect()
  }

  /** Starts after a pause, so that a fleet does not knock all at once. */
  startAfter(delayMs: number): void {
    if (this.#state !== 'stopped') return
    this.#state = 'backing_off'
    this.#timer = setTimeout(() => this.#connect(), delayMs)
  }

  /**
   * Stores a reading and sends it when the window allows.
   *
   * @param payload Gives the message's body for the sequence that the reading got.
   * @returns False when the buffer was full: the reading is gone and counted as dropped.
   */
  offer(payload: (sequence: number) => string): boolean {
    if (this.#full()) return this.#refuse()
    const sequence = this.#nextSequence++
    return this.#store(sequence, payload(sequence), false)
  }

  /** Publishes the newest reading once more, as a broken firmware does: same bytes, no DUP. */
  repeat(): boolean {
    const newest = this.#newest
    if (newest === undefined || this.#full()) return this.#refuse()
    return this.#store(newest.sequence, newest.payload, true)
  }

  /** Readings stored and not yet sent. */
  get waiting(): number {
    return this.#waiting.length - this.#waitingHead
  }

  /** Readings sent and not yet acknowledged. */
  get inFlight(): number {
    return this.#inFlight.size
  }

  get idle(): boolean {
    return this.waiting === 0 && this.#inFlight.size === 0
  }

  get connected(): boolean {
    return this.#state === 'connected'
  }

  /** The highest sequence such that it and all below it are acknowledged; 0 when there is none. */
  get acknowledgedThrough(): number {
    let lowest = this.#sentSequence + 1
    for (const entry of this.#inFlight.values()) {
      if (!entry.copy) {
        lowest = entry.sequence
        break
      }
    }
    return lowest - 1
  }

  /** To be called now and then: gives up a connection whose oldest PUBLISH stays unanswered. */
  checkAckTimeout(): void {
    const oldest = this.#inFlight.values().next().value
    if (this.#state !== 'connected' || oldest === undefined) return
    const waitedMs = this.#options.clock.monotonic() - oldest.sentAt
    if (waitedMs > this.#options.ackTimeoutMs) {
      this.#lose(`no acknowledgement for ${Math.round(waitedMs)} ms`)
    }
  }

  /** Says DISCONNECT and closes, whatever is still stored. Resolves when the socket is closed. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    const client = this.#client
    const polite = this.#state === 'connected'
    this.#state = 'stopped'
    this.#client = undefined
    if (client === undefined) return
    await new Promise<void>(resolve => {
      const limit = setTimeout(() => {
        client.stream.destroy()
        resolve()
      }, CLOSE_WAIT_MS)
      client.stream.once('close', () => {
        clearTimeout(limit)
        resolve()
      })
      // Unforced, mqtt.js waits for acknowledgements that may never come.
      if (polite && this.#inFlight.size === 0) client.end()
      else client.end(true)
    })
  }

  #full(): boolean {
    return this.waiting >= this.#options.bufferMax
  }

  #refuse(): false {
    this.counters.dropped++
    return false
  }

  #store(sequence: number, payload: string, copy: boolean): true {
    const entry: Entry = {
      packetId: this.#nextPacketId,
      sequence,
      payload,
      copy,
      firstSentAt: undefined,
      sentAt: 0
    }
    this.#nextPacketId = (this.#nextPacketId % PACKET_IDS) + 1
    this.#newest = entry
    this.#waiting.push(entry)
    this.#pump()
    return true
  }

  #connect(): void {
    const { host, port, clientId, username, password, qos } = this.#options
    this.#state = 'connecting'
    const ids = new ChosenPacketId()
    const client = mqtt.connect({
      protocol: 'mqtt',
      host,
      port,
      clientId,
      username,
      password,
      clean: qos === 0,
      keepalive: KEEPALIVE_S,
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      messageIdProvider: ids
    })
    this.#client = client
    client.on('connect', () => {
      if (this.#client === client) this.#onConnect()
    })
    client.on('error', error => {
      if (this.#client === client) this.#lose(messageOf(error))
    })
    client.on('close', () => {
      if (this.#client === client) this.#lose('the broker closed the connection')
    })
  }

  #onConnect(): void {
    this.#state = 'connected'
    this.lastError = undefined
    if (this.#everConnected) this.counters.reconnects++
    this.#everConnected = true
    if (this.#options.qos === 0) this.#failures = 0
    for (const entry of this.#inFlight.values()) {
      if (this.#state !== 'connected') return
      this.counters.resent++
      this.#publish(entry, true)
    }
    this.#pump()
  }

  /** The connection is over, for whatever reason: back off, then try again. */
  #lose(reason: string): void {
    const client = this.#client
    this.#client = undefined
    this.lastError = reason
    this.#state = 'backing_off'
    client?.end(true)
    if (this.#options.qos === 0) {
      this.counters.dropped += this.#inFlight.size
      this.#inFlight.clear()
    }
    this.#timer = setTimeout(() => this.#connect(), this.#backOffMs())
  }

  /** Exponential with equal jitter: between half and all of min(max, min · 2^failures). */
  #backOffMs(): number {
    const { backOffMsMin, backOffMsMax, prng } = this.#options
    const ceilingMs = Math.min(backOffMsMax, backOffMsMin * 2 ** Math.min(this.#failures, 20))
    this.#failures++
    return ceilingMs * (0.5 + 0.5 * prng.float())
  }

  #pump(): void {
    // At QoS 0 a publish is acknowledged before it returns: the loop goes on, it does not nest.
    if (this.#pumping) return
    this.#pumping = true
    while (
      this.#state === 'connected' &&
      this.#inFlight.size < this.#options.windowMax &&
      this.#waitingHead < this.#waiting.length
    ) {
      const entry = this.#waiting[this.#waitingHead++]
      this.#inFlight.set(entry.packetId, entry)
      this.counters.sent++
      this.#sentSequence = entry.sequence
      this.#publish(entry, false)
    }
    this.#pumping = false
    if (this.#waitingHead === this.#waiting.length) {
      this.#waiting = []
      this.#waitingHead = 0
    } else if (this.#waitingHead > 1024 && this.#waitingHead * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#waitingHead)
      this.#waitingHead = 0
    }
  }

  #publish(entry: Entry, dup: boolean): void {
    const client = this.#client
    if (client === undefined) return
    const { qos, topic, clock } = this.#options
    entry.sentAt = clock.monotonic()
    entry.firstSentAt ??= entry.sentAt
    ;(client.options.messageIdProvider as ChosenPacketId).chosen = entry.packetId
    client.publish(topic, entry.payload, { qos, dup: dup && qos > 0 }, error => {
      // A failed publish means a failed connection: its own event decides, the entry stays.
      if (error == null && this.#client === client) this.#onAcknowledged(entry)
    })
  }

  #onAcknowledged(entry: Entry): void {
    if (!this.#inFlight.delete(entry.packetId)) return
    this.#failures = 0
    this.counters.acknowledged++
    const { clock, latency, onIdle } = this.#options
    latency.record(clock.monotonic() - (entry.firstSentAt ?? entry.sentAt))
    this.#pump()
    if (this.idle) onIdle?.()
  }
}

/** Gives the client the packet id that the reading already has. */
class ChosenPacketId {
  chosen = 1

  allocate(): number {
    return this.chosen
  }

  getLastAllocated(): number {
    return this.chosen
  }

  register(): boolean {
    return true
  }

  deallocate(): void {}

  clear(): void {}
}
