export interface SubscriptionOptions {
  subscriptionsPerClientMax: number
  subscriptionsMax: number
}

/** How many filters each connected client has subscribed to, and all of them together. */
export class Subscriptions {
  readonly #filters = new Map<object, Set<string>>()
  #options: SubscriptionOptions
  #total = 0

  constructor(options: SubscriptionOptions) {
    this.#options = options
  }

  get total(): number {
    return this.#total
  }

  /** For those that come from now on. */
  reconfigure(options: SubscriptionOptions): void {
    this.#options = options
  }

  filtersOf(client: object): ReadonlySet<string> {
    return this.#filters.get(client) ?? new Set()
  }

  /** @returns false when the client, or all together, have no place for it. */
  add(client: object, filter: string): boolean {
    const filters = this.#filters.get(client) ?? new Set()
    if (filters.has(filter)) return true
    const { subscriptionsPerClientMax, subscriptionsMax } = this.#options
    if (filters.size >= subscriptionsPerClientMax || this.#total >= subscriptionsMax) return false
    filters.add(filter)
    this.#filters.set(client, filters)
    this.#total++
    return true
  }

  remove(client: object, filter: string): void {
    if (this.#filters.get(client)?.delete(filter)) this.#total--
  }

  /** The client is gone, and all of its with it. */
  leave(client: object): void {
    this.#total -= this.#filters.get(client)?.size ?? 0
    this.#filters.delete(client)
  }
}
