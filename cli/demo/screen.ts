import type { WriteStream } from 'node:tty'
import { paintFor } from '../terminal/paint.ts'
import { clip, clock, NO_PAINT, type Paint } from '../terminal/text.ts'
import { alertLine, type Picture, plainLine, renderFrame, type ShownAlert } from './frame.ts'

/** Where the demo is watched. */
export interface Screen {
  readonly paint: Paint
  /** Something happened that the story needs: it stays to be read. */
  tell(atMs: number, text: string): void
  alert(alert: ShownAlert): void
  /** Takes the live view away. */
  close(): void
}

export interface ScreenOptions {
  stream: NodeJS.WriteStream
  env: NodeJS.ProcessEnv
  picture: () => Picture
}

const REDRAW_MS = 200
const LINE_MS = 2_000

/** A live view on a terminal, plain lines anywhere else. */
export function openScreen(options: ScreenOptions): Screen {
  const { stream, env } = options
  return stream.isTTY && env.TERM !== 'dumb' ? new LiveScreen(options) : new PlainScreen(options)
}

/** Redraws in place at the bottom; what is told scrolls away above it. */
class LiveScreen implements Screen {
  readonly paint: Paint
  readonly #stream: WriteStream
  readonly #picture: () => Picture
  readonly #timer: NodeJS.Timeout
  readonly #onExit = (): void => this.#showCursor()
  #drawn = 0
  #closed = false

  constructor({ stream, env, picture }: ScreenOptions) {
    this.paint = paintFor(env, stream)
    this.#stream = stream as WriteStream
    this.#picture = picture
    process.once('exit', this.#onExit)
    this.#stream.write('\x1b[?25l')
    this.#timer = setInterval(() => this.#draw(), REDRAW_MS)
  }

  tell(atMs: number, text: string): void {
    if (this.#closed) return
    const width = Math.max(20, this.#columns - 1)
    const line = clip(`  ${this.paint.dim(clock(atMs))}  ${text}`, width)
    this.#draw(`${line}\n`)
  }

  alert(): void {
    // The latest ones are part of the picture.
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    this.#stream.write(this.#erase())
    this.#showCursor()
    process.off('exit', this.#onExit)
  }

  get #columns(): number {
    return this.#stream.columns || 80
  }

  /** One write: no half picture is ever seen. */
  #draw(above = ''): void {
    const size = { columns: this.#columns, rows: this.#stream.rows || 24 }
    const lines = renderFrame(this.#picture(), size, this.paint)
    const text = `${this.#erase()}${above}${lines.map(line => `${line}\n`).join('')}`
    this.#drawn = lines.length
    this.#stream.write(text)
  }

  /** Up to the first line of the last picture, all below it cleared. */
  #erase(): string {
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : ''
    this.#drawn = 0
    return `${up}\r\x1b[0J`
  }

  #showCursor(): void {
    this.#stream.write('\x1b[?25h')
  }
}

class PlainScreen implements Screen {
  readonly paint = NO_PAINT
  readonly #stream: NodeJS.WriteStream
  readonly #timer: NodeJS.Timeout

  constructor({ stream, picture }: ScreenOptions) {
    this.#stream = stream
    this.#timer = setInterval(() => stream.write(`${plainLine(picture())}\n`), LINE_MS)
  }

  tell(atMs: number, text: string): void {
    this.#stream.write(`[${clock(atMs)}] == ${text}\n`)
  }

  alert(alert: ShownAlert): void {
    this.#stream.write(`[${clock(alert.atMs)}] alert ${alertLine(alert, NO_PAINT).slice(6)}\n`)
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
