export interface KeptSessionsOptions {
  sessionsMax: number
  sessionExpiryMs: number
}

interface Away {
  user: string | undefined
  /** When it went, ms as `now` tells. */
  since: number
}

/**
 * Sessions of clients that asked for them to be kept and are away. They hold subscriptions and open
 * QoS 2 messages; nothing is queued for them. The one that is away longest gives way to a new one.
 */
export class KeptSessions {
  readonly #forget: (clientId: string) => void
  readonly #now: () => number
  /** The one that is away longest first. */
  readonly #away = new Map<string, Away>()
  #options: KeptSessionsOptions

  /** @param now Monotonic, ms. */
  constructor(options: KeptSessionsOptions, forget: (clientId: string) => void, now: () => number) {
    this.#options = options
    this.#forget = forget
    this.#now = now
  }

  get size(): number {
    return this.#away.size
  }

  reconfigure(options: KeptSessionsOptions): void {
    this.#options = options
    this.expire()
  }

  /** Whether the id may be used: a session belongs to the user that made it. */
  admits(clientId: string, user: string | undefined): boolean {
    const away = this.#away.get(clientId)
    return away === undefined || away.user === user
  }

  arrived(clientId: string): void {
    this.#away.delete(clientId)
  }

  left(clientId: string, user: string | undefined): void {
    this.#away.delete(clientId)
    this.#away.set(clientId, { user, since: this.#now() })
    this.expire()
  }

  /** Ends what is away for too long, and what is too much. */
  expire(): void {
    const { sessionsMax, sessionExpiryMs } = this.#options
    const oldest = this.#now() - sessionExpiryMs
    for (const [clientId, { since }] of this.#away) {
      if (since > oldest && this.#away.size <= sessionsMax) return
      this.#away.delete(clientId)
      this.#forget(clientId)
    }
  }
}
