import { X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { messageOf, OperationalError } from '../../../core/runtime/errors.ts'
import type { Logger } from '../../../core/runtime/log.ts'
import { readSmallFile, WatchedFiles } from '../../../core/runtime/watched-files.ts'
import type { ListenerTlsConfig } from './config.ts'

export interface CertificateStatus {
  /** Common name and the like, as OpenSSL writes it, on one line; where there is none, its other names. */
  subject: string
  /** Epoch ms. */
  expiresAt: number
  /** Why files that were exchanged are not in use; the ones before are. */
  error?: string
}

interface LoadedCertificate {
  options: tls.SecureContextOptions
  subject: string
  expiresAt: number
}

const FILE_BYTES_MAX = 1 << 20

/**
 * What a listener shows and trusts, kept up to date: files that change are read within seconds, for
 * the connections that come then. Files that cannot be used change nothing but the status.
 */
export class ServerCertificate {
  readonly #config: ListenerTlsConfig
  readonly #address: string
  readonly #logger: Logger
  #watched: WatchedFiles | undefined
  #loaded: LoadedCertificate
  #error: string | undefined

  /** @throws {OperationalError} CONFIG_INVALID when the files cannot be used. */
  constructor(config: ListenerTlsConfig, address: string, logger: Logger) {
    this.#config = config
    this.#address = address
    this.#logger = logger
    try {
      this.#loaded = load(config)
    } catch (error) {
      throw new OperationalError('CONFIG_INVALID', `TLS on ${address}: ${messageOf(error)}`)
    }
    this.#warnIfExpired()
  }

  get options(): tls.SecureContextOptions {
    return this.#loaded.options
  }

  get status(): CertificateStatus {
    const { subject, expiresAt } = this.#loaded
    return { subject, expiresAt, ...(this.#error === undefined ? {} : { error: this.#error }) }
  }

  /** Tells the server of every change from now on. */
  watch(server: tls.Server, intervalMs?: number): void {
    const { cert, key, ca, crl } = this.#config
    const paths = [cert, key, ca, crl].filter(path => path !== undefined)
    this.#watched = new WatchedFiles(paths, () => this.reload(server), intervalMs)
  }

  reload(server: tls.Server): void {
    const facts = { address: this.#address }
    try {
      const loaded = load(this.#config)
      const isNew = JSON.stringify(loaded) !== JSON.stringify(this.#loaded)
      if (!isNew && this.#error === undefined) return
      server.setSecureContext(loaded.options)
      this.#loaded = loaded
      this.#error = undefined
      this.#logger.info(
        { event: 'mqtt.certificate_reloaded', ...facts, subject: loaded.subject },
        'The files of a TLS listener were read again; new connections see them.'
      )
      this.#warnIfExpired()
    } catch (error) {
      const reason = messageOf(error)
      if (reason !== this.#error) {
        this.#logger.error(
          { event: 'mqtt.certificate_unusable', ...facts, reason },
          'The new files of a TLS listener cannot be used; the ones before stay in use.'
        )
      }
      this.#error = reason
    }
  }

  close(): void {
    this.#watched?.close()
  }

  #warnIfExpired(): void {
    const { expiresAt, subject } = this.#loaded
    if (expiresAt > Date.now()) return
    this.#logger.warn(
      { event: 'mqtt.certificate_expired', address: this.#address, subject },
      'The certificate of a TLS listener has expired: clients that verify it will not connect.'
    )
  }
}

/** @throws {SyntaxError} naming field and file. */
function load({ cert, key, ca, crl }: ListenerTlsConfig): LoadedCertificate {
  const read = (field: string, path: string): string => {
    try {
      return readSmallFile(path, FILE_BYTES_MAX)
    } catch (error) {
      throw new SyntaxError(`${field}: ${messageOf(error)}`)
    }
  }
  const options: tls.SecureContextOptions = {
    cert: read('cert', cert),
    key: read('key', key),
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca: read('ca', ca) }),
    ...(crl === undefined ? {} : { crl: read('crl', crl) })
  }
  try {
    tls.createSecureContext(options)
    const certificate = new X509Certificate(options.cert as string)
    const subject = subjectOf(certificate) || (certificate.subjectAltName ?? '')
    const expiresAt = Date.parse(certificate.validTo)
    return { options, subject: subject.replaceAll('\n', ', '), expiresAt }
  } catch (error) {
    // OpenSSL's words hold nothing of the files.
    throw new SyntaxError(
      `${cert} and ${key} cannot be used (${messageOf(error)}): each must be PEM, and key must belong to cert`
    )
  }
}

/**
 * @returns The user name that a verified client certificate stands for; undefined when it holds none.
 */
export function certificateUser(
  certificate: X509Certificate,
  identity: ListenerTlsConfig['identity']
): string | undefined {
  if (identity === 'none') return undefined
  const name =
    identity === 'certificate_cn'
      ? commonName(subjectOf(certificate))
      : /^(?:DNS|email|URI):("(?:[^"\\]|\\.)*"|[^,]*)/.exec(certificate.subjectAltName ?? '')?.[1]
  return (name?.startsWith('"') ? unquoted(name) : name) || undefined
}

/** Node.js quotes what could be mistaken for several names. */
function unquoted(name: string): string | undefined {
  try {
    return JSON.parse(name) as string
  } catch {
    return undefined
  }
}

/** One that names only hosts has an empty subject, which Node.js gives as undefined against its types. */
function subjectOf(certificate: X509Certificate): string {
  return (certificate.subject as string | undefined) ?? ''
}

/** Of a subject with several, or one that runs over lines, nobody knows which is meant. */
function commonName(subject: string): string | undefined {
  const names = subject.split('\n').filter(line => line.startsWith('CN='))
  return names.length === 1 ? names[0].slice(3) : undefined
}
