import dns from 'node:dns/promises'
import net from 'node:net'
import tls from 'node:tls'
import { messageOf, systemCode } from '../../core/runtime/errors.ts'
import { CERTIFICATE_WARNING_MS } from '../../core/runtime/tls-files.ts'
import { dayOf } from '../check/check-certificates.ts'
import type { Trial } from './probe.ts'

export interface Goal {
  host: string
  port: number
  /** Absent: no TLS. What it throws is the trial's failure. */
  tls?: () => tls.ConnectionOptions
}

/**
 * A connection as far as TLS: name, address, handshake and the peer's certificate, each with its own
 * words. Nothing is sent to a peer that cannot be believed.
 *
 * @param deadlineAt Of `performance.now()`.
 * @returns undefined when it failed; then the trial says why. Else the caller destroys the socket.
 */
export async function reach(
  { host, port, tls: tlsOptions }: Goal,
  trial: Trial,
  deadlineAt: number
): Promise<net.Socket | undefined> {
  if (!(await resolves(host, trial, deadlineAt))) return undefined
  // By name: where one has several addresses, all are tried.
  const plain = net.connect({ host, port, noDelay: true })
  if (!(await settles(plain, 'connect', deadlineAt, trial, text => whyNotConnected(text, port)))) {
    return undefined
  }
  if (!tlsOptions) return plain
  let secure: tls.TLSSocket
  try {
    const options = tlsOptions()
    secure = tls.connect({
      ...(net.isIP(host) ? {} : { servername: host }),
      ...options,
      host: options.servername ?? host,
      socket: plain,
      // Looked at below: a certificate that is refused is worth describing.
      rejectUnauthorized: false
    })
  } catch (error) {
    plain.destroy()
    trial.fail(messageOf(error))
    return undefined
  }
  if (!(await settles(secure, 'secureConnect', deadlineAt, trial, whyNotSecure))) {
    plain.destroy()
    return undefined
  }
  if (believes(secure, trial)) return secure
  secure.destroy()
  return undefined
}

async function resolves(host: string, trial: Trial, deadlineAt: number): Promise<boolean> {
  if (net.isIP(host)) return true
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(done => {
    timer = setTimeout(() => done(undefined), Math.max(0, deadlineAt - performance.now()))
  })
  try {
    const found = await Promise.race([dns.lookup(host), late])
    if (found) return true
    trial.fail(`the name server does not answer about ${host}`)
  } catch (error) {
    const code = systemCode(error)
    trial.fail(
      code === 'ENOTFOUND'
        ? `${host} has no such name in DNS: correct the address, or /etc/hosts`
        : `${host} cannot be resolved (${code}): is the name server reached?`
    )
  } finally {
    clearTimeout(timer)
  }
  return false
}

/** Waits for the event; an error, an end or the deadline fails the trial. */
function settles(
  socket: net.Socket,
  event: 'connect' | 'secureConnect',
  deadlineAt: number,
  trial: Trial,
  wording: (code: string) => string
): Promise<boolean> {
  return new Promise(done => {
    const finish = (code: string | undefined) => {
      clearTimeout(timer)
      socket.off('close', onClose).off(event, onEvent)
      // Errors go on to be heard: one without a listener ends the process.
      if (code !== undefined) {
        trial.fail(wording(code))
        socket.destroy()
      }
      done(code === undefined)
    }
    const onEvent = () => finish(undefined)
    const onClose = () => finish('CLOSED')
    const timer = setTimeout(() => finish('TIMEOUT'), Math.max(0, deadlineAt - performance.now()))
    socket.once(event, onEvent).once('close', onClose)
    let told = false
    socket.on('error', error => {
      if (!told) finish(systemCode(error) ?? messageOf(error))
      told = true
    })
  })
}

function whyNotConnected(code: string, port: number): string {
  switch (code) {
    case 'ECONNREFUSED':
      return `connection refused: nothing listens on port ${port}, or a firewall says no`
    case 'TIMEOUT':
    case 'ETIMEDOUT':
      return 'no answer: a firewall drops packets, or there is no route'
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `no way there (${code}): is the network up?`
    default:
      return `no connection (${code})`
  }
}

function whyNotSecure(code: string): string {
  switch (code) {
    case 'TIMEOUT':
      return 'no answer to the TLS handshake: does it speak TLS on this port?'
    case 'CLOSED':
    case 'ECONNRESET':
      return 'it ends the connection during the TLS handshake: it may not speak TLS on this port'
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'it does not speak TLS on this port: correct the port, or leave TLS away'
    default:
      return `the TLS handshake failed (${code})`
  }
}

/** What the peer shows, and whether it is to be believed. */
function believes(socket: tls.TLSSocket, trial: Trial): boolean {
  const { valid_to: validTo } = socket.getPeerCertificate()
  const until = Date.parse(validTo ?? '')
  const day = Number.isNaN(until) ? 'an unknown day' : dayOf(until)
  trial.fact(`${socket.getProtocol() ?? 'TLS'}, certificate until ${day}`)
  if (!socket.authorized) {
    const code = String(socket.authorizationError)
    trial.fail(`${UNTRUSTED[code] ?? 'its certificate is not accepted'} (${code})`)
    return false
  }
  const leftMs = until - Date.now()
  if (leftMs < CERTIFICATE_WARNING_MS) {
    trial.warn(`its certificate expires on ${day}: have it renewed`)
  }
  return true
}

const NOT_TRUSTED =
  'its certificate is of an authority that is not trusted: set tls.ca to the certificate of the authority that signed it'

const UNTRUSTED: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired: have it renewed',
  CERT_NOT_YET_VALID: "its certificate is not valid yet: is this machine's clock right?",
  ERR_TLS_CERT_ALTNAME_INVALID:
    'its certificate is for other names: use the name it is issued for, or have it issued for this one',
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_TRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_TRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_TRUSTED
}
