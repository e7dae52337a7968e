import { idAt } from './packet-check.ts'
import { isWireText } from './text-check.ts'

/**
 * What becomes of a CONNECT: `fault` ends the connection without a word, `answer` with these bytes,
 * else it is let through, in its own words or, for MQTT 3.1, without the bits that 3.1 leaves open.
 */
export interface ConnectVerdict {
  fault?: string
  answer?: Uint8Array
}

const UNACCEPTABLE_LEVEL = Uint8Array.of(0x20, 2, 0, 1)
/**
 * "Unsupported Protocol Version", as MQTT 5 §3.1.2.2 wants it: what a client of version 5 understands
 * (to it a CONNACK of 3.1.1 is malformed). Mosquitto tells unknown versions the same.
 */
const UNSUPPORTED_VERSION = Uint8Array.of(0x20, 3, 0, 0x84, 0)
const IDENTIFIER_REJECTED = Uint8Array.of(0x20, 2, 0, 2)

/** The level is in the body here. */
const MQTT = [0x4d, 0x51, 0x54, 0x54]
const MQISDP = [0x4d, 0x51, 0x49, 0x73, 0x64, 0x70]

/**
 * Looks at a CONNECT of MQTT 3.1 or 3.1.1 (§3.1) from its first byte to its last.
 *
 * @param packet Whole, from its first byte; reserved bits that MQTT 3.1 ignores are cleared in it.
 * @param bodyAt Where the body begins.
 */
export function checkConnect(packet: Uint8Array, bodyAt: number): ConnectVerdict {
  const end = packet.length
  if (bodyAt + 2 > end) return fault('CONNECT without a protocol')
  const nameEnd = bodyAt + 2 + idAt(packet, bodyAt)
  const isOld = isName(packet, bodyAt + 2, nameEnd, MQISDP)
  if (!isOld && !isName(packet, bodyAt + 2, nameEnd, MQTT)) return fault('another protocol')
  // Level, flags, keep-alive, length of the client id.
  if (nameEnd + 6 > end) return fault(TOO_SHORT)
  if (isOld) {
    packet[0] &= 0xf0
    packet[nameEnd + 1] &= 0xfe
  } else if ((packet[0] & 15) !== 0) return fault('reserved flags in the header')
  // A bridge of Mosquitto sets the highest bit.
  const level = packet[nameEnd] & 0x7f
  if (level !== (isOld ? 3 : 4)) {
    return { answer: level === 3 || level === 4 ? UNACCEPTABLE_LEVEL : UNSUPPORTED_VERSION }
  }
  const flags = packet[nameEnd + 1]
  const wrong = flagsFault(flags, isOld)
  if (wrong) return fault(wrong)
  const idEnd = nameEnd + 6 + idAt(packet, nameEnd + 4)
  const payload = payloadFault(packet, idEnd, flags)
  if (payload) return fault(payload)
  if (!isWireText(packet, nameEnd + 6, idEnd)) return fault('a client id that is no text')
  // §3.1.3.1; MQTT 3.1 knows no empty one.
  if (idEnd === nameEnd + 6 && (isOld || (flags & CLEAN) === 0)) {
    return { answer: IDENTIFIER_REJECTED }
  }
  return {}
}

const TOO_SHORT = 'CONNECT shorter than what it announces'
const CLEAN = 0x02
const WILL = 0x04
const WILL_QOS = 0x18
const WILL_RETAIN = 0x20
const PASSWORD = 0x40
const USERNAME = 0x80

/** §3.1.2.3 to §3.1.2.9 */
function flagsFault(flags: number, isOld: boolean): string | undefined {
  if ((flags & 1) !== 0) return 'the reserved flag of CONNECT'
  if ((flags & WILL_QOS) === WILL_QOS) return 'a will of QoS 3'
  if ((flags & WILL) === 0 && (flags & (WILL_QOS | WILL_RETAIN)) !== 0) return 'no will, but flags'
  if (!isOld && (flags & PASSWORD) !== 0 && (flags & USERNAME) === 0) {
    return 'a password without a username'
  }
  return undefined
}

/** Will topic, will message, username, password: those that the flags announce, and no byte more. */
function payloadFault(packet: Uint8Array, from: number, flags: number): string | undefined {
  const fields: [announced: number, text: boolean][] = [
    [WILL, true],
    [WILL, false],
    [USERNAME, true],
    [PASSWORD, false]
  ]
  let at = from
  for (const [announced, text] of fields) {
    if ((flags & announced) === 0) continue
    if (at + 2 > packet.length) return TOO_SHORT
    const end = at + 2 + idAt(packet, at)
    if (end > packet.length) return TOO_SHORT
    if (text && !isWireText(packet, at + 2, end)) return 'text in CONNECT that is none'
    at = end
  }
  if (at > packet.length) return TOO_SHORT
  return at < packet.length ? 'bytes behind what CONNECT announces' : undefined
}

function isName(bytes: Uint8Array, from: number, end: number, name: readonly number[]): boolean {
  return end - from === name.length && name.every((byte, n) => bytes[from + n] === byte)
}

function fault(text: string): ConnectVerdict {
  return { fault: text }
}
