import type { DevicesLook } from '../../agent/devices/device-registry.ts'
import { messageOf, OperationalError, systemCode } from '../../core/runtime/errors.ts'
import { printable } from '../log/text.ts'
import { answerOf, type StatusAnswer } from './answer.ts'
import { type StatusTarget, TOKEN_VARIABLE } from './target.ts'

/** Longer pages are none of ours: a fleet of 100,000 open alerts is half of it. */
const PAGE_BYTES_MAX = 256 * 2 ** 20
const PAGE_MS_MAX = 5_000
const DETAIL_CHARACTERS_MAX = 300

/** Asks a running agent or detector by HTTP. */
export class StatusClient {
  readonly target: StatusTarget

  constructor(target: StatusTarget) {
    this.target = target
  }

  /**
   * @returns The page as it came, and what it says.
   * @throws {OperationalError} STATUS_UNREADABLE: who was asked, why there is no answer, what to do.
   */
  async status(): Promise<{ body: string; answer: StatusAnswer }> {
    const body = await this.#page('status').catch(error => {
      throw error instanceof OperationalError ? error : this.#unreachable(error)
    })
    const answer = answerOf(body)
    if (answer) return { body, answer }
    throw this.#unreadable(
      'answers, but not as an agent or a detector of this version does. Is it the right port?'
    )
  }

  /**
   * @param query Of `/devices`.
   * @throws {OperationalError} STATUS_UNREADABLE
   */
  async devices(query: string): Promise<DevicesLook> {
    const body = await this.#page(`devices?${query}`).catch(error => {
      throw error instanceof OperationalError ? error : this.#unreachable(error)
    })
    const look = devicesOf(body)
    if (look) return look
    throw this.#unreadable('answers, but not as an agent of this version does.')
  }

  /** @returns undefined when the page cannot be had: what it says is only of use beside the status. */
  async metrics(): Promise<string | undefined> {
    return this.#page('metrics').catch(() => undefined)
  }

  /** Opens the stream of the dashboard. @throws whatever keeps it from opening. */
  async events(signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#fetch('events', signal)
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`)
    return response.body
  }

  async #page(name: string): Promise<string> {
    const response = await this.#fetch(name, AbortSignal.timeout(PAGE_MS_MAX))
    const body = await textOf(response)
    if (response.ok) return body
    if (response.status === 401) throw this.#unreadable(this.#tokenText())
    if (response.status === 404 && name.startsWith('devices')) {
      const message =
        'keeps no list of devices: it is a central detector, or an agent of an older version.'
      throw this.#unreadable(message)
    }
    const detail = printable(body.trim().slice(0, DETAIL_CHARACTERS_MAX))
    throw this.#unreadable(`answers with HTTP ${response.status}${detail && `: ${detail}`}`)
  }

  #fetch(name: string, signal: AbortSignal): Promise<Response> {
    const { url, token } = this.target
    const headers = token === undefined ? undefined : { authorization: `Bearer ${token}` }
    return fetch(`${url}${name}`, { signal, redirect: 'manual', ...(headers ? { headers } : {}) })
  }

  #tokenText(): string {
    const ways = `-c FILE (its http.token), --token-file FILE or ${TOKEN_VARIABLE}`
    return this.target.token === undefined
      ? `asks for its token: give it by ${ways}.`
      : `does not take this token: give the right one by ${ways}.`
  }

  #unreadable(what: string): OperationalError {
    return new OperationalError('STATUS_UNREADABLE', `${this.target.url} ${what}`)
  }

  #unreachable(error: unknown): OperationalError {
    const { url, from } = this.target
    const cause = (error as { cause?: unknown }).cause ?? error
    const code = systemCode(cause) ?? (error as Error).name
    const why = REASONS[code] ?? messageOf(cause)
    const elsewhere = from.startsWith('http.listen')
      ? 'or was it started with another --http'
      : 'does its configuration name another address (-c FILE)'
    const message = `Nothing to be had from ${url} (${from}): ${why}. Is the agent running (systemctl status fieldline-agent), ${elsewhere}? A detector answers only with --http.`
    return new OperationalError('STATUS_UNREADABLE', message, { cause: error })
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the host name does not resolve just now',
  ECONNRESET: 'the connection was cut',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to the network',
  UND_ERR_SOCKET: 'the connection was cut',
  UND_ERR_CONNECT_TIMEOUT: 'no connection',
  TimeoutError: `no answer within ${PAGE_MS_MAX / 1000} s`
}

function devicesOf(body: string): DevicesLook | undefined {
  try {
    const look = JSON.parse(body) as DevicesLook
    return Array.isArray(look.shown) && typeof look.known === 'number' ? look : undefined
  } catch {
    return undefined
  }
}

/** @throws {Error} It is longer than any page of ours. */
async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > PAGE_BYTES_MAX) throw new Error('its page does not end')
  }
  return text + decoder.decode()
}
