import { createHash } from 'node:crypto'
import fs from 'node:fs'
import type tls from 'node:tls'
import { messageOf } from '../runtime/errors.ts'
import { type Secret, secretText } from '../runtime/secrets.ts'
import { pemOf, secureContextOf, TlsFilesError, unreadableFile } from '../runtime/tls-files.ts'
import type { KafkaConnection } from './client.ts'
import type { ClientCredentialsConfig, KafkaConfig } from './config.ts'
import { TokenCache } from './oauth.ts'
import { mskToken } from './oauth-aws.ts'
import { fetchToken } from './oauth-client-credentials.ts'
import { oauthLogin } from './oauth-login.ts'
import { KafkaSecurityError } from './security-errors.ts'

const LOOK_INTERVAL_MS = 5_000

export type ReadFile = (path: string) => string

/**
 * What a client proves itself and knows the brokers by. Files are read for every connection and
 * every login, so a certificate or a password that was exchanged is used from the next one on; what
 * they held when the client was made is kept as a digest only.
 */
export class KafkaCredentials {
  readonly #config: Pick<KafkaConfig, 'tls' | 'sasl'>
  readonly #readFile: ReadFile
  readonly #lookIntervalMs: number
  /** Of the files when this was made; undefined if they could not be read. */
  readonly #digest: string | undefined
  #lookedAt = performance.now()
  #changed = false

  constructor(
    config: Pick<KafkaConfig, 'tls' | 'sasl'>,
    lookIntervalMs = LOOK_INTERVAL_MS,
    readFile: ReadFile = readText
  ) {
    this.#config = config
    this.#readFile = readFile
    this.#lookIntervalMs = lookIntervalMs
    this.#digest = this.#digestOfFiles()
  }

  /**
   * Whether a file has changed since the client was made, and can be used. Looks at the contents, and
   * no more often than every 5 s: a time of change is too coarse, and files that were mounted anew
   * have another one.
   */
  get changed(): boolean {
    const now = performance.now()
    if (!this.#changed && now - this.#lookedAt >= this.#lookIntervalMs) {
      this.#lookedAt = now
      const digest = this.#digestOfFiles()
      this.#changed = digest !== undefined && digest !== this.#digest
    }
    return this.#changed
  }

  /**
   * For one connection. Brokers are always verified; there is no way to turn that off.
   *
   * @throws {KafkaSecurityError} TLS_FILES_UNUSABLE.
   */
  secureContext(): tls.SecureContext {
    const files = typeof this.#config.tls === 'object' ? this.#config.tls : {}
    try {
      return secureContextOf(files, 'kafka.tls', this.#readFile)
    } catch (error) {
      throw error instanceof TlsFilesError ? unusable(error.message) : error
    }
  }

  /** The login as the client wants it. Its secrets are read whenever it looks at them. */
  login(): KafkaConnection['sasl'] {
    const { sasl } = this.#config
    if (!sasl) return undefined
    if (sasl.mechanism === 'oauthbearer') {
      const { provider } = sasl
      const tokens = new TokenCache(
        provider.kind === 'aws-msk-iam'
          ? () => mskToken(provider.region)
          : () => this.#fetchToken(provider)
      )
      return oauthLogin(() => tokens.value())
    }
    const { mechanism, username, password } = sasl
    const read = () => this.#secret('kafka.sasl.password', password)
    return {
      mechanism: mechanism as 'plain',
      username,
      get password() {
        return read()
      }
    }
  }

  async #fetchToken(provider: ClientCredentialsConfig) {
    const { tokenUrl, tokenCa, clientId, clientSecret, scope } = provider
    let ca: string | undefined
    try {
      ca = tokenCa === undefined ? undefined : pemOf(tokenCa, this.#readFile)
    } catch (error) {
      throw unusable(`kafka.sasl.token_ca: ${unreadableFile(error)}`)
    }
    return fetchToken({
      ...{ tokenUrl, clientId },
      clientSecret: this.#secret('kafka.sasl.client_secret', clientSecret),
      ...(scope === undefined ? {} : { scope }),
      ...(ca === undefined ? {} : { ca })
    })
  }

  #secret(field: string, secret: Secret): string {
    try {
      return secretText(secret, this.#readFile)
    } catch (error) {
      throw new KafkaSecurityError('SECRET_UNREADABLE', `${field}: ${messageOf(error)}`)
    }
  }

  /** @returns undefined while a file cannot be read, or the TLS files do not fit each other. */
  #digestOfFiles(): string | undefined {
    const { tls: files, sasl } = this.#config
    const hash = createHash('sha256')
    const add = (text: string): void => void hash.update(`${text.length}:${text}`)
    const addPem = (value: string | undefined): void => {
      add(value === undefined ? '' : pemOf(value, this.#readFile))
    }
    try {
      if (typeof files === 'object') {
        addPem(files.ca)
        addPem(files.cert)
        addPem(files.key && secretText(files.key, this.#readFile))
        this.secureContext()
      }
      if (sasl?.mechanism === 'oauthbearer') {
        if (sasl.provider.kind === 'client_credentials') {
          addPem(sasl.provider.tokenCa)
          add(secretText(sasl.provider.clientSecret, this.#readFile))
        }
      } else if (sasl) add(secretText(sasl.password, this.#readFile))
      return hash.digest('hex')
    } catch {
      return undefined
    }
  }
}

function unusable(message: string): KafkaSecurityError {
  return new KafkaSecurityError('TLS_FILES_UNUSABLE', message)
}

function readText(path: string): string {
  return fs.readFileSync(path, 'utf8')
}
