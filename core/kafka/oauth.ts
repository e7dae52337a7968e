import { type Clock, systemClock } from '../runtime/clock.ts'
import { KafkaSecurityError } from './security-errors.ts'

export interface Token {
  readonly value: string
  /** Epoch ms, by this machine's clock. */
  readonly expiresAt: number
}

/** Where tokens come from. */
export type TokenProvider = () => Promise<Token>

/** A token is renewed when so much of its life is over, and not used in its last seconds. */
const LIFE_USED = 0.8
const RESERVE_MS = 10_000
/** RFC 6750: b64token. A broker would answer anything else by closing the connection. */
const TOKEN_FORM = /^[A-Za-z0-9\-._~+/]+=*$/

/**
 * Keeps a token while it is good. Connections that log in at once share one request; a new token is
 * fetched ahead of the old one's end, and while that fails the old one is used as long as it lasts.
 */
export class TokenCache {
  readonly #provider: TokenProvider
  readonly #clock: Clock
  #token: (Token & { readonly renewAt: number }) | undefined
  #fetching: Promise<string> | undefined

  constructor(provider: TokenProvider, clock: Clock = systemClock) {
    this.#provider = provider
    this.#clock = clock
  }

  /** @throws {KafkaSecurityError} OAUTH_TOKEN_REFUSED, OAUTH_TOKEN_UNAVAILABLE, SECRET_UNREADABLE. */
  async value(): Promise<string> {
    const now = this.#clock.now()
    if (this.#token && now < this.#token.renewAt) return this.#token.value
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetch(): Promise<string> {
    const now = this.#clock.now()
    try {
      const token = await this.#provider()
      if (!TOKEN_FORM.test(token.value)) {
        throw new KafkaSecurityError('OAUTH_TOKEN_REFUSED', 'the provider gave no bearer token')
      }
      const lifeMs = Math.max(0, token.expiresAt - now)
      this.#token = { ...token, renewAt: now + Math.min(lifeMs * LIFE_USED, lifeMs - RESERVE_MS) }
      return token.value
    } catch (error) {
      const old = this.#token
      if (old && now < old.expiresAt - RESERVE_MS) return old.value
      throw error
    }
  }
}
