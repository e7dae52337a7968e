import http from 'node:http'
import https from 'node:https'
import { messageOf } from '../runtime/errors.ts'
import type { Token } from './oauth.ts'
import { KafkaSecurityError } from './security-errors.ts'

export interface ClientCredentials {
  readonly tokenUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly scope?: string
  /** PEM text of the authorities to trust instead of the system's. */
  readonly ca?: string
}

const ANSWER_MS_MAX = 10_000
const ANSWER_BYTES_MAX = 256 * 1024
/** When an answer does not say how long its token lives. */
const LIFE_MS_DEFAULT = 300_000

/**
 * Asks an OAuth 2 token endpoint (RFC 6749 §4.4), credentials in the header (§2.3.1).
 *
 * Not by `fetch`, which follows redirects with the secret in hand, can be told by an environment
 * variable to verify nobody, and cannot be given an authority.
 *
 * @throws {KafkaSecurityError} OAUTH_TOKEN_REFUSED: the endpoint says no. OAUTH_TOKEN_UNAVAILABLE: it
 *   does not answer, or not with a token. Neither repeats the secret.
 */
export async function fetchToken(
  credentials: ClientCredentials,
  answerMsMax = ANSWER_MS_MAX
): Promise<Token> {
  const { tokenUrl, clientId, clientSecret, scope } = credentials
  const login = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...(scope && { scope }) })
  const askedAt = Date.now()
  const answer = await post(tokenUrl, {
    headers: {
      authorization: `Basic ${Buffer.from(login).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json'
    },
    body: form.toString(),
    answerMsMax,
    ...(credentials.ca === undefined ? {} : { ca: credentials.ca })
  }).catch(error => {
    const message = `the token endpoint ${tokenUrl} does not answer: ${messageOf(error)}`
    throw new KafkaSecurityError('OAUTH_TOKEN_UNAVAILABLE', message)
  })
  const fields = jsonOf(answer.body)
  if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) {
    const reason = typeof fields.error === 'string' ? fields.error.slice(0, 100) : 'no reason given'
    throw new KafkaSecurityError(
      'OAUTH_TOKEN_REFUSED',
      `the token endpoint ${tokenUrl} refuses client '${clientId}' (${answer.status}, ${reason}): correct kafka.sasl.client_id, client_secret or scope`
    )
  }
  const { access_token: value, expires_in: seconds } = fields
  if (answer.status !== 200 || typeof value !== 'string') {
    throw new KafkaSecurityError(
      'OAUTH_TOKEN_UNAVAILABLE',
      `the token endpoint ${tokenUrl} answers ${answer.status} without a token: is kafka.sasl.token_url right?`
    )
  }
  const lifeMs = Number(seconds) > 0 ? Number(seconds) * 1000 : LIFE_MS_DEFAULT
  return { value, expiresAt: askedAt + lifeMs }
}

interface Answer {
  readonly status: number
  readonly body: string
}

interface Request {
  readonly headers: Record<string, string>
  readonly body: string
  readonly answerMsMax: number
  readonly ca?: string
}

function post(url: string, { headers, body, answerMsMax, ca }: Request): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const secure = url.startsWith('https:')
    const request = (secure ? https : http).request(url, {
      method: 'POST',
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
      signal: AbortSignal.timeout(answerMsMax),
      agent: false,
      ...(secure ? { rejectUnauthorized: true, ca } : {})
    })
    request.once('error', error => {
      const late = error.name === 'TimeoutError' || error.name === 'AbortError'
      reject(late ? new Error(`nothing within ${answerMsMax} ms`) : error)
    })
    request.once('response', response => {
      const parts: Buffer[] = []
      let bytes = 0
      response.on('data', (part: Buffer) => {
        bytes += part.length
        if (bytes > ANSWER_BYTES_MAX) request.destroy(new Error('its answer has no end'))
        else parts.push(part)
      })
      response.once('error', reject)
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString() })
      })
    })
    request.end(body)
  })
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
