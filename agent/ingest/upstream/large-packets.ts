import {
  bodyStart,
  idAt,
  OVERLONG,
  remainingLength,
  TYPE,
  UNFINISHED
} from '../wire/packet-check.ts'

/** With topic and properties: more of a PUBLISH is never stored, as a record of the log ends there. */
export const PACKET_BYTES_MAX = 16 * 1024 * 1024

/** A PUBLISH too large under way: what is kept of its start, then how much is thrown away. */
interface Shortening {
  readonly first: number
  readonly kept: Buffer[]
  /** Bytes until the topic's length is known, then until topic and packet id are whole. */
  missing: number
  isTopicKnown: boolean
  /** Bytes of the body that are still to come. */
  rest: number
  lostBytes: number
}

const NOTHING = Buffer.alloc(0)

/**
 * Follows the packets of one connection on their way to the mqtt client, which would take each of them
 * into memory whole, and shortens a PUBLISH that is too large: to its topic and packet id, without
 * properties and payload, which are thrown away as they come. So it is acknowledged in its turn like
 * any other. Other packets that large are the connection's end.
 *
 * Holds at most a topic and 7 bytes, and a number for each shortened PUBLISH the client has not reached,
 * which are as many as the stream keeps for it. What is not shortened is passed on as it came, uncopied;
 * but the few bytes of a header that two chunks share are joined to the second.
 */
export class LargePackets {
  readonly #bodyBytesMax: number
  readonly #hasProperties: boolean
  /** Bytes to come of the packet that is passed on. */
  #rest = 0
  #header: Buffer = NOTHING
  #shortening: Shortening | undefined
  #publishes = 0
  #arrived = 0
  /** By number of the PUBLISH, in order: bytes behind topic and packet id. */
  readonly #shortened: { nth: number; bytes: number }[] = []
  #isMoving = false

  /** @param mqttVersion Since 5 a PUBLISH has properties. */
  constructor(bodyBytesMax: number, mqttVersion: '3.1.1' | '5') {
    this.#bodyBytesMax = bodyBytesMax
    this.#hasProperties = mqttVersion === '5'
  }

  /** Bytes that are held back. */
  get heldBytes(): number {
    const kept = this.#shortening?.kept ?? []
    return kept.reduce((sum, part) => sum + part.length, this.#header.length)
  }

  /**
   * To be called once for each PUBLISH the client hands over, in order.
   *
   * @returns What it had behind topic and packet id – payload, properties – in bytes, if it was
   * shortened.
   */
  publishArrived(): number | undefined {
    this.#arrived++
    return this.#shortened[0]?.nth === this.#arrived ? this.#shortened.shift()?.bytes : undefined
  }

  /** Whether a packet is under way, and some of it has come since this was last asked. */
  isComing(): boolean {
    const isMoving = this.#isMoving && (this.#rest > 0 || this.#shortening !== undefined)
    this.#isMoving = false
    return isMoving
  }

  /** @throws on a packet that is too large and no PUBLISH, or has no length. */
  pass(chunk: Buffer, passOn: (part: Buffer) => void): void {
    const bytes = this.#header.length === 0 ? chunk : Buffer.concat([this.#header, chunk])
    this.#header = NOTHING
    this.#isMoving = true
    let from = 0
    let at = 0
    for (;;) {
      if (this.#shortening) {
        at += this.#shorten(this.#shortening, bytes, at, passOn)
        from = at
      } else {
        const step = Math.min(this.#rest, bytes.length - at)
        this.#rest -= step
        at += step
      }
      if (at === bytes.length) break
      const bodyAt = bodyStart(bytes, at)
      if (bodyAt === UNFINISHED) {
        this.#header = Buffer.from(bytes.subarray(at))
        break
      }
      const length = bodyAt === OVERLONG ? -1 : remainingLength(bytes, at, bodyAt)
      const isPublish = bytes[at] >> 4 === TYPE.publish
      if (isPublish) this.#publishes++
      if (length >= 0 && length <= this.#bodyBytesMax) {
        this.#rest = length
        at = bodyAt
        continue
      }
      if (from < at) passOn(bytes.subarray(from, at))
      if (length < 0) throw new Error('the broker sends a packet whose length is not MQTT')
      if (!isPublish) {
        const what = `a packet of type ${bytes[at] >> 4} with ${length} bytes`
        throw new Error(`the broker sends ${what}: ${this.#bodyBytesMax} are the most`)
      }
      const first = bytes[at]
      this.#shortening = {
        first,
        kept: [],
        missing: 2,
        isTopicKnown: false,
        rest: length,
        lostBytes: 0
      }
      at = bodyAt
      from = at
    }
    if (from < at) passOn(at - from === bytes.length ? bytes : bytes.subarray(from, at))
  }

  /** @returns Bytes used up of those at `at`. */
  #shorten(cut: Shortening, bytes: Buffer, at: number, passOn: (part: Buffer) => void): number {
    let next = at
    while (cut.missing > 0 && next < bytes.length) {
      // Copied: a view would keep the whole chunk.
      const part = Buffer.from(bytes.subarray(next, next + cut.missing))
      cut.kept.push(part)
      next += part.length
      cut.missing -= part.length
      cut.rest -= part.length
      if (cut.missing === 0 && !cut.isTopicKnown) {
        cut.isTopicKnown = true
        const hasPacketId = (cut.first & 6) !== 0
        cut.missing = idAt(Buffer.concat(cut.kept), 0) + (hasPacketId ? 2 : 0)
      }
      if (cut.missing === 0) cut.lostBytes = cut.rest
    }
    const skipped = Math.min(cut.rest, bytes.length - next)
    cut.rest -= skipped
    if (cut.rest === 0) this.#finish(cut, passOn)
    return next + skipped - at
  }

  /** Not before its last byte: a broker may know of no message that it has not sent. */
  #finish(cut: Shortening, passOn: (part: Buffer) => void): void {
    this.#shortening = undefined
    this.#shortened.push({ nth: this.#publishes, bytes: cut.lostBytes })
    const start = Buffer.concat(cut.kept)
    const noProperties = this.#hasProperties ? [0] : []
    const length = start.length + noProperties.length
    const head = [cut.first, ...lengthBytes(length)]
    passOn(Buffer.concat([Buffer.from(head), start, Buffer.from(noProperties)]))
  }
}

/** The remaining length on the wire (§2.2.3). */
function lengthBytes(length: number): number[] {
  const bytes: number[] = []
  let rest = length
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>= 7
  } while (rest > 0)
  return bytes
}
