import { setTimeout as wait } from 'node:timers/promises'
import { messageOf } from '../../core/runtime/errors.ts'
import { StatusObserver } from '../status/observe.ts'
import type { Sight } from '../status/sight.ts'
import type { StatusClient } from '../status/status-client.ts'
import { FullScreen, type FullScreenOptions } from '../terminal/full-screen.ts'
import type { Paint } from '../terminal/text.ts'
import { renderTop, type TopPicture } from './frame.ts'
import { TopHistory } from './history.ts'

export interface TopOptions extends Pick<FullScreenOptions, 'input' | 'output'> {
  client: StatusClient
  paint: Paint
  intervalMs?: number
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const CTRL_C = '\x03'
const CTRL_Z = '\x1a'

/**
 * Shows it until the person has seen enough: `q`, Ctrl-C or a signal.
 *
 * @throws {OperationalError} STATUS_UNREADABLE: the first look failed. What fails later is shown.
 */
export async function runTop(options: TopOptions): Promise<void> {
  const observer = new StatusObserver(options.client)
  try {
    const { sight } = await observer.look()
    await new Top(options, observer, sight).run()
  } finally {
    await observer.close()
  }
}

class Top {
  readonly #options: TopOptions
  readonly #observer: StatusObserver
  readonly #history = new TopHistory()
  readonly #screen: FullScreen
  readonly #ended = new AbortController()
  #sight: Sight
  #away: TopPicture['away']

  constructor(options: TopOptions, observer: StatusObserver, sight: Sight) {
    const { input, output } = options
    this.#options = options
    this.#observer = observer
    this.#sight = sight
    this.#history.add(sight)
    this.#screen = new FullScreen({
      ...{ input, output },
      onKey: keys => this.#take(keys),
      onResize: () => this.#draw()
    })
  }

  async run(): Promise<void> {
    const { signal } = this.#ended
    const end = (): void => this.#ended.abort()
    for (const name of SIGNALS) process.once(name, end)
    const over = aborted(signal)
    this.#screen.open()
    try {
      while (!signal.aborted) {
        this.#draw()
        await wait(this.#options.intervalMs ?? 1_000, undefined, { signal }).catch(() => {})
        if (!signal.aborted) await Promise.race([this.#look(), over])
      }
    } finally {
      this.#screen.close()
      for (const name of SIGNALS) process.off(name, end)
    }
  }

  async #look(): Promise<void> {
    try {
      this.#sight = (await this.#observer.look()).sight
      this.#away = undefined
      this.#history.add(this.#sight)
    } catch (error) {
      this.#away = { message: messageOf(error), sinceAt: this.#away?.sinceAt ?? Date.now() }
    }
  }

  #draw(): void {
    const picture: TopPicture = {
      ...{ sight: this.#sight, history: this.#history, url: this.#options.client.target.url },
      now: Date.now(),
      ...(this.#away ? { away: this.#away } : {})
    }
    this.#screen.draw(renderTop(picture, this.#screen.size, this.#options.paint))
  }

  /** Typed faster than it is read, several come at once. */
  #take(keys: string): void {
    if (/[qQ]/.test(keys) || keys.includes(CTRL_C)) this.#ended.abort()
    else if (keys.includes(CTRL_Z)) this.#suspend()
  }

  /** The terminal is the shell's until `fg`; where no shell waits, it goes on at once. */
  #suspend(): void {
    this.#screen.close()
    process.kill(process.pid, 'SIGTSTP')
    this.#screen.open()
    this.#draw()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
}
