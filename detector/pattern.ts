/**
 * @param patterns `*` stands for any run of characters; none given means everything.
 */
export function matchesAny(patterns: readonly string[] | undefined, text: string): boolean {
  if (!patterns || patterns.length === 0) return true
  return patterns.some(p => matches(p.split('*'), text))
}

/** Without a regular expression, so that no pattern can be made to run for ever. */
function matches(parts: readonly string[], text: string): boolean {
  const [head, ...rest] = parts
  if (rest.length === 0) return text === head
  const tail = rest.pop() as string
  if (!text.startsWith(head)) return false
  let at = head.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return text.length - tail.length >= at && text.endsWith(tail)
}
