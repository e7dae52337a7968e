/** Clients whose refusals are remembered; beyond it the one refused longest ago is forgotten. */
const CLIENTS_MAX = 10_000
const DELAY_MS_MIN = 1_000
const DELAY_MS_MAX = 15_000
/** A client that was not refused for so long begins anew. */
const FORGET_MS = 60_000

interface Refused {
  delayMs: number
  at: number
  until: number
}

/**
 * When a client whose message the log refused is let in again. MQTT 3.1.1 knows no refusal but the
 * end of the connection, and most clients come back at once with the same message: without this a
 * full log (`drop_newest`) would mean a storm of connections. The CONNECT is answered later, the
 * client waits for its CONNACK.
 */
export class ReconnectThrottle {
  readonly #now: () => number
  readonly #random: () => number
  readonly #clients = new Map<string, Refused>()

  /**
   * @param now Monotonic, ms.
   * @param random Uniform in [0, 1): spreads the returns of those that were refused together.
   */
  constructor(now: () => number, random: () => number = Math.random) {
    this.#now = now
    this.#random = random
  }

  /** The log refused its message. Counts once a connection: with the first one it is closed. */
  refused(client: { readonly id: string; readonly closed: boolean } | null): void {
    if (client === null || client.closed) return
    const clientId = client.id
    const now = this.#now()
    const before = this.#clients.get(clientId)
    const again = before !== undefined && now - before.at < FORGET_MS
    const delayMs = again ? Math.min(2 * before.delayMs, DELAY_MS_MAX) : DELAY_MS_MIN
    this.#clients.delete(clientId)
    if (this.#clients.size >= CLIENTS_MAX) {
      const [oldest] = this.#clients.keys()
      this.#clients.delete(oldest)
    }
    this.#clients.set(clientId, {
      delayMs,
      at: now,
      until: now + delayMs * (0.5 + this.#random() / 2)
    })
  }

  /** Calls `then` when the client may come in: at once for most. */
  admit(clientId: string, then: () => void): void {
    const delayMs = this.delayMs(clientId)
    if (delayMs > 0) setTimeout(then, delayMs).unref()
    else then()
  }

  /** How long its CONNECT is to wait, ms; 0 for most. */
  delayMs(clientId: string): number {
    const refused = this.#clients.get(clientId)
    if (!refused) return 0
    const now = this.#now()
    if (now - refused.at >= FORGET_MS) this.#clients.delete(clientId)
    return Math.max(0, refused.until - now)
  }
}
