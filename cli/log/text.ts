import { padEnd, padStart, widthOf } from '../terminal/text.ts'

/** 1536 → `1.5 KiB` */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1
  return `${value.toFixed(digits)} ${units[unit]}`
}

/** 200000 → `3 min 20 s`: the two largest units. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  const units: [number, string][] = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
    [1, 's']
  ]
  const index = units.findIndex(([size]) => seconds >= size)
  const [size, unit] = units[index]
  const [smaller, name] = units[index + 1]
  const rest = Math.floor((seconds % size) / smaller)
  return `${Math.floor(seconds / size)} ${unit}${rest > 0 ? ` ${rest} ${name}` : ''}`
}

/** `2026-11-22 08:26:40`, UTC. */
export function timeText(at: number | undefined, withMs = false): string {
  if (at === undefined || !Number.isFinite(at)) return '-'
  const text = new Date(at).toISOString()
  return text.slice(0, withMs ? 23 : 19).replace('T', ' ')
}

export interface Column {
  title: string
  right?: boolean
}

/** Lines, columns as wide as they must be. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const lines = [columns.map(({ title }) => title), ...rows]
  const widths = columns.map((_, at) => Math.max(...lines.map(line => widthOf(line[at]))))
  return lines.map(line =>
    line
      .map((cell, at) => (columns[at].right ? padStart : padEnd)(cell, widths[at]))
      .join('  ')
      .trimEnd()
  )
}

/** 1, `record` → `1 record`; 2000, `record` → `2,000 records` */
export function count(n: number, noun: string): string {
  return `${n.toLocaleString('en-US')} ${noun}${n === 1 ? '' : 's'}`
}

const CONTROLS = /[\p{Cc}\u2028\u2029]/gu

/** For a terminal: what a stranger sent must not move its cursor or set its title. */
export function printable(text: string): string {
  return text.replace(CONTROLS, c => {
    const code = c.charCodeAt(0)
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
  })
}
