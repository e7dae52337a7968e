import { readFileSync } from 'node:fs'
import { formatAddress } from '../../core/runtime/address.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { loadFieldlineConfig } from '../config.ts'

/** Whom to ask, and how. */
export interface StatusTarget {
  /** Ends with a slash; never holds a secret. */
  readonly url: string
  readonly token: string | undefined
  /** Where the address is from: for the message when nobody answers there. */
  readonly from: string
}

export interface TargetFlags {
  readonly config?: string
  readonly tokenFile?: string
}

export const DEFAULT_URL = 'http://127.0.0.1:8080/'
export const TOKEN_VARIABLE = 'FIELDLINE_TOKEN'

/**
 * The address as given, else the configuration's, else the default one; the token of `--token-file`,
 * else of the environment, else the configuration's.
 *
 * @throws {OperationalError} USAGE, CONFIG_INVALID, CONFIG_UNREADABLE, INPUT_UNREADABLE, or
 *   STATUS_UNREADABLE: the configuration opens no such address.
 */
export async function targetOf(
  given: string | undefined,
  flags: TargetFlags,
  env: Readonly<Record<string, string | undefined>> = process.env
): Promise<StatusTarget> {
  const file = flags.config
  const configured = file === undefined ? undefined : await configuredIn(file, env)
  const token =
    flags.tokenFile === undefined
      ? env[TOKEN_VARIABLE] || configured?.token
      : tokenIn(flags.tokenFile)
  if (given !== undefined) return { url: urlOf(given), token, from: 'the address as given' }
  if (!configured) return { url: DEFAULT_URL, token, from: 'the default address' }
  if (!configured.url) {
    const message = `http.listen is off in ${file}: what runs with it cannot be asked. Set http.listen, for example to 127.0.0.1:8080.`
    throw new OperationalError('STATUS_UNREADABLE', message)
  }
  return { url: configured.url, token, from: `http.listen in ${file}` }
}

async function configuredIn(
  file: string,
  env: Readonly<Record<string, string | undefined>>
): Promise<{ url: string | undefined; token: string | undefined }> {
  const { config } = await loadFieldlineConfig({ file, env })
  const { listen, token } = config.http
  if (!listen) return { url: undefined, token }
  // An address of all interfaces is where to listen, not where to call.
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[listen.host] ?? listen.host
  return { url: `http://${formatAddress({ ...listen, host })}/`, token }
}

/** @throws {OperationalError} USAGE; the text is not repeated whole, as it may hold a password. */
function urlOf(text: string): string {
  const full = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`
  const url = URL.canParse(full) ? new URL(full) : undefined
  const form = 'an address like http://127.0.0.1:8080 or HOST:PORT'
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new OperationalError('USAGE', `The address is none: it must be ${form}.`)
  }
  if (url.username !== '' || url.password !== '') {
    const message = `A password does not belong into the address; give the token by --token-file or ${TOKEN_VARIABLE}.`
    throw new OperationalError('USAGE', message)
  }
  const base = url.pathname.replace(/\/(status\/?)?$/, '')
  return `${url.origin}${base}/`
}

function tokenIn(file: string): string {
  let token: string
  try {
    token = readFileSync(file, 'utf8').trim()
  } catch (error) {
    const message = `${file}: the token cannot be read: ${messageOf(error)}`
    throw new OperationalError('INPUT_UNREADABLE', message, { cause: error })
  }
  if (token !== '' && !/[^\x21-\x7e]/.test(token)) return token
  throw new OperationalError('INPUT_UNREADABLE', `${file} holds no token: expected one line of it.`)
}
