/** Colours of a terminal, or none. Each takes text and gives it back painted. */
export interface Paint {
  dim(text: string): string
  bold(text: string): string
  green(text: string): string
  yellow(text: string): string
  red(text: string): string
  cyan(text: string): string
}

const plain = (text: string): string => text
const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    `\x1b[${on}m${text}\x1b[${off}m`

export const NO_PAINT: Paint = {
  ...{ dim: plain, bold: plain, green: plain, yellow: plain, red: plain, cyan: plain }
}

export const PAINT: Paint = {
  dim: sgr(2, 22),
  bold: sgr(1, 22),
  green: sgr(32, 39),
  yellow: sgr(33, 39),
  red: sgr(31, 39),
  cyan: sgr(36, 39)
}

/** In parentheses, so that `split` keeps the colours. */
const ESCAPE = new RegExp(`(${'\x1b'}\\[[0-9;]*m)`, 'g')

/** Columns that the text takes, colours not counted. */
export function widthOf(text: string): number {
  return [...text.replace(ESCAPE, '')].length
}

/** Cuts a line, colours not counted, so that it fits; what was cut shows as `…`. */
export function clip(line: string, width: number): string {
  if (widthOf(line) <= width) return line
  let room = Math.max(0, width - 1)
  let cut = ''
  for (const part of line.split(ESCAPE)) {
    if (part.startsWith('\x1b')) cut += part
    else {
      const taken = [...part].slice(0, room)
      room -= taken.length
      cut += taken.join('')
    }
    // Colours behind the cut are kept: they end what began before it.
  }
  return width > 0 ? `${cut}…` : ''
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)))
}

export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - widthOf(text))) + text
}

/** 12345 → `12,345` */
export function thousands(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** `0:07`, `1:23` */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

/** `0.4 s`, `13 s` */
export function seconds(ms: number): string {
  return ms < 9_950 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`
}

/** `0.8 ms`, `13 ms`, `1.2 s` */
export function latency(ms: number): string {
  if (ms >= 1_000) return seconds(ms)
  return ms < 9.95 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`
}

const BARS = '▁▂▃▄▅▆▇█'
/** What passes through within a second is no backlog: it shall not look like a mountain. */
const FULL_BAR_MIN = 500

/**
 * The last `width` values as bars, the highest of all of them full; a dot is next to none.
 *
 * @param fullMin A lower highest value does not fill its bar.
 */
export function sparkline(
  values: readonly number[],
  width: number,
  fullMin = FULL_BAR_MIN
): string {
  const shown = values.slice(-width)
  const highest = Math.max(fullMin, ...shown)
  return shown.map(v => BARS[Math.round((v / highest) * BARS.length) - 1] ?? '·').join('')
}

/** @param share 0…1; what is more fills it. */
export function barOf(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width)
  return '█'.repeat(full) + '░'.repeat(width - full)
}

const LABEL_COLUMNS = 10

/** A line of a picture: what it is about, and what there is to say. */
export function labelled(label: string, text: string, paint: Paint): string {
  return `  ${paint.dim(padEnd(label, LABEL_COLUMNS))}${text}`
}

/** Of the words that say how delivery is doing. */
export const MODE_COLOURS: Readonly<Record<string, keyof Paint>> = {
  streaming: 'green',
  draining: 'cyan',
  buffering: 'yellow',
  full: 'red',
  parked: 'red'
}
