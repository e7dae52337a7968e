import { setTimeout as wait } from 'node:timers/promises'
import { DeviceFeed } from './device-feed.ts'
import { scrapedNumbers } from './metrics-page.ts'
import { type Sight, Sights } from './sight.ts'
import type { StatusClient } from './status-client.ts'

/** The devices come by themselves; nobody is kept waiting longer for them. */
const DEVICES_MS_MAX = 1_000

export interface Observed {
  sight: Sight
  /** `/status` as it came. */
  body: string
}

/** Looks at one running agent or detector, again and again. Close it in the end. */
export class StatusObserver {
  readonly #client: StatusClient
  readonly #sights = new Sights()
  #feed: DeviceFeed | undefined

  constructor(client: StatusClient) {
    this.#client = client
  }

  /**
   * @param alone Only `/status`: neither PUBACKs nor devices.
   * @throws {OperationalError} STATUS_UNREADABLE; a later look may go well.
   */
  async look({ alone = false } = {}): Promise<Observed> {
    const { body, answer } = await this.#client.status()
    const [now, monotonic] = [Date.now(), performance.now()]
    const asksMore = answer.kind === 'agent' && !alone
    const page = asksMore ? await this.#client.metrics() : undefined
    if (asksMore && answer.status.detector && !this.#feed) {
      this.#feed = new DeviceFeed(this.#client)
      await Promise.race([this.#feed.first(), wait(DEVICES_MS_MAX, undefined, { ref: false })])
    }
    const scraped = page === undefined ? undefined : scrapedNumbers(page)
    const seen = { answer, scraped, devices: this.#feed?.latest }
    return { body, sight: this.#sights.take(seen, now, monotonic) }
  }

  async close(): Promise<void> {
    await this.#feed?.close()
  }
}
