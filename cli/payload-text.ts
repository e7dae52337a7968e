import { isUtf8 } from 'node:buffer'
import { printable } from './log/text.ts'

/**
 * Strangers' bytes for a person: one line, nothing in it that a terminal obeys.
 *
 * @param total Bytes that there are, if these are the first of them only.
 */
export function payloadLine(bytes: Uint8Array, bytesMax: number, total = bytes.length): string {
  const head = headOf(bytes, bytesMax)
  const cut = total > head.length ? ' …' : ''
  const text = textOf(head, cut !== '')
  if (text !== undefined) return `${printable(text)}${cut}`
  const hex = head.toString('hex').replace(/..(?=.)/g, '$& ')
  return `${hex}${cut} (hex)`
}

/** The same for a script: text where it is text, else base64, and then it says so. */
export function payloadJson(
  bytes: Uint8Array,
  total = bytes.length
): { payload: string; payloadEncoding?: 'base64' } {
  const head = headOf(bytes, bytes.length)
  const text = textOf(head, total > head.length)
  if (text !== undefined) return { payload: text }
  return { payload: head.toString('base64'), payloadEncoding: 'base64' }
}

function headOf(bytes: Uint8Array, bytesMax: number): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, bytesMax))
}

/** A character that the cut went through is left out. @returns undefined when it is no UTF-8. */
function textOf(bytes: Buffer, cut: boolean): string | undefined {
  const shortest = cut ? Math.max(0, bytes.length - 3) : bytes.length
  for (let end = bytes.length; end >= shortest; end--) {
    if (isUtf8(bytes.subarray(0, end))) return bytes.toString('utf8', 0, end)
  }
  return undefined
}
