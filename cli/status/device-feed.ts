import type { LiveLook } from '../../detector/live/live-view.ts'
import type { AgentView } from '../agent-view/agent-view.ts'
import type { StatusClient } from './status-client.ts'

export type HeardDevices = LiveLook['devices']

/** One event holds a few dozen devices or the points of a chart. */
const EVENT_CHARACTERS_MAX = 4 * 2 ** 20
const AGAIN_MS = 2_000

/**
 * What the dashboard is told of the devices, kept for who asks. Bounded: only the last word is kept.
 *
 * Without a detector at the agent, or with all viewers' places taken, there is none.
 */
export class DeviceFeed {
  readonly #client: Pick<StatusClient, 'events'>
  readonly #closed = new AbortController()
  readonly #first: Promise<void>
  #tellFirst: () => void = () => {}
  #latest: HeardDevices | undefined
  #running: Promise<void> | undefined

  constructor(client: Pick<StatusClient, 'events'>) {
    this.#client = client
    this.#first = new Promise(resolve => {
      this.#tellFirst = resolve
    })
  }

  get latest(): HeardDevices | undefined {
    return this.#latest
  }

  /** Resolves with the first word, or when there will be none for now. */
  first(): Promise<void> {
    this.#running ??= this.#run()
    return this.#first
  }

  async close(): Promise<void> {
    this.#closed.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed
    while (!signal.aborted) {
      await this.#follow().catch(() => {})
      this.#latest = undefined
      this.#tellFirst()
      await pause(AGAIN_MS, signal)
    }
  }

  async #follow(): Promise<void> {
    const decoder = new TextDecoder()
    let text = ''
    for await (const chunk of await this.#client.events(this.#closed.signal)) {
      text += decoder.decode(chunk, { stream: true })
      const end = text.lastIndexOf('\n\n')
      if (end >= 0) {
        this.#take(text.slice(0, end))
        text = text.slice(end + 2)
      }
      if (text.length > EVENT_CHARACTERS_MAX) throw new Error('an event does not end')
    }
  }

  #take(events: string): void {
    for (const event of events.split('\n\n')) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(event) ?? []
      // An agent that was not restarted since an upgrade does not tell the quietest.
      if (name === 'devices') this.#latest = { quietest: [], ...JSON.parse(data) } as HeardDevices
      // Where nothing is detected, nothing of devices follows.
      const isAlone = name === 'agent' && (JSON.parse(data) as AgentView).detector !== 'on'
      if (name === 'devices' || isAlone) this.#tellFirst()
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
