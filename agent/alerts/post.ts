import { messageOf, systemCode } from '../../core/runtime/errors.ts'
import { SinkUnavailable } from './sink.ts'

export interface Answer {
  status: number
  /** The beginning of the body, one line. */
  text: string
  /** What `retry-after` asks for, ms. */
  retryAfterMs: number | undefined
}

const ANSWER_BYTES_MAX = 4096
const TEXT_CHARS_MAX = 200

/**
 * One POST. Redirects are not followed: what is sent was meant for this address alone. Of the answer
 * no more than 4 KiB is read.
 *
 * @throws {SinkUnavailable} when there is no answer in time.
 */
export async function post(
  url: string,
  headers: Record<string, string>,
  body: string,
  timeoutMs: number,
  signal: AbortSignal
): Promise<Answer> {
  const deadline = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(url, {
      ...{ method: 'POST', headers, body, redirect: 'manual' },
      signal: AbortSignal.any([signal, deadline])
    })
    const text = await beginningOf(response)
    return { status: response.status, text, retryAfterMs: retryAfterMs(response) }
  } catch (error) {
    if (deadline.aborted) throw new SinkUnavailable(`no answer within ${timeoutMs} ms`)
    throw new SinkUnavailable(reasonOf(error))
  }
}

async function beginningOf(response: Response): Promise<string> {
  if (!response.body) return ''
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Leaving the loop early cancels the rest.
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= ANSWER_BYTES_MAX) break
  }
  const text = Buffer.concat(chunks).toString('utf8').replaceAll(/\s+/g, ' ').trim()
  return text.slice(0, TEXT_CHARS_MAX)
}

/** Seconds; a date is passed over, clocks differ. */
function retryAfterMs(response: Response): number | undefined {
  const text = response.headers.get('retry-after') ?? ''
  return /^\d{1,6}$/.test(text) ? Number(text) * 1000 : undefined
}

/** `fetch failed` says nothing; its cause does. Several addresses tried in vain have a code only. */
function reasonOf(error: unknown): string {
  const cause = (error as { cause?: unknown }).cause ?? error
  return messageOf(cause) || (systemCode(cause) ?? 'no connection')
}
