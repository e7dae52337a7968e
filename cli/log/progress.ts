import { bytesText } from './text.ts'

/** Shown once it takes longer than a person waits without asking, and not more often than read. */
const FIRST_MS = 500
const EVERY_MS = 100
const BAR_CHARS = 24

/** A bar on standard error, if that is a terminal. */
export class Progress {
  readonly #what: string
  readonly #startedAt = performance.now()
  #shownAt = 0
  #shown = false

  constructor(what: string) {
    this.#what = what
  }

  readonly show = ({ bytes, bytesTotal }: { bytes: number; bytesTotal: number }): void => {
    const now = performance.now()
    const elapsedMs = now - this.#startedAt
    if (!process.stderr.isTTY || elapsedMs < FIRST_MS || now - this.#shownAt < EVERY_MS) return
    this.#shownAt = now
    this.#shown = true
    const part = bytesTotal > 0 ? Math.min(1, bytes / bytesTotal) : 1
    const full = Math.round(part * BAR_CHARS)
    const bar = '█'.repeat(full) + '░'.repeat(BAR_CHARS - full)
    const speed = bytesText((bytes / elapsedMs) * 1000)
    process.stderr.write(
      `\r\x1b[K${this.#what}  ${bar} ${String(Math.round(part * 100)).padStart(3)} %  ${bytesText(bytes)} of ${bytesText(bytesTotal)}, ${speed}/s`
    )
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K')
  }
}
