import { messageOf, systemCode } from '../../../core/runtime/errors.ts'

/**
 * Why an upstream broker does not deliver, by what a person would do about it; a closed list.
 * `dns` the name, `unreachable` the network or the broker itself, `tls` certificates, `auth` user,
 * password or rights, `session` the client id, `refused` any other answer of the broker, `subscription`
 * every filter refused, `timeout` no answer, `keep_alive` a link gone silent, `closed` by the broker
 * without a word, `taken_over` by another client with our id, `silent` connected anew as nothing came,
 * `store` our own log.
 */
export type UpstreamFault =
  | 'dns'
  | 'unreachable'
  | 'tls'
  | 'auth'
  | 'session'
  | 'refused'
  | 'subscription'
  | 'timeout'
  | 'keep_alive'
  | 'closed'
  | 'taken_over'
  | 'silent'
  | 'store'

export interface UpstreamLoss {
  readonly fault: UpstreamFault
  readonly reason: string
}

/** MQTT 5 §3.14.2.1: another connection used the same client id. */
export const SESSION_TAKEN_OVER = 0x8e
/** CONNACK of 3.1.1 (1 to 5) and of 5 that speak of user, password or rights. */
const AUTH_CODES = new Set([4, 5, 0x86, 0x87, 0x8a, 0x8c])
const SESSION_CODES = new Set([2, 0x85])
const TLS_CODES =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME|EPROTO|TLS_)/

/** @param host As the URL names it: what a resolver could not find. */
export function lossOf(error: unknown, host: string): UpstreamLoss {
  const { code } = (error ?? {}) as { code?: unknown }
  // Several addresses tried in vain make an AggregateError without a message.
  const reason = messageOf(error) || (systemCode(error) ?? 'unknown error')
  if (typeof code === 'number')
    return { fault: faultOfReason(code), reason: withCode(reason, code) }
  if (reason === 'Keepalive timeout') return { fault: 'keep_alive', reason }
  if (reason === 'connack timeout') return { fault: 'timeout', reason }
  if (typeof code !== 'string') return { fault: 'refused', reason }
  if (/^(ENOTFOUND|EAI_)/.test(code)) {
    return { fault: 'dns', reason: `the host name ${host} does not resolve (${code})` }
  }
  if (code === 'SECRET_UNREADABLE') return { fault: 'auth', reason }
  if (TLS_CODES.test(code)) return { fault: 'tls', reason: opensslReason(error) ?? reason }
  if (code === 'ETIMEDOUT') return { fault: 'timeout', reason }
  return { fault: /before secure TLS/.test(reason) ? 'tls' : 'unreachable', reason }
}

/** OpenSSL's own message is its address, a source file and a line; what matters stands beside it. */
function opensslReason(error: unknown): string | undefined {
  const { message, reason, code } = error as { message: string; reason?: unknown; code: string }
  if (typeof reason !== 'string' || !/^[0-9A-F]+:error:/.test(message)) return undefined
  const isAlert = / alert /.test(reason)
  return `${isAlert ? 'the broker ends the TLS handshake: ' : ''}${reason} (${code})`
}

/** Of a DISCONNECT that an MQTT 5 broker sends before it closes. */
export function lossOfDisconnect(
  reasonCode: number,
  reasonString: string | undefined,
  clientId: string
): UpstreamLoss {
  const said = reasonString ? `: ${reasonString}` : ''
  if (reasonCode === SESSION_TAKEN_OVER) return { fault: 'taken_over', reason: takenOver(clientId) }
  const reason = `the broker disconnects with reason ${hex(reasonCode)}${said}`
  return { fault: reasonCode === 0 ? 'closed' : faultOfReason(reasonCode), reason }
}

function takenOver(clientId: string): string {
  return `another client has connected as '${clientId}' and took the session over (${hex(SESSION_TAKEN_OVER)}): give each agent an id of its own`
}

/** What a broker that has no word for it lets one guess: any in MQTT 3.1.1, some in 5. */
export function maybeTakenOver(clientId: string): string {
  return `the broker closed the connection soon after it accepted it, again and again: perhaps another client connects as '${clientId}' too`
}

export function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`
}

function faultOfReason(code: number): UpstreamFault {
  if (code === SESSION_TAKEN_OVER) return 'taken_over'
  if (AUTH_CODES.has(code)) return 'auth'
  if (SESSION_CODES.has(code)) return 'session'
  return code === 0x8d ? 'keep_alive' : 'refused'
}

/** MQTT 3.1.1's five codes say in words all there is to know. */
function withCode(reason: string, code: number): string {
  return code > 5 ? `${reason} (${hex(code)})` : reason
}
