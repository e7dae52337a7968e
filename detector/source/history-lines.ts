/** Longer lines are passed over: a gigabyte without a line break is no history. */
export const LINE_CHARS_MAX = 8 << 20

export interface HistoryLine {
  /** Without its line break; undefined when it is longer than LINE_CHARS_MAX. */
  text: string | undefined
  /** From 1. */
  number: number
}

/**
 * UTF-8 chunks, cut anywhere, as lines that end in LF or CRLF; the last may lack its end.
 *
 * Holds a chunk and the line begun before it. A byte order mark is left out; bytes that are no UTF-8
 * become U+FFFD.
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>
): AsyncGenerator<HistoryLine[], void, undefined> {
  const decoder = new TextDecoder('utf-8')
  let number = 0
  let begun = ''
  let tooLong = false
  const lineOf = (text: string): HistoryLine => {
    number++
    const whole = tooLong || text.length > LINE_CHARS_MAX ? undefined : text
    tooLong = false
    return { text: whole?.endsWith('\r') ? whole.slice(0, -1) : whole, number }
  }
  for await (const chunk of chunks) {
    const parts = (begun + decoder.decode(chunk, { stream: true })).split('\n')
    begun = parts.pop() ?? ''
    if (parts.length > 0) yield parts.map(lineOf)
    if (begun.length > LINE_CHARS_MAX) {
      begun = ''
      tooLong = true
    }
  }
  begun += decoder.decode()
  if (begun !== '' || tooLong) yield [lineOf(begun)]
}
