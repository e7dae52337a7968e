import { idAt } from '../wire/packet-check.ts'

/** Longer frames are cut into such of this length at most, bytes: what two bytes tell. */
export const FRAME_BYTES_MAX = 0xffff

const OPCODE_BITS = 0x0f
const CONTROL_BIT = 0x08
const RESERVED_BITS = 0x70
const FINAL_BIT = 0x80
const MASK_BIT = 0x80
/** FIN, and the opcode of binary data. */
const WHOLE_BINARY = 0x82
const RESPONSE_BYTES_MAX = 64 * 1024
const NOTHING = Buffer.alloc(0)

/**
 * Cuts what a WebSocket server sends (RFC 6455 §5.2) into small messages, on the way from the socket to
 * the WebSocket client: that one takes a message into memory whole before it hands it over, however
 * long, and joins fragments to one. In MQTT the borders of messages mean nothing (MQTT-6.0.0-2).
 *
 * Frames that are whole messages and no longer than `FRAME_BYTES_MAX` pass as they came, as do the
 * response to the handshake and control frames. What is against the protocol passes too, with all
 * behind it: the client refuses it. Extensions must not be offered. Holds 9 bytes at most.
 */
export class WebSocketFrames {
  #state: 'response' | 'frames' | 'through' = 'response'
  #response = ''
  #header: Buffer = NOTHING
  /** Bytes to come of the frame. */
  #rest = 0
  #isCut = false

  pass(chunk: Buffer, passOn: (part: Buffer) => void): void {
    const bytes = this.#header.length === 0 ? chunk : Buffer.concat([this.#header, chunk])
    this.#header = NOTHING
    let from = 0
    let at = this.#state === 'response' ? this.#respond(bytes) : 0
    while (this.#state === 'frames') {
      const step = Math.min(this.#rest, bytes.length - at)
      this.#rest -= step
      if (this.#isCut && step > 0) {
        for (let cut = at; cut < at + step; cut += FRAME_BYTES_MAX) {
          const part = bytes.subarray(cut, Math.min(cut + FRAME_BYTES_MAX, at + step))
          passOn(headerOf(part.length))
          passOn(part)
        }
        from = at + step
      }
      at += step
      if (at === bytes.length) break
      const payloadAt = payloadStart(bytes, at)
      if (payloadAt > bytes.length) {
        this.#header = Buffer.from(bytes.subarray(at))
        break
      }
      this.#begin(bytes, at, payloadAt)
      if (this.#isCut) {
        if (from < at) passOn(bytes.subarray(from, at))
        from = payloadAt
      }
      at = payloadAt
    }
    if (this.#state === 'through') at = bytes.length
    if (from < at) passOn(at - from === bytes.length ? bytes : bytes.subarray(from, at))
  }

  /** @returns Where the frames begin. */
  #respond(bytes: Buffer): number {
    const before = this.#response.length
    this.#response += bytes.toString('latin1')
    const end = this.#response.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.#response.length > RESPONSE_BYTES_MAX) this.#state = 'through'
      return bytes.length
    }
    this.#state = /^HTTP\/1\.1 101\b/.test(this.#response) ? 'frames' : 'through'
    this.#response = ''
    return end + 4 - before
  }

  #begin(bytes: Buffer, at: number, payloadAt: number): void {
    const [first, second] = [bytes[at], bytes[at + 1]]
    this.#rest = payloadLength(bytes, at, payloadAt)
    const isWhole = (first & FINAL_BIT) !== 0 && (first & OPCODE_BITS) !== 0
    const isControl = (first & CONTROL_BIT) !== 0
    this.#isCut = !isControl && (!isWhole || this.#rest > FRAME_BYTES_MAX)
    if ((first & RESERVED_BITS) !== 0 || (second & MASK_BIT) !== 0) {
      this.#state = 'through'
      this.#isCut = false
    }
  }
}

/** Where the payload of the frame at `at` begins; beyond the end while its header is not whole. */
function payloadStart(bytes: Buffer, at: number): number {
  if (at + 2 > bytes.length) return at + 2
  const length = bytes[at + 1] & 0x7f
  return at + 2 + (length === 126 ? 2 : length === 127 ? 8 : 0)
}

function payloadLength(bytes: Buffer, at: number, payloadAt: number): number {
  if (payloadAt === at + 4) return idAt(bytes, at + 2)
  return payloadAt === at + 10 ? Number(bytes.readBigUInt64BE(at + 2)) : bytes[at + 1] & 0x7f
}

/** @param length At most `FRAME_BYTES_MAX`. */
function headerOf(length: number): Buffer {
  const isShort = length < 126
  return Buffer.from([WHOLE_BINARY, ...(isShort ? [length] : [126, length >> 8, length & 0xff])])
}
