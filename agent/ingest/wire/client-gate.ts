import type { Duplex } from 'node:stream'
import type { BudgetWaiter } from './byte-budget.ts'
import { checkConnect } from './connect-check.ts'
import type { GateHooks, GateOptions } from './gate-options.ts'
import type { GatedClient } from './gated-client.ts'
import {
  bodyStart,
  headerFault,
  OVERLONG,
  packetFault,
  remainingLength,
  TOPIC_MALFORMED,
  TYPE,
  UNFINISHED
} from './packet-check.ts'
import { PubackGroup } from './puback-group.ts'
import { publishedPacket } from './published-packet.ts'

/** Read and handled in one turn; a longer packet is collected only once there is room for all of it. */
const TURN_BYTES = 16 << 10
/** So much each client may have under way whatever the others do. */
const RESERVE_BYTES = 4 << 10
/** How often a client that has more under way is read while it waits for its turn. */
const SIP_INTERVAL_MS = 10
/** Packets that aedes has not done with, and their bytes: it waits for local subscribers. */
const AEDES_PACKETS_MAX = 64
const AEDES_BYTES_MAX = 64 << 10
const PINGRESP = Uint8Array.of(0xd0, 0)

/**
 * Between a device's connection and aedes: cuts the bytes into packets, refuses those that are no
 * MQTT before anything looks into them, and decides when the next are read.
 *
 * What passes without a turn, even when the budget is used up: everything that is no PUBLISH of
 * QoS 1 or 2 (QoS 0 is dropped by the intake then), and those while the client has less than its
 * reserve under way. So a client that waits for its acknowledgements is read on for hours, and its
 * PINGREQ answered. One whose PINGREQ lies unread behind its own flood is sent a PINGRESP in advance,
 * and aedes' keep-alive is told that it lives.
 *
 * Of what nobody watches on this box the PUBACKs are written here, those of one sync in one write.
 */
export class ClientGate implements BudgetWaiter {
  /** Of its messages in the intake; the intake counts. */
  heldBytes = 0
  readonly #client: GatedClient
  readonly #conn: Duplex
  readonly #hooks: GateHooks
  readonly #options: GateOptions
  #state: 'new' | 'connecting' | 'open' | 'closed' = 'new'
  /** Of an unfinished packet. */
  #rest: Buffer[] = []
  #restBytes = 0
  /** Bytes from which on `#rest` is worth a look. */
  #wanted = 0
  /** The packet in front waits: nothing is read. */
  #blocked = false
  /** Bytes reserved for a large packet, until it is handled. */
  #reserved = 0
  /** The turn's bytes that are left. */
  #credit = 0
  #inAedes = 0
  #aedesBytes = 0
  #stalled = false
  #scheduled = false
  #stopping = false
  /** Monotonic, ms. */
  #pausedUntil = 0
  #unfinishedSince = 0
  #answeredAt = 0
  readonly #acks = new PubackGroup(bytes => this.#send(bytes))
  readonly #timers = new Set<NodeJS.Timeout>()
  /** Bytes that may be handled though the budget is used up, until the next time. */
  #sip = 0
  #sipping = false
  need = 1

  /** Takes the place of aedes' own reading. */
  constructor(client: GatedClient, conn: Duplex, hooks: GateHooks, options: GateOptions) {
    this.#client = client
    this.#conn = conn
    this.#hooks = hooks
    this.#options = options
    conn.off('readable', client._nextBatch)
    client._parsingBatch = 0
    client._nextBatch = error => this.#onDone(error)
    client.resume = () => {
      client._paused = false
      if (this.#state !== 'connecting') return
      this.#state = 'open'
      this.#schedule()
    }
    conn.on('readable', () => this.#read())
    conn.once('close', () => this.#close())
    this.#answeredAt = options.clock.monotonic()
  }

  /** What it has under way. */
  get #ownBytes(): number {
    return this.heldBytes + this.#aedesBytes + this.#reserved
  }

  /** It was let in, and is connected. */
  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get outgoingBytes(): number {
    return this.#conn.writableLength
  }

  /**
   * Since when it keeps room for a large packet that it does not send, or that waits until it reads
   * what it is told, monotonic ms; undefined when there is none.
   */
  get unfinishedSince(): number | undefined {
    const isTheirs = this.#reserved > 0 && (!this.#blocked || this.#stalled)
    return isTheirs ? this.#unfinishedSince : undefined
  }

  /** What it has sent and was taken is acknowledged. */
  get isSettled(): boolean {
    return this.heldBytes === 0 && this.#inAedes === 0 && this.#conn.writableLength === 0
  }

  /** Takes no PUBLISH any more. */
  stop(): void {
    this.#stopping = true
  }

  /**
   * Takes no PUBLISH from this client for so long: the limit of a client's rate. What else it sends
   * is handled as far as it does not lie behind one; its PINGREQs are answered (see `tend`).
   */
  pauseFor(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#options.clock.monotonic() + ms)
    // A timer may be a little early, and nothing else would wake it.
    this.#after(ms + 2, () => this.#schedule())
  }

  /** Its turn. */
  go(): void {
    if (this.#state === 'closed') return
    if (this.need > 1) {
      this.#reserve(this.need)
      this.need = 1
    }
    this.#credit = TURN_BYTES
    this.#handle()
    this.#read()
    this.#credit = 0
    if (!this.#blocked && this.#conn.readableLength > 0) this.#schedule()
  }

  /**
   * Once a second: a client that waits unread is kept, and told so if it may have asked.
   *
   * Its PINGREQ may be among what is not read; a PINGRESP too many means nothing to a client.
   */
  tend(): void {
    const waits = this.#conn.readableLength > 0
    const interval = this.#client._keepaliveInterval
    if (this.#state !== 'open' || !waits || interval <= 0) return
    this.#client._keepaliveTimer?.refresh()
    const now = this.#options.clock.monotonic()
    // A third of the interval is half of the keep-alive that the client asked for.
    if (now - this.#answeredAt < interval / 3 || this.#stalled) return
    this.#answerPing()
  }

  /** Its large packet keeps room from others and does not come. */
  evict(): void {
    this.#refuse('packet_too_slow')
  }

  /** Before aedes acknowledges one itself: PUBACKs go out in the order of their messages (§4.6). */
  flushAcks(): void {
    this.#acks.flush()
  }

  /** Reads what the rules allow; the rest on another turn of the event loop, after the others'. */
  #read(): void {
    while (this.#isReading()) {
      const available = this.#conn.readableLength
      const most = available === 0 ? 0 : this.#readable()
      if (available > 0 && most <= 0) return
      const bytes: Buffer | null = this.#conn.read(available > most ? most : undefined)
      // Without bytes, the call makes the stream tell its end.
      if (bytes === null) return
      this.#rest.push(bytes)
      this.#restBytes += bytes.length
      this.#handle()
      if (!this.#isReading()) return
      if (this.#credit > 0 && this.#conn.readableLength > 0 && this.#restBytes > 0) continue
      if (this.#conn.readableLength > 0) {
        this.#schedule()
        return
      }
    }
  }

  #isReading(): boolean {
    if (this.#state === 'closed' || this.#state === 'connecting') return false
    // Destroyed by a DISCONNECT in front: what lies behind is no packet of a connection any more (§3.14.4).
    return !this.#blocked && !this.#client.closed && !this.#conn.destroyed
  }

  /** Bytes that may be read now. */
  #readable(): number {
    if (this.#reserved > 0) return this.#wanted - this.#restBytes
    if (this.#stalled || this.need > 1) return 0
    if (this.#credit > 0) return this.#credit
    const { budget } = this.#options
    if (!budget.full && !budget.contended) return TURN_BYTES
    if (this.#ownBytes < RESERVE_BYTES) return RESERVE_BYTES
    this.#waitForTurn()
    return this.#sip > 0 ? RESERVE_BYTES : 0
  }

  /** Handles the packets in `#rest`, as far as they are there and may pass. */
  #handle(): void {
    this.#blocked = false
    if (this.#restBytes < Math.max(2, this.#wanted)) return
    const bytes = this.#rest.length === 1 ? this.#rest[0] : Buffer.concat(this.#rest)
    let at = 0
    let handled = false
    while (at < bytes.length && this.#isReading()) {
      const end = this.#packetEnd(bytes, at)
      if (end === undefined) break
      if (!this.#passes(bytes[at], end - at)) {
        this.#blocked = true
        break
      }
      const packet = bytes.subarray(at, end)
      at = end
      this.#wanted = 0
      this.#deliver(packet)
      this.#credit -= packet.length
      this.#sip -= packet.length
      handled = true
      if (this.#reserved > 0) this.#reserve(0)
    }
    if (handled && this.#client._keepaliveInterval > 0) this.#client._keepaliveTimer?.refresh()
    this.#keep(bytes, at)
  }

  #keep(bytes: Buffer, from: number): void {
    const rest = bytes.subarray(from)
    this.#rest = []
    this.#restBytes = 0
    if (this.#state === 'closed' || rest.length === 0) return
    if (this.#blocked || this.#state === 'connecting') {
      // Back where it came from: or the stream would tell its end before all of it is handled.
      this.#conn.unshift(rest)
      return
    }
    this.#restBytes = rest.length
    // A copy, so that a few bytes do not keep a whole read in memory.
    this.#rest.push(rest.length < bytes.length / 2 ? Buffer.from(rest) : rest)
  }

  /** @returns Where the packet at `at` ends; undefined when it is not whole, or refused. */
  #packetEnd(bytes: Buffer, at: number): number | undefined {
    const first = bytes[at]
    const wrong = this.#orderFault(first >> 4) ?? headerFault(first)
    if (wrong) return this.#fault(wrong)
    const bodyAt = bodyStart(bytes, at)
    if (bodyAt === OVERLONG) return this.#fault('a remaining length of more than four bytes')
    if (bodyAt === UNFINISHED) {
      this.#wanted = bytes.length - at + 1
      return undefined
    }
    const length = remainingLength(bytes, at, bodyAt)
    if (length > this.#options.packetBytesMax) return this.#refuse('packet_too_large')
    const end = bodyAt + length
    if (end <= bytes.length) return end
    this.#wanted = end - at
    if (this.#wanted <= TURN_BYTES || this.#reserved > 0) return undefined
    if (first >> 4 === TYPE.publish && this.#isPaused()) {
      // Room that is kept for it would be kept from the others for as long.
      this.#wanted = 0
      this.#blocked = true
    } else {
      this.#askFor(this.#wanted)
    }
    return undefined
  }

  #isPaused(): boolean {
    if (this.#pausedUntil === 0) return this.#stopping
    if (this.#options.clock.monotonic() < this.#pausedUntil) return true
    this.#pausedUntil = 0
    return this.#stopping
  }

  #orderFault(type: number): string | undefined {
    if (this.#state === 'new') return type === TYPE.connect ? undefined : 'no CONNECT at first'
    return type === TYPE.connect ? 'a second CONNECT' : undefined
  }

  #passes(first: number, length: number): boolean {
    if (this.#state === 'connecting') return false
    const type = first >> 4
    if (type === TYPE.pingreq) return true
    if (this.#stalled || this.#inAedes >= AEDES_PACKETS_MAX) return false
    if (this.#aedesBytes >= AEDES_BYTES_MAX) return false
    if (type !== TYPE.publish) return true
    if (this.#isPaused()) return false
    const { budget } = this.#options
    if ((first & 6) === 0) {
      if (!budget.full || this.#sip > 0) return true
    } else {
      if (this.#credit > 0 || this.#reserved > 0) return true
      if (!budget.full && !budget.contended) return true
      if (this.#ownBytes + length <= RESERVE_BYTES || this.#ownBytes === 0) return true
    }
    this.#waitForTurn()
    return false
  }

  /** And is read a little now and then until it comes. */
  #waitForTurn(): void {
    this.#options.budget.wait(this)
    if (this.#sipping) return
    this.#sipping = true
    this.#after(SIP_INTERVAL_MS, () => {
      this.#sipping = false
      this.#sip = RESERVE_BYTES
      this.#schedule()
    })
  }

  #deliver(packet: Buffer): void {
    const bodyAt = bodyStart(packet, 0)
    if (this.#state === 'new') {
      this.#connect(packet, bodyAt)
      return
    }
    const body = packet.subarray(bodyAt)
    const wrong = packetFault(packet[0], body)
    if (wrong === TOPIC_MALFORMED) {
      this.#refuse(TOPIC_MALFORMED)
    } else if (wrong) {
      this.#fault(wrong)
    } else if (packet[0] >> 4 === TYPE.pingreq) {
      this.#answerPing()
    } else if (packet[0] >> 4 === TYPE.publish && (packet[0] & 5) === 0) {
      this.#publish(packet, body)
    } else {
      this.#handToAedes(packet)
    }
  }

  #connect(packet: Buffer, bodyAt: number): void {
    const { fault, answer } = checkConnect(packet, bodyAt)
    if (fault) {
      this.#fault(fault)
    } else if (answer) {
      this.#hooks.answered(answer[1] === 2 && answer[3] === 2 ? 'no client id' : 'protocol version')
      this.#conn.end(answer, () => this.#conn.destroy())
      this.#close()
    } else {
      this.#state = 'connecting'
      this.#handToAedes(packet)
    }
  }

  /** A PUBLISH of QoS 0 or 1 that is not to be retained. */
  #publish(packet: Buffer, body: Buffer): void {
    const published = publishedPacket(packet[0], body)
    if (this.#hooks.isWatched(published.topic)) {
      this.#handToAedes(packet)
      return
    }
    this.#hooks.publish(published, error => {
      if (this.#client.closed) return
      if (error) this.#client.emit('error', error)
      else if (published.messageId !== undefined) this.#acks.add(published.messageId)
    })
  }

  /** It gets bytes of its own: what it keeps, or sends to a slow subscriber, would keep all that was read. */
  #handToAedes(packet: Buffer): void {
    this.#inAedes++
    this.#aedesBytes += packet.length
    this.#options.budget.take(packet.length)
    try {
      this.#client._parser.parse(Buffer.from(packet))
    } catch (error) {
      this.#client.emit('error', error as Error)
    }
  }

  #onDone(error?: Error | null): void {
    if (error) {
      this.#client.emit('error', error)
      return
    }
    if (this.#inAedes === 0) return
    // Which one it was is not told.
    const bytes = Math.round(this.#aedesBytes / this.#inAedes)
    this.#inAedes--
    this.#aedesBytes -= bytes
    this.#options.budget.give(bytes)
    if (this.#blocked) this.#schedule()
  }

  #askFor(bytes: number): void {
    const { budget } = this.#options
    if (budget.contended || !budget.fits(bytes)) {
      this.need = bytes
      budget.wait(this)
    } else {
      this.#reserve(bytes)
    }
  }

  #reserve(bytes: number): void {
    const { budget, clock } = this.#options
    const before = this.#reserved
    this.#reserved = bytes
    if (bytes > 0) {
      this.#unfinishedSince = clock.monotonic()
      budget.take(bytes)
    }
    if (before > 0) budget.give(before)
  }

  #answerPing(): void {
    this.#answeredAt = this.#options.clock.monotonic()
    this.#send(PINGRESP)
  }

  #send(bytes: Uint8Array): void {
    if (this.#client.closed || !this.#conn.writable) return
    if (!this.#conn.write(bytes)) this.#stall()
  }

  /** It does not read what it is told: aedes ends the connection if that lasts (`drainTimeout`). */
  #stall(): void {
    if (this.#stalled) return
    this.#stalled = true
    this.#client.waitForDrain(() => {
      this.#stalled = false
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#state === 'closed') return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      if (this.#state === 'closed') return
      this.#handle()
      this.#read()
    })
  }

  #after(ms: number, then: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      then()
    }, ms)
    this.#timers.add(timer)
  }

  #fault(text: string): undefined {
    this.#client.emit('error', new Error(text))
    this.#close()
  }

  #refuse(reason: 'packet_too_large' | 'packet_too_slow' | 'topic_malformed'): undefined {
    this.#hooks.refused(reason)
    this.#fault(`refused: ${reason}`)
  }

  #close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    for (const timer of this.#timers) clearTimeout(timer)
    this.#rest = []
    this.#restBytes = 0
    const { budget } = this.#options
    budget.leave(this)
    this.#reserve(0)
    budget.give(this.#aedesBytes)
    this.#aedesBytes = 0
    this.#inAedes = 0
  }
}
