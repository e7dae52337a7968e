import type { ServerResponse } from 'node:http'

/** A reader that takes nothing has this much waiting for it, at most one update more. */
const WAITING_BYTES_MAX = 256 * 1024
/** …and is let go when it has taken nothing for so long. */
const STALLED_MS_MAX = 30_000

/** Server-sent events to one browser (HTML Living Standard §9.2). Bounded: see `send`. */
export class EventStream {
  readonly #response: ServerResponse
  #onClosed: () => void = () => {}
  #isOpen = true
  #stalled: NodeJS.Timeout | undefined

  constructor(response: ServerResponse) {
    this.#response = response
    response.on('drain', () => {
      clearTimeout(this.#stalled)
      this.#stalled = undefined
    })
    response.on('close', () => {
      this.#isOpen = false
      clearTimeout(this.#stalled)
      this.#onClosed()
    })
    response.on('error', () => {})
  }

  /** Called once, also when it is closed already. */
  onClosed(callback: () => void): void {
    this.#onClosed = callback
    if (!this.#isOpen) callback()
  }

  /** The reader is behind: what is sent now is not. */
  get behind(): boolean {
    return this.#response.writableLength > WAITING_BYTES_MAX
  }

  /**
   * @param events Name and data; data is sent as JSON.
   * @returns false, and nothing is sent, when the reader is gone or behind.
   */
  send(events: readonly { name: string; json: string }[]): boolean {
    if (!this.#isOpen || this.behind) return false
    if (events.length === 0) return true
    const text = events.map(({ name, json }) => `event: ${name}\ndata: ${json}\n\n`).join('')
    if (!this.#response.write(text) && this.#stalled === undefined) {
      this.#stalled = setTimeout(() => this.close(), STALLED_MS_MAX).unref()
    }
    return true
  }

  close(): void {
    this.#response.destroy()
  }
}
