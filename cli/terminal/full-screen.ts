import type { ReadStream, WriteStream } from 'node:tty'

export interface FullScreenOptions {
  input: Pick<ReadStream, 'isTTY' | 'setRawMode' | 'on' | 'off' | 'pause' | 'resume'>
  output: Pick<WriteStream, 'write' | 'columns' | 'rows' | 'on' | 'off'>
  onKey: (key: string) => void
  onResize: () => void
}

/** The alternate screen, without a cursor; and back, what was there before untouched. */
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const HOME = '\x1b[H'
const REST_OF_LINE = '\x1b[K'
const REST_OF_SCREEN = '\x1b[0J'

/** All of a terminal, until it is closed; also when the process ends by an error. */
export class FullScreen {
  readonly #options: FullScreenOptions
  readonly #onExit = (): void => this.close()
  readonly #onKeys = (keys: Buffer): void => this.#options.onKey(keys.toString('utf8'))
  readonly #onResize = (): void => this.#options.onResize()
  #isOpen = false

  constructor(options: FullScreenOptions) {
    this.#options = options
  }

  get size(): { columns: number; rows: number } {
    const { columns, rows } = this.#options.output
    return { columns: columns || 80, rows: rows || 24 }
  }

  open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    const { input, output } = this.#options
    process.once('exit', this.#onExit)
    output.on('resize', this.#onResize)
    if (input.isTTY) {
      input.setRawMode(true)
      input.on('data', this.#onKeys)
      input.resume()
    }
    output.write(ENTER)
  }

  /** @param lines As many as there are rows at most, none wider than the screen. One write: no half picture. */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return
    const text = lines
      .slice(0, this.size.rows)
      .map(line => `${line}${REST_OF_LINE}`)
      .join('\r\n')
    this.#options.output.write(`${HOME}${text}${REST_OF_SCREEN}`)
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    const { input, output } = this.#options
    process.off('exit', this.#onExit)
    output.off('resize', this.#onResize)
    if (input.isTTY) {
      input.off('data', this.#onKeys)
      input.setRawMode(false)
      input.pause()
    }
    output.write(LEAVE)
  }
}
