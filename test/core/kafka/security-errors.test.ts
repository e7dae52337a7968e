import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { mendKafkajs } from '../../../core/kafka/mends.ts'
import { KafkaSecurityError, securityTrouble } from '../../../core/kafka/security-errors.ts'

mendKafkajs()
const errors = createRequire(import.meta.url)('kafkajs/src/errors.js')

const connection = (code: string | undefined, message = 'said') =>
  new errors.KafkaJSConnectionError(`Connection error: ${message}`, { broker: 'k-1:9093', code })

test.each([
  ['SELF_SIGNED_CERT_IN_CHAIN', 'TLS_CA_UNTRUSTED', /^k-1:9093 .*set kafka\.tls\.ca .*\(said\)$/],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'TLS_CA_UNTRUSTED', /kafka\.tls\.ca/],
  ['CERT_SIGNATURE_FAILURE', 'TLS_CA_UNTRUSTED', /kafka\.tls\.ca/],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'TLS_HOST_MISMATCH', /kafka\.brokers/],
  ['CERT_HAS_EXPIRED', 'TLS_CERTIFICATE_EXPIRED', /renew the broker's/],
  ['CERT_NOT_YET_VALID', 'TLS_CERTIFICATE_EXPIRED', /clock right\? It says \d{4}-/],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'TLS_NOT_SPOKEN', /correct the port/],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED', /tls\.cert/],
  ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'TLS_CLIENT_CERTIFICATE_REFUSED', /tls\.key/],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED', /renew/],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'TLS_CLIENT_CERTIFICATE_REFUSED', /kafka\.tls/],
  ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'TLS_FAILED', /TLS versions and ciphers/]
])('%s of Node or OpenSSL is %s, in words for a person', (code, name, message) => {
  const error = connection(code)
  for (const chain of [[error], [new Error('around it'), error]]) {
    expect(securityTrouble(chain)).toEqual({
      code: name,
      message: expect.stringMatching(message),
      needsPerson: true
    })
  }
})

test.each([
  [
    'SASL GSSAPI mechanism is not supported by the server',
    'UNSUPPORTED_SASL_MECHANISM',
    /mechanism to one that the listener has/
  ],
  ['SASL PLAIN authentication failed: bad', 'SASL_AUTHENTICATION_FAILED', /correct kafka\.sasl/],
  [
    'SASL PLAIN authentication failed: kafka.sasl.password: secret file /x cannot be read (EACCES)',
    'SECRET_UNREADABLE',
    /^kafka\.sasl\.password: secret file \/x cannot be read \(EACCES\)$/
  ]
])('a login that ends with %j is %s', (said, code, message) => {
  const trouble = securityTrouble([new errors.KafkaJSSASLAuthenticationError(said)])
  expect(trouble).toMatchObject({ code, message: expect.stringMatching(message) })
})

test('a broker that goes away in the handshake is an outage, and perhaps no TLS', () => {
  const said = 'Client network socket disconnected before secure TLS connection was established'
  const trouble = securityTrouble([connection('ECONNRESET', said)])
  expect(trouble).toMatchObject({ code: 'TLS_HANDSHAKE_CUT', needsPerson: false })
})

test.each([
  'Not connected',
  'Closed connection',
  'Connection closed by the server',
  'Connection timeout',
  'Connection error: read ECONNRESET',
  'Request SaslAuthenticate(key: 36, version: 1) timed out'
])('a login cut short (%s) is an outage: nobody has refused it', said => {
  const error = new errors.KafkaJSSASLAuthenticationError(
    `SASL SCRAM SHA512 authentication failed: ${said}`
  )
  expect(securityTrouble([error])).toMatchObject({ code: 'SASL_LOGIN_CUT', needsPerson: false })
})

test('a token endpoint that is away is an outage, one that refuses is not', () => {
  const trouble = (code: 'OAUTH_TOKEN_UNAVAILABLE' | 'OAUTH_TOKEN_REFUSED') =>
    securityTrouble([new KafkaSecurityError(code, 'why')])
  expect(trouble('OAUTH_TOKEN_UNAVAILABLE')).toMatchObject({ needsPerson: false, message: 'why' })
  expect(trouble('OAUTH_TOKEN_REFUSED')).toMatchObject({ needsPerson: true, message: 'why' })
})

test.each(['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', undefined])(
  'a connection that ends with %s has nothing to do with security',
  code => {
    expect(securityTrouble([connection(code)])).toBeUndefined()
  }
)
