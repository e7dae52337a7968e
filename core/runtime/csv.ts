/** The one of comma, semicolon and tab that splits a header into the most names. */
export function separatorOf(header: string): string {
  const counts = [',', ';', '\t'].map(s => ({ s, n: header.split(s).length }))
  return counts.reduce((best, c) => (c.n > best.n ? c : best)).s
}

/**
 * One line's cells, trimmed. A quoted one may hold the separator, and `""` for a quote; not a line
 * break (RFC 4180 but for that).
 *
 * @returns undefined when a quote is opened and not closed.
 */
export function cellsOf(line: string, separator: string): string[] | undefined {
  if (!line.includes('"')) return line.split(separator).map(c => c.trim())
  const cells: string[] = []
  let cell = ''
  let open = false
  for (let i = 0; i < line.length; i++) {
    const c = line[i]
    if (open && c === '"' && line[i + 1] === '"') {
      cell += '"'
      i++
    } else if (c === '"') open = !open
    else if (c === separator && !open) {
      cells.push(cell.trim())
      cell = ''
    } else cell += c
  }
  if (open) return undefined
  cells.push(cell.trim())
  return cells
}
