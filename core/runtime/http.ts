import { timingSafeEqual } from 'node:crypto'
import http from 'node:http'
import type { Address } from './address.ts'
import { openListener } from './listen.ts'
import type { Logger } from './log.ts'

export interface HttpAnswer {
  status: number
  type: 'application/json' | 'text/plain; version=0.0.4' | 'text/plain'
  body: string
}

export interface HttpOptions {
  address: Address
  /** Requests must carry it as `authorization: Bearer …`. */
  token: string | undefined
  /** By path; a query is ignored. */
  pages: Record<string, () => HttpAnswer | Promise<HttpAnswer>>
  logger: Logger
}

/** Read-only: GET and HEAD of a few fixed pages. */
export class HttpServer {
  readonly #server: http.Server
  readonly #options: HttpOptions

  /** @throws {OperationalError} ADDRESS_IN_USE, HOST_UNKNOWN or LISTEN_FAILED. */
  static async open(options: HttpOptions): Promise<HttpServer> {
    const server = new HttpServer(options)
    await openListener(server.#server, options.address)
    return server
  }

  private constructor(options: HttpOptions) {
    this.#options = options
    this.#server = http.createServer({ requestTimeout: 10_000, maxHeaderSize: 8192 }, (q, r) => {
      void this.#answer(q, r)
    })
    this.#server.maxConnections = 100
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const answer = await this.#page(request)
    response.writeHead(answer.status, {
      'content-type': answer.type,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...(answer.status === 401 ? { 'www-authenticate': 'Bearer' } : {})
    })
    response.end(request.method === 'HEAD' ? undefined : answer.body)
  }

  async #page(request: http.IncomingMessage): Promise<HttpAnswer> {
    if (request.method !== 'GET' && request.method !== 'HEAD') return plain(405, 'only GET')
    if (!this.#admits(request.headers.authorization)) return plain(401, 'a token is needed')
    const path = (request.url ?? '/').split('?')[0]
    const page = Object.hasOwn(this.#options.pages, path) ? this.#options.pages[path] : undefined
    if (!page)
      return plain(404, `no such page; there are ${Object.keys(this.#options.pages).join(' ')}`)
    try {
      return await page()
    } catch (error) {
      this.#options.logger.error(
        { event: 'http.failed', path, error: String(error) },
        'A page failed.'
      )
      return plain(500, 'this page failed; see the log')
    }
  }

  #admits(authorization: string | undefined): boolean {
    const { token } = this.#options
    if (token === undefined) return true
    const given = Buffer.from(/^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '')
    const expected = Buffer.from(token)
    return given.length === expected.length && timingSafeEqual(given, expected)
  }
}

export function json(value: unknown, status = 200): HttpAnswer {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n` }
}

function plain(status: number, body: string): HttpAnswer {
  return { status, type: 'text/plain', body: `${body}\n` }
}
