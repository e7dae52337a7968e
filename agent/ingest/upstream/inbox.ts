import { isAlertTopic } from '../../../core/contract/topics.ts'
import type { Logger } from '../../../core/runtime/log.ts'
import type { IncomingMessage, Intake } from '../intake.ts'
import type { UpstreamOptions } from './options.ts'
import { type PublishProperties, propertiesBytes, storedProperties } from './properties.ts'

/** A PUBLISH as the client hands it over. */
export interface InboundPublish {
  topic: string
  payload: string | Uint8Array
  qos: 0 | 1 | 2
  retain: boolean
  dup: boolean
  messageId?: number
  properties?: PublishProperties
  /** Payload and properties on the wire, when that was too much to take them in: both are gone. */
  lostBytes?: number
}

export interface Acknowledgement {
  cmd: 'puback' | 'pubrec'
  messageId: number
}

/** The receiving side of one network connection: it *is* the connection's generation. */
export interface InboundLink {
  /** In receive order. */
  readonly unacknowledged: Set<{ ack: Acknowledgement; safe: boolean }>
  readonly acknowledge: (ack: Acknowledgement) => void
  /** The PUBLISH that the client is handling. */
  arrived: InboundPublish | undefined
  /** Lets the client read on; kept back while there is no room. */
  readOn: (() => void) | undefined
}

export interface InboxEvents {
  /** One or more were acknowledged. */
  onAcknowledged(link: InboundLink): void
  /** A message could not be stored: the link is to be given up. */
  onFailed(link: InboundLink, error: unknown): void
}

/** With topic and header it fits into a record of the log, which ends at 16 MiB. */
const BYTES_MAX = 15 * 1024 * 1024

/**
 * Takes the messages of an upstream broker into the log and acknowledges them.
 *
 * Invariants:
 *   1. PUBACK (QoS 1) and PUBREC (QoS 2) go out when the message is stored, in receive order, and
 *      only on the link that brought it.
 *   2. At most `window` messages are unacknowledged, or in the store, old links included.
 *   3. A QoS 2 message is stored once while this object lives and the broker keeps the session;
 *      across a crash of ours it is stored at least once, like QoS 1.
 *
 * When the window or the intake's budget is full, the client is not let read on: that stops the socket.
 */
export class UpstreamInbox {
  readonly counters = { received: 0, acknowledged: 0, oversized: 0, alerts: 0 }
  readonly #options: UpstreamOptions
  readonly #intake: Pick<Intake, 'store' | 'offer' | 'full' | 'room'>
  readonly #logger: Logger
  readonly #events: InboxEvents
  /** QoS 2 packet ids received and not yet released (PUBREL), with the end of their store. */
  readonly #unreleased = new Map<number, Promise<void>>()
  #link: InboundLink | undefined
  #taking = true
  #storing = 0
  #roomAwaited = false

  constructor(
    options: UpstreamOptions,
    intake: Pick<Intake, 'store' | 'offer' | 'full' | 'room'>,
    logger: Logger,
    events: InboxEvents
  ) {
    this.#options = options
    this.#intake = intake
    this.#logger = logger
    this.#events = events
  }

  /** The link that is acknowledged on from now on; what others still store is not. */
  open(acknowledge: (ack: Acknowledgement) => void): InboundLink {
    this.#link = {
      ...{ unacknowledged: new Set(), acknowledge },
      ...{ arrived: undefined, readOn: undefined }
    }
    return this.#link
  }

  close(): void {
    this.#link = undefined
  }

  /** Takes nothing more; what is being stored is still acknowledged. */
  stopTaking(): void {
    this.#taking = false
    this.#resume()
  }

  get inflight(): number {
    return this.#link?.unacknowledged.size ?? 0
  }

  /** A PUBLISH has arrived; with QoS 1 and 2 the client's own acknowledgement comes to `admit`. */
  receive(link: InboundLink, packet: InboundPublish): void {
    this.counters.received++
    link.arrived = packet
    if (packet.qos > 0) return
    // Nobody would send it again: it is taken even from a link that has just ended.
    const message = this.#messageOf(packet)
    if (message) this.#intake.offer(message)
  }

  /** PUBREL: the packet id is free for another message. */
  release(messageId: number): void {
    this.#unreleased.delete(messageId)
  }

  /** The broker has no session of ours: its packet ids begin anew. */
  forgetSession(): void {
    this.#unreleased.clear()
  }

  /** Takes the arrived message and reads on, or keeps both back until there is room. */
  admit(link: InboundLink, readOn: () => void): void {
    const { window } = this.#options
    const packet = link.arrived
    if (this.#link !== link || !this.#taking || !packet) {
      // Read past without an answer: the broker sends it again.
      readOn()
    } else if (link.unacknowledged.size >= window || this.#storing >= window) {
      link.readOn = readOn
    } else if (this.#intake.full) {
      link.readOn = readOn
      this.#awaitRoom()
    } else {
      this.#take(link, packet)
      readOn()
    }
  }

  #resume(): void {
    const link = this.#link
    const readOn = link?.readOn
    if (link === undefined || readOn === undefined) return
    link.readOn = undefined
    this.admit(link, readOn)
  }

  #awaitRoom(): void {
    if (this.#roomAwaited) return
    this.#roomAwaited = true
    void this.#intake.room().then(() => {
      this.#roomAwaited = false
      this.#resume()
    })
  }

  #take(link: InboundLink, packet: InboundPublish): void {
    const cmd = packet.qos === 2 ? 'pubrec' : 'puback'
    const entry = { ack: { cmd, messageId: packet.messageId ?? 0 } as const, safe: false }
    link.unacknowledged.add(entry)
    this.#secure(packet).then(
      () => {
        entry.safe = true
        this.#acknowledge(link)
      },
      error => {
        if (this.#link === link) this.#events.onFailed(link, error)
      }
    )
  }

  /** Resolves when the message may be acknowledged. */
  #secure(packet: InboundPublish): Promise<void> {
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

  async #store(packet: InboundPublish): Promise<void> {
    const message = this.#messageOf(packet)
    if (!message) return
    this.#storing++
    try {
      await this.#intake.store(message)
    } finally {
      this.#storing--
      this.#resume()
    }
  }

  /** @returns undefined for what is acknowledged and not taken. */
  #messageOf(packet: InboundPublish): IncomingMessage | undefined {
    const { topic, qos, retain, dup, messageId = 0 } = packet
    if (retain && this.#options.retained === 'drop') return undefined
    // Ours come back where a filter matches them, and so would another agent's.
    if (isAlertTopic(topic)) {
      this.counters.alerts++
      return undefined
    }
    const payload = packet.payload as Uint8Array
    const properties = storedProperties(packet.properties)
    const bytes = packet.lostBytes ?? payload.length + propertiesBytes(properties)
    if (this.#isOversized(topic, bytes)) return undefined
    return {
      topic,
      payload,
      qos,
      retain: retain && this.#options.retained === 'mark',
      dup,
      packetId: messageId,
      clientId: this.#options.name,
      upstream: true,
      ...(properties && { properties })
    }
  }

  #isOversized(topic: string, bytes: number): boolean {
    if (bytes <= BYTES_MAX) return false
    if (this.counters.oversized++ === 0) {
      this.#logger.error(
        { event: 'upstream.oversized', upstream: this.#options.name, topic, bytes },
        `A message from the upstream broker is larger than ${BYTES_MAX} bytes and is lost; further ones are only counted.`
      )
    }
    return true
  }

  #acknowledge(link: InboundLink): void {
    if (this.#link !== link) return
    const before = this.counters.acknowledged
    for (const entry of link.unacknowledged) {
      if (!entry.safe) break
      link.unacknowledged.delete(entry)
      link.acknowledge(entry.ack)
      this.counters.acknowledged++
    }
    if (this.counters.acknowledged > before) this.#events.onAcknowledged(link)
    this.#resume()
  }
}
