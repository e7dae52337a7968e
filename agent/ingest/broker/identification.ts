import { createHash, timingSafeEqual } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { messageOf, OperationalError } from '../../../core/runtime/errors.ts'
import type { Logger } from '../../../core/runtime/log.ts'
import { readSmallFile, WatchedFiles } from '../../../core/runtime/watched-files.ts'
import type { MqttConfig } from './config.ts'
import { type PasswordHash, PasswordVerifier } from './password-hash.ts'
import { parseUsers, USERS_FILE_BYTES_MAX } from './users-file.ts'

export type IdentificationOptions = Pick<MqttConfig, 'anonymous' | 'users' | 'usersFile'>

/** What a client shows of itself. */
export interface Credentials {
  username: string | undefined
  password: Uint8Array | undefined
  /** Of a verified certificate. */
  certificateUser: string | undefined
  address: string
  local: boolean
}

export interface Identified {
  /** Undefined: anonymous. */
  user: string | undefined
  by: 'certificate' | 'password' | 'nothing'
  /** Of the password it was let in with: another one ends its stay. */
  digest?: string
}

export interface UsersFileStatus {
  users: number
  /** Why the file as it is now is not in use; as it was before, it is. */
  error?: string
}

/**
 * Who a client is. A certificate that names a user goes before a user name; a user name, where users
 * are known at all, must be one of them; who gives none is anonymous.
 */
export class Identification {
  readonly #logger: Logger
  readonly #verifier: PasswordVerifier
  /** Called when somebody who was let in might not be any more. */
  readonly #onChange: () => void
  #options: IdentificationOptions
  #inline: Map<string, Buffer>
  #file = new Map<string, PasswordHash>()
  #fileError: string | undefined
  #watched: WatchedFiles | undefined

  /** @throws {OperationalError} CONFIG_INVALID when the users' file cannot be used. */
  constructor(
    options: IdentificationOptions,
    logger: Logger,
    onChange: () => void,
    verifier = new PasswordVerifier()
  ) {
    this.#logger = logger
    this.#verifier = verifier
    this.#onChange = onChange
    this.#options = options
    this.#inline = inlineOf(options)
    this.#openFile(options.usersFile)
  }

  /** Undefined without a users' file. */
  get status(): UsersFileStatus | undefined {
    if (this.#options.usersFile === undefined) return undefined
    const error = this.#fileError
    return { users: this.#file.size, ...(error === undefined ? {} : { error }) }
  }

  /**
   * @returns Who it is; `credentials`: it may not connect; `busy`: too many passwords are being
   *   verified, it should try again.
   */
  async identify(shown: Credentials): Promise<Identified | 'credentials' | 'busy'> {
    const { username, certificateUser } = shown
    if (certificateUser !== undefined) return { user: certificateUser, by: 'certificate' }
    if (username !== undefined && this.#knowsUsers) {
      return this.#byPassword(username, shown.password ?? Buffer.alloc(0), shown.address)
    }
    const { anonymous } = this.#options
    const welcome = anonymous === 'always' || (anonymous === 'loopback' && shown.local)
    // A user name that nobody verified is none.
    return welcome ? { user: undefined, by: 'nothing' } : 'credentials'
  }

  /** Whether who was let in would be let in again. */
  stillKnown({ user, by, digest }: Identified, local: boolean): boolean {
    if (by === 'certificate') return true
    if (by === 'password') return user !== undefined && this.#digestOf(user) === digest
    const { anonymous } = this.#options
    return anonymous === 'always' || (anonymous === 'loopback' && local)
  }

  /** @throws {OperationalError} CONFIG_INVALID, and all is as it was. */
  reconfigure(options: IdentificationOptions): void {
    if (options.usersFile !== this.#options.usersFile) {
      this.#watched?.close()
      this.#file = new Map()
      this.#openFile(options.usersFile)
    }
    this.#options = options
    this.#inline = inlineOf(options)
    this.#onChange()
  }

  /** Reads the users' file now, instead of in a few seconds. */
  reload(): void {
    const { usersFile } = this.#options
    if (usersFile === undefined) return
    try {
      const users = readUsers(usersFile)
      if (isDeepStrictEqual(users, this.#file) && this.#fileError === undefined) return
      this.#file = users
      this.#fileError = undefined
      this.#logger.info(
        { event: 'mqtt.users_reloaded', file: usersFile, users: this.#file.size },
        "The users' file was read again."
      )
    } catch (error) {
      const reason = messageOf(error)
      if (reason !== this.#fileError) {
        this.#logger.error(
          { event: 'mqtt.users_unusable', reason },
          "The users' file cannot be used as it is now; the users before stay."
        )
      }
      this.#fileError = reason
      return
    }
    this.#onChange()
  }

  close(): void {
    this.#watched?.close()
  }

  get #knowsUsers(): boolean {
    return this.#inline.size > 0 || this.#options.usersFile !== undefined
  }

  async #byPassword(
    user: string,
    password: Uint8Array,
    address: string
  ): Promise<Identified | 'credentials' | 'busy'> {
    const digest = this.#digestOf(user)
    const inline = this.#inline.get(user)
    if (inline) {
      const right = timingSafeEqual(sha256(password), inline)
      return right ? { user, by: 'password', ...(digest ? { digest } : {}) } : 'credentials'
    }
    if (this.#options.usersFile === undefined) return 'credentials'
    const verdict = await this.#verifier.verify(password, this.#file.get(user), address)
    if (verdict === 'busy') return 'busy'
    // The file may have changed while that took its time.
    if (verdict === 'wrong' || digest === undefined) return 'credentials'
    return this.#digestOf(user) === digest ? { user, by: 'password', digest } : 'credentials'
  }

  #digestOf(user: string): string | undefined {
    const bytes = this.#inline.get(user) ?? this.#file.get(user)?.digest
    return bytes?.toString('base64')
  }

  #openFile(path: string | undefined): void {
    this.#fileError = undefined
    if (path === undefined) return
    try {
      this.#file = readUsers(path)
    } catch (error) {
      throw new OperationalError('CONFIG_INVALID', `mqtt.users_file: ${messageOf(error)}`)
    }
    this.#watched = new WatchedFiles([path], () => this.reload())
  }
}

/** @throws {SyntaxError} naming file and line. */
function readUsers(path: string): Map<string, PasswordHash> {
  const text = readSmallFile(path, USERS_FILE_BYTES_MAX)
  try {
    return parseUsers(text)
  } catch (error) {
    throw new SyntaxError(`${path}: ${messageOf(error)}`)
  }
}

function inlineOf({ users }: IdentificationOptions): Map<string, Buffer> {
  return new Map(users.map(({ username, password }) => [username, sha256(password)]))
}

function sha256(password: string | Uint8Array): Buffer {
  return createHash('sha256').update(password).digest()
}
