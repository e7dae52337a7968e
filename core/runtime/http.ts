import http from 'node:http'
import type { Address } from './address.ts'
import { EventStream } from './event-stream.ts'
import { HttpDoor, LOGIN_BYTES_MAX } from './http-door.ts'
import { openListener } from './listen.ts'
import type { Logger } from './log.ts'

export interface HttpAnswer {
  status: number
  type:
    | 'application/json'
    | 'text/plain; version=0.0.4'
    | 'text/plain'
    | 'text/html; charset=utf-8'
    | 'text/css; charset=utf-8'
    | 'text/javascript; charset=utf-8'
    | 'image/svg+xml'
  body: string
}

export interface HttpOptions {
  address: Address
  /** Requests must carry it as `authorization: Bearer …`, or the cookie that a browser gets for it. */
  token: string | undefined
  /** By path; a query is ignored. */
  pages: Record<string, () => HttpAnswer | Promise<HttpAnswer>>
  /** Pages that look at their query, by path. */
  queryPages?: Record<string, (query: URLSearchParams) => HttpAnswer | Promise<HttpAnswer>>
  /** Server-sent events, by path. An answer is sent instead, a stream is the callee's to end. */
  streams?: Record<
    string,
    (query: URLSearchParams, stream: () => EventStream) => HttpAnswer | undefined
  >
  /** Paths that anybody may read who reaches the address: a supervisor has no token. */
  openPages?: readonly string[]
  /** What a browser without a token sees at `/`, if there is a page for it. */
  loginPage?: (refused: boolean) => HttpAnswer
  logger: Logger
}

/** Nothing of a foreign origin, nothing inline, in nobody's frame. */
const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin'
}

const LOGIN = '/login'
/** A wrong token is answered late, and so many at once: guessing takes longer than anybody has. */
const WRONG_TOKEN_MS = 500
const WRONG_TOKENS_MAX = 8

/** Read-only: GET and HEAD of a few fixed pages, and the form that hands in the token. */
export class HttpServer {
  readonly #server: http.Server
  readonly #options: HttpOptions
  readonly #door: HttpDoor
  #wrongTokens = 0

  /** @throws {OperationalError} ADDRESS_IN_USE, HOST_UNKNOWN or LISTEN_FAILED. */
  static async open(options: HttpOptions): Promise<HttpServer> {
    const server = new HttpServer(options)
    await openListener(server.#server, options.address)
    return server
  }

  private constructor(options: HttpOptions) {
    this.#options = options
    this.#door = new HttpDoor(options.token)
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
    const { pathname: path, searchParams } = urlOf(request)
    const { loginPage, openPages = [], streams = {} } = this.#options
    if (request.method === 'POST' && path === LOGIN && loginPage && this.#options.token) {
      return this.#login(request, response, loginPage)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return send(request, response, plain(405, 'only GET'))
    }
    if (!openPages.includes(path)) {
      const admission = this.#door.admits(request)
      if (admission === 'token_needed') {
        const form = path === '/' && loginPage ? loginPage(false) : plain(401, 'a token is needed')
        return send(
          request,
          response,
          { ...form, status: 401 },
          {
            'www-authenticate': 'Bearer'
          }
        )
      }
      if (admission === 'name_not_believed') {
        const message = `without a token this is answered only under an address or 'localhost', not under a name: use http://127.0.0.1:${this.port}/, or set http.token`
        return send(request, response, plain(421, message))
      }
    }
    if (Object.hasOwn(streams, path) && request.method === 'GET') {
      const refusal = streams[path](searchParams, () => openStream(response))
      return refusal ? send(request, response, refusal) : undefined
    }
    send(request, response, await this.#page(path, searchParams))
  }

  async #page(path: string, query: URLSearchParams): Promise<HttpAnswer> {
    const { pages, queryPages } = this.#options
    const all = { ...pages, ...queryPages }
    const page = Object.hasOwn(all, path) ? all[path] : undefined
    if (!page) return plain(404, `no such page; there are ${Object.keys(all).join(' ')}`)
    try {
      return await page(query)
    } catch (error) {
      this.#options.logger.error(
        { event: 'http.failed', path, error: String(error) },
        'A page failed.'
      )
      return plain(500, 'this page failed; see the log')
    }
  }

  async #login(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    loginPage: (refused: boolean) => HttpAnswer
  ): Promise<void> {
    if (this.#wrongTokens >= WRONG_TOKENS_MAX) {
      return send(request, response, plain(429, 'too many wrong tokens; try again in a moment'))
    }
    const form = await bodyOf(request)
    const cookie = this.#door.cookieFor(new URLSearchParams(form).get('token') ?? '')
    if (cookie !== undefined) {
      const seeOther = { location: '/', 'set-cookie': cookie }
      return send(request, response, plain(303, 'welcome'), seeOther)
    }
    this.#wrongTokens++
    await new Promise(resolve => setTimeout(resolve, WRONG_TOKEN_MS).unref())
    this.#wrongTokens--
    send(request, response, { ...loginPage(true), status: 401 })
  }
}

function urlOf(request: http.IncomingMessage): Pick<URL, 'pathname' | 'searchParams'> {
  const [pathname, query = ''] = (request.url ?? '/').split(/\?(.*)/s)
  return { pathname, searchParams: new URLSearchParams(query) }
}

/** @returns Nothing, when it is longer than any token or does not come whole. */
async function bodyOf(request: http.IncomingMessage): Promise<string> {
  let body = ''
  try {
    for await (const chunk of request) {
      body += chunk
      if (body.length > LOGIN_BYTES_MAX) return ''
    }
  } catch {
    return ''
  }
  return body
}

function openStream(response: http.ServerResponse): EventStream {
  response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream' })
  response.flushHeaders()
  return new EventStream(response)
}

function send(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  answer: HttpAnswer,
  headers: Record<string, string> = {}
): void {
  response.writeHead(answer.status, { ...HEADERS, 'content-type': answer.type, ...headers })
  response.end(request.method === 'HEAD' ? undefined : answer.body)
}

export function json(value: unknown, status = 200): HttpAnswer {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n` }
}

export function plain(status: number, body: string): HttpAnswer {
  return { status, type: 'text/plain', body: `${body}\n` }
}
