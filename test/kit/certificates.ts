import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4 } from 'node:net'

/*
 * X.509 certificates for tests, written byte by byte and signed with node:crypto: no tool need be
 * installed, one takes a millisecond, and each may be as wrong as a test wants it.
 *
 * Source: RFC 5280; DER: X.690.
 */

export interface Certificate {
  readonly name: string
  /** PEM of the certificate. */
  readonly cert: string
  /** PEM (PKCS #8) of its private key. */
  readonly key: string
}

export interface CertificateOptions {
  /** Common name; with '' the subject is empty, as where only hosts are named. */
  name: string
  /** Names and IPv4 addresses it is good for. */
  hosts?: string[]
  /** Default: an hour ago. */
  validFrom?: Date
  /** Default: in a day. */
  validUntil?: Date
}

const HOUR_MS = 3_600_000

/** An authority that signs certificates, EC P-256 and SHA-256 throughout. */
export class TestAuthority {
  readonly name: string
  /** PEM of its own certificate: what `kafka.tls.ca` holds. */
  readonly cert: string
  readonly #key: KeyObject

  constructor(name = 'test authority') {
    const { privateKey, publicKey } = newKeys()
    this.name = name
    this.#key = privateKey
    const extensions = [extension(OID.basicConstraints, sequence(BOOLEAN_TRUE), true)]
    this.cert = certificate({ name }, name, publicKey, privateKey, extensions)
  }

  issue(options: CertificateOptions): Certificate {
    const { privateKey, publicKey } = newKeys()
    const names = (options.hosts ?? []).map(host =>
      isIPv4(host) ? tlv(0x87, Buffer.from(host.split('.').map(Number))) : tlv(0x82, ascii(host))
    )
    const extensions = names.length > 0 ? [extension(OID.subjectAltName, sequence(...names))] : []
    return {
      name: options.name,
      cert: certificate(options, this.name, publicKey, this.#key, extensions),
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    }
  }
}

const OID = {
  commonName: '2.5.4.3',
  basicConstraints: '2.5.29.19',
  subjectAltName: '2.5.29.17',
  ecdsaWithSha256: '1.2.840.10045.4.3.2'
}

const BOOLEAN_TRUE = tlv(0x01, Buffer.from([255]))

function newKeys(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

function certificate(
  { name, validFrom, validUntil }: CertificateOptions,
  issuer: string,
  publicKey: KeyObject,
  signer: KeyObject,
  extensions: Buffer[]
): string {
  const algorithm = sequence(objectId(OID.ecdsaWithSha256))
  const now = Date.now()
  const body = sequence(
    tlv(0xa0, integer(2)),
    tlv(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    algorithm,
    distinguishedName(issuer),
    sequence(
      time(validFrom ?? new Date(now - HOUR_MS)),
      time(validUntil ?? new Date(now + 24 * HOUR_MS))
    ),
    distinguishedName(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [tlv(0xa3, sequence(...extensions))] : [])
  )
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', body, signer)])
  const der = sequence(body, algorithm, tlv(0x03, signature))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function distinguishedName(name: string): Buffer {
  if (name === '') return sequence()
  return sequence(tlv(0x31, sequence(objectId(OID.commonName), tlv(0x0c, Buffer.from(name)))))
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(objectId(id), ...(critical ? [BOOLEAN_TRUE] : []), tlv(0x04, value))
}

/** GeneralizedTime, to the second. */
function time(date: Date): Buffer {
  return tlv(0x18, ascii(date.toISOString().replace(/[-:T]|\.\d+/g, '')))
}

function objectId(id: string): Buffer {
  const [first, second, ...rest] = id.split('.').map(Number)
  const bytes = [40 * first + second]
  for (const part of rest) {
    const digits = [part & 127]
    for (let left = part >> 7; left > 0; left >>= 7) digits.unshift((left & 127) | 128)
    bytes.push(...digits)
  }
  return tlv(0x06, Buffer.from(bytes))
}

function integer(value: number): Buffer {
  return tlv(0x02, Buffer.from([value]))
}

function sequence(...parts: Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(parts))
}

function tlv(tag: number, value: Buffer): Buffer {
  const { length } = value
  if (length < 128) return Buffer.concat([Buffer.from([tag, length]), value])
  const size = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), value])
}

function ascii(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}
