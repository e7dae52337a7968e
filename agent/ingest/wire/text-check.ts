import { isUtf8 } from 'node:buffer'

/**
 * Whether these bytes may stand as text in a packet (MQTT 3.1.1 §1.5.3): UTF-8 without surrogates,
 * and no U+0000. Control characters (U+0001 to U+001F, U+007F to U+009F) are refused too, as §1.5.3
 * allows and Mosquitto does: no name that anybody means has them.
 */
export function isWireText(bytes: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; at++) {
    const byte = bytes[at]
    if (byte < 0x20 || byte === 0x7f) return false
    if (byte >= 0x80) return isWideText(bytes, at, end)
  }
  return true
}

/** The same for a topic that is published to (§3.3.2.1, §4.7.3): not empty, no wildcard either. */
export function isWireTopic(bytes: Uint8Array, from: number, end: number): boolean {
  if (from === end) return false
  for (let at = from; at < end; at++) {
    if (bytes[at] === HASH || bytes[at] === PLUS) return false
  }
  return isWireText(bytes, from, end)
}

/** The same for a filter (§4.7.1): a wildcard fills its level, `#` the last one only. */
export function isWireFilter(bytes: Uint8Array, from: number, end: number): boolean {
  if (from === end || !isWireText(bytes, from, end)) return false
  for (let at = from; at < end; at++) {
    if (bytes[at] !== HASH && bytes[at] !== PLUS) continue
    if (at > from && bytes[at - 1] !== SLASH) return false
    if (at + 1 < end && (bytes[at] === HASH || bytes[at + 1] !== SLASH)) return false
  }
  return true
}

const HASH = 0x23
const PLUS = 0x2b
const SLASH = 0x2f

function isWideText(bytes: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; at++) {
    const byte = bytes[at]
    if (byte < 0x20 || byte === 0x7f) return false
    // U+0080 to U+009F
    if (byte === 0xc2 && bytes[at + 1] < 0xa0) return false
  }
  return isUtf8(bytes.subarray(from, end))
}
