import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { isLoopbackHost } from './address.ts'

const COOKIE = 'fieldline'
/** A browser is asked for the token again after so long. */
const COOKIE_S = 30 * 86_400
/** Of a form that holds a token. */
export const LOGIN_BYTES_MAX = 4096

export type Admission = 'admitted' | 'token_needed' | 'name_not_believed'

/**
 * Who may read the pages.
 *
 * With a token, who sends it: as `authorization: Bearer …`, or a browser as the cookie that it got for
 * it. The cookie is made of the token and does not tell it; another token makes it worthless.
 *
 * Without one the address is of this machine only, and what comes must have called it by an address
 * or as localhost: a foreign page whose name was made to lead here (DNS rebinding) has its own name
 * in `host`.
 */
export class HttpDoor {
  readonly #token: string | undefined

  constructor(token: string | undefined) {
    this.#token = token
  }

  admits({ headers }: Pick<IncomingMessage, 'headers'>): Admission {
    if (this.#token === undefined) {
      return isOwnName(headers.host) ? 'admitted' : 'name_not_believed'
    }
    const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1]
    if (bearer !== undefined && isEqual(bearer, this.#token)) return 'admitted'
    const cookie = cookieOf(headers.cookie)
    return cookie !== undefined && isEqual(cookie, this.#cookieValue(this.#token))
      ? 'admitted'
      : 'token_needed'
  }

  /** @returns The `set-cookie` for who knows the token; undefined for who does not. */
  cookieFor(given: string): string | undefined {
    if (this.#token === undefined || !isEqual(given, this.#token)) return undefined
    const value = this.#cookieValue(this.#token)
    return `${COOKIE}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${COOKIE_S}`
  }

  #cookieValue(token: string): string {
    return createHmac('sha256', token).update('fieldline cookie 1').digest('base64url')
  }
}

function cookieOf(header: string | undefined): string | undefined {
  for (const part of (header ?? '').split(';')) {
    const [name, value] = part.trim().split('=', 2)
    if (name === COOKIE) return value
  }
  return undefined
}

function isOwnName(host: string | undefined): boolean {
  const name = (host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  return isIP(name) !== 0 || isLoopbackHost(name)
}

/** In a time that tells neither the content nor the length. */
function isEqual(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
