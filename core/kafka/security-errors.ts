/**
 * Why Kafka and we do not come together though both are there, in words for a person. Every one of
 * these heals by itself once the files, the brokers or the clock are corrected.
 */
export const SECURITY_ERRORS = {
  TLS_CA_UNTRUSTED: { needsPerson: true },
  TLS_HOST_MISMATCH: { needsPerson: true },
  TLS_CERTIFICATE_EXPIRED: { needsPerson: true },
  TLS_CLIENT_CERTIFICATE_REFUSED: { needsPerson: true },
  TLS_NOT_SPOKEN: { needsPerson: true },
  /** A broker that speaks no TLS does this, and so does one that goes down. */
  TLS_HANDSHAKE_CUT: { needsPerson: false },
  TLS_FAILED: { needsPerson: true },
  /** A certificate or key of ours cannot be read, or they do not belong together. */
  TLS_FILES_UNUSABLE: { needsPerson: true },
  SECRET_UNREADABLE: { needsPerson: true },
  SASL_AUTHENTICATION_FAILED: { needsPerson: true },
  /** A broker that goes down does this; nobody has refused the login. */
  SASL_LOGIN_CUT: { needsPerson: false },
  UNSUPPORTED_SASL_MECHANISM: { needsPerson: true },
  /** No signer package, no AWS credentials, or a client the token endpoint refuses. */
  OAUTH_TOKEN_REFUSED: { needsPerson: true },
  /** The token endpoint does not answer: as any network it may come back. */
  OAUTH_TOKEN_UNAVAILABLE: { needsPerson: false }
} as const

export type SecurityCode = keyof typeof SECURITY_ERRORS

export function isSecurityCode(code: string): code is SecurityCode {
  return Object.hasOwn(SECURITY_ERRORS, code)
}

/** Without a `cause`: the client would put that in this error's place. */
export class KafkaSecurityError extends Error {
  readonly code: SecurityCode
  /** Tells the client to reject at once: our own caller waits longer, and reads files anew. */
  readonly retriable = false

  constructor(code: SecurityCode, message: string) {
    super(message)
    this.name = 'KafkaSecurityError'
    this.code = code
  }
}

export interface SecurityTrouble {
  readonly code: SecurityCode
  readonly message: string
  readonly needsPerson: boolean
}

/** What a rejection of the client may carry, anywhere in its chain of causes. */
interface ClientError extends Error {
  readonly code?: unknown
  readonly broker?: unknown
}

/**
 * Finds trouble with certificates or logins in a rejection of the client.
 *
 * @param chain The error and its causes, outermost first.
 * @returns undefined when it is about something else.
 */
export function securityTrouble(chain: readonly Error[]): SecurityTrouble | undefined {
  for (const error of chain as readonly ClientError[]) {
    const found = troubleOf(error)
    if (found) return { ...found, needsPerson: SECURITY_ERRORS[found.code].needsPerson }
  }
  return undefined
}

const CONNECTION_PREFIX = /^Connection error: /

function troubleOf(error: ClientError): { code: SecurityCode; message: string } | undefined {
  if (error instanceof KafkaSecurityError) return { code: error.code, message: error.message }
  if (error.name === 'KafkaJSSASLAuthenticationError') return loginTrouble(error.message)
  if (typeof error.code !== 'string') return undefined
  if (isSecurityCode(error.code)) {
    return { code: error.code, message: error.message.replace(CONNECTION_PREFIX, '') }
  }
  const found = /before secure TLS connection was established/.test(error.message)
    ? HANDSHAKE_CUT
    : tlsTrouble(error.code)
  if (!found) return undefined
  const [code, message] = found
  const broker = typeof error.broker === 'string' ? error.broker : 'the broker'
  // What the system says of the names in a certificate is worth repeating.
  const said = error.message.replace(CONNECTION_PREFIX, '')
  return { code, message: `${broker} ${message} (${said.trim()})` }
}

const HANDSHAKE_CUT: [SecurityCode, string] = [
  'TLS_HANDSHAKE_CUT',
  'ends the connection during the TLS handshake: if that goes on, it may not speak TLS on this port'
]

/** What the client says of its connection, where it takes any end of a login for a refusal. */
const LOGIN_CUT =
  / failed: (Not connected|Closed connection|Connection (closed by the server|timeout|error: .*)|Request .* timed out)$/s

function loginTrouble(said: string): { code: SecurityCode; message: string } {
  if (/mechanism is not supported/.test(said)) {
    const message = `${said}: set kafka.sasl.mechanism to one that the listener has, or correct the port`
    return { code: 'UNSUPPORTED_SASL_MECHANISM', message }
  }
  if (/secret file .* (cannot be read|is empty)/.test(said)) {
    return { code: 'SECRET_UNREADABLE', message: said.replace(/^SASL .*? failed: /, '') }
  }
  if (LOGIN_CUT.test(said)) {
    const message = `${said}: the broker ends the connection during the login; if that goes on, look at kafka.sasl`
    return { code: 'SASL_LOGIN_CUT', message }
  }
  const message = `${said}: correct kafka.sasl, or the user in Kafka`
  return { code: 'SASL_AUTHENTICATION_FAILED', message }
}

/** Codes of Node and OpenSSL (`X509_V_ERR_…`, `SSL_R_…`). */
function tlsTrouble(code: string): [SecurityCode, string] | undefined {
  switch (code) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'CERT_SIGNATURE_FAILURE':
    case 'CERT_UNTRUSTED':
    case 'INVALID_CA':
      return [
        'TLS_CA_UNTRUSTED',
        'shows a certificate of an authority that is not trusted: set kafka.tls.ca to the certificate of the authority that signed it'
      ]
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return [
        'TLS_HOST_MISMATCH',
        'shows a certificate for other names: write the name it is issued for in kafka.brokers (and in the advertised listeners), or issue it for this one'
      ]
    case 'CERT_HAS_EXPIRED':
      return ['TLS_CERTIFICATE_EXPIRED', "shows a certificate that has expired: renew the broker's"]
    case 'CERT_NOT_YET_VALID':
      return [
        'TLS_CERTIFICATE_EXPIRED',
        `shows a certificate that is not valid yet: is this machine's clock right? It says ${new Date().toISOString()}`
      ]
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
    case 'ERR_SSL_HTTP_REQUEST':
      return ['TLS_NOT_SPOKEN', 'does not speak TLS on this port: correct the port, or kafka.tls']
  }
  if (/^ERR_SSL_.*ALERT_(.*CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED)/.test(code)) {
    return [
      'TLS_CLIENT_CERTIFICATE_REFUSED',
      'wants a client certificate and does not accept ours: set or renew kafka.tls.cert and kafka.tls.key'
    ]
  }
  return code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')
    ? ['TLS_FAILED', 'ends the TLS handshake: compare its TLS versions and ciphers with ours']
    : undefined
}
