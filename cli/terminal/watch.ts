import { setTimeout as wait } from 'node:timers/promises'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { FullScreen, type FullScreenOptions } from './full-screen.ts'
import { clip, type Paint } from './text.ts'

export interface WatchOptions extends Pick<FullScreenOptions, 'input' | 'output'> {
  /** Asks again; what it rejects with is shown, and the last picture stays. */
  read: () => Promise<void>
  /** The picture, and below its last empty line what stays when the terminal is too small. */
  lines: (size: { rows: number; columns: number }) => string[]
  paint: Paint
  drawMs?: number
}

const DRAW_MS = 2_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const CTRL_C = '\x03'

/** @throws {OperationalError} USAGE: there is nothing to draw on. */
export function requireTerminal(): void {
  if (process.stdout.isTTY) return
  throw new OperationalError('USAGE', '--watch needs a terminal; --json is for scripts.')
}

/** Shows a table until the person has seen enough: `q`, Ctrl-C or a signal. */
export async function watch(options: WatchOptions): Promise<void> {
  const { read, lines, paint, input, output, drawMs = DRAW_MS } = options
  const ended = new AbortController()
  const { signal } = ended
  const end = (): void => ended.abort()
  let trouble: string | undefined
  const draw = (): void => {
    const { columns, rows } = screen.size
    const all = lines({ columns, rows })
    const below = all.splice(all.lastIndexOf(''))
    if (trouble) below.push('', paint.yellow(trouble))
    const shown = [...all.slice(0, Math.max(1, rows - below.length)), ...below]
    screen.draw(shown.map(line => clip(line, columns)))
  }
  const screen = new FullScreen({
    ...{ input, output, onResize: draw },
    onKey: keys => (keys.includes('q') || keys.includes(CTRL_C) ? end() : draw())
  })
  for (const name of SIGNALS) process.once(name, end)
  const over = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
  screen.open()
  try {
    while (!signal.aborted) {
      draw()
      await wait(drawMs, undefined, { signal }).catch(() => {})
      const reading = read().then(
        () => undefined,
        error => messageOf(error)
      )
      trouble = (await Promise.race([reading, over])) ?? undefined
    }
  } finally {
    screen.close()
    for (const name of SIGNALS) process.off(name, end)
  }
}
